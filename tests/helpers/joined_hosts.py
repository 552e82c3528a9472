"""Hosts with a state of their own each, joined through a real Redis, and what they are asked and told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from redis_servers import RedisServer, until

from litellm_antigravity.clock import SystemClock
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.selection.vitals import VitalsRules
from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.state.layers import JoinedStore

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
    yield from closed(Hosts(shared_server, tmp_path, tmp_path.name))


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Hosts]:
    """Hosts with a server of their own, to which anything may happen."""
    with RedisServer(tmp_path) as server:
        yield from closed(Hosts(server, tmp_path, "own"))


def closed(hosts: Hosts) -> Iterator[Hosts]:
    """Yield hosts, for a fixture, and close them."""
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
