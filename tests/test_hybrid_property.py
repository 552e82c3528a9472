"""Hybrid's choice against a plain re-statement of the formula in DESIGN, section 5."""

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
from litellm_antigravity.selection.hybrid import best
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
    """The formula as DESIGN writes it: the score of each account that may be chosen, in file order."""
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
    known: Mapping[str, Vitals], now: float, current: str | None, among: list[str] | None, rules: VitalsRules
) -> None:
    chosen = best(known if among is None else among, known, now, rules, current)
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
def test_hybrid_chooses_what_the_plain_formula_chooses(data: st.DataObject) -> None:
    rules = data.draw(st.sampled_from(RULES), "rules")
    names = [f"account-{number}" for number in range(data.draw(st.integers(1, 8), "accounts"))]
    known = dict.fromkeys(names, Vitals.fresh(rules))
    now = NOW
    for _ in range(data.draw(st.integers(1, 25), "steps")):
        now += data.draw(ELAPSED, "elapsed")
        name, event = data.draw(st.sampled_from(names), "account"), data.draw(EVENTS, "event")
        known[name] = after(known[name], event, now, rules)
        current = data.draw(st.sampled_from([None, "a stranger", *names]), "current")
        among = data.draw(st.none() | st.lists(st.sampled_from(names), unique=True), "among")
        now += data.draw(ELAPSED, "elapsed until the choice")
        check(known, now, current, among, rules)
        for pair in itertools.combinations(names, 2):  # so that every single score counts, not only the highest
            check(known, now, current, list(pair), rules)


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
    for now in times:
        check(known, now, f"account-{current}", None, DEFAULTS)
        check(known, now, None, list(known)[::2], DEFAULTS)


def test_equal_scores_go_to_the_earlier_account_in_the_file() -> None:
    names = [f"account-{number}" for number in range(1000)]
    assert best(names, {}, NOW, DEFAULTS) == "account-0"
    assert best(["account-3", "account-7", "account-9"], {}, NOW + 5.0, DEFAULTS) == "account-3"


def test_the_current_account_keeps_its_150_points() -> None:
    rested = Vitals.fresh(DEFAULTS)
    for points, expected in ((149.0, "current"), (151.0, "rested")):
        behind = Vitals(70.0, NOW, 50.0 - points / 10.0, NOW, None)  # 10 points of score per token of 50
        known = {"rested": rested, "current": behind}
        assert best(known, known, NOW, DEFAULTS, "current") == expected


def test_an_account_without_a_whole_token_comes_back_when_it_has_one() -> None:
    empty = Vitals(70.0, NOW, 0.5, NOW, NOW)
    known = {"a": empty}
    assert best(known, known, NOW, DEFAULTS) is None
    assert best(known, known, NOW + 4.999, DEFAULTS) is None  # 6 tokens a minute: half a token takes 5 s
    assert best(known, known, NOW + 5.0, DEFAULTS) == "a"


def test_an_account_in_poor_health_comes_back_when_it_has_rested() -> None:
    sick = Vitals(49.0, NOW, 50.0, NOW, NOW)
    known = {"a": sick}
    assert best(known, known, NOW + 1799.9, DEFAULTS) is None  # 2 points an hour, in whole points
    assert best(known, known, NOW + 1800.0, DEFAULTS) == "a"


def test_a_choice_for_an_earlier_moment_than_the_last_request_is_right_too() -> None:
    known = {"poor": Vitals(70.0, 0.0, 10.0, 0.0), "used": Vitals.fresh(DEFAULTS).sent(NOW + 1000.0, DEFAULTS)}
    for now in (NOW + 1000.0, NOW + 500.0, NOW, NOW - 86_400.0):
        assert best(known, known, now, DEFAULTS) == "used"
        check(known, now, None, None, DEFAULTS)


def test_an_account_that_is_no_candidate_is_not_chosen_though_it_is_the_current_one() -> None:
    assert best([], {}, NOW, DEFAULTS, "stranger") is None
    assert best(["a"], {"stranger": Vitals.fresh(DEFAULTS)}, NOW, DEFAULTS, "stranger") == "a"
