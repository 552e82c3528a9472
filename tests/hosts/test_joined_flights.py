"""What is in flight on other hosts counts: for the choice, and for a limit of each account."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import started
from pydantic import SecretStr
from redis_servers import RedisServer, needs_server, until
from support import run_python

from litellm_antigravity.accounts import Account, StaticToken, static_accounts
from litellm_antigravity.clock import SystemClock
from litellm_antigravity.lease import Lease, LeaseRequest
from litellm_antigravity.pool import AccountPool
from litellm_antigravity.settings import Settings
from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.state.joined_flights import SHARE_SECONDS
from litellm_antigravity.state.layers import JoinedStore
from litellm_antigravity.state.redis_connect import connect
from litellm_antigravity.state.redis_link import RedisPlace

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


def sees(store: JoinedStore, count: int) -> Callable[[], bool]:
    return lambda: seen(store) == count


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
