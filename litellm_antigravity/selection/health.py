"""Health: a score from 0 to 100 that says how well an account has done lately (docs/design.md, "Selection")."""

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
        went back heals nothing and takes nothing.
        """
        hours = max(0.0, now - scored_at) / 3600.0
        return min(self.max_score, score + math.floor(hours * self.recovery_rate_per_hour))
