"""The token bucket: our own guess at how many requests a minute an account bears (docs/selection.md)."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BucketRules:
    """Size and refill of the bucket. The defaults are those of opencode-antigravity-auth 1.6.0 (``rotation.ts``)."""

    max_tokens: float = 50.0
    regeneration_rate_per_minute: float = 6.0
    initial_tokens: float = 50.0

    def at(self, tokens: float, counted_at: float, now: float) -> float:
        """Return ``tokens``, counted at ``counted_at``, as they stand at ``now`` (both in epoch seconds).

        Never below 0 nor above ``max_tokens``. A clock that went back takes no tokens away, and a bucket that nobody
        has used (``counted_at`` 0) has what it had.
        """
        if counted_at and now > counted_at:
            tokens += (now - counted_at) / 60.0 * self.regeneration_rate_per_minute
        if 0.0 <= tokens <= self.max_tokens:
            return tokens
        return 0.0 if tokens < 0.0 else self.max_tokens

    def reaches(self, amount: float, tokens: float, counted_at: float, now: float) -> float:
        """Return when there are ``amount`` tokens that are not there at ``now``; ``math.inf`` for never, or before."""
        per_second, tokens = self.regeneration_rate_per_minute / 60.0, self.at(tokens, counted_at, now)
        if not counted_at or per_second <= 0 or tokens >= amount:
            return math.inf
        return max(now, counted_at) + (amount - tokens) / per_second
