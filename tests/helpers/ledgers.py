"""Where a ledger may be kept: in memory, on disk, in Redis, and behind what goes wrong there."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest
from losing import LosingBackend
from redis_clusters import Cluster
from redis_servers import RedisServer
from support import HANG_SECONDS, NOW, FakeClock

from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.selection.vitals import VitalsRules
from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.memory import MemoryBackend
from litellm_antigravity.state.redis_backend import RedisStore
from litellm_antigravity.state.replica import Replica
from litellm_antigravity.state.resilient import ResilientStore
from litellm_antigravity.state.sqlite import SqliteStore

RULES = VitalsRules()
HOUR, DAY = 3600.0, 86_400.0
_T = TypeVar("_T")


ON_DISK: dict[str, Callable[[Path], Ledger]] = {"diskcache": DiskStore, "sqlite": SqliteStore}


@dataclass
class Place:
    """Where state is kept: `open` gives another ledger on it, as another process would have."""

    kind: str
    open: Callable[[], Ledger]


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


PLACES = [
    *("memory", "diskcache", "sqlite", "losing", "resilient"),
    *("redis", "redis resp 3", "redis cluster", "redis cluster that reshards"),
]


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[Place]:
    opened: list[Ledger] = []
    if request.param.startswith("redis"):
        resharding: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        if "cluster" in request.param:
            cluster: Cluster = request.getfixturevalue("redis_cluster")
            where = cluster.place(tmp_path.name)
            if request.param.endswith("reshards"):
                resharding = cluster.moving(where.key("rows"))
        else:
            protocol = 3 if request.param.endswith("3") else 2
            where = request.getfixturevalue("redis_server").place(tmp_path.name, protocol=protocol)

        def joined() -> Ledger:
            opened.append(RedisStore(where))
            return opened[-1]

        with resharding:
            yield Place(request.param, joined)
        for store in opened:
            store.close()
        return
    backend = LosingBackend() if request.param == "losing" else MemoryBackend()

    def new() -> Ledger:
        if request.param in ("memory", "losing"):
            return Ledger(Replica(backend))
        store: Ledger = ON_DISK.get(request.param, DiskStore)(tmp_path / "state")
        opened.append(ResilientStore(store, clock) if request.param == "resilient" else store)
        return opened[-1]

    yield Place(request.param, new)
    for store in opened:
        assert store.status().shared
        store.close()


@pytest.fixture
def store(place: Place) -> Ledger:
    return place.open()


def cooldown(seconds: float, *, since: float = NOW, pool: str = "claude", credential: str | None = None) -> Cooldown:
    return Cooldown("a", pool, since + seconds, "quota", since, fact=True, credential=credential)


def in_threads(count: int, work: Callable[[int], _T]) -> list[_T]:
    """Do the work in that many threads at once and return what each returned."""
    barrier = threading.Barrier(count)
    results: dict[int, _T] = {}

    def run(number: int) -> None:
        barrier.wait(HANG_SECONDS)
        results[number] = work(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG_SECONDS)
    assert len(results) == count, "a thread failed or hangs"
    return [results[number] for number in range(count)]
