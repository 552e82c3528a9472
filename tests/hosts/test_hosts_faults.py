"""What a Redis can do to the hosts that it joins, and what else goes wrong between them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joined_hosts import RULES, Hosts, closed, cooled, hosts, known, knows, own, shared_server, tell
from pydantic import SecretStr
from redis_servers import RedisServer, needs_server, until
from support import FakeClock, run_python

from litellm_antigravity.accounts import Account, StaticToken, static_accounts
from litellm_antigravity.cooldowns import Capacity, Cooldown
from litellm_antigravity.pool import SERVED, AccountPool
from litellm_antigravity.settings import Settings
from litellm_antigravity.state.courier import Courier
from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.state.layers import QUESTION_SECONDS
from litellm_antigravity.state.redis_backend import RedisBackend, Write
from litellm_antigravity.state.rows import encode_capacity, encode_cooldown

__all__ = ["hosts", "own", "shared_server"]  # fixtures

pytestmark = [pytest.mark.once, needs_server]


# What goes wrong


def test_a_server_that_is_gone_costs_the_host_nothing_and_what_it_learns_is_told_afterwards(
    own: Hosts, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = own.pair()
    tell(one, two, "before")
    own.server.kill()
    with caplog.at_level(logging.INFO, logger="litellm_antigravity"):
        one.extend_cooldown(cooled("meanwhile"))
        until(lambda: one.status().problem is not None)
        assert known(one, "meanwhile") is not None
        assert known(one, "before") is not None
        assert one.claim_slot("p") == 0
        version = one.claims_version()
        own.server.start()  # it has forgotten everything
        until(knows(two, "meanwhile"))
        until(lambda: one.claims_version() == version + 1)
        until(lambda: one.status().problem is None and two.status().problem is None)
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 2  # one on each host
    assert sum("works again" in record.getMessage() for record in caplog.records) == 2
    assert {name for name in own.rows() if name} >= {b"cooldown/before/claude", b"cooldown/meanwhile/claude"}


def test_a_request_waits_fifty_milliseconds_for_a_server_that_hangs_and_then_leaves_it_alone(own: Hosts) -> None:
    one = own.new("one", patience=QUESTION_SECONDS, socket_timeout=30.0)
    until(lambda: one.next_cursor_start() >= 0 and not one.breaker.is_open)
    own.server.client().execute_command("CLIENT", "PAUSE", "20000", "ALL")
    began = time.monotonic()
    one.next_cursor_start()  # of this host alone
    assert QUESTION_SECONDS <= time.monotonic() - began < 10.0  # it hangs for twice that long
    began = time.monotonic()
    for _ in range(100):
        one.next_cursor_start()
    assert time.monotonic() - began < 100 * QUESTION_SECONDS
    own.server.kill()  # nobody waits for it any more


class Line:
    """A line to a server that can be cut and made slow."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.delay = 0.0
        self.is_cut = False
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.is_cut:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self._target))
            self._open += [client, server]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                time.sleep(self.delay)
                sink.sendall(data)

    def cut(self) -> None:
        self.is_cut = True
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def close(self) -> None:
        self.cut()
        self._listener.close()


@pytest.fixture
def line(shared_server: RedisServer) -> Iterator[Line]:
    line = Line(shared_server.port)
    yield line
    line.close()


def test_a_host_that_is_cut_off_goes_on_alone_and_both_sides_are_joined_when_it_is_back(
    hosts: Hosts, line: Line
) -> None:
    one, two = hosts.new("one"), hosts.new("two", port=line.port)
    tell(one, two, "before")
    line.cut()
    until(lambda: two.status().problem is not None)
    now = time.time()
    one.extend_cooldown(cooled("both", 300.0, now=now))
    two.extend_cooldown(cooled("both", 900.0, now=now))
    one.extend_cooldown(cooled("of one"))
    two.extend_cooldown(cooled("of two"))
    assert known(two, "of one") is None
    line.is_cut = False
    until(knows(two, "of one"))
    until(knows(one, "of two"))
    ends = {now + 900.0}
    until(lambda: {each.until for store in (one, two) if (each := known(store, "both"))} == ends)


def test_a_server_that_takes_half_a_second_still_joins_the_hosts(hosts: Hosts, line: Line) -> None:
    one, two = hosts.new("one"), hosts.new("two", port=line.port, socket_timeout=2.0)
    tell(one, two, "before")
    line.delay = 0.25  # each way
    began = time.monotonic()
    two.extend_cooldown(cooled("a"))
    two.begin_request("a", time.time(), RULES, require_token=False)
    assert known(two, "a") is not None
    assert time.monotonic() - began < 3 * 2 * line.delay  # so long it takes to ask the server for each
    until(knows(one, "a"))


def test_a_server_that_forgets_the_last_writes_makes_no_host_forget_them(own: Hosts) -> None:
    """Replicas that become masters may lack them; the naive way takes an older row for a newer one."""
    one, two = own.pair()
    tell(one, two, "a")
    client, rows = own.server.client(), f"{{{own.namespace}}}:rows"
    older = json.dumps({"until": time.time() + 5.0, "reason": "quota", "since": time.time() - 60.0, "fact": True})
    client.hset(rows, "cooldown/a/claude", older)
    client.hset(rows, "", client.hget(rows, "").replace(b" ", b" 0"))
    client.client_kill_filter(_type="pubsub")  # as when a master goes
    client.client_kill_filter(_type="normal", skipme=True)
    tell(one, two, "b")
    time.sleep(0.2)
    for store in (one, two):
        cooldown = known(store, "a")
        assert cooldown is not None
        assert cooldown.remaining(time.time()) > 500.0
    until(lambda: json.loads(own.rows()[b"cooldown/a/claude"])["until"] > time.time() + 500.0)


def test_a_server_that_evicts_everything_is_told_everything_anew(tmp_path: Path) -> None:
    """With `allkeys-lru`, LiteLLM's usual policy, a server that is full forgets whole keys, one by one."""
    small = RedisServer(tmp_path, maxmemory="3mb", maxmemory_policy="allkeys-lru")
    with small as server, contextlib.contextmanager(closed)(Hosts(server, tmp_path, "own")) as hosts:
        one, two = hosts.pair()
        tell(one, two, "a")
        client = server.client()
        for name in ("rows", "order", "names"):  # whichever goes, the pool is whole again
            client.delete(f"{{own}}:{name}")
            tell(two, one, f"after-{name}")
            until(lambda: b"cooldown/a/claude" in hosts.rows())
            until(knows(hosts.new(f"later-{name}"), "a"))
        for number in range(3000):
            client.set(f"others:{number}", "x" * 1000)
        tell(one, two, "b")
        assert known(one, "a") is not None


def test_a_server_that_may_forget_any_key_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from litellm_antigravity.cli.doctor_hosts import check_hosts

    with RedisServer(tmp_path, maxmemory="100mb", maxmemory_policy="allkeys-lru") as server:
        [finding] = check_hosts(Settings(redis=server.url))
        assert finding.state == "warning"
        assert "noeviction" in finding.says
        with contextlib.contextmanager(closed)(Hosts(server, tmp_path, "own")) as hosts:
            hosts.new("one")
            until(lambda: "noeviction" in caplog.text)
        server.client().config_set("maxmemory-policy", "noeviction")
        assert [finding.state for finding in check_hosts(Settings(redis=server.url))] == ["ok"]
    assert [finding.state for finding in check_hosts(Settings(redis=server.url))] == ["failed"]
    assert not list(check_hosts(Settings()))


def test_a_script_cache_that_was_flushed_costs_one_more_round_trip(hosts: Hosts) -> None:
    one, two = hosts.pair()
    tell(one, two, "a")
    hosts.server.client().script_flush()
    tell(two, one, "b")
    assert one.status().problem is None


@pytest.mark.parametrize("error", ["NOAUTH", "READONLY", "BUSY", "NOPERM"])
def test_a_server_that_answers_with_an_error_is_one_that_is_gone(own: Hosts, error: str) -> None:
    one = own.new("one", patience=QUESTION_SECONDS)
    client = own.server.client()
    one.extend_cooldown(cooled("a"))
    until(lambda: b"cooldown/a/claude" in own.rows())
    busy = None
    if error == "NOAUTH":
        client.config_set("requirepass", "a-long-password")
        client.client_kill_filter(_type="normal", skipme=True)
    elif error == "READONLY":
        client.replicaof("127.0.0.1", "1")
    elif error == "NOPERM":
        client.acl_setuser("default", enabled=True, nopass=True, categories=["-@scripting"], commands=["+ping"])
    else:
        client.config_set("busy-reply-threshold", 10)
        busy = threading.Thread(target=_run_for_ever, args=(own.server,), daemon=True)
        busy.start()
    one.extend_cooldown(cooled("b"))
    until(lambda: one.status().problem is not None)
    assert "a-long-password" not in str(one.status().problem)
    began = time.monotonic()
    one.claim_slot("p")
    assert time.monotonic() - began < 1.0
    assert known(one, "b") is not None
    if error == "NOAUTH":
        own.server.client(password="a-long-password").config_set("requirepass", "")
    elif error == "READONLY":
        client.replicaof("NO", "ONE")
    elif error == "NOPERM":
        client.acl_setuser("default", enabled=True, nopass=True, categories=["+@scripting"])
    else:
        own.server.client().script_kill()
    until(lambda: b"cooldown/b/claude" in own.rows())
    until(lambda: one.status().problem is None)


def _run_for_ever(server: RedisServer) -> None:
    import redis

    with pytest.raises(redis.exceptions.RedisError):
        server.client(socket_timeout=30.0).eval("while true do end", 0)


def test_a_write_whose_answer_was_lost_is_not_done_again(hosts: Hosts) -> None:
    """As when a server dies, or the line, after the script has run: the naive way counts such a change twice."""
    backend = RedisBackend(hosts.server.place("lost"))
    client, lost = backend.link.client, [True]
    evalsha = client.evalsha

    def losing(*args: Any) -> Any:
        reply = evalsha(*args)
        if lost and lost.pop():
            from redis.exceptions import ConnectionError as LineError

            raise LineError("the line broke")
        return reply

    backend.write([Write("note/a", None, "[0]")], all_or_none=True)
    client.evalsha = losing
    written = backend.write([Write("vitals/a", None, "[1]"), Write("note/a", "[0]", "[2]")], all_or_none=True)
    assert written.done == [True, True]
    assert written.position.number == 1
    assert [row.text for row in backend.changes(written.position._replace(number=0))[0]] == ["[1]"]


@pytest.mark.parametrize("ahead", [-5.0, 5.0])
def test_a_host_whose_clock_is_wrong_ends_a_cooldown_when_the_others_do(hosts: Hosts, ahead: float) -> None:
    """The naive way compares one host's times with another one's clock."""
    one, two = hosts.new("one"), hosts.new("two", ahead=ahead)
    one.extend_cooldown(cooled("a", 60.0))
    until(knows(two, "a"))
    heard, own = known(two, "a"), known(one, "a")
    assert heard is not None
    assert own is not None
    left = own.remaining(time.time())
    assert heard.remaining(time.time() + ahead) == pytest.approx(left, abs=0.5)
    now = time.time() + ahead
    two.extend_cooldown(Cooldown("b", "claude", now + 60.0, "quota", now, fact=True))
    until(knows(one, "b"))
    back = known(one, "b")
    assert back is not None
    assert back.remaining(time.time()) == pytest.approx(60.0, abs=1.0)


POISON = {
    "cooldown/a/claude": b"not json",
    "cooldown/b/claude": b'{"until":1e999,"reason":"quota","since":0}',
    "cooldown/c/claude": b'{"until":NaN,"reason":"quota","since":0}',
    "cooldown/d/claude": b"\x80\x04cos\nsystem\n",
    "cooldown/e/claude": b'{"until":null,"reason":"quota","since":0,"x":"' + b"y" * 100_000 + b'"}',
    "vitals/f": b'{"v":[1,2,3],"f":{}}',
    "vitals/" + "g" * 5000: b'{"v":[1,2,3,4,5],"f":{}}',
    "token/h": b'{"token":"theirs","expires_at":null,"credential":"x","gen":1}',
    "note/i": b'{"at":1}',
    "../../etc/passwd": b"{}",
    "slot/x": b"[]",
}


def test_what_somebody_else_writes_into_redis_is_looked_at_as_strictly_as_rows_of_the_disk(hosts: Hosts) -> None:
    one, two = hosts.pair()
    tell(one, two, "z")
    before = {row.key for row in two.replica.backend.rows("")}
    client, key = hosts.server.client(), f"{{{hosts.namespace}}}"
    for number, (name, text) in enumerate(POISON.items(), 1000):
        client.hset(f"{key}:rows", name, text)
        client.zadd(f"{key}:order", {name: number})
    url = b'{"until":null,"reason":"verification","since":1,"fact":true,"url":"https://evil.example","message":"\\u001b[1m"}'
    client.hset(f"{key}:rows", "cooldown/j/claude", url)
    client.zadd(f"{key}:order", {"cooldown/j/claude": 2000})
    client.hset(f"{key}:rows", "", client.hget(f"{key}:rows", "").split()[0] + b" 2000")
    client.publish(f"{key}:changes", "2000")
    until(knows(two, "j"))
    assert {row.key for row in two.replica.backend.rows("")} - before <= {"cooldown/j/claude"}
    heard = known(two, "j")
    assert heard is not None
    assert heard.url is None  # nobody is sent anywhere
    assert "\x1b" not in str(heard.message)
    two.extend_cooldown(cooled("a"))  # what is known here goes over what nobody can read
    until(knows(one, "a"))


def test_ten_thousand_rows_reach_a_host_that_comes_later(hosts: Hosts) -> None:
    backend = RedisBackend(hosts.server.place(hosts.namespace))
    rows = [Write(f"cooldown/{n}/claude", None, encode_cooldown(cooled(str(n)))) for n in range(10_000)]
    for start in range(0, len(rows), 500):
        backend.write(rows[start : start + 500], all_or_none=False)
    one = hosts.new("one")
    until(lambda: len(one.refresh().cooldowns) == 10_000)
    one.extend_cooldown(cooled("new"))
    until(lambda: b"cooldown/new/claude" in hosts.rows())


def test_a_courier_lets_go_of_what_is_over_and_takes_up_what_comes_again(hosts: Hosts) -> None:
    """Names come from requests: what is remembered of them is not to grow for ever."""
    clock = FakeClock()
    disk, backend = DiskStore(hosts.folder / "one"), RedisBackend(hosts.server.place(hosts.namespace))
    courier = Courier(lambda operation: operation(disk.replica), backend, clock, RULES)
    for number in range(30):
        disk.hold_capacity(f"model-{number}", clock.time(), 10.0)
    courier.carry(listen=True)
    assert len(courier) == 30
    assert len(hosts.rows()) == 31
    clock.advance(60.0)
    courier.carry(listen=True)
    assert len(courier) == 0
    assert len(hosts.rows()) <= 2  # the last one stays, and is no harm
    other = RedisBackend(hosts.server.place(hosts.namespace))
    row = Capacity("model-3", time.time() + 10.0, time.time())  # by the server's clock
    other.update(["capacity/model-3"], lambda _: {"capacity/model-3": encode_capacity(row)})
    for _ in range(2):
        courier.carry(listen=True)
    held = disk.refresh().capacity.get("model-3")
    assert held is not None
    assert held.remaining(clock.time()) > 0
    disk.close()


def test_a_forked_child_meets_the_others_over_lines_of_its_own(hosts: Hosts) -> None:
    """As gunicorn's workers after `--preload`: a line that both used would mix up their answers."""
    one, two = hosts.pair()
    tell(one, two, "a")
    assert one.claim_slot("parent") == 0
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            one.extend_cooldown(cooled("of the child"))
            os.write(writing, str(one.claim_slot("child")).encode())
        finally:
            os._exit(0)
    assert os.read(reading, 10) == b"1"
    os.waitpid(child, 0)
    until(knows(two, "of the child"))
    tell(one, two, "b")
    os.close(reading)
    os.close(writing)


def test_an_event_loop_that_is_closed_and_replaced_does_not_matter(hosts: Hosts) -> None:
    one, two = hosts.pair()
    accounts = static_accounts(*(Account.create(f"{name}@example.com", StaticToken(SecretStr("x"))) for name in "ab"))
    pool = AccountPool(Settings(), accounts=accounts, store=one)
    for number in range(3):
        lease = asyncio.run(pool.aacquire("claude-sonnet-4-6"))
        asyncio.run(pool.areport(lease, SERVED))
        tell(one, two, f"after-{number}")
    until(lambda: {account.id for account in accounts.current().accounts} <= set(two.refresh().vitals))


def test_nothing_of_redis_is_imported_where_it_is_not_set() -> None:
    program = """
import sys
from support import answer
import litellm_antigravity
from litellm_antigravity import AccountPool, Settings
from litellm_antigravity.accounts import Account, StaticToken, static_accounts
from pydantic import SecretStr
account = Account.create("a@example.com", StaticToken(SecretStr("x")))
AccountPool(Settings(), accounts=static_accounts(account)).acquire("claude-sonnet-4-6")
answer([name for name in sys.modules if "redis" in name or name.endswith((".layers", ".courier", ".rounds"))])
"""
    assert run_python(program) == []
