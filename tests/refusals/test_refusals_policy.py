"""What follows from a refusal: the record that others see, and the next step of the request."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_antigravity.refusals import (
    Cooling,
    Failover,
    GiveUp,
    NextAccount,
    Refusal,
    RefusalKind,
    RetrySameAccount,
    cooldown_for,
    penalty_for,
    refunds_token,
    retry_cost,
)

pytestmark = pytest.mark.once

K = RefusalKind
INF = math.inf
MODEL = "claude-sonnet-4-6"
POOL_OF_MODEL = f"model:{MODEL}"


def refusal(kind: RefusalKind, retry_after: float | None = None) -> Refusal:
    return Refusal(kind, 500, "No.", retry_after=retry_after)


def cooling(kind: RefusalKind, hint: float | None = None, failures: int = 0) -> Cooling | None:
    return cooldown_for(refusal(kind, hint), family="claude", model=MODEL, failures=failures)


def seconds_of(kind: RefusalKind, hint: float | None = None, failures: int = 0) -> float | None:
    found = cooling(kind, hint, failures)
    return None if found is None else found.seconds


OF_CREDENTIAL = Cooling("*", INF, fact=True, of_credential=True)


@pytest.mark.parametrize(
    ("kind", "hint", "expected", "penalty"),
    [
        (K.QUOTA, 9000.0, Cooling("claude", 9000.0, fact=True), "rate"),
        (K.QUOTA, None, Cooling("claude", 60.0), "rate"),
        (K.RATE, 4.5, Cooling("claude", 4.5, fact=True), "rate"),
        (K.RATE, None, Cooling("claude", 30.0), "rate"),
        (K.REFUSED_REQUEST, None, Cooling("claude", 10.0), None),
        (K.REFUSED_REQUEST, 3600.0, Cooling("claude", 10.0), None),
        (K.CAPACITY, 39.0, Cooling(None, 10.0), None),
        (K.TRANSPORT, None, None, "failure"),
        (K.TRANSPORT, 99.0, None, "failure"),
        (K.BROKEN_REPLY, None, None, "failure"),
        (K.AUTH, None, Cooling("*", 600.0, of_credential=True), "failure"),
        (K.REVOKED, None, OF_CREDENTIAL, None),
        (K.VERIFICATION, 5.0, OF_CREDENTIAL, None),
        (K.BANNED, None, Cooling("*", INF, fact=True), None),
        (K.NOT_AVAILABLE, None, Cooling(POOL_OF_MODEL, 600.0), None),
        (K.CALLER, None, None, None),
        (K.FAILED_REPLY, None, None, None),
    ],
)
def test_every_class_has_its_cooldown_and_its_penalty(
    kind: RefusalKind, hint: float | None, expected: Cooling | None, penalty: str | None
) -> None:
    assert cooling(kind, hint) == expected
    assert penalty_for(refusal(kind, hint)) == penalty


def test_a_token_comes_back_for_what_upstream_has_not_served() -> None:
    assert {kind for kind in K if not refunds_token(refusal(kind))} == {K.FAILED_REPLY}


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 60), (1, 60), (2, 300), (3, 1800), (4, 7200), (5, 7200), (1000, 7200)]
)
def test_quota_without_a_hint_cools_longer_with_each_failure(failures: int, seconds: float) -> None:
    assert seconds_of(K.QUOTA, failures=failures) == seconds
    assert seconds_of(K.QUOTA, 5.0, failures) == 5.0


@pytest.mark.parametrize("kind", [K.TRANSPORT, K.BROKEN_REPLY])
@pytest.mark.parametrize(("failures", "seconds"), [(1, None), (2, None), (3, 20.0), (9, 20.0)])
def test_an_account_cools_for_transport_only_after_repeated_failures(
    kind: RefusalKind, failures: int, seconds: float | None
) -> None:
    assert seconds_of(kind, failures=failures) == seconds


@pytest.mark.parametrize("model", ["claude-sonnet-4-6", "antigravity/Claude-Sonnet-4-6", " claude-sonnet-4-6 "])
def test_a_model_is_recorded_under_one_name_whatever_its_spelling(model: str) -> None:
    known = cooldown_for(refusal(K.NOT_AVAILABLE), family="claude", model=model)
    assert known == Cooling(POOL_OF_MODEL, 600.0)


def test_a_drained_family_is_no_other_family() -> None:
    known = cooldown_for(refusal(K.QUOTA), family="gemini", model="gemini-3-flash")
    assert known == Cooling("gemini", 60.0)


# What the request does next


def failover(*, switch: bool = True, random: float = 0.5) -> Failover:
    return Failover(switch_on_first_rate_limit=switch, random=lambda: random)


@pytest.mark.parametrize(
    "kind", [K.QUOTA, K.RATE, K.TRANSPORT, K.BROKEN_REPLY, K.NOT_AVAILABLE, K.VERIFICATION, K.REVOKED]
)
def test_what_belongs_to_the_account_moves_the_request_to_the_next_one(kind: RefusalKind) -> None:
    request = failover()
    assert request.next_step("a", refusal(kind)) == NextAccount()
    assert request.next_step("b", refusal(kind)) == NextAccount()
    assert request.tried == {"a", "b"}


@pytest.mark.parametrize("kind", [K.CALLER, K.BANNED])
@pytest.mark.parametrize("switch", [True, False])
def test_the_callers_mistake_and_a_ban_end_the_request(kind: RefusalKind, switch: bool) -> None:
    assert failover(switch=switch).next_step("a", refusal(kind)) == GiveUp()


def test_a_401_costs_one_refresh_per_account_before_the_next_one() -> None:
    request = failover()
    assert request.next_step("a", refusal(K.AUTH)) == RetrySameAccount(0.0, refresh_token=True)
    assert request.tried == set()
    assert request.next_step("a", refusal(K.AUTH)) == NextAccount()
    assert request.next_step("b", refusal(K.AUTH)) == RetrySameAccount(0.0, refresh_token=True)
    assert request.next_step("b", refusal(K.AUTH)) == NextAccount()
    assert request.tried == {"a", "b"}


def test_a_second_bare_429_in_the_same_request_goes_to_the_caller() -> None:
    request = failover()
    assert request.next_step("a", refusal(K.REFUSED_REQUEST)) == NextAccount()
    assert request.next_step("b", refusal(K.QUOTA)) == NextAccount()
    assert request.next_step("c", refusal(K.REFUSED_REQUEST)) == GiveUp()


@pytest.mark.parametrize(("random", "factor"), [(0.0, 0.8), (0.5, 1.0), (1.0, 1.2)])
def test_capacity_is_asked_for_three_more_times_on_the_same_account(random: float, factor: float) -> None:
    request = failover(random=random)
    for delay in (1.0, 2.0, 4.0):
        step = request.next_step("a", refusal(K.CAPACITY, 39.0))
        assert isinstance(step, RetrySameAccount)
        assert step.delay == pytest.approx(delay * factor)
        assert not step.refresh_token
    assert request.next_step("a", refusal(K.CAPACITY)) == GiveUp()
    assert request.tried == set()


def test_the_short_retries_are_counted_over_all_accounts() -> None:
    request = failover()
    for _ in range(2):
        assert isinstance(request.next_step("a", refusal(K.CAPACITY)), RetrySameAccount)
    assert request.next_step("a", refusal(K.TRANSPORT)) == NextAccount()
    assert isinstance(request.next_step("b", refusal(K.CAPACITY)), RetrySameAccount)
    assert request.next_step("b", refusal(K.CAPACITY)) == GiveUp()


@pytest.mark.parametrize(
    ("kind", "hint", "delay"),
    [(K.RATE, None, 1.0), (K.RATE, 1.0, 1.0), (K.RATE, 5.0, 5.0), (K.QUOTA, None, 1.0)],
)
def test_without_switching_at_once_the_same_account_gets_one_more_try(
    kind: RefusalKind, hint: float | None, delay: float
) -> None:
    request = failover(switch=False)
    assert request.next_step("a", refusal(kind, hint)) == RetrySameAccount(delay)
    assert request.next_step("a", refusal(kind, hint)) == NextAccount()
    assert request.next_step("b", refusal(kind, hint)) == RetrySameAccount(delay)


@pytest.mark.parametrize(
    ("kind", "hint"), [(K.RATE, 5.1), (K.QUOTA, 1.0), (K.QUOTA, 9000.0), (K.TRANSPORT, None), (K.NOT_AVAILABLE, None)]
)
def test_a_long_limit_is_never_waited_for_on_the_same_account(kind: RefusalKind, hint: float | None) -> None:
    assert failover(switch=False).next_step("a", refusal(kind, hint)) == NextAccount()


@pytest.mark.parametrize("kind", list(K))
def test_after_a_wait_only_those_that_had_reached_a_limit_may_be_asked_again(kind: RefusalKind) -> None:
    request = failover()
    for _ in range(2):  # a 401 costs a refresh first
        step = request.next_step("a", refusal(kind))
    request.has_waited()
    if isinstance(step, NextAccount):
        assert request.tried == (set() if kind in (K.QUOTA, K.RATE) else {"a"})
    assert request.limited == set()


def test_two_failures_in_transit_may_be_an_outage_and_limits_are_none() -> None:
    request = failover()
    request.next_step("a", refusal(K.TRANSPORT))
    for account, kind in (("b", K.RATE), ("c", K.QUOTA), ("d", K.VERIFICATION)):
        request.next_step(account, refusal(kind))
        assert not request.may_be_an_outage
    request.next_step("e", refusal(K.BROKEN_REPLY))
    assert request.may_be_an_outage


@pytest.mark.parametrize(
    ("kind", "status", "cost"),
    [
        (K.TRANSPORT, 500, 5.0),
        (K.TRANSPORT, 408, 10.0),
        (K.BROKEN_REPLY, 502, 5.0),
        (K.CAPACITY, 503, 5.0),
        *((kind, 429, 0.0) for kind in K if kind not in (K.TRANSPORT, K.BROKEN_REPLY, K.CAPACITY)),
    ],
)
def test_the_retry_budget_is_for_what_tells_of_an_upstream_in_trouble(
    kind: RefusalKind, status: int, cost: float
) -> None:
    assert retry_cost(replace(refusal(kind), status=status)) == cost


@given(
    kinds=st.lists(st.tuples(st.sampled_from(list(K)), st.none() | st.floats(1, 1e5)), min_size=60, max_size=80),
    switch=st.booleans(),
    random=st.floats(0, 1),
)
def test_every_request_ends_and_waits_seconds_at_most(
    kinds: list[tuple[RefusalKind, float | None]], switch: bool, random: float
) -> None:
    request = failover(switch=switch, random=random)
    waiting = ["a", "b", "c", "d", "e"]
    account, slept, steps = waiting.pop(), 0.0, 0
    for kind, hint in kinds:
        step = request.next_step(account, refusal(kind, hint))
        steps += 1
        if isinstance(step, RetrySameAccount):
            assert account not in request.tried
            slept += step.delay
        else:
            if isinstance(step, GiveUp) or not waiting:
                break
            assert account in request.tried
            account = waiting.pop()
    else:
        pytest.fail("the request did not end")
    assert steps <= 5 * 3 + 3
    assert slept <= 8.4 + 5 * 5.0
