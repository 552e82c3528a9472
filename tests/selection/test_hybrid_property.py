"""Hybrid's scoreboard against a plain re-statement of the formula in docs/selection.md."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import NOW

from litellm_antigravity.selection.bucket import BucketRules
from litellm_antigravity.selection.health import HealthRules
from litellm_antigravity.selection.scoreboard import Scoreboard
from litellm_antigravity.selection.vitals import Vitals, VitalsRules

pytestmark = pytest.mark.once

DEFAULTS = VitalsRules()
RULES = [
    DEFAULTS,
    VitalsRules(HealthRules(recovery_rate_per_hour=7.0, min_usable=65.0), BucketRules(3.0, 2.5, 3.0)),
    VitalsRules(HealthRules(recovery_rate_per_hour=0.0), BucketRules(2.0, 0.0, 2.0)),
]


def plain_scores(
    known: Mapping[str, Vitals], now: float, current: str | None, among: Collection[str], rules: VitalsRules
) -> dict[str, float]:
    """The formula as docs/selection.md writes it: the score of each account that may be chosen, in file order."""
    scores = {}
    for account, vitals in known.items():
        health, tokens, idle = vitals.health, vitals.tokens, 3600.0
        if vitals.health_at:
            hours = max(0.0, now - vitals.health_at) / 3600.0
            health = min(rules.health.max_score, health + math.floor(hours * rules.health.recovery_rate_per_hour))
        if vitals.tokens_at:
            minutes = max(0.0, now - vitals.tokens_at) / 60.0
            tokens = min(rules.bucket.max_tokens, tokens + minutes * rules.bucket.regeneration_rate_per_minute)
        if vitals.last_used is not None:
            idle = min(max(0.0, now - vitals.last_used), 3600.0)
        if account in among and health >= rules.health.min_usable and tokens >= 1.0:
            score = 2.0 * health + 500.0 * tokens / rules.bucket.max_tokens + 0.1 * idle
            scores[account] = score + (150.0 if account == current else 0.0)
    return scores


def check(
    board: Scoreboard,
    known: Mapping[str, Vitals],
    now: float,
    current: str | None,
    among: list[str] | None,
    rules: VitalsRules,
) -> None:
    chosen = board.choose(now, current=current, among=among)
    scores = plain_scores(known, now, current, list(known) if among is None else among, rules)
    if not scores:
        assert chosen is None
        return
    assert chosen in scores
    assert scores[chosen] >= max(scores.values()) - 1e-6


# Steps that land on the kinks of the formula (health points, full rest, one token), and any others; clocks go back too.
ELAPSED = st.one_of(
    st.sampled_from([0.0, 1e-3, 10.0, 60.0, 1800.0, 3600.0, 3600.0 / 7.0, -1e-3, -2.0, -250.0, -3600.0, 86_400.0]),
    st.floats(-100.0, 8000.0, allow_nan=False),
)
EVENTS = st.sampled_from(["sent", "sent", "sent", "refunded", "succeeded", "rate", "failure", "nothing"])


def after(vitals: Vitals, event: str, now: float, rules: VitalsRules) -> Vitals:
    if event == "sent":
        return vitals.sent(now, rules)
    if event == "refunded":
        return vitals.refunded(now, rules)
    if event == "succeeded":
        return vitals.succeeded("claude", now, rules)
    if event == "rate":
        return vitals.failed("claude", now, rules, "rate")
    if event == "failure":
        return vitals.failed("gemini", now, rules, "failure")
    return vitals


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_the_scoreboard_chooses_what_the_plain_formula_chooses(data: st.DataObject) -> None:
    rules = data.draw(st.sampled_from(RULES), "rules")
    names = [f"account-{number}" for number in range(data.draw(st.integers(1, 8), "accounts"))]
    known = dict.fromkeys(names, Vitals.fresh(rules))
    now = NOW
    board = Scoreboard(names, rules, known, now)
    for _ in range(data.draw(st.integers(1, 25), "steps")):
        now += data.draw(ELAPSED, "elapsed")
        name, event = data.draw(st.sampled_from(names), "account"), data.draw(EVENTS, "event")
        known[name] = after(known[name], event, now, rules)
        board.update(name, known[name], now)
        current = data.draw(st.sampled_from([None, "a stranger", *names]), "current")
        among = data.draw(st.none() | st.lists(st.sampled_from([*names, "a stranger"]), unique=True), "among")
        now += data.draw(ELAPSED, "elapsed until the choice")
        check(board, known, now, current, among, rules)
        for pair in itertools.combinations(names, 2):  # so that every single score counts, not only the highest
            check(board, known, now, current, list(pair), rules)


NUMBERS = st.floats(0.0, 100.0, allow_nan=False)
TIMES = st.one_of(st.sampled_from([0.0, NOW, NOW - 1800.0, NOW - 3600.0]), st.floats(NOW - 9e4, NOW + 9e4))
ANY_VITALS = st.builds(Vitals, NUMBERS, TIMES, st.floats(0.0, 50.0), TIMES, st.none() | TIMES)


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(ANY_VITALS, min_size=1, max_size=40),
    times=st.lists(st.floats(NOW - 1e5, NOW + 1e5), min_size=1, max_size=6),
    current=st.integers(0, 60),
)
def test_any_vitals_at_any_times_are_scored_as_the_plain_formula_says(
    rows: list[Vitals], times: list[float], current: int
) -> None:
    known = {f"account-{number}": vitals for number, vitals in enumerate(rows)}
    board = Scoreboard(list(known), DEFAULTS, known, times[0])
    for now in times:
        check(board, known, now, f"account-{current}", None, DEFAULTS)
        check(board, known, now, None, list(known)[::2], DEFAULTS)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(ANY_VITALS, min_size=1, max_size=12),
    changes=st.lists(st.tuples(st.integers(0, 11), ANY_VITALS, st.floats(0.0, 5000.0)), max_size=12),
)
def test_an_updated_scoreboard_equals_a_fresh_one(rows: list[Vitals], changes: list[tuple[int, Vitals, float]]) -> None:
    known = {f"account-{number}": vitals for number, vitals in enumerate(rows)}
    now = NOW
    updated = Scoreboard(list(known), DEFAULTS, known, now)
    for number, vitals, elapsed in changes:
        now += elapsed
        name = f"account-{number % len(rows)}"
        known[name] = vitals
        updated.update(name, vitals, now)
    fresh = Scoreboard(list(known), DEFAULTS, known, now)
    scores = plain_scores(known, now, None, known, DEFAULTS)
    one, other = updated.choose(now, current=None), fresh.choose(now, current=None)
    assert (one is None) == (other is None) == (not scores)
    if one is not None and other is not None:
        assert math.isclose(scores[one], scores[other], abs_tol=1e-6)


def test_equal_scores_go_to_the_earlier_account_in_the_file() -> None:
    names = [f"account-{number}" for number in range(1000)]
    board = Scoreboard(names, DEFAULTS, {}, NOW)
    assert board.choose(NOW, current=None) == "account-0"
    assert board.choose(NOW + 5.0, current=None, among=["account-9", "account-3", "account-7"]) == "account-3"


def test_the_current_account_keeps_its_150_points() -> None:
    rested = Vitals.fresh(DEFAULTS)
    for points, expected in ((149.0, "current"), (151.0, "rested")):
        behind = Vitals(70.0, NOW, 50.0 - points / 10.0, NOW, None)  # 10 points of score per token of 50
        board = Scoreboard(["rested", "current"], DEFAULTS, {"rested": rested, "current": behind}, NOW)
        assert board.choose(NOW, current="current") == expected


def test_an_account_without_a_whole_token_comes_back_when_it_has_one() -> None:
    empty = Vitals(70.0, NOW, 0.5, NOW, NOW)
    board = Scoreboard(["a"], DEFAULTS, {"a": empty}, NOW)
    assert board.choose(NOW, current=None) is None
    assert board.choose(NOW + 4.999, current=None) is None  # 6 tokens a minute: half a token takes 5 s
    assert board.choose(NOW + 5.0, current=None) == "a"


def test_an_account_in_poor_health_comes_back_when_it_has_rested() -> None:
    sick = Vitals(49.0, NOW, 50.0, NOW, NOW)
    board = Scoreboard(["a"], DEFAULTS, {"a": sick}, NOW)
    assert board.choose(NOW + 1799.9, current=None) is None  # 2 points an hour, in whole points
    assert board.choose(NOW + 1800.0, current=None) == "a"


def test_a_choice_for_an_earlier_moment_than_the_last_update_is_right_too() -> None:
    known = {"poor": Vitals(70.0, 0.0, 10.0, 0.0), "used": Vitals.fresh(DEFAULTS)}
    board = Scoreboard(["poor", "used"], DEFAULTS, known, NOW)
    known["used"] = known["used"].sent(NOW + 1000.0, DEFAULTS)
    board.update("used", known["used"], NOW + 1000.0)
    for now in (NOW + 1000.0, NOW + 500.0, NOW, NOW - 86_400.0):
        assert board.choose(now, current=None) == "used"
        check(board, known, now, None, None, DEFAULTS)


def test_an_unknown_account_changes_nothing() -> None:
    board = Scoreboard(["a"], DEFAULTS, {}, NOW)
    board.update("stranger", Vitals.fresh(DEFAULTS), NOW)
    assert board.choose(NOW, current="stranger", among=["stranger"]) is None
    assert Scoreboard([], DEFAULTS, {}, NOW).choose(NOW, current=None) is None
