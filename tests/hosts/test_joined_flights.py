"""What is in flight on other hosts counts: for the choice, and for a limit of each account."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis_servers import RedisServer, needs_server, until
from support import Child

from litellm_antigravity.accounts import Account, StaticToken, static_accounts
from litellm_antigravity.clock import SystemClock
from litellm_antigravity.lease import Lease, LeaseRequest
from litellm_antigravity.pool import AccountPool
from litellm_antigravity.selection.ramp import turn_of_host
from litellm_antigravity.settings import Settings
from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.state.joined_flights import SHARE_SECONDS
from litellm_antigravity.state.layers import JoinedStore
from litellm_antigravity.state.pages import HOSTS, HOSTS_BEFORE, Pages, key_of

pytestmark = [pytest.mark.once, needs_server]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


class Hosts:
    """Makes hosts, and closes them."""

    def __init__(self, server: RedisServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self._made: list[JoinedStore] = []

    def new(self, name: str) -> JoinedStore:
        store = JoinedStore(DiskStore(self.folder / name), self.server.place(self.folder.name), SystemClock())
        store.refresh()
        self._made.append(store)
        return store

    def close(self) -> None:
        for store in self._made:
            store.close()


@pytest.fixture
def hosts(server: RedisServer, tmp_path: Path) -> Iterator[Hosts]:
    hosts = Hosts(server, tmp_path)
    yield hosts
    hosts.close()


def seen(store: JoinedStore, account: str = "a") -> int:
    """Return how many requests of an account a host sees in flight."""
    store.in_flight.know([account])
    return store.in_flight.counts().get(account, 0)


def sees(store: JoinedStore, count: int, account: str = "a") -> Callable[[], bool]:
    return lambda: seen(store, account) == count


def test_what_one_host_has_in_flight_counts_on_the_others_until_it_ends(hosts: Hosts) -> None:
    """The code before counted a host's own requests only: the others went on to its busiest account."""
    one, two, three = (hosts.new(name) for name in ("one", "two", "three"))
    flights = [one.in_flight.begin("a") for _ in range(3)]
    until(sees(two, 3))
    other = two.in_flight.begin("a")
    assert other is not None
    until(sees(three, 4))
    until(sees(one, 4))
    assert one.in_flight.counts_of(["a"]) == {"a": 3}  # what a host shows of itself: hosts can be added up
    assert two.in_flight.begin("a", at_most=4) is None  # a limit of each account is one of all hosts
    for flight in flights:
        assert flight is not None
        flight.end()
    until(sees(three, 1))
    other.end()
    until(lambda: {seen(store) for store in (one, two, three)} == {0})


def test_a_caller_has_one_share_of_all_hosts(hosts: Hosts) -> None:
    """Counts of a host each give a caller who comes to three hosts three shares."""
    one, two = hosts.new("one"), hosts.new("two")
    flights = [one.callers.begin(7), one.callers.begin(7), two.callers.begin(8)]
    until(lambda: one.callers.counts() == two.callers.counts() == {7: 2, 8: 1})
    for flight in flights:
        flight.end()
    until(lambda: one.callers.counts() == two.callers.counts() == {})


def test_hosts_take_turns_with_newcomers_after_an_account_fell_out(hosts: Hosts) -> None:
    """The code before had a ramp on each host: three hosts sent three newcomers where one host sends one."""
    stores = [hosts.new(name) for name in ("one", "two", "three")]
    flights = [store.in_flight.begin("a") for store in stores]
    until(lambda: sorted(store.in_flight.hosts() for store in stores) == [(3, 0), (3, 1), (3, 2)])
    starts = sorted(
        turn_of_host(now, 0.25, *store.in_flight.hosts()) for store in stores for now in (1e9, 1e9 + 0.75, 1e9 + 1.5)
    )
    assert {round(after - before, 3) for before, after in itertools.pairwise(starts)} <= {0.25, *()}
    for flight in flights:
        assert flight is not None
        flight.end()
    until(lambda: {store.in_flight.hosts()[0] for store in stores} == {1}, SHARE_SECONDS + 5.0)


def test_a_new_conversation_goes_where_all_hosts_have_least_to_do(hosts: Hosts) -> None:
    names = ("a", "b", "c")
    accounts = static_accounts(*(Account.create(f"{n}@example.com", StaticToken(SecretStr("x"))) for n in names))
    first, second, third = (account.id for account in accounts.current().accounts)
    one, two = hosts.new("one"), hosts.new("two")
    flights = [one.in_flight.begin(account_id) for account_id in (first, first, second)]
    until(sees(two, 2, first))
    pool = AccountPool(Settings(max_in_flight_per_account=2), accounts=accounts, store=two)
    leases = [pool.try_acquire(LeaseRequest("claude-sonnet-4-6", conversation=name)) for name in ("x", "y")]
    assert [lease.account.id for lease in leases if isinstance(lease, Lease)] == [third, second]
    assert all(flights)


HOST = """
import sys, time
from pathlib import Path
from litellm_antigravity.clock import SystemClock
from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.state.layers import JoinedStore
from litellm_antigravity.state.redis_connect import connect
from litellm_antigravity.state.redis_link import RedisPlace

url, namespace, folder = sys.argv[1:]
store = JoinedStore(DiskStore(Path(folder)), RedisPlace(lambda: connect({"url": url}), namespace, url), SystemClock())
store.refresh()
flights = [store.in_flight.begin("a") for _ in range(2)]
time.sleep(60.0)
"""
"""A host that has two requests in flight, and lives on."""


def test_what_a_host_that_died_had_in_flight_counts_for_some_seconds_and_no_longer(hosts: Hosts) -> None:
    """A count that nobody takes back, as with `INCR` and `DECR`, keeps an account busy for ever."""
    one = hosts.new("one")
    flight = one.in_flight.begin("a")  # the others' shares go on
    with Child(HOST, hosts.server.url, hosts.folder.name, hosts.folder / "two"):
        until(sees(one, 3), 30.0)
    until(sees(one, 1), SHARE_SECONDS + 5.0)
    assert hosts.server.client().hlen(f"{{{hosts.folder.name}}}:flights") == 1
    assert flight is not None


def test_when_the_process_that_carries_dies_another_one_tells_the_same_share(hosts: Hosts) -> None:
    """A share that belonged to the process would count twice until it expired."""
    one = hosts.new("one")
    with Child(HOST, hosts.server.url, hosts.folder.name, hosts.folder / "two") as child:
        until(sees(one, 2), 30.0)
        other = hosts.new("two")
        flight = other.in_flight.begin("a")
        until(sees(one, 3))
        most = 0
        child.kill()
        ends = time.monotonic() + SHARE_SECONDS + 5.0
        while (now := seen(one)) != 1:
            most = max(most, now)
            assert time.monotonic() < ends
        assert most == 3
        assert flight is not None


POISON = [
    b"\x80\x04cos\nsystem\n",
    b"1:99999999",
    b"-1:5",
    b"x:y:z",
    b"1:1," * 50_000,
    b"1:-5",
    b"1:1_0",
    b"9" * 20 + b":1",
    b"0:7",
]


def test_what_somebody_else_writes_there_is_counted_for_nothing(hosts: Hosts) -> None:
    one, two = hosts.new("one"), hosts.new("two")
    flight = one.in_flight.begin("a")
    until(sees(two, 1))
    client, key = hosts.server.client(), f"{{{hosts.folder.name}}}"
    for number, poison in enumerate(POISON):
        client.hset(f"{key}:flights", f"stranger-{number}", poison)
        client.zadd(f"{key}:flight-ends", {f"stranger-{number}": (time.time() + 2.0) * 1000})
    more = one.in_flight.begin("a")
    until(sees(two, 2))  # heard after the strangers
    assert two.in_flight.counts() == {"a": 2}
    said = dict(Pages(hosts.folder / "two", lambda: None).others())
    assert said.pop(HOSTS) <= len(POISON)
    said.pop(HOSTS_BEFORE, None)
    assert said == {key_of("a"): 2}
    assert flight is not None
    assert more is not None


def test_a_host_that_is_cut_off_counts_its_own_requests_and_learns_the_others_when_it_is_back(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        hosts = Hosts(server, tmp_path)
        one, two = hosts.new("one"), hosts.new("two")
        flights = [one.in_flight.begin("a"), two.in_flight.begin("a")]
        until(lambda: seen(one) == seen(two) == 2)
        server.kill()
        until(lambda: seen(one) == seen(two) == 1)
        server.start()
        until(lambda: seen(one) == seen(two) == 2)
        assert all(flights)
        hosts.close()
