"""Hosts that meet in a cluster whose slots move, and at a master that sentinels replace."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from processes import together
from redis_clusters import Cluster, Watched
from redis_servers import RedisServer, needs_server, until
from support import HANG_SECONDS

from litellm_antigravity.clock import SystemClock
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.errors import StateUnavailableError
from litellm_antigravity.selection.vitals import VitalsRules
from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.state.layers import JoinedStore
from litellm_antigravity.state.redis_backend import RedisStore
from litellm_antigravity.state.redis_connect import connect
from litellm_antigravity.state.redis_link import RedisPlace

pytestmark = [pytest.mark.once, needs_server]

RULES = VitalsRules()
CROWD = int(os.environ.get("REDIS_CROWD", "16"))
"""Processes at once; 64 take a minute."""


def joined(folder: Path, place: RedisPlace) -> JoinedStore:
    store = JoinedStore(DiskStore(folder), place, SystemClock(), rules=RULES)
    store.refresh()
    return store


def tell(one: JoinedStore, other: JoinedStore, account: str) -> None:
    now = time.time()
    one.extend_cooldown(Cooldown(account, "claude", now + 600.0, "quota", now, fact=True))
    until(lambda: other.refresh().cooldown(account, "claude") is not None)


def test_nothing_is_lost_or_counted_twice_while_a_clusters_slot_moves(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        place = cluster.place("moving")
        one, two = joined(tmp_path / "one", place), joined(tmp_path / "two", place)
        tell(one, two, "before")
        numbers: list[int] = []
        done = threading.Event()

        def count() -> None:
            store = RedisStore(place)
            while not done.is_set():
                with contextlib.suppress(StateUnavailableError):
                    numbers.append(store.next_cursor_start())

        counting = threading.Thread(target=count)
        counting.start()
        for number in range(4):
            cluster.move(place.key("rows"))
            tell(one, two, f"after-{number}")
        done.set()
        counting.join(HANG_SECONDS)
        assert len(numbers) > 10
        assert len(set(numbers)) == len(numbers)  # a number that nobody got is no harm; one that two got is
        one.close()
        two.close()


def test_a_failover_costs_no_host_what_it_knows(tmp_path: Path) -> None:
    with Watched(tmp_path) as watched:
        one, two = joined(tmp_path / "one", watched.place("n")), joined(tmp_path / "two", watched.place("n"))
        tell(one, two, "before")
        watched.master.kill()
        now = time.time()
        one.extend_cooldown(Cooldown("meanwhile", "claude", now + 600.0, "quota", now, fact=True))
        until(lambda: two.refresh().cooldown("meanwhile", "claude") is not None, 40.0)
        tell(two, one, "after")
        until(lambda: one.status().problem is None)
        assert watched.replica.client().hexists("{n}:rows", "cooldown/meanwhile/claude")
        one.close()
        two.close()


_kept: list[RedisStore] = []


def count_up(url: str, namespace: str, times: int) -> tuple[list[int], int, int]:
    """In a child process: take numbers, tokens and a slot."""
    store = RedisStore(RedisPlace(lambda: connect({"url": url, "socket_timeout": 60.0}), namespace, url))
    _kept.append(store)  # one that is gone holds no slot
    numbers = [store.next_cursor_start() for _ in range(times)]
    admitted = sum(store.begin_request("a", 1e9, RULES, require_token=True) for _ in range(times))
    return numbers, admitted, store.claim_slot(f"{numbers[0]}")


def test_processes_share_every_counter_exactly(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        done: list[Any] = together(count_up, [(server.url, "n", 5)] * CROWD)
        assert sorted(number for numbers, _, __ in done for number in numbers) == list(range(CROWD * 5))
        assert sum(admitted for _, admitted, __ in done) == RULES.bucket.initial_tokens
        assert sorted(slot for _, __, slot in done) == list(range(CROWD))
