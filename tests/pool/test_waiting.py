"""Who waits for an account is served: limits that are over, turns in order, honest times to wait."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from dispatching import asked
from hypothesis import given
from hypothesis import strategies as st
from processes import together
from serving import fields_of, settings_of
from support import FakeClock

from litellm_antigravity import Settings
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.dispatch import Dispatcher, GeminiRequest
from litellm_antigravity.errors import AllAccountsLimitedError, AntigravityError, RequestRefusedError
from litellm_antigravity.lease import Wait
from litellm_antigravity.pool import AccountPool, LeaseRequest
from litellm_antigravity.selection.turns import STEP_SECONDS, next_turn
from litellm_antigravity.simulator import LoggedRequest, Simulator
from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.state.memory import MemoryStore

pytestmark = pytest.mark.once

MODEL = "claude-sonnet-4-6"
BODY: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
FIRST, SECOND = "user1@example.com", "user2@example.com"

NewDispatcher = Callable[..., Dispatcher]


@pytest.fixture
def simulator(clock: FakeClock) -> Iterator[Simulator]:
    with Simulator(2, clock=clock) as started:
        yield started


@pytest.fixture
def new_dispatcher(simulator: Simulator, clock: FakeClock, tmp_path: Path) -> NewDispatcher:
    def made(**settings: Any) -> Dispatcher:
        fields = {"account_selection_strategy": "sticky", "max_rate_limit_wait_seconds": 10, **settings}
        return Dispatcher(settings_of(simulator, tmp_path, **fields), store=MemoryStore(), clock=clock)

    return made


def request(timeout: float = 60.0) -> GeminiRequest:
    return GeminiRequest(MODEL, BODY, timeout=timeout)


# Limits that the request itself has met


@pytest.mark.parametrize("kind", ["rate", "quota"])
def test_an_account_whose_limit_is_over_is_asked_again_by_the_same_request(
    kind: str, new_dispatcher: NewDispatcher, simulator: Simulator, clock: FakeClock
) -> None:
    # Before: an account counted as tried for good, and nobody waited for what the request had met itself.
    option = {"rate": "retry_seconds", "quota": "reset_seconds"}[kind]
    simulator.refuse(kind, email=FIRST, times=1, **{option: 3})  # type: ignore[arg-type]
    simulator.refuse(kind, email=SECOND, times=2, **{option: 5})  # type: ignore[arg-type]
    assert new_dispatcher().complete(request()).lease.account.email == FIRST
    assert asked(simulator) == [FIRST, SECOND, FIRST]
    assert 3 <= sum(clock.slept) < 4


def test_who_has_waited_and_meets_an_account_that_others_have_emptied_again_waits_on(
    new_dispatcher: NewDispatcher, simulator: Simulator, clock: FakeClock
) -> None:
    # Before: it failed, with time left.
    dispatcher = new_dispatcher()
    for account in dispatcher.pool.accounts.current().enabled:
        limit = Cooldown(account.id, "claude", clock.time() + 3, "rate", clock.time(), fact=True)
        dispatcher.pool.store.extend_cooldown(limit)
    simulator.refuse("rate", times=2, retry_seconds=4)
    dispatcher.complete(request())
    assert len(asked(simulator)) == 3
    assert 7 <= sum(clock.slept) < 8


def test_nobody_waits_for_longer_than_allowed_in_all_and_is_told_what_is_left(
    new_dispatcher: NewDispatcher, simulator: Simulator, clock: FakeClock
) -> None:
    simulator.refuse("rate", retry_seconds=4)
    with pytest.raises(AllAccountsLimitedError) as raised:
        new_dispatcher().complete(request())
    assert sum(clock.slept) <= 10
    assert len(asked(simulator)) == 6  # both, and twice more after 4 s each
    assert raised.value.retry_after == pytest.approx(4, abs=0.1)


def test_nobody_waits_past_the_end_of_the_request(
    new_dispatcher: NewDispatcher, simulator: Simulator, clock: FakeClock
) -> None:
    simulator.refuse("rate", retry_seconds=4)
    with pytest.raises(AllAccountsLimitedError):
        new_dispatcher().complete(request(timeout=3))
    assert clock.slept == []


def test_a_limit_that_is_over_at_once_is_not_asked_about_without_a_pause(
    new_dispatcher: NewDispatcher, simulator: Simulator
) -> None:
    simulator.refuse("rate", retry_seconds=0.001)
    with pytest.raises(AntigravityError):
        new_dispatcher().complete(request())
    assert len(asked(simulator)) <= 2 * 11  # once a second for ten seconds


@pytest.mark.parametrize("kind", ["server-error", "not-available", "verification"])
def test_what_is_no_limit_is_not_asked_again_after_a_wait(
    kind: str, new_dispatcher: NewDispatcher, simulator: Simulator
) -> None:
    simulator.refuse(kind, email=FIRST)  # type: ignore[arg-type]
    simulator.refuse("rate", email=SECOND, times=1, retry_seconds=3)
    assert new_dispatcher().complete(request()).lease.account.email == SECOND
    assert asked(simulator) == [FIRST, SECOND, SECOND]


def test_a_limit_that_ends_while_others_are_asked_tells_a_short_time_to_wait(tmp_path: Path, clock: FakeClock) -> None:
    # Before: the time of the account that was asked last, though the first one is free again.
    def slow(entry: LoggedRequest) -> None:
        if entry.model is not None and entry.email == SECOND:
            clock.advance(5)

    with Simulator(2, clock=clock, on_request=slow) as simulator:
        simulator.refuse("rate", email=FIRST, retry_seconds=2)
        simulator.refuse("rate", email=SECOND, retry_seconds=90)
        settings = settings_of(simulator, tmp_path, account_selection_strategy="sticky", max_rate_limit_wait_seconds=0)
        with pytest.raises((AllAccountsLimitedError, RequestRefusedError)) as raised:
            Dispatcher(settings, store=MemoryStore(), clock=clock).complete(request())
    assert raised.value.retry_after is not None
    assert raised.value.retry_after <= 2


# In order


def test_those_who_wait_wake_up_one_after_the_other_across_processes(tmp_path: Path, clock: FakeClock) -> None:
    # Before: all at the same moment.
    pools = [
        AccountPool(
            Settings(state_dir=tmp_path, account_selection_strategy="sticky"),
            accounts=_accounts(),
            store=DiskStore(tmp_path / "state"),  # each process has its own
            clock=clock,
        )
        for _ in range(3)
    ]
    for account in pools[0].accounts.current().enabled:
        limit = Cooldown(account.id, "claude", clock.time() + 3, "rate", clock.time(), fact=True)
        pools[0].store.extend_cooldown(limit)
    taken = [pools[number % 3].try_acquire(LeaseRequest(MODEL)) for number in range(12)]
    waits = [one.seconds for one in taken if isinstance(one, Wait)]
    assert len(waits) == 12
    assert 3 <= waits[0] < 3.1
    assert [round(later - earlier, 6) for earlier, later in itertools.pairwise(waits)] == [STEP_SECONDS] * 11


def test_a_lone_request_wakes_up_when_the_account_is_back_whoever_waited_before(
    new_dispatcher: NewDispatcher, simulator: Simulator, clock: FakeClock
) -> None:
    dispatcher = new_dispatcher()
    for _ in range(3):
        simulator.refuse("rate", times=2, retry_seconds=2)
        clock.slept.clear()
        dispatcher.complete(request())
        assert 2 <= sum(clock.slept) < 2.02
        clock.advance(1)


@given(
    last=st.none() | st.floats(0, 2e9),
    earliest=st.floats(1e9, 2e9),
    patience=st.floats(0, 100),
)
def test_a_turn_is_never_before_the_account_is_back_nor_later_than_one_may_wait(
    last: float | None, earliest: float, patience: float
) -> None:
    turn = next_turn(last, earliest, earliest + patience)
    assert earliest <= turn <= earliest + patience
    if last is None or last < earliest:
        assert turn == earliest


# A crowd in real processes


def _crowd(fields: dict[str, Any]) -> list[str]:
    dispatcher = Dispatcher(Settings(**fields))

    def one(_: int) -> str:
        try:
            dispatcher.complete(request())
        except AntigravityError as error:
            return str(error)
        return "served"

    with ThreadPoolExecutor(4) as threads:
        return list(threads.map(one, range(15)))


def test_a_crowd_that_waits_for_accounts_is_served_to_the_last_one(tmp_path: Path) -> None:
    # Before: those failed that had waited and met an account that others had just emptied again.
    with Simulator(3, quota=4, quota_window_seconds=1.5) as simulator:
        fields = fields_of(simulator, tmp_path, max_rate_limit_wait_seconds=50)
        began = time.monotonic()
        ends = [end for ends in together(_crowd, [(fields,)] * 2) for end in ends]
    assert ends == ["served"] * 30
    assert time.monotonic() - began < 60  # a hang guard


def _accounts() -> Any:
    from pydantic import SecretStr

    from litellm_antigravity.accounts import Account, StaticToken, static_accounts

    return static_accounts(
        *(Account.create(f"user{number}@example.com", StaticToken(SecretStr("x"))) for number in (1, 2))
    )
