"""The ramp: after an account fell out, or came back, the others do not all arrive at one account at the same moment."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from processes import together
from pydantic import SecretStr
from serving import fields_of
from support import NOW, FakeClock

from litellm_antigravity import AccountPool, Settings
from litellm_antigravity.accounts import Account, StaticToken, static_accounts
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.dispatch import Dispatcher, GeminiRequest
from litellm_antigravity.errors import AntigravityError
from litellm_antigravity.lease import SERVED, Lease, LeaseRequest, Wait
from litellm_antigravity.selection.ramp import Falls, Start, came_back, next_start
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.state.disk import DiskStore

pytestmark = pytest.mark.once

MODEL = "claude-sonnet-4-6"
BODY: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
GAP = 0.25

ACCOUNTS = [Account.create(f"user{number}@example.com", StaticToken(SecretStr("x"))) for number in range(4)]
A, B, C, D = (account.id for account in ACCOUNTS)

NewPool = Callable[..., AccountPool]


@pytest.fixture
def new_pool(tmp_path: Path, clock: FakeClock) -> NewPool:
    """Return a function that makes a pool with a store of its own, as each process has one."""

    def made(count: int = 4, **settings: Any) -> AccountPool:
        fields = {"account_selection_strategy": "sticky", "state_dir": tmp_path, **settings}
        accounts, store = static_accounts(*ACCOUNTS[:count]), DiskStore(tmp_path / "state")
        return AccountPool(Settings(**fields), accounts=accounts, store=store, clock=clock)

    return made


def bench(pool: AccountPool, account_id: str, seconds: float = 600.0, reason: str = "quota") -> None:
    now = pool.clock.time()
    pool.store.extend_cooldown(Cooldown(account_id, "claude", now + seconds, reason, now, fact=True))


def ask(pool: AccountPool, **asked: Any) -> Lease | Wait:
    return pool.try_acquire(LeaseRequest(MODEL, **asked))


def told(taken: Lease | Wait) -> tuple[str, float]:
    """Return where a request goes, and in how many seconds."""
    if isinstance(taken, Lease):
        return taken.account.id, 0.0
    assert taken.turn is not None
    return taken.turn, round(taken.seconds, 6)


def test_those_who_come_from_an_account_that_fell_out_arrive_one_by_one(new_pool: NewPool) -> None:
    """Before, all of them went to the next account at once."""
    pools = [new_pool() for _ in range(8)]
    before = [ask(pool) for pool in pools]
    assert {told(one) for one in before} == {(A, 0.0)}
    bench(pools[0], A)
    assert [told(ask(pool)) for pool in pools] == [
        *((one, 0.0) for one in (B, C, D)),
        *((one, GAP) for one in (B, C, D)),
        *((one, 2 * GAP) for one in (B, C)),
    ]


def test_who_has_waited_for_its_turn_takes_it_and_stays_there(new_pool: NewPool, clock: FakeClock) -> None:
    pools = [new_pool(count=3) for _ in range(3)]
    bench(pools[0], A)
    first, second, third = (ask(pool) for pool in pools)
    assert isinstance(first, Lease)
    assert isinstance(second, Lease)
    assert isinstance(third, Wait)
    clock.advance(third.seconds)
    lease = pools[2].try_acquire(third.after(LeaseRequest(MODEL)))
    assert told(lease) == (B, 0.0)
    del lease
    for _ in range(5):  # one after the other: it is no newcomer any more
        assert told(ask(pools[2])) == (B, 0.0)
        clock.advance(0.1)


def test_a_process_with_many_requests_at_once_is_as_many_newcomers(new_pool: NewPool) -> None:
    pool = new_pool(count=3)
    held = [ask(pool) for _ in range(3)]
    bench(pool, A)
    held = [ask(pool) for _ in range(4)]
    assert [told(one) for one in held] == [(B, 0.0), (C, 0.0), (C, GAP), (B, GAP)]


def test_who_was_on_an_account_already_stays_on_it_as_before(new_pool: NewPool, clock: FakeClock) -> None:
    at_home, newcomer = new_pool(count=3), new_pool(count=3)
    bench(at_home, A, 1.0)
    held = [ask(at_home)]
    assert told(held[0]) == (B, 0.0)
    clock.advance(100.0)
    held = [ask(at_home)]
    held.append(ask(newcomer))
    bench(newcomer, A)
    assert told(ask(newcomer)) == (B, 0.0)
    held = [ask(at_home) for _ in range(3)]  # a moment after each other, so that others hear of the first refusal
    assert [told(one) for one in held] == [(B, 0.0), (B, GAP / 5), (B, 2 * GAP / 5)]


def test_an_account_that_is_back_takes_them_one_by_one_too(new_pool: NewPool, clock: FakeClock) -> None:
    """Before, all who had waited for it met it at once, or 50 ms after each other."""
    pools = [new_pool(count=2) for _ in range(3)]
    held = [ask(pool) for pool in pools]
    bench(pools[0], A, 60.0)
    bench(pools[0], B, 60.0)
    clock.advance(60.5)
    held = [ask(pool) for pool in pools]
    assert [told(one) for one in held] == [(A, 0.0), (B, 0.0), (A, GAP)]
    clock.advance(31.0)
    held = [ask(pool) for pool in pools for _ in range(3)]
    assert {told(one)[1] for one in held} == {0.0}  # it is over


def test_with_one_account_left_there_is_no_ramp(new_pool: NewPool) -> None:
    pools = [new_pool(count=2) for _ in range(4)]
    bench(pools[0], A)
    assert [told(ask(pool)) for pool in pools] == [(B, 0.0)] * 4


def test_a_ramp_can_be_switched_off(new_pool: NewPool) -> None:
    pools = [new_pool(ramp_seconds=0) for _ in range(4)]
    bench(pools[0], A)
    assert [told(ask(pool)) for pool in pools] == [(B, 0.0)] * 4


@pytest.mark.parametrize("reason", ["transport", "not-available", "ended"])
def test_an_account_that_fell_out_for_no_limit_of_its_own_begins_no_ramp(new_pool: NewPool, reason: str) -> None:
    pools = [new_pool(count=3) for _ in range(4)]
    pool = "model:other" if reason == "not-available" else "claude"
    now = pools[0].clock.time()
    pools[0].store.extend_cooldown(Cooldown(A, pool, now + 600, reason, now))
    assert {told(ask(pool))[1] for pool in pools} == {0.0}


def test_an_account_that_falls_out_while_a_request_waits_for_its_turn_there_is_not_asked(
    new_pool: NewPool, clock: FakeClock
) -> None:
    pools = [new_pool(count=4) for _ in range(4)]
    bench(pools[0], A)
    held = [ask(pool) for pool in pools]
    waiting = held[3]
    assert isinstance(waiting, Wait)
    assert waiting.turn == B
    bench(pools[0], B)
    clock.advance(waiting.seconds)
    assert told(pools[3].try_acquire(waiting.after(LeaseRequest(MODEL)))) == (C, 0.0)


def test_a_request_without_time_to_wait_goes_at_once(new_pool: NewPool) -> None:
    pools = [new_pool(count=3) for _ in range(4)]
    bench(pools[0], A)
    assert [told(ask(pool, patience=0.5)) for pool in pools] == [(B, 0.0), (C, 0.0), (B, 0.0), (B, 0.0)]


def test_a_wait_for_ones_turn_is_no_wait_for_a_limit(new_pool: NewPool) -> None:
    pool = new_pool()
    wait = Wait(2.0, turn=B)
    assert wait.after(LeaseRequest(MODEL)).waited == 0.0
    assert Wait(2.0).after(LeaseRequest(MODEL)).waited == 2.0
    assert pool.acquire(MODEL).account.id == A


def test_a_conversation_that_begins_at_an_account_is_a_newcomer_and_one_that_is_there_is_none(
    new_pool: NewPool,
) -> None:
    pool = new_pool(count=3)
    homes = []
    for name in ("first", "second", "third"):
        lease = ask(pool, conversation=name)
        assert isinstance(lease, Lease)
        pool.report(lease, SERVED)
        homes.append(lease.account.id)
    assert sorted(homes) == sorted([A, B, C])
    bench(pool, homes[0])
    held = [ask(pool, conversation=name) for name in ("third", "second")]
    assert [told(one) for one in held] == [(homes[2], 0.0), (homes[1], 0.0)]  # they are at home
    begin = [told(ask(pool, conversation=name)) for name in ("fourth", "fifth", "sixth")]
    assert {begin[0], begin[1]} == {(homes[1], 0.0), (homes[2], 0.0)}
    assert begin[2][1] == GAP


def test_a_conversation_waits_for_its_turn_at_its_own_account_that_is_back_rather_than_go_elsewhere(
    new_pool: NewPool, clock: FakeClock
) -> None:
    pool = new_pool(count=3)
    for other in (B, C):
        bench(pool, other, 1.0)
    for name in ("one", "two", "three"):
        lease = ask(pool, conversation=name)
        assert isinstance(lease, Lease)
        assert lease.account.id == A
        pool.report(lease, SERVED)
    clock.advance(100.0)
    bench(pool, A, 60.0)
    clock.advance(60.5)
    held = [ask(pool, conversation=name) for name in ("one", "two", "three")]
    assert [told(one) for one in held] == [(A, 0.0), (A, GAP), (A, 2 * GAP)]


# The rules


def test_a_start_is_where_it_is_soonest_and_at_the_preferred_account_among_equals() -> None:
    assert next_start({"a": None, "b": None}, NOW, GAP, NOW) == Start("a", NOW)
    assert next_start({"a": NOW, "b": None}, NOW, GAP, NOW) == Start("b", NOW)
    assert next_start({"a": NOW, "b": NOW}, NOW, GAP, NOW + 1) == Start("a", NOW + GAP)
    assert next_start({"a": NOW, "b": NOW - 0.1}, NOW, GAP, NOW + 1) == Start("b", NOW - 0.1 + GAP)
    assert next_start({"a": NOW, "b": NOW}, NOW, GAP, NOW) is None
    assert next_start({"a": NOW + 100}, NOW, GAP, NOW + 1) is None  # others wait longer than this one may
    assert next_start({"a": NOW + 1e6}, NOW, GAP, NOW) == Start("a", NOW)  # a clock that went back


def test_the_falls_that_count_are_those_of_others() -> None:
    def fell(since: float, reason: str = "quota") -> list[Cooldown]:
        return [Cooldown("x", "claude", NOW + 60, reason, since)]

    assert Falls.of({}, {"quota"}).of_others("a") == -math.inf
    falls = Falls.of({"a": fell(NOW - 9), "b": fell(NOW - 5), "c": fell(NOW - 1, "transport")}, {"quota"})
    assert [falls.of_others(one) for one in "abc"] == [NOW - 5, NOW - 9, NOW - 5]


def test_an_account_is_back_when_the_last_of_its_cooldowns_has_ended_by_itself() -> None:
    known = [Cooldown("a", "claude", NOW - 3, "quota", NOW - 9), Cooldown("a", "*", NOW - 1, "ended", NOW - 1)]
    assert came_back(known, {"quota"}, NOW) == NOW - 3
    assert came_back(known, {"quota"}, NOW - 5) == -math.inf


# In real processes


def _stream(fields: dict[str, Any], threads: int) -> list[str]:
    dispatcher = Dispatcher(Settings(**fields))

    def one(_: int) -> str:
        try:
            answer = dispatcher.stream(GeminiRequest(MODEL, BODY, stream=True))
            list(answer)
        except AntigravityError as error:
            return f"failed: {error}"
        return answer.lease.account.email or ""

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, range(2 * threads)))


def test_an_account_that_is_close_to_its_limit_refuses_few_of_those_who_come_from_one_that_ran_dry(
    tmp_path: Path,
) -> None:
    """Before, nearly all of twenty arrived together, and it refused as many. The 40 of `tests.benchmarks.pressure`."""
    with Simulator(4) as simulator:
        simulator.set_latency(0.3)
        simulator.set_quota("user1@example.com", "claude", 20)
        simulator.set_quota("user2@example.com", "claude", 3)
        fields = fields_of(simulator, tmp_path, account_selection_strategy="sticky")
        served = [each for answers in together(_stream, [(fields, 10)] * 2) for each in answers]
        refused = [entry.email for entry in simulator.log if entry.status == 429]
    assert not [each for each in served if each.startswith("failed")]
    assert refused.count("user2@example.com") <= 2
