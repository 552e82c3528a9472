"""Several hosts, each with a state of its own, joined through a real Redis; and what Redis can do to them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import math
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from redis_servers import RedisServer, needs_server, until
from serving import fields_of
from support import FakeClock, run_python
from test_alerts import Host as TellingHost

from litellm_antigravity.accounts import Account, AccountsFile, StaticToken, static_accounts
from litellm_antigravity.alerts.channels import NotToldError
from litellm_antigravity.clock import SystemClock
from litellm_antigravity.cooldowns import Capacity, Cooldown
from litellm_antigravity.credentials.shared import SharedTokens
from litellm_antigravity.errors import SettingsError
from litellm_antigravity.lease import Lease, LeaseRequest
from litellm_antigravity.pool import SERVED, AccountPool
from litellm_antigravity.selection.vitals import VitalsRules
from litellm_antigravity.settings import Settings
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.state.backends import ledger_of
from litellm_antigravity.state.courier import Courier
from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.state.incidents import LEASE_SECONDS
from litellm_antigravity.state.layers import QUESTION_SECONDS, JoinedStore
from litellm_antigravity.state.redis_backend import RedisBackend, Write
from litellm_antigravity.state.redis_connect import connect, described, place_of, target_of
from litellm_antigravity.state.redis_link import RedisPlace
from litellm_antigravity.state.rows import encode_capacity, encode_cooldown
from litellm_antigravity.state.sealing import TokenSeal
from litellm_antigravity.state.shared_tokens import TokenSharingStore
from litellm_antigravity.wire.http import HttpClients

pytestmark = [pytest.mark.once, needs_server]

RULES = VitalsRules()
HOUR = 3600.0


class AheadClock(SystemClock):
    """A clock that is wrong."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def time(self) -> float:
        return time.time() + self._seconds


@dataclass
class Hosts:
    """Makes hosts that meet at a server, and closes them."""

    server: RedisServer
    folder: Path
    namespace: str
    made: list[JoinedStore] = field(default_factory=list)

    def new(self, name: str, *, ahead: float = 0.0, patience: float = 10.0, **options: Any) -> JoinedStore:
        place = self.server.place(self.namespace, **{"socket_timeout": 1.0, **options})
        store = JoinedStore(DiskStore(self.folder / name), place, AheadClock(ahead), rules=RULES, patience=patience)
        store.refresh()
        self.made.append(store)
        return store

    def pair(self) -> tuple[JoinedStore, JoinedStore]:
        return self.new("one"), self.new("two")

    def rows(self) -> dict[bytes, bytes]:
        """What is in Redis."""
        found: dict[bytes, bytes] = self.server.client().hgetall(f"{{{self.namespace}}}:rows")
        return found


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def hosts(shared_server: RedisServer, tmp_path: Path) -> Iterator[Hosts]:
    yield from _closed(Hosts(shared_server, tmp_path, tmp_path.name))


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Hosts]:
    """Hosts with a server of their own, to which anything may happen."""
    with RedisServer(tmp_path) as server:
        yield from _closed(Hosts(server, tmp_path, "own"))


def _closed(hosts: Hosts) -> Iterator[Hosts]:
    try:
        yield hosts
    finally:
        for store in hosts.made:
            store.close()


def cooled(account: str, seconds: float = 600.0, *, now: float | None = None, **fields: Any) -> Cooldown:
    since = time.time() if now is None else now
    return Cooldown(account, "claude", since + seconds, "quota", since, **{"fact": True, **fields})


def known(store: JoinedStore, account: str) -> Cooldown | None:
    return store.refresh().cooldown(account, "claude")


def knows(store: JoinedStore, account: str) -> Callable[[], bool]:
    return lambda: known(store, account) is not None


def tell(one: JoinedStore, other: JoinedStore, account: str) -> Cooldown:
    """Have a host record a cooldown, and wait until the other one has heard of it."""
    cooldown = one.extend_cooldown(cooled(account))
    until(knows(other, account))
    return cooldown


# What hosts share


def test_what_one_host_learns_the_other_ones_know(hosts: Hosts) -> None:
    one, two = hosts.pair()
    cooldown = tell(one, two, "a")
    heard = known(two, "a")
    assert heard is not None
    assert (heard.until, heard.reason, heard.fact) == (cooldown.until, "quota", True)
    two.hold_capacity("claude-x", time.time(), 20.0)
    until(lambda: "claude-x" in one.refresh().capacity)


def test_a_host_that_comes_later_learns_what_the_others_know(hosts: Hosts) -> None:
    one = hosts.new("one")
    one.extend_cooldown(cooled("a"))
    until(lambda: b"cooldown/a/claude" in hosts.rows())
    until(knows(hosts.new("two"), "a"))


def test_what_a_host_knew_before_there_was_a_redis_is_told(hosts: Hosts) -> None:
    alone = DiskStore(hosts.folder / "one")
    alone.extend_cooldown(cooled("a"))
    alone.close()
    _, two = hosts.pair()
    until(knows(two, "a"))


def test_requests_of_all_hosts_draw_on_one_bucket(hosts: Hosts) -> None:
    one, two = hosts.pair()
    tell(one, two, "z")
    now = time.time()
    for store, times in ((one, 5), (two, 7)):
        for _ in range(times):
            store.begin_request("a", now, RULES, require_token=True)

    def left(store: JoinedStore) -> float:
        vitals = store.refresh().vitals.get("a")
        return math.inf if vitals is None else vitals.tokens_now(now, RULES)

    # It fills meanwhile.
    until(
        lambda: max(abs(left(store) - (RULES.bucket.initial_tokens - 12)) for store in (one, two)) < 0.5
    )  # it fills meanwhile


def test_a_cooldown_that_was_ended_is_over_on_every_host(hosts: Hosts) -> None:
    one, two = hosts.pair()
    tell(one, two, "a")
    two.end_cooldown("a", "claude", time.time())
    until(lambda: (heard := known(one, "a")) is not None and heard.remaining(time.time()) == 0)


def test_slots_and_numbers_are_given_out_once_among_all_hosts(hosts: Hosts) -> None:
    one, two = hosts.pair()
    assert [one.claim_slot("p"), two.claim_slot("q"), one.claim_slot("r"), two.claim_slot("q")] == [0, 1, 2, 1]
    assert [one.next_cursor_start(), two.next_cursor_start(), one.next_cursor_start()] == [0, 1, 2]


def test_one_request_of_all_hosts_probes_a_long_cooldown(hosts: Hosts) -> None:
    one, two = hosts.pair()
    now = time.time()
    long = one.extend_cooldown(cooled("a", 10 * HOUR, now=now - 2 * HOUR))
    until(knows(two, "a"))
    assert [one.claim_probe(long, now), two.claim_probe(long, now), one.claim_probe(long, now)] == [True, False, False]
    two.finish_probe("a", "claude", now)
    assert not one.claim_probe(long, now + HOUR / 2)


def test_pools_with_different_namespaces_know_nothing_of_each_other(hosts: Hosts) -> None:
    one = hosts.new("one")
    other = Hosts(hosts.server, hosts.folder / "other", hosts.namespace + "-other")
    try:
        two, three = other.pair()
        one.extend_cooldown(cooled("a"))
        tell(two, three, "b")
        until(lambda: b"cooldown/a/claude" in hosts.rows())
        assert known(two, "a") is None
        assert known(one, "b") is None
        assert (one.claim_slot("p"), two.claim_slot("q")) == (0, 0)
    finally:
        for store in other.made:
            store.close()


def test_one_process_of_a_host_carries_and_the_next_one_takes_over(hosts: Hosts) -> None:
    first, second, other = hosts.new("one"), hosts.new("one"), hosts.new("two")
    tell(second, other, "a")  # the first one carries it, if it was faster
    first.close()
    tell(second, other, "b")
    assert known(first, "b") is not None


def test_a_choice_asks_redis_nothing(own: Hosts) -> None:
    """The code before had no Redis; one whose view lived there would ask at each choice."""
    one = own.new("one")
    one.begin_request("a", time.time(), RULES, require_token=False)
    until(lambda: b"vitals/a" in own.rows())
    own.server.client().execute_command("CLIENT", "PAUSE", "2000", "ALL")
    began = time.monotonic()
    for _ in range(50):
        one.refresh()
        one.begin_request("a", time.time(), RULES, require_token=False)
    assert time.monotonic() - began < 2.0  # the server answers nobody meanwhile


def test_conversations_keep_their_accounts_though_their_turns_are_spread_over_the_hosts(hosts: Hosts) -> None:
    """A host that does not know of a conversation gives it an account of its own."""
    names = [f"user{number}@example.com" for number in range(6)]
    accounts = static_accounts(*(Account.create(name, StaticToken(SecretStr("x"))) for name in names))
    stores = [hosts.new(str(number)) for number in range(3)]
    tell(stores[0], stores[1], "z")
    pools = [AccountPool(Settings(), accounts=accounts, store=store) for store in stores]
    served: dict[int, set[str]] = {number: set() for number in range(20)}
    for turn in range(6):
        for number, accounts_of_it in served.items():
            pool = pools[(turn + number) % 3]  # a balancer that takes turns
            lease = pool.try_acquire(LeaseRequest("claude-sonnet-4-6", conversation=f"conversation-{number}"))
            assert isinstance(lease, Lease)
            accounts_of_it.add(lease.account.id)
            pool.report(lease, SERVED)
            if not turn:  # a client's next turn takes longer than that
                known = [store.refresh for store in stores]
                until(lambda: all(f"conversation-{number}" in refresh().bindings for refresh in known))  # noqa: B023
    assert {len(each) for each in served.values()} == {1}
    assert max(Counter(min(each) for each in served.values()).values()) <= 5  # of 20 on six accounts


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
    one = own.new("one", patience=QUESTION_SECONDS)
    until(lambda: one.next_cursor_start() >= 0 and not one.breaker.is_open)
    own.server.client().execute_command("CLIENT", "PAUSE", "20000", "ALL")
    began = time.monotonic()
    one.next_cursor_start()  # of this host alone
    assert QUESTION_SECONDS <= time.monotonic() - began < 1.0
    began = time.monotonic()
    for _ in range(100):
        one.next_cursor_start()
    assert time.monotonic() - began < 100 * QUESTION_SECONDS


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
    assert time.monotonic() - began < 0.5
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
    with small as server, contextlib.contextmanager(_closed)(Hosts(server, tmp_path, "own")) as hosts:
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
        with contextlib.contextmanager(_closed)(Hosts(server, tmp_path, "own")) as hosts:
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


# Tokens


class TokenHost:
    """A host that shares tokens."""

    def __init__(self, hosts: Hosts, name: str, fields: dict[str, Any], key: str) -> None:
        self.settings = Settings(**{**fields, "share_tokens": "redis", "share_tokens_key": key})
        seal = TokenSeal(SecretStr(key), hosts.namespace)
        place = hosts.server.place(hosts.namespace, socket_timeout=1.0)
        self.store = TokenSharingStore(DiskStore(hosts.folder / name), place, SystemClock(), seal=seal, patience=10.0)
        hosts.made.append(self.store)
        self.store.next_cursor_start()  # so that there is a line already
        self.accounts = AccountsFile(self.settings.accounts_file)
        self._tokens = SharedTokens(self.settings, self.accounts, self.store, HttpClients(), SystemClock())

    def token(self, **more: Any) -> str:
        return self._tokens.token(self.accounts.current().accounts[0], **more).get_secret_value()


def test_one_refresh_serves_all_hosts_and_nobody_can_read_the_token_in_redis(hosts: Hosts) -> None:
    """The code before refreshed once on every host."""
    with Simulator(1) as simulator:
        fields = fields_of(simulator, hosts.folder)
        sharing = [TokenHost(hosts, str(number), fields, "a key of all") for number in range(3)]
        tokens: list[str] = []
        threads = [threading.Thread(target=lambda ask=host.token: tokens.append(ask())) for host in sharing]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(set(tokens)) == 1
        assert len(tokens) == 3
        assert simulator.token_calls() == 1
        kept = b"".join(hosts.rows().values())
        assert tokens[0].encode() not in kept
        assert base64.b64encode(tokens[0].encode()) not in kept
        renewed = sharing[1].token(rejected=SecretStr(tokens[0]))
        assert {host.token(rejected=SecretStr(tokens[0])) for host in sharing} == {renewed}
        assert simulator.token_calls() == 2
        stranger = TokenHost(hosts, "stranger", fields, "another key")
        assert stranger.token() not in (tokens[0], renewed)  # it cannot read theirs


def test_an_older_token_never_takes_a_newer_ones_place_and_a_token_stays_its_accounts(hosts: Hosts) -> None:
    seal = TokenSeal(SecretStr("k"), "n")
    place = hosts.server.place(hosts.namespace)
    one, two = (
        TokenSharingStore(DiskStore(hosts.folder / name), place, SystemClock(), seal=seal, patience=10.0)
        for name in ("one", "two")
    )
    hosts.made += [one, two]
    assert [one.next_cursor_start(), two.next_cursor_start()] == [0, 1]
    ends = time.time() + HOUR
    one.write_token("a", "first", ends, "c")
    client, rows = hosts.server.client(), f"{{{hosts.namespace}}}:rows"
    older = client.hget(rows, "sealed/a")
    assert two.write_token("a", "second", ends, "c").generation == 2
    newest = one.read_token("a")
    assert newest is not None
    assert (newest.token, newest.generation) == ("second", 2)
    client.hset(rows, "sealed/a", older)  # somebody who can write to Redis
    client.hset(rows, "sealed/b", older)
    for store in (one, two):
        kept = store.read_token("a")
        assert kept is not None
        assert kept.token == "second"
        assert store.read_token("b") is None
    assert "second" not in repr(newest)


def test_tokens_are_not_shared_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LITELLM_SALT_KEY", raising=False)
    settings = Settings(redis="redis://127.0.0.1:1", share_tokens="redis")
    with pytest.raises(SettingsError, match="LITELLM_SALT_KEY"):
        ledger_of(settings, SystemClock(), RULES)
    monkeypatch.setenv("LITELLM_SALT_KEY", "sk-salt")
    assert isinstance(ledger_of(settings, SystemClock(), RULES), TokenSharingStore)


# How to get there


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("redis://user:secret-word@example.com:6380/2", "example.com:6380"),
        ({"host": "h", "port": 7, "password": "secret-word"}, "h:7"),
        ({"startup_nodes": [{"host": "h", "port": 7}], "password": "secret-word"}, "the cluster of h:7"),
        ({"sentinel_nodes": [["h", 7]], "service_name": "mine"}, "the sentinels' mine"),
        ("unix:///run/redis.sock", "/run/redis.sock"),
        ({}, "REDIS_* of the environment"),
    ],
)
def test_a_server_is_described_without_secrets(given: Any, expected: str) -> None:
    settings = Settings(redis=given)
    assert settings.redis is not None
    assert "secret-word" not in repr(settings)
    assert described(target_of(settings.redis.get_secret_value())) == expected
    place = place_of(settings)
    assert place is not None
    assert "secret-word" not in place.description
    assert "secret-word" not in repr(place)


@pytest.mark.parametrize("wrong", ["http://h", "h:6379", ["h"], 5, "redis://"])
def test_what_is_no_server_is_refused_without_being_shown(wrong: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(redis=wrong)
    assert "redis://" in str(caught.value)
    assert str(wrong) not in str(caught.value).replace("redis://, ", "")


def test_a_password_is_neither_in_a_problem_nor_in_a_log(own: Hosts, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(redis=f"redis://user:secret-word@127.0.0.1:{own.server.port}", state_dir=own.folder / "mine")
    place = place_of(settings)
    assert place is not None
    with caplog.at_level(logging.DEBUG):
        store = JoinedStore(DiskStore(settings.state_dir), place, SystemClock())
        own.made.append(store)
        store.refresh()
        until(lambda: store.status().problem is not None)  # there is no such user
    assert "secret-word" not in caplog.text
    assert "secret-word" not in str(store.status())


def test_a_url_is_all_it_takes(own: Hosts) -> None:
    client = connect({"url": own.server.url})
    assert client.ping()
    client.close()
    place = RedisPlace(lambda: connect({"host": "127.0.0.1", "port": str(own.server.port)}), "n", "here")
    assert place.connect().ping()


# Alerts


def test_of_the_hosts_that_see_something_one_tells_it_and_one_that_it_is_over(hosts: Hosts) -> None:
    told = [TellingHost(store) for store in hosts.pair()]
    for one in told:
        one.clock = FakeClock(time.time())
        one.restart()
    one, other = told
    account_id = one.accounts[0].id

    def looked() -> list[str]:
        return sorted([*one.look(), *other.look()])

    one.bench(1, "banned")
    until(lambda: other.ledger.refresh().cooldown(account_id, "*") is not None)
    assert looked() == ["banned us***1@example.com *"]
    assert looked() == []
    other.ledger.end_cooldowns(account_id, time.time())
    until(lambda: one.ledger.refresh().cooldowns[account_id]["*"].remaining(time.time()) == 0)
    assert looked() == ["back us***1@example.com *"]
    assert looked() == []


def test_a_host_that_dies_before_it_has_told_something_leaves_it_to_another(hosts: Hosts) -> None:
    one, other = (TellingHost(store) for store in hosts.pair())
    for host in (one, other):
        host.clock = FakeClock(time.time())
        host.restart()
    one.channel.down = NotToldError("down")
    one.bench(1, "banned")
    until(lambda: other.ledger.refresh().cooldown(one.accounts[0].id, "*") is not None)
    assert [one.look(), other.look(), other.look(after=60.0)] == [[], [], []]
    assert other.look(after=LEASE_SECONDS) == ["banned us***1@example.com *"]
