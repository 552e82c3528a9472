"""A silent account: it takes a share of a request's time, not all of it, and is left alone when it happens again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from dispatching import asked
from hypothesis import given
from hypothesis import strategies as st
from serving import settings_of

from litellm_antigravity.clock import SystemClock
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.dispatch import Dispatcher, GeminiRequest
from litellm_antigravity.errors import RequestRefusedError
from litellm_antigravity.refusals import cooldown_for, penalty_for, timeout_refusal
from litellm_antigravity.selection.patience import FirstBytes, RequestKind, turn_seconds
from litellm_antigravity.selection.retry_budget import MAX_TOKENS
from litellm_antigravity.simulator import Simulator

pytestmark = pytest.mark.once

MODEL = "claude-sonnet-4-6"
BODY: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
EMAILS = [f"user{number}@example.com" for number in range(1, 5)]
FIRST, SECOND = EMAILS[:2]


class MovedClock(SystemClock):
    """The system's clocks, of which the wall clock can be set forward."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


Serve = Callable[[Dispatcher, GeminiRequest], str]


def whole(dispatcher: Dispatcher, request: GeminiRequest) -> str:
    return dispatcher.complete(request).lease.account.email or ""


def streamed(dispatcher: Dispatcher, request: GeminiRequest) -> str:
    answer = dispatcher.stream(request)
    list(answer)
    return answer.lease.account.email or ""


def whole_async(dispatcher: Dispatcher, request: GeminiRequest) -> str:
    async def serve() -> str:
        return (await (await asyncio.to_thread(dispatcher.begin, request))).lease.account.email or ""

    return asyncio.run(serve())


def streamed_async(dispatcher: Dispatcher, request: GeminiRequest) -> str:
    async def serve() -> str:
        answer = await (await asyncio.to_thread(dispatcher.begin_stream, request))
        [reply async for reply in answer]
        return answer.lease.account.email or ""

    return asyncio.run(serve())


DOORS = pytest.mark.parametrize("serve", [whole, streamed, whole_async, streamed_async])


def asking(serve: Serve, timeout: float = 8.0, account_id: str | None = None) -> GeminiRequest:
    return GeminiRequest(MODEL, BODY, serve in (streamed, streamed_async), timeout, account_id)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(4) as started:
        yield started


@pytest.fixture
def new_dispatcher(simulator: Simulator, tmp_path: Path) -> Callable[..., Dispatcher]:
    def made(strategy: str = "sticky", **settings: Any) -> Dispatcher:
        return Dispatcher(settings_of(simulator, tmp_path, account_selection_strategy=strategy, **settings))

    return made


def benched(dispatcher: Dispatcher) -> list[str]:
    return [state.account.email or "" for state in dispatcher.pool.states(MODEL) if state.cooldowns]


# How long an account may be silent


@given(
    left=st.floats(0.001, 3600),
    others=st.integers(0, 200),
    stream=st.booleans(),
    slowest=st.none() | st.floats(0, 3600),
    left_before=st.integers(0, 200),
)
def test_a_turn_leaves_time_for_another_account_if_there_is_one(
    left: float, others: int, stream: bool, slowest: float | None, left_before: int
) -> None:
    turn = turn_seconds(left=left, others=others, stream=stream, slowest=slowest, left_before=left_before)
    if others == 0:
        assert turn == left
    else:
        assert 0 < turn <= left / 2


@pytest.mark.parametrize(
    ("stream", "slowest", "left_before", "turn"),
    [
        (False, None, 0, 300.0),  # a whole reply may take minutes
        (True, None, 0, 150.0),
        (False, 0.1, 0, 60.0),
        (True, 0.1, 0, 30.0),
        (False, 20.0, 0, 160.0),
        (True, 20.0, 0, 80.0),
        (True, 20.0, 1, 150.0),
        (True, 0.1, 2, 120.0),
        (False, 100.0, 0, 300.0),
    ],
)
def test_what_an_account_gets_of_600_seconds_when_three_others_could_take_over(
    stream: bool, slowest: float | None, left_before: int, turn: float
) -> None:
    assert turn_seconds(left=600, others=3, stream=stream, slowest=slowest, left_before=left_before) == turn


@given(others=st.integers(1, 50), stream=st.booleans(), slowest=st.none() | st.floats(0, 100))
def test_of_600_seconds_nobody_gets_less_than_ten(others: int, stream: bool, slowest: float | None) -> None:
    assert turn_seconds(left=600, others=others, stream=stream, slowest=slowest) >= 10


def test_experience_is_the_slowest_of_lately_once_there_is_enough_of_it() -> None:
    known, kind = FirstBytes(), RequestKind(MODEL, stream=True, thinks=False)
    for seconds in (1.0, 5.0):
        known.note(kind, seconds, 100.0)
        assert known.slowest(kind, 100.0) is None
    known.note(kind, 2.0, 110.0)
    assert known.slowest(kind, 120.0) == 5.0
    assert known.slowest(kind._replace(thinks=True), 120.0) is None
    assert known.slowest(kind, 100.0 + 24 * 3600) is None


def test_names_of_models_do_not_grow_the_experience_without_bound() -> None:
    known = FirstBytes()
    for number in range(1000):
        known.note(RequestKind(f"made-up-{number}", stream=False, thinks=False), 1.0, 0.0)
    assert len(known._known) <= 256


# One request


@DOORS
def test_a_silent_account_leaves_its_turn_to_the_next_one_in_the_same_request(
    serve: Serve, new_dispatcher: Callable[..., Dispatcher], simulator: Simulator
) -> None:
    # Before: it took the whole time-out, and the request failed.
    simulator.refuse("hang", email=FIRST)
    assert serve(new_dispatcher(), asking(serve)) == SECOND
    assert asked(simulator) == [FIRST, SECOND]


@pytest.mark.parametrize("strategy", ["sticky", "round-robin", "hybrid"])
def test_no_caller_times_out_for_one_silent_account_of_four(
    strategy: str, new_dispatcher: Callable[..., Dispatcher], simulator: Simulator
) -> None:
    # Before: three callers, before anybody else was tried.
    dispatcher = new_dispatcher(strategy)
    simulator.refuse("hang", email=FIRST)
    for _ in range(8):
        assert streamed(dispatcher, asking(streamed, timeout=6)) != FIRST


@DOORS
def test_the_only_account_gets_all_the_time_there_is(
    serve: Serve, new_dispatcher: Callable[..., Dispatcher], simulator: Simulator
) -> None:
    dispatcher = new_dispatcher()
    for account in dispatcher.pool.accounts.current().enabled[1:]:
        now = dispatcher.clock.time()
        dispatcher.pool.store.extend_cooldown(Cooldown(account.id, "claude", now + 900, "quota", now, fact=True))
    simulator.refuse("hang", email=FIRST)
    with pytest.raises(RequestRefusedError) as raised:
        serve(dispatcher, asking(serve, timeout=1.5))
    assert not raised.value.refusal.silent
    assert raised.value.refusal.status == 408


@DOORS
def test_a_request_that_is_slow_is_not_sent_twice(
    serve: Serve, new_dispatcher: Callable[..., Dispatcher], simulator: Simulator
) -> None:
    simulator.set_latency(1.0)
    assert serve(new_dispatcher(), asking(serve, timeout=30)) == FIRST
    assert asked(simulator) == [FIRST]


def test_nobody_is_left_when_the_budget_allows_no_other_try(
    new_dispatcher: Callable[..., Dispatcher], simulator: Simulator
) -> None:
    dispatcher = new_dispatcher()
    later = dispatcher.clock.time() + 250
    assert dispatcher.pool.store.take_retry(MAX_TOKENS, later)
    simulator.refuse("hang", email=FIRST)
    with pytest.raises(RequestRefusedError) as raised:
        whole(dispatcher, asking(whole, timeout=1.5))
    assert not raised.value.refusal.silent
    assert asked(simulator) == [FIRST]


# When it happens again


@pytest.mark.parametrize(
    ("silent", "others_answered", "failures", "seconds"),
    [
        (True, True, 1, None),
        (True, True, 2, 20.0),
        (True, False, 2, None),
        (True, False, 3, 20.0),
        (False, True, 2, None),
        (False, True, 3, 20.0),
    ],
)
def test_two_silences_in_a_row_bench_an_account_when_others_answer(
    silent: bool, others_answered: bool, failures: int, seconds: float | None
) -> None:
    refusal = timeout_refusal("it was expected to answer", silent=silent)
    cooling = cooldown_for(refusal, family="claude", model=MODEL, failures=failures, others_answered=others_answered)
    assert (None if cooling is None else cooling.seconds) == seconds
    assert penalty_for(refusal) == "failure"


def test_an_account_that_is_silent_twice_is_benched_and_asked_by_one_request_at_a_time_afterwards(
    simulator: Simulator, tmp_path: Path
) -> None:
    # Before: every request that met it gave it all its time, three times and then again every 20 s.
    clock = MovedClock()
    settings = settings_of(simulator, tmp_path, account_selection_strategy="round-robin")
    dispatcher = Dispatcher(settings, clock=clock)
    simulator.refuse("hang", email=FIRST)
    while not benched(dispatcher):
        streamed(dispatcher, asking(streamed, timeout=4))
        clock.ahead += 3  # a failure of its own
    assert asked(simulator).count(FIRST) == 2
    clock.ahead += 25
    assert benched(dispatcher) == []
    simulator.clear_log()
    with ThreadPoolExecutor(8) as threads:
        served = list(threads.map(lambda _: streamed(dispatcher, asking(streamed, timeout=8)), range(16)))
    assert FIRST not in served
    assert asked(simulator).count(FIRST) <= 2  # two may choose it in the same moment
    assert benched(dispatcher) == [FIRST]
    simulator.heal()
    clock.ahead += 25
    assert FIRST in [streamed(dispatcher, asking(streamed)) for _ in range(4)]
    assert benched(dispatcher) == []
