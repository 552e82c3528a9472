"""What follows from a refusal: the record that others see, and the next step of the request."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_antigravity.refusals import (
    Failover,
    GiveUp,
    NextAccount,
    Record,
    Refusal,
    RefusalKind,
    RetrySameAccount,
    record_for,
    retry_cost,
)

pytestmark = pytest.mark.once

K = RefusalKind
INF = math.inf
MODEL = "claude-sonnet-4-6"
POOL_OF_MODEL = f"model:{MODEL}"


def refusal(kind: RefusalKind, retry_after: float | None = None) -> Refusal:
    return Refusal(kind, 500, "No.", retry_after=retry_after)


def record(kind: RefusalKind, hint: float | None = None, failures: int = 0) -> Record:
    return record_for(refusal(kind, hint), family="claude", model=MODEL, consecutive_failures=failures)


@pytest.mark.parametrize(
    ("kind", "hint", "expected"),
    [
        (K.QUOTA, 9000.0, Record("claude", 9000.0, True, "rate", True, None)),
        (K.QUOTA, None, Record("claude", 60.0, False, "rate", True, None)),
        (K.RATE, 4.5, Record("claude", 4.5, True, "rate", True, None)),
        (K.RATE, None, Record("claude", 30.0, False, "rate", True, None)),
        (K.REFUSED_REQUEST, None, Record("claude", 10.0, False, None, True, None)),
        (K.REFUSED_REQUEST, 3600.0, Record("claude", 10.0, False, None, True, None)),
        (K.CAPACITY, 39.0, Record(None, None, False, None, True, 10.0)),
        (K.TRANSPORT, None, Record("claude", None, False, "failure", True, None)),
        (K.TRANSPORT, 99.0, Record("claude", None, False, "failure", True, None)),
        (K.BROKEN_REPLY, None, Record("claude", None, False, "failure", True, None)),
        (K.AUTH, None, Record("*", 600.0, False, "failure", True, None)),
        (K.REVOKED, None, Record("*", INF, True, None, True, None)),
        (K.VERIFICATION, 5.0, Record("*", INF, True, None, True, None)),
        (K.BANNED, None, Record("*", INF, True, None, True, None)),
        (K.NOT_AVAILABLE, None, Record(POOL_OF_MODEL, 600.0, False, None, True, None)),
        (K.CALLER, None, Record(None, None, False, None, True, None)),
    ],
)
def test_every_class_leaves_its_record(kind: RefusalKind, hint: float | None, expected: Record) -> None:
    assert record(kind, hint) == expected


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 60), (1, 60), (2, 300), (3, 1800), (4, 7200), (5, 7200), (1000, 7200)]
)
def test_quota_without_a_hint_cools_longer_with_each_failure(failures: int, seconds: float) -> None:
    assert record(K.QUOTA, failures=failures).until_delay == seconds
    assert record(K.QUOTA, 5.0, failures).until_delay == 5.0


@pytest.mark.parametrize("kind", [K.TRANSPORT, K.BROKEN_REPLY])
@pytest.mark.parametrize(("failures", "seconds"), [(1, None), (2, None), (3, 20.0), (9, 20.0)])
def test_an_account_cools_for_transport_only_after_repeated_failures(
    kind: RefusalKind, failures: int, seconds: float | None
) -> None:
    assert record(kind, failures=failures).until_delay == seconds


@pytest.mark.parametrize("model", ["claude-sonnet-4-6", "antigravity/Claude-Sonnet-4-6", " claude-sonnet-4-6 "])
def test_a_model_is_recorded_under_one_name_whatever_its_spelling(model: str) -> None:
    known = record_for(refusal(K.NOT_AVAILABLE), family="claude", model=model)
    assert known.pool == POOL_OF_MODEL


def test_a_drained_family_is_no_other_family() -> None:
    assert record_for(refusal(K.QUOTA), family="gemini", model="gemini-3-flash").pool == "gemini"


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
