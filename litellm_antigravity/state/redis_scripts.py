"""What runs inside Redis: one script for each kind of access, each of which is atomic there.

A pool has three keys with one hash tag, so that a cluster keeps them together: the rows (a hash), their order (a sorted
set: watched rows by the number of their last write) and their names (a sorted set, for looking rows up by prefix).
``""`` is in each of them; in the hash it holds the pool's life and the last number. A server that evicts keys takes
them one by one: when one is missing the others go too, and a new life begins, so that everybody reads all again.

Redis 6.2 is the oldest server on which these scripts are right: they ask for the time before they write.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

PAGE: Final = 500
"""So many rows are returned at once: a server does nothing else meanwhile."""

ABSENT: Final = ""
"""Expected of a row that is not to be there."""

PRESENT: Final = "*"
"""Expected of a row that is to be there, whatever it reads."""

_HEAD: Final = """
local rows, order, names = KEYS[1], KEYS[2], KEYS[3]
local function head()
  if redis.call('EXISTS', rows, order, names) == 3 then
    local life, number = string.match(redis.call('HGET', rows, '') or '', '^(%d+) (%d+)$')
    if life then return life, tonumber(number) end
  end
  local time = redis.call('TIME')
  local life = time[1] .. string.format('%06d', time[2])
  redis.call('DEL', rows, order, names)
  redis.call('HSET', rows, '', life .. ' 0')
  redis.call('ZADD', order, 0, '')
  redis.call('ZADD', names, 0, '')
  return life, 0
end
local function at() local time = redis.call('TIME') return time[1] .. '.' .. string.format('%06d', time[2]) end
"""


@dataclass(frozen=True, slots=True)
class Script:
    """A script's text, and the name by which a server knows it that has run it before."""

    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest())


WRITE: Final = Script(
    _HEAD
    + """
-- ARGV: request, 'all' or 'each', channel, life and number that are to be the last ones ('' for any),
--   then of each row: name, what it is to read as, new text, and '1' if it is watched, '0' if not, '-' to leave it.
-- Returns life, number, time, one character per row (1 written, 0 not), and of those that were not what they read as.
-- A request that is sent again, because its answer was lost, is answered again and not done again.
local life, number = head()
local request, each, written = ARGV[1], ARGV[2] == 'each', nil
local saved = redis.call('GET', KEYS[4])
if saved then
  local id, known_life, known_number, flags = string.match(saved, '^(%S+) (%d+) (%d+) (%d*)$')
  if id == request and known_life == life then written, number = flags, tonumber(known_number) end
end
local count = (#ARGV - 5) / 4
local function fits(place)
  local known, wanted = redis.call('HGET', rows, ARGV[place]), ARGV[place + 1]
  if wanted == '*' then return known end
  if wanted == '' then return not known end
  return known == wanted
end
local function write(place)
  if ARGV[place + 3] == '-' then return end
  redis.call('HSET', rows, ARGV[place], ARGV[place + 2])
  redis.call('ZADD', names, 0, ARGV[place])
  if ARGV[place + 3] == '1' then
    number = number + 1
    redis.call('ZADD', order, number, ARGV[place])
  end
end
if not written then
  local before, flags, all = number, {}, ARGV[4] == '' or (ARGV[4] == life and tonumber(ARGV[5]) == number)
  for row = 1, count do
    flags[row] = all and fits(2 + 4 * row) and '1' or '0'
  end
  if not each and string.find(table.concat(flags), '0', 1, true) then
    for row = 1, count do flags[row] = '0' end
  end
  for row = 1, count do
    if flags[row] == '1' then write(2 + 4 * row) end
  end
  written = table.concat(flags)
  redis.call('HSET', rows, '', life .. ' ' .. string.format('%.0f', number))
  redis.call('SET', KEYS[4], request .. ' ' .. life .. ' ' .. string.format('%.0f', number) .. ' ' .. written, 'EX', 60)
  if number > before and ARGV[3] ~= '' then redis.call('PUBLISH', ARGV[3], string.format('%.0f', number)) end
end
local reply = {life, string.format('%.0f', number), at(), written}
for row = 1, count do
  if string.sub(written, row, row) == '0' then
    reply[#reply + 1] = redis.call('HGET', rows, ARGV[2 + 4 * row]) or ''
  end
end
return reply
"""
)

CHANGES: Final = Script(
    _HEAD
    + f"""
-- ARGV: life and number after which to read.
-- Returns life, the last number there is, time, and of the next rows: name, text, number.
local life, number = head()
local since = tonumber(ARGV[2])
if ARGV[1] ~= life or since > number then since = 0 end
local reply = {{life, string.format('%.0f', number), at()}}
local found = redis.call('ZRANGEBYSCORE', order, '(' .. string.format('%.0f', since), '+inf',
  'WITHSCORES', 'LIMIT', 0, {PAGE})
for place = 1, #found, 2 do
  reply[#reply + 1] = found[place]
  reply[#reply + 1] = redis.call('HGET', rows, found[place]) or ''
  reply[#reply + 1] = found[place + 1]
end
return reply
"""
)

ROWS: Final = Script(
    _HEAD
    + """
-- ARGV: bounds of names as ZRANGEBYLEX has them, and how many at most.
-- Returns life, and of each row: name, text, number.
local reply = {(head())}
for _, name in ipairs(redis.call('ZRANGEBYLEX', names, ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])) do
  reply[#reply + 1] = name
  reply[#reply + 1] = redis.call('HGET', rows, name) or ''
  reply[#reply + 1] = redis.call('ZSCORE', order, name) or ''
end
return reply
"""
)

DELETE: Final = Script(
    _HEAD
    + """
-- ARGV: name and text.
local _, number = head()
if redis.call('HGET', rows, ARGV[1]) ~= ARGV[2] then return 0 end
if tonumber(redis.call('ZSCORE', order, ARGV[1]) or -1) == number then return 0 end
redis.call('HDEL', rows, ARGV[1])
redis.call('ZREM', order, ARGV[1])
return redis.call('ZREM', names, ARGV[1])
"""
)

TAKE: Final = Script(
    """
-- KEYS: a lease. ARGV: its owner's token, milliseconds, '1' if it may be taken where it is nobody's.
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] or not owner and ARGV[3] ~= '1' then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
)

RELEASE: Final = Script(
    """
-- KEYS: a lease. ARGV: its owner's token.
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
)

FLIGHTS: Final = Script(
    """
-- KEYS: what each host has in flight (a hash), and until when that counts (a sorted set, in milliseconds).
-- ARGV: a host, what it has in flight, for how many milliseconds that counts (0 to take it back).
-- Returns of each other host: name, what it has; a text is up to 8 KB, and hosts are up to 500.
local flights, ends, host = KEYS[1], KEYS[2], ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', now, 'LIMIT', 0, 500)) do
  redis.call('HDEL', flights, gone)
  redis.call('ZREM', ends, gone)
end
if ARGV[3] == '0' then
  redis.call('HDEL', flights, host)
  redis.call('ZREM', ends, host)
else
  redis.call('HSET', flights, host, ARGV[2])
  redis.call('ZADD', ends, now + ARGV[3], host)
  redis.call('PEXPIRE', flights, ARGV[3])
  redis.call('PEXPIRE', ends, ARGV[3])
end
local reply = {}
for _, other in ipairs(redis.call('ZRANGEBYSCORE', ends, now, '+inf', 'LIMIT', 0, 500)) do
  if other ~= host and #other <= 64 and redis.call('HSTRLEN', flights, other) <= 8192 then
    reply[#reply + 1] = other
    reply[#reply + 1] = redis.call('HGET', flights, other) or ''
  end
end
return reply
"""
)

__all__ = ["ABSENT", "CHANGES", "DELETE", "FLIGHTS", "PAGE", "PRESENT", "RELEASE", "ROWS", "TAKE", "WRITE", "Script"]
