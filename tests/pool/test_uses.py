"""What a strategy does not choose by is written once a second, and counted whole; the rest at each request."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr
from support import FakeClock

from litellm_antigravity import AccountPool, Settings
from litellm_antigravity.accounts import Account, StaticToken, static_accounts
from litellm_antigravity.pool import SERVED
from litellm_antigravity.refusals import Refusal, RefusalKind
from litellm_antigravity.state.backend import START
from litellm_antigravity.state.disk import DiskStore

pytestmark = pytest.mark.once

MODEL = "claude-sonnet-4-6"

NewPool = Callable[..., AccountPool]


@pytest.fixture
def new_pool(tmp_path: Path, clock: FakeClock) -> NewPool:
    """Return a function that makes the pool of one more process; all of them share a folder."""
    accounts = [Account.create(f"user{number}@example.com", StaticToken(SecretStr("x"))) for number in (1, 2)]

    def made(strategy: str = "sticky") -> AccountPool:
        settings = Settings(account_selection_strategy=strategy, state_dir=tmp_path, ramp_seconds=0)
        return AccountPool(
            settings, accounts=static_accounts(*accounts), store=DiskStore(tmp_path), clock=clock, pid=lambda: 1
        )

    return made


def tokens(pool: AccountPool) -> float:
    """Return what is left in the first account's bucket."""
    return pool.states()[0].tokens


def ask(pool: AccountPool, times: int = 1) -> None:
    for _ in range(times):
        pool.report(pool.acquire(MODEL), SERVED)


def test_a_burst_of_sticky_requests_is_written_once_and_counted_whole_a_second_later(
    new_pool: NewPool, clock: FakeClock
) -> None:
    one, other = new_pool(), new_pool()
    ask(one)
    assert tokens(other) == 49.0
    ask(one, 9)
    assert tokens(other) == 49.0
    clock.advance(1.0)
    ask(one)
    assert tokens(other) == pytest.approx(39.0 + 0.1)  # six a minute come back
    assert other.states()[0].last_used == clock.time()


def test_a_sticky_request_in_a_burst_writes_nothing(new_pool: NewPool) -> None:
    one = new_pool()
    ask(one, 31)  # full of health
    before = one.store.refresh().position, one.store.replica.changes(START)[1]
    ask(one, 5)
    assert (one.store.refresh().position, one.store.replica.changes(START)[1]) == before


def test_a_clock_that_goes_back_keeps_nothing_from_being_written(new_pool: NewPool, clock: FakeClock) -> None:
    one, other = new_pool(), new_pool()
    ask(one)
    clock.advance(-3600.0)
    ask(one)
    assert tokens(other) == 48.0


def test_hybrid_which_chooses_by_the_bucket_writes_each_request(new_pool: NewPool) -> None:
    one, other = new_pool("hybrid"), new_pool("hybrid")
    ask(one, 5)
    assert sum(state.tokens for state in other.states()) == 95.0


def test_a_refused_request_that_is_not_written_yet_is_not_counted(new_pool: NewPool, clock: FakeClock) -> None:
    one, other = new_pool(), new_pool()
    ask(one, 2)
    one.report(one.acquire(MODEL), Refusal(RefusalKind.TRANSPORT, 500, "no"))
    assert tokens(other) == 49.0
    clock.advance(1.0)
    ask(one)
    assert tokens(other) == pytest.approx(47.0 + 0.1)


@pytest.mark.parametrize("strategy", ["sticky", "hybrid"])
def test_a_refused_request_that_is_written_already_gets_its_token_back_in_the_shared_state(
    new_pool: NewPool, strategy: str
) -> None:
    one, other = new_pool(strategy), new_pool(strategy)
    lease = one.acquire(MODEL)
    assert sum(state.tokens for state in other.states()) == 99.0
    one.report(lease, Refusal(RefusalKind.TRANSPORT, 500, "no"))
    assert sum(state.tokens for state in other.states()) == 100.0


def test_a_request_that_is_taken_back_is_taken_back_once(new_pool: NewPool) -> None:
    one, other = new_pool(), new_pool()
    ask(one)
    one.report(one.acquire(MODEL), Refusal(RefusalKind.TRANSPORT, 500, "no"))
    assert tokens(other) == 49.0  # the second was written nowhere: nothing comes back of it


def test_a_sticky_account_whose_bucket_is_empty_serves_on_and_its_use_is_written(
    new_pool: NewPool, clock: FakeClock
) -> None:
    one, other = new_pool(), new_pool()
    ask(one, 60)
    for _ in range(2):
        clock.advance(1.0)
        ask(one)
        assert other.states()[0].last_used == clock.time()
    assert tokens(other) == 0.0


def test_that_an_account_is_limited_is_written_before_anything_else(new_pool: NewPool) -> None:
    one = new_pool()
    lease = one.acquire(MODEL)
    _, before = one.store.replica.changes(START)
    one.report(lease, Refusal(RefusalKind.QUOTA, 429, "quota", retry_after=600.0))
    rows, _ = one.store.replica.changes(before)
    assert [row.key.partition("/")[0] for row in sorted(rows, key=lambda row: row.position or before)] == [
        "cooldown",
        "vitals",
    ]
