"""Hybrid: the account with the best score of health, tokens and rest (DESIGN, section 5).

``score = 2 * health + 500 * tokens / max_tokens + 0.1 * min(seconds since last use, 3600)``, and +150 for the current
account. The formula and its constants are those of opencode-antigravity-auth 1.6.0 (``rotation.ts``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from litellm_antigravity.models import ModelFamily
from litellm_antigravity.selection.availability import Availability
from litellm_antigravity.selection.starts import Starts
from litellm_antigravity.selection.sticky import Current
from litellm_antigravity.selection.strategy import Choice, Chosen, LeaseRequest, Strategy
from litellm_antigravity.selection.vitals import Vitals, VitalsRules
from litellm_antigravity.settings import Settings
from litellm_antigravity.state.store import StateView

HEALTH_WEIGHT = 2.0
TOKENS_WEIGHT = 500.0
REST_WEIGHT = 0.1
FULL_REST_SECONDS = 3600.0
CURRENT_BONUS = 150.0


def best(
    candidates: Iterable[str], vitals: Mapping[str, Vitals], now: float, rules: VitalsRules, current: str | None = None
) -> str | None:
    """Return the candidate with the highest score, the earlier among equals.

    ``None`` when none of them is healthy enough (``min_usable``) and has a whole token left.

    Args:
        candidates: account ids.
        vitals: what is known of them; those of whom nothing is known are fresh.
        now: epoch seconds.
        rules: of health and bucket.
        current: the account that gets the bonus.
    """
    known, fresh = vitals.get, Vitals.fresh(rules)
    health_at, tokens_at = rules.health.at, rules.bucket.at
    least, size = rules.health.min_usable, rules.bucket.max_tokens
    chosen, highest = None, -math.inf
    for account_id in candidates:  # of a thousand accounts, for every request: no more than it takes
        one = known(account_id, fresh)
        health = health_at(one.health, one.health_at, now)
        if health < least or (tokens := tokens_at(one.tokens, one.tokens_at, now)) < 1.0:
            continue
        rest = FULL_REST_SECONDS if one.last_used is None else now - one.last_used
        if not 0.0 <= rest <= FULL_REST_SECONDS:
            rest = 0.0 if rest < 0.0 else FULL_REST_SECONDS
        score = HEALTH_WEIGHT * health + TOKENS_WEIGHT * tokens / size + REST_WEIGHT * rest
        if account_id == current:
            score += CURRENT_BONUS
        if score > highest:
            chosen, highest = account_id, score
    return chosen


class Hybrid(Strategy):
    """Takes the account with the best score; where none has one, the current one or the next."""

    name = "hybrid"
    summary = "Each request goes to the account with the best mix of health, tokens left and rest"
    keeps_account = False
    takes_turns = False
    ignores_offset = None
    patience = 0.0

    def __init__(self, settings: Settings, starts: Starts) -> None:
        self._rules = VitalsRules.of(settings)
        self._current = Current(starts)

    def choose(self, asked: LeaseRequest, view: StateView, availability: Availability, now: float) -> Choice:
        """Return the account with the best score; see `Strategy.choose`.

        Low health and an empty bucket never keep the last account from being chosen.
        """
        candidates = availability.candidates(asked.tried)
        if not candidates:
            return None
        usable = [one for one in candidates if one not in asked.overdrawn] if asked.overdrawn else candidates
        chosen = best(usable, view.vitals, now, self._rules, self._current.of(asked.family))
        if chosen is not None:
            return Chosen(chosen, takes_token=True)
        return Chosen(self._current.or_next(candidates, availability.roster, asked.family))

    def taken(self, account_id: str, family: ModelFamily) -> None:
        """Stay with this account from now on."""
        self._current.taken(account_id, family)
