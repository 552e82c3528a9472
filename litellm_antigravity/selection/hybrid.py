"""Hybrid: the account with the best score of health, tokens and rest (docs/design.md, "Selection").

``score = 2 * health + 500 * tokens / max_tokens + 0.1 * min(seconds since last use, 3600)``, and +150 for the current
account. The formula and its constants are those of opencode-antigravity-auth 1.6.0 (``rotation.ts``).

Between two changes of an account its score is a straight line in time (tokens refill, rest grows) with a few known
kinks: the bucket is full, the rest is complete, a health point heals, the first token arrives. `Scoreboard` keeps
each account's line, so that choosing among a thousand accounts evaluates a thousand lines and recomputes only the
accounts that changed or passed a kink.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from litellm_antigravity.selection.vitals import Vitals, VitalsRules

HEALTH_WEIGHT = 2.0
TOKENS_WEIGHT = 500.0
REST_WEIGHT = 0.1
FULL_REST_SECONDS = 3600.0
CURRENT_BONUS = 150.0

_INELIGIBLE = -math.inf
_EARLY = 1e-6  # seconds; lines end this much before a step, whatever rounding made of its time


def base_score(vitals: Vitals, now: float, rules: VitalsRules) -> float:
    """Return the score without the bonus of the current account."""
    idle = FULL_REST_SECONDS if vitals.last_used is None else max(0.0, now - vitals.last_used)
    return (
        HEALTH_WEIGHT * vitals.health_now(now, rules)
        + TOKENS_WEIGHT * vitals.tokens_now(now, rules) / rules.bucket.max_tokens
        + REST_WEIGHT * min(idle, FULL_REST_SECONDS)
    )


def eligible(vitals: Vitals, now: float, rules: VitalsRules) -> bool:
    """Return whether hybrid may choose the account: health >= ``min_usable`` and at least one token."""
    return vitals.health_now(now, rules) >= rules.health.min_usable and vitals.tokens_now(now, rules) >= 1.0


def _ahead(crossing: float, now: float) -> float:
    """Return when to look again for a crossing that had not come at ``now``."""
    return max(crossing - _EARLY, math.nextafter(now, math.inf))


def _next_kink(vitals: Vitals, now: float, rules: VitalsRules) -> float:
    """Return the first moment after ``now`` at which the account's line bends or its eligibility changes."""
    kinks: list[float] = []
    if vitals.last_used is not None:
        kinks += [vitals.last_used, vitals.last_used + FULL_REST_SECONDS]
    rate = rules.bucket.regeneration_rate_per_minute / 60.0
    tokens = vitals.tokens_now(now, rules)
    if vitals.tokens_at and rate > 0:
        start = max(now, vitals.tokens_at)
        kinks.append(vitals.tokens_at)
        if tokens < rules.bucket.max_tokens:
            kinks.append(_ahead(start + (rules.bucket.max_tokens - tokens) / rate, now))
        if tokens < 1.0:
            kinks.append(_ahead(start + (1.0 - tokens) / rate, now))
    healing = rules.health.recovery_rate_per_hour / 3600.0
    if vitals.health_at and healing > 0 and vitals.health_now(now, rules) < rules.health.max_score:
        healed = math.floor(max(0.0, now - vitals.health_at) * healing)
        kinks.append(_ahead(vitals.health_at + (healed + 1) / healing, now))
    return min((kink for kink in kinks if kink > now), default=math.inf)


class Scoreboard:
    """The scores of a fixed list of accounts, kept up to date account by account."""

    __slots__ = (
        "_drawn",
        "_epoch",
        "_index",
        "_kinks",
        "_last_drawn",
        "_levels",
        "_next_kink",
        "_order",
        "_rules",
        "_slopes",
        "_vitals",
    )

    def __init__(self, order: Sequence[str], rules: VitalsRules, vitals: Mapping[str, Vitals], now: float) -> None:
        self._order = tuple(order)
        self._index = {account_id: index for index, account_id in enumerate(self._order)}
        self._rules = rules
        self._epoch = now  # lines are kept relative to it: epoch seconds would cost precision
        fresh = Vitals.fresh(rules)
        self._vitals = [vitals.get(account_id, fresh) for account_id in self._order]
        self._levels = [_INELIGIBLE] * len(self._order)
        self._slopes = [0.0] * len(self._order)
        self._kinks = [math.inf] * len(self._order)
        self._drawn = [now] * len(self._order)  # a line holds from here to its kink
        self._last_drawn = now
        for index in range(len(self._order)):
            self._draw(index, now)
        self._next_kink = min(self._kinks, default=math.inf)

    def update(self, account_id: str, vitals: Vitals, now: float) -> None:
        """Take over what has become known of one account; unknown ids are ignored."""
        index = self._index.get(account_id)
        if index is None:
            return
        self._vitals[index] = vitals
        self._draw(index, now)
        self._next_kink = min(self._next_kink, self._kinks[index])

    def choose(self, now: float, *, current: str | None, among: Collection[str] | None = None) -> str | None:
        """Return the id with the highest score, the earlier in the list among equals; ``None`` without a candidate.

        Args:
            now: the time in epoch seconds.
            current: the account that gets the bonus.
            among: the accounts that may be chosen (those not cooling down); ``None`` for all.
        """
        if now < self._last_drawn:  # the clock went back, or this caller read it before another one did
            self._redraw([i for i, drawn in enumerate(self._drawn) if drawn > now], now)
            self._last_drawn = max(self._drawn, default=now)
        if now >= self._next_kink:
            self._redraw([i for i, kink in enumerate(self._kinks) if kink <= now], now)
        elapsed = now - self._epoch
        scores = [level + slope * elapsed for level, slope in zip(self._levels, self._slopes, strict=True)]
        if among is not None:
            masked = [_INELIGIBLE] * len(scores)
            for account_id in among:
                index = self._index.get(account_id)
                if index is not None:
                    masked[index] = scores[index]
            scores = masked
        if current is not None and (index := self._index.get(current)) is not None:
            scores[index] += CURRENT_BONUS
        best = max(scores, default=_INELIGIBLE)
        return None if best == _INELIGIBLE else self._order[scores.index(best)]

    def _redraw(self, indices: Collection[int], now: float) -> None:
        for index in indices:
            self._draw(index, now)
        self._next_kink = min(self._kinks, default=math.inf)

    def _draw(self, index: int, now: float) -> None:
        vitals, rules = self._vitals[index], self._rules
        self._drawn[index] = now
        self._last_drawn = max(self._last_drawn, now)
        self._kinks[index] = _next_kink(vitals, now, rules)
        if not eligible(vitals, now, rules):
            self._levels[index], self._slopes[index] = _INELIGIBLE, 0.0
            return
        slope = 0.0
        if vitals.last_used is not None and 0.0 <= now - vitals.last_used < FULL_REST_SECONDS:
            slope += REST_WEIGHT
        refilling = vitals.tokens_at and now >= vitals.tokens_at
        if refilling and vitals.tokens_now(now, rules) < rules.bucket.max_tokens:
            slope += TOKENS_WEIGHT * rules.bucket.regeneration_rate_per_minute / 60.0 / rules.bucket.max_tokens
        self._slopes[index] = slope
        self._levels[index] = base_score(vitals, now, rules) - slope * (now - self._epoch)
