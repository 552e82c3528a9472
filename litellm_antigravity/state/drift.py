"""How one account's vitals have changed somewhere else, to be added to what others have made of them meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from litellm_antigravity.selection.vitals import Failures, Vitals, VitalsRules

_Change = tuple[Failures | None, Failures | None]


@dataclass(frozen=True, slots=True)
class VitalsDrift:
    """A change of vitals, apart from what time does to them.

    Attributes:
        spent: tokens taken, less those given back.
        health: points gained or lost.
        last_used: the last request, in epoch seconds.
        failures: for each family whose failures in a row changed, what they were and what they became.
    """

    spent: float = 0.0
    health: float = 0.0
    last_used: float | None = None
    failures: Mapping[str, _Change] = field(default_factory=dict)

    @classmethod
    def between(cls, before: Vitals, after: Vitals, spent: float, now: float, rules: VitalsRules) -> VitalsDrift:
        """Return what made ``after`` of ``before``.

        ``spent`` is counted, not read off: a bucket that is full again looks as if nothing had been taken.
        """
        families = before.failures.keys() | after.failures.keys()
        changes = {family: (before.failures.get(family), after.failures.get(family)) for family in families}
        return cls(
            spent,
            after.health_now(now, rules) - before.health_now(now, rules),
            after.last_used,
            {family: change for family, change in changes.items() if change[0] != change[1]},
        )

    def added_to(self, vitals: Vitals, now: float, rules: VitalsRules) -> Vitals:
        """Return vitals with this change added: tokens are taken from what is left, never set."""
        tokens = max(0.0, min(rules.bucket.max_tokens, vitals.tokens_now(now, rules) - self.spent))
        health = max(0.0, min(rules.health.max_score, vitals.health_now(now, rules) + self.health))
        failures = dict(vitals.failures)
        for family, change in self.failures.items():
            joined = _joined(failures.pop(family, None), *change)
            if joined is not None:
                failures[family] = joined
        used = [at for at in (vitals.last_used, self.last_used) if at is not None]
        changed = replace(vitals, tokens=tokens, tokens_at=now, last_used=max(used, default=None), failures=failures)
        return changed if self.health == 0.0 else replace(changed, health=health, health_at=now)


def _joined(theirs: Failures | None, before: Failures | None, after: Failures | None) -> Failures | None:
    """Return the failures in a row of both sides; whose row ended last is not known, so theirs goes on if it moved."""
    if theirs == before:
        return after
    if theirs is None or after is None:
        return theirs
    more = after.count - (0 if before is None else before.count)
    return Failures(theirs.count + max(0, more), max(theirs.at, after.at))
