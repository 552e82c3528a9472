"""The retry budget: an upstream that fails for everybody is not asked more often than its callers ask."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import litellm
import pytest
from dispatching import BODY, EMAILS, FIRST, MODEL, NewDispatcher, dispatchers
from hypothesis import given
from hypothesis import strategies as st
from processes import together
from serving import MESSAGES, fields_of, settings_of
from serving import MODEL as OURS
from support import NOW, FakeClock

import litellm_antigravity
from litellm_antigravity import Settings
from litellm_antigravity.clock import SystemClock
from litellm_antigravity.dispatch import Dispatcher, GeminiRequest
from litellm_antigravity.errors import AntigravityError, RequestRefusedError
from litellm_antigravity.selection.retry_budget import MAX_TOKENS, RETRY_COST, SUCCESS_GAIN, RetryBudget
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.memory import MemoryStore
from litellm_antigravity.state.resilient import ResilientStore

RETRIES = int(MAX_TOKENS / RETRY_COST)


@pytest.fixture
def simulator(clock: FakeClock) -> Iterator[Simulator]:
    with Simulator(4, clock=clock) as started:
        yield started


@pytest.fixture
def new_dispatcher(simulator: Simulator, clock: FakeClock, tmp_path: Path) -> NewDispatcher:
    return dispatchers(simulator, clock, tmp_path, account_selection_strategy="round-robin")


def request() -> GeminiRequest:
    return GeminiRequest(MODEL, BODY)


def asked(simulator: Simulator) -> list[str]:
    return [entry.email or "" for entry in simulator.log if entry.model is not None]


def drain(store: Ledger, now: float) -> None:
    store.take_retry(store.refresh().retry_budget.now(now), now)
    assert not store.take_retry(RETRY_COST, now)


def failed(dispatcher: Dispatcher) -> RequestRefusedError:
    with pytest.raises(RequestRefusedError) as raised:
        dispatcher.complete(request())
    return raised.value


# The bucket


@given(
    changes=st.lists(
        st.tuples(st.sampled_from(["take", "give"]), st.floats(0, 600), st.floats(-1e6, 1e6)), min_size=1, max_size=40
    )
)
def test_the_bucket_keeps_its_bounds_whatever_happens_and_wherever_the_clock_jumps(
    changes: list[tuple[str, float, float]],
) -> None:
    budget, now = RetryBudget(), NOW
    for what, amount, seconds in changes:
        now += seconds
        changed = budget.taken(amount, now) if what == "take" else budget.given(amount, now)
        if changed is None:
            assert budget.now(now) < amount
            continue
        assert 0.0 <= changed.tokens <= MAX_TOKENS
        budget = changed
        assert 0.0 <= budget.now(now) <= MAX_TOKENS


def test_an_empty_bucket_allows_a_retry_after_seconds_or_after_a_few_successes() -> None:
    empty = RetryBudget(0.0, NOW)
    assert empty.taken(RETRY_COST, NOW) is None
    assert empty.taken(RETRY_COST, NOW + 5) is not None
    for _ in range(5):
        empty = empty.given(SUCCESS_GAIN, NOW)
    assert empty.taken(RETRY_COST, NOW) is not None


def test_a_full_bucket_has_nothing_to_write() -> None:
    full = RetryBudget()
    assert full.given(SUCCESS_GAIN, NOW) is full


def _take(folder: str, count: int) -> int:
    store = ResilientStore(DiskStore(Path(folder)), SystemClock())
    return sum(store.take_retry(RETRY_COST, NOW) for _ in range(count))


def test_processes_take_from_one_bucket_and_not_one_retry_more(tmp_path: Path) -> None:
    assert sum(together(_take, [(str(tmp_path / "state"), RETRIES)] * 4)) == RETRIES


def test_what_one_process_spends_and_earns_another_one_sees(tmp_path: Path) -> None:
    one, other = DiskStore(tmp_path / "state"), DiskStore(tmp_path / "state")
    drain(one, NOW)
    assert other.refresh().retry_budget.now(NOW) == 0.0
    other.give_retry(7.0, NOW)
    assert one.refresh().retry_budget.now(NOW) == 7.0


@pytest.mark.parametrize("text", ["", "[]", '{"tokens":"many","at":1}', '{"tokens":1e999,"at":1}', '{"tokens":5}'])
def test_a_row_that_is_none_of_ours_is_a_full_bucket(text: str) -> None:
    store = MemoryStore()
    store.replica.backend.update(["retries"], lambda _: {"retries": text})
    assert store.refresh().retry_budget.now(NOW) == MAX_TOKENS
    assert store.take_retry(RETRY_COST, NOW)


# An outage


@pytest.mark.parametrize("kind", ["server-error", "drop", "html", "empty-candidates"])
def test_in_an_outage_upstream_is_asked_once_per_request_when_the_budget_is_spent(
    kind: str, new_dispatcher: NewDispatcher, simulator: Simulator, clock: FakeClock
) -> None:
    # Before: each request asked every account, and that went on.
    dispatcher = new_dispatcher()
    drain(dispatcher.pool.store, clock.time())
    simulator.refuse(kind)  # type: ignore[arg-type]
    for _ in range(20):
        assert failed(dispatcher).retries_spent
    assert len(asked(simulator)) == 20


def test_an_outage_spends_the_budget_once_and_no_more(new_dispatcher: NewDispatcher, simulator: Simulator) -> None:
    dispatcher = new_dispatcher()
    simulator.refuse("server-error")
    for _ in range(150):
        failed(dispatcher)
    assert len(asked(simulator)) <= 150 + RETRIES


def test_a_request_asks_two_accounts_when_all_others_have_just_failed_as_well(
    new_dispatcher: NewDispatcher, simulator: Simulator, clock: FakeClock
) -> None:
    # Before: all of them.
    dispatcher = new_dispatcher()
    simulator.refuse("server-error")
    failed(dispatcher)
    assert sorted(asked(simulator)) == EMAILS  # nothing was known of the others
    for _ in range(3):
        simulator.clear_log()
        clock.advance(3)
        failed(dispatcher)
        assert len(asked(simulator)) == 2


def test_a_third_account_is_asked_as_long_as_one_has_not_failed(
    new_dispatcher: NewDispatcher, simulator: Simulator, clock: FakeClock
) -> None:
    dispatcher = new_dispatcher()
    for email in EMAILS[:3]:
        simulator.refuse("server-error", email=email)
    for _ in range(8):
        assert dispatcher.complete(request()).lease.account.email == EMAILS[3]
        clock.advance(1)


def test_failover_from_one_bad_account_goes_on_for_ever(new_dispatcher: NewDispatcher, simulator: Simulator) -> None:
    dispatcher = new_dispatcher()  # at a clock that stands still: failures count as one, and the account stays
    simulator.refuse("server-error", email=FIRST)
    for _ in range(3 * RETRIES):
        dispatcher.complete(request())
    assert asked(simulator).count(FIRST) > RETRIES / 2
    assert dispatcher.pool.store.known().retry_budget.tokens > MAX_TOKENS - 2 * RETRY_COST


def test_after_an_outage_failover_is_back_after_a_few_requests(
    new_dispatcher: NewDispatcher, simulator: Simulator, clock: FakeClock
) -> None:
    dispatcher = new_dispatcher()
    drain(dispatcher.pool.store, clock.time())
    for _ in range(5):
        dispatcher.complete(request())
    simulator.refuse("server-error", times=1)
    dispatcher.complete(request())


def test_the_healthy_path_writes_no_budget(new_dispatcher: NewDispatcher) -> None:
    dispatcher = new_dispatcher()
    for _ in range(3):
        dispatcher.complete(request())
    store = dispatcher.pool.store
    assert isinstance(store, MemoryStore)
    assert store.replica.backend.read("retries") is None


# What is not subject to it


@pytest.mark.parametrize("kind", ["rate", "quota", "refused-request", "not-available", "verification"])
def test_what_belongs_to_an_account_rotates_with_an_empty_budget_as_ever(
    kind: str, new_dispatcher: NewDispatcher, simulator: Simulator, clock: FakeClock
) -> None:
    dispatcher = new_dispatcher()
    drain(dispatcher.pool.store, clock.time())
    simulator.refuse(kind, email=FIRST)  # type: ignore[arg-type]
    for _ in range(4):
        dispatcher.complete(request())


def test_a_rejected_token_is_replaced_with_an_empty_budget_as_ever(
    new_dispatcher: NewDispatcher, simulator: Simulator, clock: FakeClock
) -> None:
    dispatcher = new_dispatcher()
    drain(dispatcher.pool.store, clock.time())
    simulator.refuse("unauthorized", times=1)
    dispatcher.complete(request())


# Capacity


def test_short_retries_for_capacity_are_made_while_the_budget_lasts(
    new_dispatcher: NewDispatcher, simulator: Simulator, clock: FakeClock
) -> None:
    dispatcher = new_dispatcher()
    simulator.refuse("capacity", times=3)
    dispatcher.complete(request())
    assert clock.slept == [1.0, 2.0, 4.0]


def test_without_a_budget_one_lack_of_capacity_is_told_at_once_and_holds_nobody_up(
    new_dispatcher: NewDispatcher, simulator: Simulator, clock: FakeClock
) -> None:
    dispatcher = new_dispatcher()
    drain(dispatcher.pool.store, clock.time())
    simulator.refuse("capacity", times=1)
    assert failed(dispatcher).retries_spent
    assert clock.slept == []
    dispatcher.complete(request())


# LiteLLM's Router on top


def _sync(router: litellm.Router, *, stream: bool) -> None:
    reply = router.completion(model="pool", messages=MESSAGES, stream=stream)
    if stream:
        list(reply)


def _async(router: litellm.Router, *, stream: bool) -> None:
    async def ask() -> None:
        reply = await router.acompletion(model="pool", messages=MESSAGES, stream=stream)
        if stream:
            [chunk async for chunk in reply]

    asyncio.run(ask())


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Simulator]:
    with Simulator(4) as simulator:
        litellm_antigravity.register(
            settings_of(simulator, tmp_path, account_selection_strategy="round-robin", max_rate_limit_wait_seconds=0)
        )
        yield simulator


def _pool_router() -> litellm.Router:
    return litellm.Router(model_list=[{"model_name": "pool", "litellm_params": {"model": OURS}}])


def _pinned_router() -> litellm.Router:
    router = litellm.Router(
        model_list=[
            {"model_name": "pool", "litellm_params": {"model": OURS}, "model_info": {"account": email}}
            for email in EMAILS
        ]
    )
    litellm_antigravity.install(router)
    return router


_async_in_this_release = pytest.param(
    _async,
    id="async",
    marks=pytest.mark.skipif(
        "deployment_num_retries" not in inspect.getsource(litellm.utils),
        reason="this LiteLLM replaces what an exception of `acompletion` says of retries",
    ),
)


@pytest.mark.parametrize("ask", [pytest.param(_sync, id="sync"), _async_in_this_release])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("new_router", [_pool_router, _pinned_router], ids=["pool", "pinned"])
def test_a_router_does_not_multiply_what_the_budget_no_longer_allows(
    new_router: Callable[[], litellm.Router], ask: Callable[..., None], stream: bool, served: Simulator
) -> None:
    # Before: the Router's two retries came on top, each of which asked every account.
    store = litellm_antigravity.handler.dispatcher.pool.store
    served.refuse("server-error")
    router = new_router()
    for _ in range(3):
        drain(store, time.time() + 250)  # it does not begin to refill before
        with pytest.raises(litellm.InternalServerError):
            ask(router, stream=stream)
    assert len(asked(served)) == 3


def test_a_router_retries_as_it_is_told_while_the_budget_lasts(served: Simulator) -> None:
    served.refuse("server-error", times=4)  # every account once
    _sync(_pool_router(), stream=False)
    assert len(asked(served)) == 5


# A crowd in real processes


def _crowd(fields: dict[str, Any]) -> int:
    dispatcher = Dispatcher(Settings(**fields))
    for number in range(60):
        try:
            dispatcher.complete(request())
        except AntigravityError:
            continue
        return number
    return 60


@pytest.mark.parametrize("accounts", [4, 10])
def test_many_processes_ask_an_upstream_that_fails_no_more_than_their_callers_ask_and_the_budget(
    accounts: int, tmp_path: Path
) -> None:
    # Before: 4 times and 10 times as often.
    with Simulator(accounts) as simulator:
        simulator.refuse("server-error")
        fields = fields_of(simulator, tmp_path, account_selection_strategy="round-robin")
        assert together(_crowd, [(fields,)] * 4) == [60] * 4
        requests = len(asked(simulator))
        refilled = 60  # a token a second, for as long as a busy machine may take
        assert requests <= 4 * 60 + RETRIES + refilled / RETRY_COST
        simulator.heal()
        assert together(_crowd, [(fields,)] * 4) == [0] * 4
