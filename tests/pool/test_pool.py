"""The pool by its own doors: accounts are taken, waited for and reported on, and the pool that gave one records it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from serving import settings_of
from support import FakeClock

from litellm_antigravity import AccountPool, Settings
from litellm_antigravity.accounts import Account, StaticToken, static_accounts
from litellm_antigravity.dispatch import Dispatcher, GeminiRequest
from litellm_antigravity.errors import AllAccountsLimitedError, RequestRefusedError
from litellm_antigravity.pool import SERVED, Lease, LeaseRequest, Wait
from litellm_antigravity.refusals import Refusal, RefusalKind
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.state.memory import MemoryStore

pytestmark = pytest.mark.once


MODEL = "claude-sonnet-4-6"


def pool(clock: FakeClock, **settings: float) -> AccountPool:
    accounts = [Account.create(f"user{number}@example.com", StaticToken(SecretStr("x"))) for number in (1, 2)]
    return AccountPool(
        Settings(account_selection_strategy="sticky", **settings),
        accounts=static_accounts(*accounts),
        store=MemoryStore(),
        clock=clock,
    )


def limited(one: AccountPool, seconds: float) -> str:
    """Have the next account limited; return its id."""
    lease = one.acquire(MODEL)
    one.report(lease, Refusal(RefusalKind.RATE, 429, "slow down", retry_after=seconds))
    return lease.account.id


# Waiting for exactly as long as one may


def test_sticky_waits_for_its_account_when_that_takes_exactly_as_long_as_it_may(clock: FakeClock) -> None:
    one = pool(clock, sticky_wait_seconds=20.01)
    first = limited(one, 20.0)
    wait = one.try_acquire(LeaseRequest(MODEL))
    assert isinstance(wait, Wait)
    clock.advance(wait.seconds)
    lease = one.try_acquire(LeaseRequest(MODEL, waited=wait.seconds))
    assert isinstance(lease, Lease)
    assert lease.account.id == first


def test_sticky_does_not_wait_for_a_moment_longer(clock: FakeClock) -> None:
    one = pool(clock, sticky_wait_seconds=20.0)
    first = limited(one, 20.0)
    assert one.acquire(MODEL).account.id != first


def test_what_a_request_has_waited_already_counts(clock: FakeClock) -> None:
    one = pool(clock, sticky_wait_seconds=30.0)
    first = limited(one, 20.0)
    lease = one.try_acquire(LeaseRequest(MODEL, waited=10.0))
    assert isinstance(lease, Lease)
    assert lease.account.id != first
    assert not clock.slept


@pytest.mark.parametrize(("limit", "waits"), [(20.01, True), (20.0, False)])
def test_everybody_limited_is_waited_for_up_to_the_limit_and_no_longer(
    limit: float, waits: bool, clock: FakeClock
) -> None:
    one = pool(clock, max_rate_limit_wait_seconds=limit)
    limited(one, 20.0)
    limited(one, 900.0)
    if waits:
        assert isinstance(one.try_acquire(LeaseRequest(MODEL)), Wait)
        assert isinstance(one.try_acquire(LeaseRequest(MODEL, patience=20.01)), Wait)
        with pytest.raises(AllAccountsLimitedError):
            one.try_acquire(LeaseRequest(MODEL, patience=20.0))
    else:
        with pytest.raises(AllAccountsLimitedError) as caught:
            one.try_acquire(LeaseRequest(MODEL))
        assert caught.value.retry_after == 20.0


def test_an_answer_costs_no_cooldown_its_end(clock: FakeClock) -> None:
    one = pool(clock)
    early = one.acquire(MODEL)
    assert limited(one, 900.0) == early.account.id
    one.report(early, SERVED)
    assert one.acquire(MODEL).account.id != early.account.id


# Who records it


@pytest.fixture
def simulator(clock: FakeClock) -> Iterator[Simulator]:
    with Simulator(2, clock=clock) as started:
        yield started


@pytest.mark.parametrize("stream", [False, True])
def test_an_outcome_is_recorded_by_the_pool_that_gave_the_lease(
    stream: bool, simulator: Simulator, clock: FakeClock, tmp_path: Path
) -> None:
    """Before, the dispatcher's own pool recorded it, which was right for as long as both had one state."""
    settings = settings_of(simulator, tmp_path, account_selection_strategy="sticky", max_rate_limit_wait_seconds=0)
    dispatcher = Dispatcher(settings, store=MemoryStore(), clock=clock)
    group = AccountPool(settings, accounts=dispatcher.pool.accounts, store=MemoryStore(), clock=clock)
    account = dispatcher.pool.accounts.current().accounts[0]

    def serve() -> object:
        request = GeminiRequest(
            MODEL, {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}, stream, 60.0, account.id, group
        )
        return [*dispatcher.stream(request)] if stream else dispatcher.complete(request)

    def health(pool: AccountPool) -> float:
        return pool.states(MODEL)[0].health

    serve()
    assert (health(group), health(dispatcher.pool)) == (71.0, 70.0)
    simulator.refuse("verification", times=1)
    with pytest.raises(RequestRefusedError):
        serve()
    assert [state.account.id for state in group.states(MODEL) if state.cooldowns] == [account.id]
    assert [state for state in dispatcher.pool.states(MODEL) if state.cooldowns] == []
