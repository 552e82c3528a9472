"""Requests in flight: every process of the host knows how many each account has, and nothing is left of the dead."""

from __future__ import annotations

import asyncio
import gc
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import litellm
import pytest
from processes import together
from serving import MESSAGES, MODEL, fields_of, settings_of
from support import HANG_SECONDS, Child

import litellm_antigravity
from litellm_antigravity import AccountPool, Settings
from litellm_antigravity.dispatch import Dispatcher, GeminiRequest
from litellm_antigravity.errors import AllAccountsLimitedError, RequestRefusedError
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.state.in_flight import InFlight, busy_pause
from litellm_antigravity.state.memory import MemoryStore
from litellm_antigravity.state.pages import FOLDER, Pages
from litellm_antigravity.state.sqlite import SqliteStore

CLAUDE = "claude-sonnet-4-6"
BODY: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}


def wait_until(condition: Callable[[], object]) -> None:
    ends = time.monotonic() + HANG_SECONDS
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(2) as started_one:
        yield started_one


@pytest.fixture
def dispatcher(simulator: Simulator, tmp_path: Path) -> Dispatcher:
    return Dispatcher(settings_of(simulator, tmp_path, account_selection_strategy="sticky"), store=MemoryStore())


def counts(dispatcher: Dispatcher) -> list[int]:
    """Return what is in flight, account by account."""
    found = dispatcher.pool.store.in_flight.counts()
    return [found.get(account.id, 0) for account in dispatcher.pool.accounts.current().enabled]


# From the lease to the end


def test_a_whole_reply_is_in_flight_until_it_is_there(dispatcher: Dispatcher, simulator: Simulator) -> None:
    seen: list[list[int]] = []

    def reply(*_: object) -> str:
        seen.append(counts(dispatcher))
        return "Hello"

    simulator.reply_with(reply)
    dispatcher.complete(GeminiRequest(CLAUDE, BODY))
    assert (seen, counts(dispatcher)) == ([[1, 0]], [0, 0])


@pytest.mark.parametrize("end", ["read", "closed", "forgotten"])
def test_a_stream_is_in_flight_until_it_is_read_closed_or_forgotten(dispatcher: Dispatcher, end: str) -> None:
    stream = dispatcher.stream(GeminiRequest(CLAUDE, BODY, stream=True))
    assert counts(dispatcher) == [1, 0]
    if end == "read":
        list(stream)
    elif end == "closed":
        stream.close()
    else:
        del stream
        gc.collect()
    assert counts(dispatcher) == [0, 0]


@pytest.mark.parametrize("end", ["read", "closed", "cancelled"])
def test_an_asynchronous_stream_is_in_flight_until_then_as_well(
    dispatcher: Dispatcher, simulator: Simulator, end: str
) -> None:
    async def run() -> None:
        if end == "cancelled":  # before its first content
            simulator.refuse("hang")
            task = asyncio.ensure_future(dispatcher.begin_stream(GeminiRequest(CLAUDE, BODY, stream=True)))
            while not any(entry.model for entry in simulator.log):  # noqa: ASYNC110 - written by a thread
                await asyncio.sleep(0.01)
            assert counts(dispatcher) == [1, 0]
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return
        stream = await dispatcher.begin_stream(GeminiRequest(CLAUDE, BODY, stream=True))
        assert counts(dispatcher) == [1, 0]
        if end == "read":
            assert [reply async for reply in stream]
        else:
            await stream.aclose()

    asyncio.run(run())
    assert counts(dispatcher) == [0, 0]


def test_a_request_that_is_refused_is_in_flight_at_the_next_account_only(
    dispatcher: Dispatcher, simulator: Simulator
) -> None:
    simulator.refuse("quota", email="user1@example.com")
    stream = dispatcher.stream(GeminiRequest(CLAUDE, BODY, stream=True))
    assert counts(dispatcher) == [0, 1]
    stream.close()
    simulator.refuse("bad-request")
    with pytest.raises(RequestRefusedError):
        dispatcher.complete(GeminiRequest(CLAUDE, BODY))
    assert counts(dispatcher) == [0, 0]


def test_litellms_own_streams_count_until_their_callers_let_go(simulator: Simulator, tmp_path: Path) -> None:
    litellm_antigravity.register(settings_of(simulator, tmp_path, account_selection_strategy="sticky"))
    with closing(DiskStore(tmp_path / "state")) as other:
        streams = [litellm.completion(model=MODEL, messages=MESSAGES, stream=True) for _ in range(3)]
        pool = AccountPool(settings_of(simulator, tmp_path))
        other.in_flight.know(account.id for account in pool.accounts.current().enabled)
        assert sum(other.in_flight.counts().values()) == 3
        list(streams[0])
        assert sum(other.in_flight.counts().values()) == 2
        del streams
        gc.collect()
        assert not other.in_flight.counts()


# Across processes


HOLDER = """
import sys
from pathlib import Path
from support import ready
from litellm_antigravity.state.disk import DiskStore
store = DiskStore(Path(sys.argv[1]))
held = [store.in_flight.begin("account") for _ in range(3)]
ready()
del held[0]
ready()
"""


def test_others_see_a_request_at_once_and_nothing_of_a_process_that_was_killed(tmp_path: Path) -> None:
    with closing(DiskStore(tmp_path)) as store, Child(HOLDER, tmp_path) as first, Child(HOLDER, tmp_path) as second:
        store.in_flight.know(["account"])
        first.wait_ready()
        second.wait_ready()
        assert store.in_flight.counts() == {"account": 6}
        first.go()
        first.wait_ready()
        assert store.in_flight.counts() == {"account": 5}
        second.kill()
        wait_until(lambda: store.in_flight.counts() == {"account": 2})
        first.kill()
        wait_until(lambda: not store.in_flight.counts())


FORKING = """
import os, sys
from pathlib import Path
from support import ready
from litellm_antigravity.state.disk import DiskStore
store = DiskStore(Path(sys.argv[1]))
held = store.in_flight.begin("account")
if child := os.fork():
    ready(child)
    os.wait()
else:
    held.end()  # the parent's is not the child's to end
    mine = store.in_flight.begin("account")
    sys.stdin.close()
    import signal
    Path(sys.argv[1], "forked").touch()
    signal.pause()
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this platform does not fork")
def test_a_forked_child_has_a_share_of_its_own_and_its_parents_goes_with_the_parent(tmp_path: Path) -> None:
    import os
    import signal

    with closing(DiskStore(tmp_path)) as store, Child(FORKING, tmp_path) as parent:
        store.in_flight.know(["account"])
        child = int(parent.wait_ready())
        try:
            wait_until((tmp_path / "forked").exists)
            assert store.in_flight.counts() == {"account": 2}
            os.kill(parent.pid, signal.SIGKILL)
            wait_until(lambda: store.in_flight.counts() == {"account": 1})
        finally:
            os.kill(child, signal.SIGKILL)
        wait_until(lambda: not store.in_flight.counts())


@pytest.mark.parametrize("store_type", [DiskStore, SqliteStore])
def test_a_folder_that_is_removed_is_made_anew_and_what_is_in_flight_told_again(
    tmp_path: Path, store_type: type[DiskStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("litellm_antigravity.state.in_flight._LOOK_SECONDS", 0.0)
    folder = tmp_path / "state"
    with closing(store_type(folder)) as store:
        held = [store.in_flight.begin("account")]
        shutil.rmtree(folder)
        held.append(store.in_flight.begin("account"))
        with closing(store_type(folder)) as other:
            other.in_flight.know(["account"])
            assert other.in_flight.counts() == {"account": 2}


def test_no_folder_that_can_be_used_means_that_nobody_else_knows_and_nothing_more(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    with closing(DiskStore(tmp_path / "state")) as store:
        held = store.in_flight.begin("account")
        assert held is not None
        assert store.in_flight.counts() == {"account": 1}
        held.end()
        assert not store.in_flight.counts()


def test_a_page_that_is_full_or_full_of_rubbish_harms_nobody(tmp_path: Path) -> None:
    with closing(DiskStore(tmp_path)) as store, closing(DiskStore(tmp_path)) as other:
        names = [f"account{number}" for number in range(600)]
        other.in_flight.know(names)
        held = [store.in_flight.begin(name) for name in names]
        assert len(store.in_flight.counts()) == 600
        assert len(other.in_flight.counts()) == 510  # what a page has room for
        del held
        gc.collect()
        assert not other.in_flight.counts()
        again = store.in_flight.begin(names[-1])
        assert again is not None
        assert other.in_flight.counts() == {names[-1]: 1}  # room again
    with (tmp_path / FOLDER / "pages-1").open("r+b") as file:
        file.write(b"\xff" * 3 * 4096)
    with closing(DiskStore(tmp_path)) as reader:
        reader.in_flight.know(["account"])
        assert not reader.in_flight.counts()
        again = reader.in_flight.begin("account")
        assert reader.in_flight.counts() == {"account": 1}


def test_who_only_looks_makes_no_file(tmp_path: Path) -> None:
    flights = InFlight(Pages(tmp_path / "state", lambda: None))
    flights.know(["account"])
    assert not flights.counts()
    assert not (tmp_path / "state").exists()


def test_requests_that_begin_and_end_in_many_threads_are_counted_exactly(tmp_path: Path) -> None:
    with closing(DiskStore(tmp_path)) as store, closing(DiskStore(tmp_path)) as other:
        other.in_flight.know(["a", "b"])
        kept: list[object] = []

        def work(number: int) -> None:
            for turn in range(300):
                flight = store.in_flight.begin("ab"[(number + turn) % 2])
                assert flight is not None
                if turn == 150:
                    kept.append(flight)
                elif turn % 3:
                    flight.end()
                    flight.end()

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(work, range(8)))
        gc.collect()
        assert other.in_flight.counts() == store.in_flight.counts() == {"a": 4, "b": 4}


# No more than so many


def _ask(fields: dict[str, Any], requests: int) -> list[str]:
    dispatcher = Dispatcher(Settings(**fields))

    def one(_: int) -> str:
        try:
            return dispatcher.complete(GeminiRequest(CLAUDE, BODY)).lease.account.email or ""
        except AllAccountsLimitedError as error:
            return str(error)

    with ThreadPoolExecutor(requests) as threads:
        return list(threads.map(one, range(requests)))


@pytest.mark.parametrize("strategy", ["sticky", "round-robin", "hybrid"])
def test_no_account_has_more_in_flight_than_it_may_whatever_processes_ask(tmp_path: Path, strategy: str) -> None:
    with Simulator(3, latency_seconds=0.1) as simulator:
        fields = fields_of(
            simulator,
            tmp_path,
            account_selection_strategy=strategy,
            max_in_flight_per_account=2,
            max_rate_limit_wait_seconds=HANG_SECONDS,
        )
        served = [email for answers in together(_ask, [(fields, 6)] * 3) for email in answers]
        most = {entry.email: entry.in_flight for entry in sorted(simulator.log, key=lambda one: one.in_flight)}
    assert sorted(set(served)) == ["user1@example.com", "user2@example.com", "user3@example.com"]
    assert {count for email, count in most.items() if email} == {2}


def test_beyond_what_all_may_have_a_request_is_told_when_to_come_again(simulator: Simulator, tmp_path: Path) -> None:
    settings = settings_of(simulator, tmp_path, max_in_flight_per_account=1, max_rate_limit_wait_seconds=0)
    dispatcher = Dispatcher(settings, store=MemoryStore())
    streams = [dispatcher.stream(GeminiRequest(CLAUDE, BODY, stream=True)) for _ in range(2)]
    assert counts(dispatcher) == [1, 1]
    with pytest.raises(AllAccountsLimitedError, match="max_in_flight_per_account") as raised:
        dispatcher.complete(GeminiRequest(CLAUDE, BODY))
    assert raised.value.retry_after == 1.0
    assert counts(dispatcher) == [1, 1]
    assert len([entry for entry in simulator.log if entry.model]) == 2
    streams[0].close()
    assert dispatcher.complete(GeminiRequest(CLAUDE, BODY)).lease.account.email == streams[0].lease.account.email


def test_who_waits_for_a_full_account_is_served_when_a_request_ends(simulator: Simulator, tmp_path: Path) -> None:
    settings = settings_of(simulator, tmp_path, max_in_flight_per_account=1, max_rate_limit_wait_seconds=HANG_SECONDS)
    dispatcher = Dispatcher(settings, store=MemoryStore())
    streams = [dispatcher.stream(GeminiRequest(CLAUDE, BODY, stream=True)) for _ in range(2)]
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(dispatcher.complete, GeminiRequest(CLAUDE, BODY))
        time.sleep(0.1)
        assert not waiting.done()
        streams[1].close()
        assert waiting.result(HANG_SECONDS).lease.account.id == streams[1].lease.account.id


def test_a_choice_that_only_looks_passes_full_accounts_by(simulator: Simulator, tmp_path: Path) -> None:
    settings = settings_of(simulator, tmp_path, max_in_flight_per_account=1, account_selection_strategy="sticky")
    dispatcher = Dispatcher(settings, store=MemoryStore())
    first, second = (account.id for account in dispatcher.pool.accounts.current().enabled)
    held = dispatcher.pool.acquire(CLAUDE)
    assert held.account.id == first
    assert dispatcher.pool.choose(CLAUDE) == second


def test_the_longer_one_waits_the_rarer_one_looks() -> None:
    assert [busy_pause(waited) for waited in (0.0, 0.4, 10.0)] == [0.05, 0.1, 0.25]
