"""Edges of selection that mutants lived on: when what was written, by how much, and what an error says."""

from __future__ import annotations

import pytest
from support import NOW

from litellm_antigravity.selection import round_robin
from litellm_antigravity.selection.scoreboard import Scoreboard, base_score
from litellm_antigravity.selection.starts import pid_offset, start_index
from litellm_antigravity.selection.vitals import Vitals, VitalsRules

pytestmark = pytest.mark.once

RULES = VitalsRules()
LATER = NOW + 3600.0


@pytest.mark.parametrize(
    ("fails", "said"),
    [
        (lambda: round_robin.pick([], 0), "round-robin needs at least one available account"),
        (lambda: pid_offset(1, 0), "a PID offset needs at least one account"),
        (lambda: start_index(0, 0, 0), "a start index needs at least one account"),
    ],
)
def test_without_an_account_the_error_says_what_needs_one(fails: object, said: str) -> None:
    assert callable(fails)
    with pytest.raises(ValueError, match=f"^{said}$"):
        fails()


def used(*, health: float = 60.0, tokens: float = 10.0) -> Vitals:
    """Return the vitals of an account that was used an hour before `LATER`."""
    return Vitals(health, NOW, tokens, NOW, NOW)


def test_a_bucket_refills_from_the_last_request_on_and_not_from_the_one_before() -> None:
    vitals = used(tokens=1.0).sent(NOW + 600.0, RULES)
    assert vitals.tokens_at == NOW + 600.0
    assert vitals.tokens_now(NOW + 600.0, RULES) == 49.0
    assert vitals.tokens_now(NOW + 605.0, RULES) == 49.5


def test_exactly_one_token_is_given_back_and_its_time_is_kept() -> None:
    vitals = used().refunded(NOW + 60.0, RULES)
    assert vitals.tokens == 17.0
    assert vitals.tokens_at == NOW + 60.0
    assert vitals.tokens_now(NOW + 70.0, RULES) == 18.0
    assert used(tokens=49.5).refunded(NOW, RULES).tokens == 50.0


def test_rest_heals_from_the_last_answer_on() -> None:
    vitals = used().succeeded("claude", LATER, RULES)
    assert (vitals.health, vitals.health_at) == (63.0, LATER)
    assert vitals.health_now(LATER, RULES) == 63.0
    assert vitals.health_now(LATER + 3600.0, RULES) == 65.0


def test_rest_heals_from_the_last_refusal_on_and_health_may_reach_zero() -> None:
    vitals = used().failed("claude", LATER, RULES, "failure")
    assert (vitals.health, vitals.health_at) == (42.0, LATER)
    assert vitals.health_now(LATER + 1800.0, RULES) == 43.0
    assert used(health=5.0).failed("claude", NOW, RULES, "failure").health == 0.0


def test_a_board_without_accounts_chooses_nobody_wherever_the_clock_goes() -> None:
    board = Scoreboard([], RULES, {}, NOW)
    assert [board.choose(now, current="a") for now in (NOW, NOW - 60.0, NOW + 1e9)] == [None, None, None]


def test_an_account_that_was_used_just_now_has_not_rested_at_all() -> None:
    assert base_score(used(), NOW, RULES) == 2 * 60.0 + 500 * 10.0 / 50.0
    assert base_score(used(), NOW + 0.5, RULES) == pytest.approx(2 * 60.0 + 500 * 10.05 / 50.0 + 0.05)
