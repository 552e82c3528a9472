"""Hybrid: the account with the best score of health, tokens and rest; `scoreboard` has the formula."""

from __future__ import annotations

from litellm_antigravity.accounts import AccountsSnapshot
from litellm_antigravity.lease import LeaseRequest
from litellm_antigravity.models import ModelFamily
from litellm_antigravity.selection.availability import Availability
from litellm_antigravity.selection.scoreboard import (
    CURRENT_BONUS,
    TOKENS_WEIGHT,
    Scoreboard,
    base_score,
    eligible,
)
from litellm_antigravity.selection.starts import Starts
from litellm_antigravity.selection.sticky import OnCurrent
from litellm_antigravity.selection.strategy import Choice, Chosen, Condition
from litellm_antigravity.selection.vitals import Vitals, VitalsRules
from litellm_antigravity.settings import Settings
from litellm_antigravity.state.view import StateView


class Hybrid(OnCurrent):
    """Takes the account with the best score; where none has one, the current one or the next."""

    name = "hybrid"
    summary = "Each request goes to the account with the best mix of health, tokens left and rest"
    counts_requests = True

    def __init__(self, settings: Settings, starts: Starts) -> None:
        self._rules = VitalsRules.of(settings)
        super().__init__(settings, starts)
        self._scores: tuple[AccountsSnapshot, Scoreboard, int] | None = None

    def choose(self, asked: LeaseRequest, view: StateView, availability: Availability, now: float) -> Choice:
        """Return the account with the best score; see `Strategy.choose`.

        Low health and an empty bucket never keep the last account from being chosen.
        """
        candidates = availability.candidates(asked.tried)
        if not candidates:
            return None
        snapshot = availability.snapshot
        usable = [one for one in candidates if one not in asked.overdrawn] if asked.overdrawn else candidates
        among = None if len(usable) == len(snapshot.enabled) else usable
        best = self._board(snapshot, view, now).choose(now, current=self.current(asked.family), among=among)
        if best is not None:
            return Chosen(best, takes_token=True, why="best score")
        return Chosen(self.current_or_next(candidates, snapshot, asked.family), why="nobody has a score")

    def score(self, account_id: str, family: ModelFamily, view: StateView, now: float) -> float | None:
        """Return the score, with the bonus of the current account; ``None`` for too little health or no token."""
        vitals = view.vitals.get(account_id) or Vitals.fresh(self._rules)
        if not eligible(vitals, now, self._rules):
            return None
        return base_score(vitals, now, self._rules) + (CURRENT_BONUS if account_id == self.current(family) else 0.0)

    def condition(self, account_id: str, view: StateView, now: float) -> Condition:
        """Return "ill" for too little health, "tired" for an empty bucket, "rested" for what outweighs the bonus."""
        vitals = view.vitals.get(account_id) or Vitals.fresh(self._rules)
        if vitals.health_now(now, self._rules) < self._rules.health.min_usable:
            return "ill"
        tokens = vitals.tokens_now(now, self._rules)
        if tokens < 1.0:
            return "tired"
        return "rested" if tokens > self._rules.bucket.max_tokens * CURRENT_BONUS / TOKENS_WEIGHT else "fit"

    def _board(self, snapshot: AccountsSnapshot, view: StateView, now: float) -> Scoreboard:
        """Return the scores as the view has them: nothing is remembered but what can be read from it again."""
        if self._scores is not None and self._scores[0] is snapshot:
            _, board, seen = self._scores
            changed = view.changed_vitals(seen)
            if changed is not None:
                for account_id in changed:
                    board.update(account_id, view.vitals[account_id], now)
                self._scores = (snapshot, board, seen + len(changed))
                return board
        position = view.position  # before the look: another thread may be changing something
        board = Scoreboard([account.id for account in snapshot.enabled], self._rules, dict(view.vitals), now)
        self._scores = (snapshot, board, position)
        return board
