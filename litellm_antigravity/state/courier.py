"""Carries rows between the state of a host and Redis, both ways; one process of each host does it.

The host's state is the truth of that host. The courier remembers of each row what both sides agreed on, so that it sees
who has changed it since. When it cannot be sure that Redis still is as it was (a new connection may lead to a replica
that has missed the last writes), it forgets what was agreed: then all rows are compared, and `joining`'s rules decide.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from litellm_antigravity.clock import Clock
from litellm_antigravity.selection.vitals import VitalsRules
from litellm_antigravity.state.backend import START, Position, Row
from litellm_antigravity.state.expiry import is_over
from litellm_antigravity.state.joining import Joined, joined_kind, say_the_same
from litellm_antigravity.state.redis_backend import RedisBackend, Write
from litellm_antigravity.state.replica import Replica

logger = logging.getLogger("litellm_antigravity")

MAX_ROWS: Final = 20_000
"""More rows than that are not taken from Redis: whoever else writes to it cannot fill the host's memory."""

_MAX_KEY_CHARS: Final = 400
_AT_ONCE: Final = 500
_UNHURRIED_SECONDS: Final = 0.25
_SWEEP_SECONDS: Final = 10.0
_LEAST_SHIFT_SECONDS: Final = 0.1

OnHost = Callable[[Callable[[Replica], Any]], Any]
"""Runs an operation on the rows that the host uses now."""


@dataclass(slots=True)
class _Move:
    """What is to become of a row that the two sides have differently.

    Attributes:
        key: of the row.
        ours: what it reads as here, or is to.
        theirs: what it reads as in Redis, or is to.
    """

    key: str
    ours: str
    theirs: str


class Courier:
    """Compares and carries; each `carry` is one round. Not thread-safe.

    Args:
        on_host: runs an operation on the host's rows.
        remote: the rows in Redis.
        clock: of the host.
        rules: by which vitals change.
    """

    def __init__(self, on_host: OnHost, remote: RedisBackend, clock: Clock, rules: VitalsRules) -> None:
        self._on_host = on_host
        self._remote = remote
        self._clock = clock
        self._rules = rules
        self.refused = 0
        self._shift = 0.0  # of the server's clock against this host's
        self._swept_at = clock.monotonic()
        self._swept_to = ""
        self._host: tuple[Replica | None, Position] = (None, START)
        self.start_over()

    def __len__(self) -> int:
        return len(self._ours)

    def start_over(self) -> None:
        """Forget what was agreed, and read everything again."""
        self._host = (None, START)
        self._position = START
        self._ours: dict[str, str] = {}
        self._theirs: dict[str, str | None] = {}
        self._agreed: dict[str, tuple[str, str]] = {}
        self._pending: dict[str, None] = {}
        self._is_level = False  # both sides were compared: a row that nobody had agreed on was on neither
        self._unhurried_at = self._clock.monotonic()

    def carry(self, *, listen: bool) -> bool:
        """Do one round; return whether there was anything to carry.

        Args:
            listen: whether to ask Redis for changes as well.

        Raises:
            StateUnavailableError: Redis cannot be used.
        """
        if self._position == START or listen:
            self._hear()
        self._look()
        due = self._due()
        for _ in range(3):  # what others were faster with is worked out again
            if not due:
                break
            due = self._settle(due)
        self._pending.update(dict.fromkeys(due))
        self._is_level = self._is_level or not self._pending
        self._sweep()
        return bool(self._pending)

    def _due(self) -> list[str]:
        now = self._clock.monotonic()
        unhurried = now >= self._unhurried_at
        if unhurried:
            self._unhurried_at = now + _UNHURRIED_SECONDS
        due = [key for key in self._pending if unhurried or _kind_of(key).urgent]
        for key in due:
            del self._pending[key]
        return due

    # What each side has

    def _hear(self) -> None:
        began = self._clock.time()
        rows, position = self._remote.changes(self._position)
        self._set_shift(began, self._clock.time(), self._remote.seen_at)
        life, number = self._position
        if self._position != START and (position.life != life or position.number < number):
            logger.debug("The Redis has forgotten something; this host compares everything.")
            self.start_over()
            rows, position = self._remote.changes(START)
        self._position = position
        for row in rows:
            if self._is_acceptable(row):
                self._theirs[row.key] = row.text
                self._pending[row.key] = None

    def _is_acceptable(self, row: Row) -> bool:
        if joined_kind(row.key) is None:
            return False
        known = row.key in self._theirs or row.key in self._ours
        if len(row.key) <= _MAX_KEY_CHARS and (known or len(self._theirs) < MAX_ROWS):
            return True
        self.refused += 1
        return False

    def _set_shift(self, began: float, ended: float, server: float) -> None:
        shift, unsure = server - (began + ended) / 2, (ended - began) / 2
        if abs(shift - self._shift) > _LEAST_SHIFT_SECONDS + unsure:
            self._shift = 0.0 if abs(shift) <= _LEAST_SHIFT_SECONDS + unsure else shift

    def _look(self) -> None:
        replica, (rows, position) = self._on_host(self._rows_since)
        before, since = self._host
        if before is not None and (replica is not before or position.life != since.life):
            self.start_over()  # another file, or memory in its place
            replica, (rows, position) = self._on_host(self._rows_since)
            self._host = (replica, position)
            self._hear()
        self._host = (replica, position)
        for row in rows:
            if joined_kind(row.key) is not None and len(row.key) <= _MAX_KEY_CHARS:
                self._ours[row.key] = row.text
                self._pending[row.key] = None

    def _rows_since(self, replica: Replica) -> tuple[Replica, tuple[list[Row], Position]]:
        before, since = self._host
        rows, position = replica.changes(since if replica is before else START)
        if rows:
            replica.refresh()  # what is over is judged by the view
        return replica, (rows, position)

    # What becomes of it

    def _settle(self, keys: Iterable[str]) -> list[str]:
        """Carry rows; return those that somebody else has changed meanwhile."""
        pushed: list[_Move] = []
        taken: list[_Move] = []
        for key in keys:
            self._plan(key, pushed, taken)
        again = self._push(pushed)
        self._take([move for move in taken if move.key not in again])
        return again

    def _plan(self, key: str, pushed: list[_Move], taken: list[_Move]) -> None:
        ours, theirs, agreed = self._ours.get(key), self._theirs.get(key), self._agreed.get(key)
        if agreed == (ours, theirs):
            return
        mine, other = _row(key, ours), self._accepted(key, theirs)
        if mine is None and other is None:
            return
        if mine is None:
            taken.append(_Move(key, _text(key, other), theirs or ""))
        elif other is None:
            if not self._is_over(key, ours or ""):
                pushed.append(_Move(key, ours or "", _text(key, mine, self._shift)))
        elif agreed is not None and agreed[1] == theirs:
            pushed.append(_Move(key, ours or "", _text(key, mine, self._shift)))
        elif agreed is not None and agreed[0] == ours:
            taken.append(_Move(key, _text(key, other), theirs or ""))
        elif agreed is None and say_the_same(ours or "", _text(key, other)):
            self._agreed[key] = (ours or "", theirs or "")
        else:
            self._join(key, mine, other, pushed, taken)

    def _join(self, key: str, mine: Any, other: Any, pushed: list[_Move], taken: list[_Move]) -> None:
        kind, before = _kind_of(key), None
        if key in self._agreed:
            before = _row(key, self._agreed[key][0])
        elif self._is_level and kind.fresh is not None:
            before = kind.fresh(self._rules)
        joined = kind.rule(before, mine, other, self._clock.time(), self._rules)
        if joined is other:
            taken.append(_Move(key, _text(key, other), self._theirs[key] or ""))
            return
        move = _Move(key, _text(key, joined), _text(key, joined, self._shift))
        pushed.append(move)
        if joined is not mine:
            taken.append(move)

    def _accepted(self, key: str, theirs: str | None) -> Any:
        """Return a row of Redis's by this host's clock, as far as it is one that this package writes."""
        row = _row(key, theirs)
        if row is None:
            self.refused += theirs is not None
            return None
        kind = _kind_of(key)
        return kind.accepted(kind.shifted(row, -self._shift))

    def _is_over(self, key: str, text: str) -> bool:
        view = self._on_host(lambda replica: replica.known())
        return is_over(key, text, self._clock.time(), view, lambda _: True)

    def _push(self, moves: list[_Move]) -> list[str]:
        lost: list[str] = []
        for start in range(0, len(moves), _AT_ONCE):
            page = moves[start : start + _AT_ONCE]
            writes = [Write(move.key, self._theirs.get(move.key), move.theirs) for move in page]
            written = self._remote.write(writes, all_or_none=False)
            for move, done in zip(page, written.done, strict=True):
                if done:
                    self._theirs[move.key] = move.theirs
                    self._agreed[move.key] = (move.ours, move.theirs)
                else:
                    self._theirs[move.key] = written.texts[move.key]
                    lost.append(move.key)
            life, number = self._position
            if written.position == Position(life, number + sum(written.done)):
                self._position = written.position  # nobody else's lies between
        return lost

    def _take(self, moves: list[_Move]) -> None:
        by_kind: dict[str, list[_Move]] = {}
        for move in moves:
            by_kind.setdefault(move.key.partition("/")[0], []).append(move)
        for same in by_kind.values():
            for start in range(0, len(same), _AT_ONCE):
                self._take_page(_kind_of(same[0].key), {_name(one.key): one for one in same[start : start + _AT_ONCE]})

    def _take_page(self, joined: Joined[Any], moves: Mapping[str, _Move]) -> None:
        kind, others = joined.kind, dict.fromkeys(moves)

        def change(known: Mapping[str, Any]) -> Mapping[str, Any]:
            others.update(known)
            fits = [name for name, one in moves.items() if known[name] == _row(one.key, self._ours.get(one.key))]
            return {name: kind.decode(name, moves[name].ours) for name in fits}

        written = self._on_host(lambda replica: replica.update_all(kind, [*moves], change))
        for name, move in moves.items():
            if name in written:
                self._ours[move.key] = move.ours
                self._agreed[move.key] = (move.ours, move.theirs)
            elif others[name] is not None:  # somebody has changed it meanwhile, or it was let go of here
                self._ours[move.key] = kind.encode(others[name])
                self._pending[move.key] = None

    # What is over

    def _sweep(self) -> None:
        """Delete what is over in Redis, and let go of it here: a page of each now and then."""
        now = self._clock.monotonic()
        if now - self._swept_at < _SWEEP_SECONDS:
            return
        self._swept_at = now
        self._let_go()
        rows = self._remote.rows("", after=self._swept_to, limit=_AT_ONCE)
        self._swept_to = rows[-1].key if len(rows) == _AT_ONCE else ""
        view, time = self._on_host(lambda replica: replica.known()), self._clock.time()
        for row in rows:
            if joined_kind(row.key) is not None and is_over(row.key, row.text, time, view, lambda _: True):
                self._remote.delete(row.key, row.text)

    def _let_go(self) -> None:
        # In the order in which they were learnt; those that are to stay go to the end.
        for key in list(itertools.islice(self._ours, _AT_ONCE)):
            text = self._ours.pop(key)
            if key not in self._pending and self._is_over(key, text):
                self._theirs.pop(key, None)
                self._agreed.pop(key, None)
            else:
                self._ours[key] = text


def _kind_of(key: str) -> Joined[Any]:
    found = joined_kind(key)
    assert found is not None  # noqa: S101 - others are not taken up
    return found[0]


def _name(key: str) -> str:
    return key.partition("/")[2]


def _row(key: str, text: str | None) -> Any:
    return None if text is None else _kind_of(key).kind.decode(_name(key), text)


def _text(key: str, row: Any, shift: float = 0.0) -> str:
    kind = _kind_of(key)
    return kind.kind.encode(kind.shifted(row, shift))


__all__ = ["Courier"]
