"""A request waits for the shared state no longer than it may take, however long others keep it to themselves."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import litellm
import pytest
from serving import MESSAGES, MODEL, settings_of
from support import HANG_SECONDS, Child

import litellm_antigravity
from litellm_antigravity.deadlines import seconds_left, time_limit
from litellm_antigravity.errors import StateBusyError
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.state import disk, sqlite
from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.state.sqlite import SqliteStore

pytestmark = pytest.mark.once

GREEDY = """
import sqlite3, sys, time
from support import ready
connection = sqlite3.connect(f"{sys.argv[1]}/{sys.argv[2]}", isolation_level=None, timeout=60)
ready()
for number in range(15):  # it gets on, so that whoever waits goes on waiting; seldom, so that few find the gap between
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"PRAGMA user_version = {number}")
    ready() if number == 0 else None
    time.sleep(1)  # at first, too: a gap at once would be found by whoever begins now
    connection.execute("COMMIT")
"""


class Greedy(Child):
    """A process that has the write lock nearly all the time, for a quarter of a minute."""

    def __init__(self, folder: Path, database: str = disk.DATABASE) -> None:
        super().__init__(GREEDY, folder / "state", database)
        self.wait_ready()

    def begin(self) -> None:
        """Let it have the lock."""
        self.go()
        self.wait_ready()
        self.go()

    @property
    def is_at_work(self) -> bool:
        """Whether it still has the lock."""
        return self._process.poll() is None


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[Simulator]:
    with Simulator(1) as simulator:
        settings = settings_of(simulator, tmp_path, max_rate_limit_wait_seconds=0)
        litellm_antigravity.register(settings)
        litellm.completion(model=MODEL, messages=MESSAGES)  # the file, the token and the project are there
        yield simulator


def ask(timeout: float) -> Any:
    return litellm.completion(model=MODEL, messages=MESSAGES, timeout=timeout)


def stream(timeout: float) -> Any:
    return list(litellm.completion(model=MODEL, messages=MESSAGES, timeout=timeout, stream=True))


def ask_on_a_loop(timeout: float) -> Any:
    return asyncio.run(litellm.acompletion(model=MODEL, messages=MESSAGES, timeout=timeout))


def stream_on_a_loop(timeout: float) -> Any:
    async def read() -> Any:
        reply: Any = await litellm.acompletion(model=MODEL, messages=MESSAGES, timeout=timeout, stream=True)
        return [chunk async for chunk in reply]

    return asyncio.run(read())


every_door = pytest.mark.parametrize("door", [ask, stream, ask_on_a_loop, stream_on_a_loop])


@pytest.mark.usefixtures("simulator")
@every_door
def test_a_request_that_others_keep_from_the_state_is_over_when_its_time_is(
    tmp_path: Path, door: Callable[[float], Any]
) -> None:
    """Before, it waited on, for a minute at most, and was served long after its time."""
    greedy = Greedy(tmp_path)
    with greedy:
        greedy.begin()
        with pytest.raises(litellm.Timeout, match="shared state"):
            door(0.5)
        assert greedy.is_at_work
    assert litellm_antigravity.handler.dispatcher.pool.store.status().shared
    assert door(30)


@every_door
def test_how_a_request_ended_is_written_later_if_others_keep_it_from_the_state(
    simulator: Simulator, tmp_path: Path, door: Callable[[float], Any]
) -> None:
    """Before, the caller waited for that."""
    greedy = Greedy(tmp_path)
    with greedy:
        arrived = threading.Event()

        def reply(_: Any) -> str:
            greedy.begin()
            arrived.set()
            return "It works."

        simulator.reply_with(reply)
        store = litellm_antigravity.handler.dispatcher.pool.store
        (account,) = litellm_antigravity.handler.dispatcher.pool.accounts.current().accounts
        rules = litellm_antigravity.handler.dispatcher.pool.rules
        for _ in range(2):
            store.record_failure(account.id, "claude", time.time(), rules, penalty="failure", refund=False)
        assert door(1.0)
        assert arrived.is_set()
        assert greedy.is_at_work
    ends = time.monotonic() + HANG_SECONDS
    with closing(DiskStore(tmp_path / "state")) as seen:
        while seen.refresh().vitals[account.id].failures.get("claude"):
            assert time.monotonic() < ends
            time.sleep(0.05)


@pytest.mark.parametrize(("kind", "database"), [(DiskStore, disk.DATABASE), (SqliteStore, sqlite.DATABASE)])
def test_threads_that_wait_for_the_one_that_waits_have_limits_of_their_own(
    kind: type[DiskStore | SqliteStore], database: str, tmp_path: Path
) -> None:
    with closing(kind(tmp_path / "state")) as store:
        store.write_note("n", {"text": "x"})
        greedy = Greedy(tmp_path, database)
        with greedy:
            greedy.begin()
            patient = threading.Thread(target=store.write_note, args=("n", {"text": "y"}))
            patient.start()
            with time_limit(0.2), pytest.raises(StateBusyError):
                store.write_note("n", {"text": "z"})
            assert greedy.is_at_work
        patient.join(HANG_SECONDS)
        assert store.read_note("n") == {"text": "y"}


def test_a_limit_holds_inside_and_for_nobody_else() -> None:
    with time_limit(60):
        with time_limit(10):
            assert 0 < seconds_left() <= 10
        assert 10 < seconds_left() <= 60
    assert seconds_left() == float("inf")
