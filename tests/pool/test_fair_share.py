"""Fair share: when accounts are short, callers with more in flight than their share wait first, and nobody else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import litellm
import pytest
from serving import MESSAGES, MODEL, fields_of, settings_of
from support import HANG_SECONDS, Child

import litellm_antigravity
from litellm_antigravity import AccountPool, Settings
from litellm_antigravity.lease import Lease, LeaseRequest, Wait
from litellm_antigravity.pool import SERVED
from litellm_antigravity.refusals import Refusal, RefusalKind
from litellm_antigravity.selection.fairness import Caller, is_held, pressure_of, share_key, weight_in
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.state.memory import MemoryStore

CLAUDE = "claude-sonnet-4-6"
ALICE, BOB = Caller("alice"), Caller("bob")


# The rule


@pytest.mark.parametrize(
    ("mine", "others", "pressure", "held"),
    [
        (90, 5, 0.79, False),  # there is room
        (51, 30, 0.81, True),
        (50, 31, 0.81, False),  # no more than its share
        (1, 99, 1.0, False),  # fewer than two
        (2, 200, 1.0, False),
        (300, 0, 1.0, False),  # nobody else is there
    ],
)
def test_a_caller_is_held_with_more_than_its_share_of_a_pool_that_is_almost_full(
    mine: int, others: int, pressure: float, held: bool
) -> None:
    alice, bob = share_key(ALICE, 1), share_key(BOB, 1)
    callers = {alice: mine, **({bob: others} if others else {})}
    assert is_held(alice, callers, pressure, 100) is held


def test_of_twice_the_weight_twice_as_much_is_the_share() -> None:
    alice, bob = share_key(ALICE._replace(weight=2.0), 1), share_key(BOB, 1)
    assert not is_held(alice, {alice: 66, bob: 20}, 0.86, 100)
    assert is_held(alice, {alice: 67, bob: 20}, 0.87, 100)
    assert is_held(bob, {alice: 50, bob: 34}, 0.84, 100)


@pytest.mark.parametrize("weight", [1e-9, 0.01, 0.25, 1.0, 3.0, 1e9])
def test_who_reads_a_key_knows_the_weight(weight: float) -> None:
    key = share_key(Caller("alice", weight), 1)
    assert weight_in(key) == pytest.approx(min(max(weight, 1 / 1550), 1550), rel=0.06)
    assert 0 < key < 2**48
    assert key >> 8 == share_key(ALICE, 1) >> 8 != share_key(ALICE, 2) >> 8


def test_without_a_limit_in_flight_the_accounts_at_their_limits_tell_how_full_the_pool_is() -> None:
    assert pressure_of(40, 50, 5, 10) == pytest.approx(0.8)
    assert pressure_of(40, 0, 1, 5) == pytest.approx(0.8)
    assert pressure_of(40, 0, 5, 5) == 0.0


# In a pool


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(2) as started_one:
        yield started_one


def pool_of(simulator: Simulator, folder: Path, **more: Any) -> AccountPool:
    settings = settings_of(simulator, folder, fair_share=True, **{"max_in_flight_per_account": 5, **more})
    return AccountPool(settings, store=MemoryStore())


def ask(pool: AccountPool, caller: Caller | None = None, **more: Any) -> Lease | Wait:
    return pool.try_acquire(LeaseRequest(CLAUDE, caller=caller, **more))


def leases(pool: AccountPool, caller: Caller | None, count: int) -> list[Lease]:
    taken = [ask(pool, caller) for _ in range(count)]
    assert all(isinstance(one, Lease) for one in taken)
    return [one for one in taken if isinstance(one, Lease)]


def test_above_four_fifths_the_one_with_more_than_its_share_waits_and_the_others_do_not(
    simulator: Simulator, tmp_path: Path
) -> None:
    pool = pool_of(simulator, tmp_path)
    held = leases(pool, ALICE, 7)  # of ten
    bobs = leases(pool, BOB, 1)
    assert isinstance(ask(pool, ALICE), Wait)
    bobs += leases(pool, BOB, 1)
    assert isinstance(ask(pool, ALICE), Wait)
    pool.report(held.pop(), SERVED)
    pool.report(held.pop(), SERVED)
    assert isinstance(ask(pool, ALICE), Lease)  # 7 of 10 are in flight: nobody is held back
    assert len(bobs) == 2


def test_one_caller_alone_may_have_everything(simulator: Simulator, tmp_path: Path) -> None:
    pool = pool_of(simulator, tmp_path)
    assert len(leases(pool, ALICE, 10)) == 10


def test_fairness_fails_no_request_and_holds_none_that_is_under_way(simulator: Simulator, tmp_path: Path) -> None:
    pool = pool_of(simulator, tmp_path)
    held = [*leases(pool, ALICE, 7), *leases(pool, BOB, 1)]
    longest = pool.settings.max_rate_limit_wait_seconds
    tried = max(pool.store.in_flight.counts().items(), key=lambda one: one[1])[0]
    held += leases(pool, BOB, 1)
    assert isinstance(ask(pool, ALICE), Wait)
    assert isinstance(ask(pool, ALICE, tried=[tried]), Lease)
    assert isinstance(ask(pool, ALICE, waited=longest), Lease)
    del held
    assert not pool.store.callers.counts()  # the two were given up at once


def test_without_a_limit_in_flight_callers_share_what_is_left_when_most_accounts_are_at_their_limits(
    tmp_path: Path,
) -> None:
    with Simulator(5) as simulator:
        pool = pool_of(simulator, tmp_path, max_in_flight_per_account=None, ramp_seconds=0)
        held = [*leases(pool, ALICE, 4), *leases(pool, BOB, 2)]
        assert len(leases(pool, ALICE, 1)) == 1
        for account in pool.accounts.current().enabled[1:]:
            refusal = Refusal(RefusalKind.QUOTA, 429, "exhausted", retry_after=600.0)
            pool.recorder.record(Lease(account, CLAUDE, "claude", time.time()), refusal)
        assert isinstance(ask(pool, ALICE), Wait)
        assert isinstance(ask(pool, BOB), Lease)
        assert len(held) == 6


HOLDER = """
import sys
from pathlib import Path
from support import ready
from litellm_antigravity import AccountPool, Settings
from litellm_antigravity.lease import LeaseRequest
pool = AccountPool(Settings(**eval(sys.argv[1])))
held = [pool.acquire("claude-sonnet-4-6") for _ in range(7)]
ready()
ready(type(pool.try_acquire(LeaseRequest("claude-sonnet-4-6"))).__name__)
"""


def test_processes_know_of_each_other_and_forget_one_that_was_killed(simulator: Simulator, tmp_path: Path) -> None:
    fields = fields_of(simulator, tmp_path, fair_share=True, max_in_flight_per_account=5)
    with Child(HOLDER, fields) as child:
        child.wait_ready()
        pool = AccountPool(Settings(**fields))
        mine = leases(pool, None, 2)
        child.go()
        assert child.wait_ready() == "Wait"
        assert sorted(pool.store.callers.counts().values()) == [2, 7]
        child.kill()
        ends = time.monotonic() + HANG_SECONDS
        while sorted(pool.store.callers.counts().values()) != [2]:
            assert time.monotonic() < ends
            time.sleep(0.01)
        assert len(mine) == 2


def test_nothing_is_counted_and_no_file_made_where_nothing_is_shared_fairly(
    simulator: Simulator, tmp_path: Path
) -> None:
    pool = AccountPool(settings_of(simulator, tmp_path))
    lease = pool.acquire(CLAUDE)
    assert lease.share is None
    assert not pool.store.callers.counts()
    assert not (tmp_path / "state" / "callers").exists()


# Through LiteLLM


def test_a_caller_is_the_proxys_key_and_its_priority_the_weight(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    litellm_antigravity.register(settings_of(simulator, tmp_path, fair_share=True))
    monkeypatch.setattr(litellm, "priority_reservation", {"prod": 0.8, "dev": {"type": "percent", "value": 0.2}})

    def streams(key: str, metadata: dict[str, Any], team: dict[str, Any] | None = None) -> list[Any]:
        auth = SimpleNamespace(token=key, api_key=None, user_id=None, team_id=None, metadata=metadata)
        auth.team_metadata = team
        given = {"user_api_key_auth": auth}
        # `priority` of a body is its caller's own word, and no weight.
        return [litellm.completion(model=MODEL, messages=MESSAGES, stream=True, metadata=given, priority=1)]

    with closing(DiskStore(tmp_path / "state")) as other:
        held = [*streams("a", {"priority": "prod"}), *streams("a", {"priority": "prod"})]
        held += streams("b", {"priority": "prod"}, {"priority": "dev"})
        held += streams("c", {})
        held += streams("d", {"priority": ["no", "name"]})
        weights = sorted((round(weight_in(key), 2), count) for key, count in other.callers.counts().items())
        assert weights == [(0.2, 1), (0.25, 1), (0.25, 1), (0.79, 2)]
        for one in held:
            list(one)
        assert not other.callers.counts()
