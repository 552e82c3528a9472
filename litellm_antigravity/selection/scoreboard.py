"""The score by which hybrid chooses (docs/selection.md), and a board that keeps the scores of many accounts.

``score = 2 * health + 500 * tokens / max_tokens + 0.1 * min(seconds since last use, 3600)``, and +150 for the current
account. The formula and its constants are those of opencode-antigravity-auth 1.6.0 (``rotation.ts``).

Between two changes of an account its score is a straight line in time with a few corners: the bucket is full, the rest
is complete, a health point heals, the first token arrives. `Scoreboard` samples the formula twice for each line, and
again for the accounts that changed or came to a corner: an eighth of what a loop over a thousand accounts costs.
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
_NOT_TO_BE_CHOSEN = (_INELIGIBLE, 0.0)
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


def _next_corner(vitals: Vitals, now: float, rules: VitalsRules) -> float:
    """Return the first moment after ``now`` at which the account's line bends or its eligibility changes."""
    # Of the bucket's two steps only the next one matters: the first token, or else that it is full.
    tokens, full = vitals.tokens_now(now, rules), rules.bucket.max_tokens
    amount = min(1.0, full) if tokens < 1.0 else full
    step = min(
        rules.health.heals_at(vitals.health, vitals.health_at, now),
        rules.bucket.reaches(amount, vitals.tokens, vitals.tokens_at, now),
    )
    nearest = max(step - _EARLY, math.nextafter(now, math.inf))
    used = -math.inf if vitals.last_used is None else vitals.last_used
    for corner in (vitals.health_at, vitals.tokens_at, used, used + FULL_REST_SECONDS):
        if now < corner < nearest:
            nearest = corner
    return nearest


class Scoreboard:
    """The scores of a fixed list of accounts, kept up to date account by account."""

    def __init__(self, order: Sequence[str], rules: VitalsRules, vitals: Mapping[str, Vitals], now: float) -> None:
        self._order = tuple(order)
        self._index = {account_id: index for index, account_id in enumerate(self._order)}
        self._rules = rules
        self._epoch = now  # lines are kept relative to it: epoch seconds would cost precision
        fresh = Vitals.fresh(rules)
        self._vitals = [vitals.get(account_id, fresh) for account_id in self._order]
        self._lines = [_NOT_TO_BE_CHOSEN] * len(self._order)  # of each account: its score at the epoch, and the slope
        self._corners = [math.inf] * len(self._order)
        self._drawn = [now] * len(self._order)  # a line holds from here to its corner
        self._last_drawn = now
        for index in range(len(self._order)):
            self._draw(index, now)
        self._next_corner = min(self._corners, default=math.inf)

    def update(self, account_id: str, vitals: Vitals, now: float) -> None:
        """Take over what has become known of one account; unknown ids are ignored."""
        index = self._index.get(account_id)
        if index is None:
            return
        self._vitals[index] = vitals
        self._draw(index, now)
        self._next_corner = min(self._next_corner, self._corners[index])

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
        if now >= self._next_corner:
            self._redraw([i for i, corner in enumerate(self._corners) if corner <= now], now)
        elapsed = now - self._epoch
        scores = [level + slope * elapsed for level, slope in self._lines]
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
        self._next_corner = min(self._corners, default=math.inf)

    def _draw(self, index: int, now: float) -> None:
        vitals, rules = self._vitals[index], self._rules
        self._drawn[index] = now
        self._last_drawn = max(self._last_drawn, now)
        self._corners[index] = _next_corner(vitals, now, rules)
        if not eligible(vitals, now, rules):
            self._lines[index] = _NOT_TO_BE_CHOSEN
            return
        later = now + min(1.0, (self._corners[index] - now) / 2.0)
        score, seconds = base_score(vitals, now, rules), later - now
        slope = (base_score(vitals, later, rules) - score) / seconds if seconds else 0.0
        self._lines[index] = (score - slope * (now - self._epoch), slope)
