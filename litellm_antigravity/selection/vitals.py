"""What is known of one account by inference: health, token bucket, last use, failures in a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from litellm_antigravity.models import ModelFamily
from litellm_antigravity.selection.bucket import BucketRules
from litellm_antigravity.selection.health import HealthRules

if TYPE_CHECKING:
    from litellm_antigravity.settings import Settings

FAILURE_WINDOW_SECONDS = 2.0
"""A refusal that several requests in flight see at once counts as one failure (docs/failover.md)."""

Penalty: TypeAlias = Literal["rate", "failure"]


@dataclass(frozen=True, slots=True)
class VitalsRules:
    """The rules by which vitals change, taken from the settings once."""

    health: HealthRules = field(default_factory=HealthRules)
    bucket: BucketRules = field(default_factory=BucketRules)
    failure_ttl_seconds: float = 3600.0

    @classmethod
    def of(cls, settings: Settings) -> VitalsRules:
        """Return the rules that the settings say."""
        return cls(
            HealthRules(**settings.health_score.model_dump()),
            BucketRules(**settings.token_bucket.model_dump()),
            settings.failure_ttl_seconds,
        )


@dataclass(frozen=True, slots=True)
class Failures:
    """Failures in a row of one account in one family."""

    count: int
    at: float


@dataclass(frozen=True, slots=True)
class Vitals:
    """One account's health, tokens and last use. Every change returns a new value; times are epoch seconds."""

    health: float
    health_at: float
    tokens: float
    tokens_at: float
    last_used: float | None = None
    failures: Mapping[str, Failures] = field(default_factory=dict)

    @classmethod
    def fresh(cls, rules: VitalsRules) -> Vitals:
        """Return the vitals of an account that nobody has used yet.

        Both times are 0: a full bucket needs no refill and a rest of decades heals a score of ``initial`` to the
        maximum, so ``health_at`` is only meaningful from the first change on; until then ``initial`` holds.
        """
        return cls(rules.health.initial, 0.0, rules.bucket.initial_tokens, 0.0)

    def health_now(self, now: float, rules: VitalsRules) -> float:
        """Return the health score at ``now``."""
        return rules.health.at(self.health, self.health_at, now)

    def tokens_now(self, now: float, rules: VitalsRules) -> float:
        """Return the tokens in the bucket at ``now``."""
        return rules.bucket.at(self.tokens, self.tokens_at, now)

    def failures_now(self, family: ModelFamily, now: float, rules: VitalsRules) -> int:
        """Return how many failures in a row are still remembered for ``family``."""
        known = self.failures.get(family)
        if known is None or now - known.at > rules.failure_ttl_seconds:
            return 0
        return known.count

    def sent(self, now: float, rules: VitalsRules, requests: int = 1) -> Vitals:
        """Return the vitals after a request left, or several: a token each gone (never below 0), used just now."""
        tokens = max(0.0, self.tokens_now(now, rules) - requests)
        return Vitals(self.health, self.health_at, tokens, now, now, self.failures)  # faster than `replace`

    def refunded(self, now: float, rules: VitalsRules) -> Vitals:
        """Return the vitals after a token was given back."""
        tokens = min(rules.bucket.max_tokens, self.tokens_now(now, rules) + 1.0)
        return replace(self, tokens=tokens, tokens_at=now)

    def succeeded(self, family: ModelFamily, now: float, rules: VitalsRules) -> Vitals:
        """Return the vitals after an answer: health up, failures of the family forgotten.

        The very same object comes back when nothing changes, so that a store can skip the write.
        """
        if not self.gains(family, now, rules):
            return self
        health = min(rules.health.max_score, self.health_now(now, rules) + rules.health.success_reward)
        failures = self.failures
        if family in failures:
            failures = {name: known for name, known in failures.items() if name != family}
        return Vitals(health, now, self.tokens, self.tokens_at, self.last_used, failures)  # faster than `replace`

    def gains(self, family: ModelFamily, now: float, rules: VitalsRules) -> bool:
        """Return whether an answer changes anything: an account in full health without failures gains nothing."""
        if family in self.failures:
            return True
        before = self.health_now(now, rules)
        return min(rules.health.max_score, before + rules.health.success_reward) != before

    def failed(self, family: ModelFamily, now: float, rules: VitalsRules, penalty: Penalty | None) -> Vitals:
        """Return the vitals after a refusal; within two seconds of the last one only one of them counts."""
        known = self.failures.get(family)
        # Both ways: requests in flight read the clock before they queue up to write, and may write in another order.
        if known is not None and abs(now - known.at) < FAILURE_WINDOW_SECONDS:
            return self
        points = {None: 0.0, "rate": rules.health.rate_limit_penalty, "failure": rules.health.failure_penalty}[penalty]
        health = max(0.0, min(rules.health.max_score, self.health_now(now, rules) + points))
        failures = {**self.failures, family: Failures(self.failures_now(family, now, rules) + 1, now)}
        return replace(self, health=health, health_at=now, failures=failures)


def sending(
    now: float, rules: VitalsRules, *, require_token: bool, requests: int = 1
) -> Callable[[Vitals], Vitals | None]:
    """Return the change of a request that leaves now; it is ``None`` where a token is required and there is none.

    Args:
        now: epoch seconds.
        rules: of the bucket.
        require_token: whether the request may only leave with a token.
        requests: how many leave, with those that were not counted when they did.
    """

    def send(vitals: Vitals) -> Vitals | None:
        return None if require_token and vitals.tokens_now(now, rules) < 1.0 else vitals.sent(now, rules, requests)

    return send
