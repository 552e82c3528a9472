"""The token bucket: our own guess at how many requests a minute an account bears (docs/design.md, "Selection")."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BucketRules:
    """Size and refill of the bucket. The defaults are those of opencode-antigravity-auth 1.6.0 (``rotation.ts``)."""

    max_tokens: float = 50.0
    regeneration_rate_per_minute: float = 6.0
    initial_tokens: float = 50.0

    def at(self, tokens: float, counted_at: float, now: float) -> float:
        """Return ``tokens``, counted at ``counted_at``, as they stand at ``now`` (both in epoch seconds).

        Never below 0 nor above ``max_tokens``, and a clock that went back takes no tokens away.
        """
        minutes = max(0.0, now - counted_at) / 60.0
        return max(0.0, min(self.max_tokens, tokens + minutes * self.regeneration_rate_per_minute))
