"""Health: a score from 0 to 100 that says how well an account has done lately (docs/selection.md)."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HealthRules:
    """How the health score moves. The defaults are those of opencode-antigravity-auth 1.6.0 (``rotation.ts``)."""

    initial: float = 70.0
    success_reward: float = 1.0
    rate_limit_penalty: float = -10.0
    failure_penalty: float = -20.0
    recovery_rate_per_hour: float = 2.0
    min_usable: float = 50.0
    max_score: float = 100.0

    def at(self, score: float, scored_at: float, now: float) -> float:
        """Return ``score``, written at ``scored_at``, as it stands at ``now`` (both in epoch seconds).

        Rest heals in whole points: ``min(max_score, score + floor(hours * recovery_rate_per_hour))``. A clock that
        went back heals nothing and takes nothing, and neither does rest before the first change (``scored_at`` 0).
        """
        if not scored_at:
            return score
        if now > scored_at:
            score += math.floor((now - scored_at) / 3600.0 * self.recovery_rate_per_hour)
        return min(self.max_score, score)

    def heals_at(self, score: float, scored_at: float, now: float) -> float:
        """Return when the score after ``now`` is one point higher; ``math.inf`` when it is not going to be."""
        per_second = self.recovery_rate_per_hour / 3600.0
        if not scored_at or per_second <= 0 or self.at(score, scored_at, now) >= self.max_score:
            return math.inf
        healed = math.floor(max(0.0, now - scored_at) * per_second)
        return scored_at + (healed + 1) / per_second
