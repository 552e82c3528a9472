"""The pure rules of selection: PID offset, sticky, round-robin, health, token bucket, failures in a row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import NOW

from litellm_antigravity.models import canonical_model, family_of
from litellm_antigravity.selection import round_robin
from litellm_antigravity.selection.bucket import BucketRules
from litellm_antigravity.selection.health import HealthRules
from litellm_antigravity.selection.starts import pid_offset, start_index
from litellm_antigravity.selection.sticky import first_available
from litellm_antigravity.selection.vitals import Vitals, VitalsRules

pytestmark = pytest.mark.once

RULES = VitalsRules()
HOUR, DAY = 3600.0, 86_400.0


# PID offset


@given(pid=st.integers(0, 2**32), count=st.integers(1, 1000))
def test_the_pid_offset_is_the_process_id_modulo_the_accounts(pid: int, count: int) -> None:
    offset = pid_offset(pid, count)
    assert offset == pid - count * (pid // count)
    assert 0 <= offset < count


@pytest.mark.parametrize("pid", [123, 456, 789])
def test_the_process_ids_of_the_published_example_all_give_zero(pid: int) -> None:
    assert pid_offset(pid, 3) == 0


@given(first=st.integers(1, 2**22), count=st.integers(1, 64))
def test_consecutive_process_ids_start_on_different_accounts(first: int, count: int) -> None:
    starts = {start_index(2, pid_offset(pid, count), count) for pid in range(first, first + count)}
    assert starts == set(range(count))


@given(pid=st.integers(0, 2**32), base=st.integers(0, 50))
def test_a_single_account_is_always_the_start(pid: int, base: int) -> None:
    assert start_index(base, pid_offset(pid, 1), 1) == 0


@given(base=st.integers(0, 100), offset=st.integers(0, 100), count=st.integers(1, 50))
def test_the_start_is_base_plus_offset_modulo_the_accounts(base: int, offset: int, count: int) -> None:
    start = start_index(base, offset, count)
    assert 0 <= start < count
    assert (base + offset - start) % count == 0


@pytest.mark.parametrize("count", [0, -1])
def test_without_an_account_there_is_no_offset_and_no_start(count: int) -> None:
    with pytest.raises(ValueError, match="at least one account"):
        pid_offset(1, count)
    with pytest.raises(ValueError, match="at least one account"):
        start_index(0, 0, count)


# Sticky and round-robin


@pytest.mark.parametrize(
    ("start", "free", "expected"),
    [
        (1, {"a", "b", "c"}, "b"),
        (1, {"a", "c"}, "c"),
        (1, {"a"}, "a"),
        (2, {"b"}, "b"),
        (3, {"a", "b"}, "a"),
        (7, {"a", "b", "c"}, "b"),
        (0, set(), None),
    ],
)
def test_the_first_available_account_is_looked_for_from_the_start_once_round(
    start: int, free: set[str], expected: str | None
) -> None:
    asked: list[str] = []

    def available(account: str) -> bool:
        asked.append(account)
        return account in free

    assert first_available(["a", "b", "c"], start, available) == expected
    assert len(asked) == len(set(asked))


def test_an_empty_list_has_no_first_available_account() -> None:
    assert first_available([], 3, lambda _: True) is None


def test_round_robin_goes_through_the_available_accounts_in_turn() -> None:
    accounts = ["a", "b", "c"]
    assert [round_robin.pick(accounts, cursor) for cursor in range(4)] == ["a", "b", "c", "a"]
    assert [round_robin.pick(accounts, cursor) for cursor in range(1, 5)] == ["b", "c", "a", "b"]
    assert [round_robin.pick(["a", "c"], cursor) for cursor in range(3)] == ["a", "c", "a"]


def test_round_robin_needs_an_account() -> None:
    with pytest.raises(ValueError, match="at least one"):
        round_robin.pick([], 0)


# Health


@pytest.mark.parametrize(
    ("hours", "expected"),
    [(0.0, 60.0), (0.499, 60.0), (0.5, 61.0), (0.999, 61.0), (1.0, 62.0), (10.25, 80.0), (100.0, 100.0), (-5.0, 60.0)],
)
def test_rest_heals_two_whole_points_an_hour(hours: float, expected: float) -> None:
    assert HealthRules().at(60.0, NOW, NOW + hours * HOUR) == expected


def test_an_account_that_nobody_used_has_the_initial_health_however_long_it_waited() -> None:
    fresh = Vitals.fresh(RULES)
    assert fresh.health_now(NOW, RULES) == 70.0
    assert fresh.succeeded("claude", NOW, RULES).health_now(NOW, RULES) == 71.0
    assert fresh.failed("claude", NOW, RULES, "rate").health_now(NOW, RULES) == 60.0
    assert fresh.failed("claude", NOW, RULES, "failure").health_now(NOW, RULES) == 50.0
    assert fresh.failed("claude", NOW, RULES, None).health_now(NOW, RULES) == 70.0


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["sent", "refunded", "succeeded", "rate", "failure"]),
        st.one_of(st.sampled_from([HOUR, -HOUR, DAY, -DAY, 0.0]), st.floats(-10.0, 5000.0)),
    ),
    max_size=60,
)


@given(operations=OPERATIONS)
def test_health_and_tokens_stay_within_their_bounds_whatever_happens_and_wherever_the_clock_jumps(
    operations: list[tuple[str, float]],
) -> None:
    vitals, now = Vitals.fresh(RULES), NOW
    for operation, elapsed in operations:
        now += elapsed
        if operation == "sent":
            vitals = vitals.sent(now, RULES)
        elif operation == "refunded":
            vitals = vitals.refunded(now, RULES)
        elif operation == "succeeded":
            vitals = vitals.succeeded("claude", now, RULES)
        else:
            vitals = vitals.failed("claude", now, RULES, "rate" if operation == "rate" else "failure")
        for moment in (now, now + HOUR, now - HOUR, now + DAY, now - DAY):
            assert 0.0 <= vitals.health_now(moment, RULES) <= 100.0
            assert 0.0 <= vitals.tokens_now(moment, RULES) <= 50.0


def test_an_answer_changes_nothing_for_an_account_in_full_health_without_failures() -> None:
    healthy = Vitals(100.0, NOW, 50.0, NOW, NOW)
    assert healthy.succeeded("claude", NOW + 1.0, RULES) is healthy


# Token bucket


@pytest.mark.parametrize(
    ("tokens", "seconds", "expected"),
    [(0.0, 10.0, 1.0), (0.0, 60.0, 6.0), (10.0, 0.0, 10.0), (49.0, 3600.0, 50.0), (10.0, -DAY, 10.0), (0.0, DAY, 50.0)],
)
def test_the_bucket_refills_six_tokens_a_minute_up_to_its_size(tokens: float, seconds: float, expected: float) -> None:
    assert BucketRules().at(tokens, NOW, NOW + seconds) == pytest.approx(expected)


def test_a_request_takes_one_token_and_a_refusal_gives_it_back() -> None:
    sent = Vitals.fresh(RULES).sent(NOW, RULES)
    assert (sent.tokens_now(NOW, RULES), sent.last_used) == (49.0, NOW)
    assert sent.refunded(NOW, RULES).tokens_now(NOW, RULES) == 50.0


def test_an_empty_bucket_is_not_overdrawn_and_a_full_one_does_not_overflow() -> None:
    assert Vitals(70.0, NOW, 0.25, NOW).sent(NOW, RULES).tokens_now(NOW, RULES) == 0.0
    assert Vitals(70.0, NOW, 49.5, NOW).refunded(NOW, RULES).tokens_now(NOW, RULES) == 50.0


# Failures in a row


def test_a_refusal_seen_by_several_requests_at_once_counts_as_one_failure() -> None:
    first = Vitals.fresh(RULES).failed("claude", NOW, RULES, "rate")
    for moment in (NOW, NOW + 1.999, NOW - 0.25):  # the clock was read before the first one had been written down
        again = first.failed("claude", moment, RULES, "rate")
        assert again.failures_now("claude", NOW + 2.0, RULES) == 1
        assert again.health == 60.0
    later = first.failed("claude", NOW + 2.0, RULES, "rate")
    assert later.failures_now("claude", NOW + 2.0, RULES) == 2
    assert later.health == 50.0


def test_failures_are_counted_for_each_family_apart_and_forgotten_by_an_answer() -> None:
    vitals = Vitals.fresh(RULES).failed("claude", NOW, RULES, None).failed("gemini", NOW, RULES, None)
    vitals = vitals.succeeded("claude", NOW + 5.0, RULES)
    assert vitals.failures_now("claude", NOW + 5.0, RULES) == 0
    assert vitals.failures_now("gemini", NOW + 5.0, RULES) == 1


def test_old_failures_are_forgotten() -> None:
    vitals = Vitals.fresh(RULES).failed("claude", NOW, RULES, None)
    assert vitals.failures_now("claude", NOW + 3600.0, RULES) == 1
    assert vitals.failures_now("claude", NOW + 3601.0, RULES) == 0
    assert vitals.failed("claude", NOW + 3601.0, RULES, None).failures_now("claude", NOW + 3601.0, RULES) == 1


# Model names


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("antigravity/claude-sonnet-4-6", "claude"),
        ("Claude-Opus-4-6-thinking", "claude"),
        ("gpt-oss-120b-medium", "claude"),
        ("antigravity/gemini-3-pro", "gemini"),
        ("something-new", "gemini"),
    ],
)
def test_a_model_belongs_to_the_family_that_meters_it(model: str, family: str) -> None:
    assert family_of(model) == family


def test_one_model_has_one_name_however_it_is_spelt() -> None:
    assert canonical_model(" antigravity/Claude-Sonnet-4-6 ") == canonical_model("claude-sonnet-4-6")
