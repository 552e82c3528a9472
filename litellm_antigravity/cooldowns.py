"""Cooldowns and quota pools: the words that accounts, refusals, selection, the state and the command line share. Pure.

A quota pool is what upstream counts requests by: a model family (``claude``, ``gemini``) or one model of an account.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

MAX_COOLDOWN_SECONDS: Final = 31 * 24 * 3600.0
"""No quota window upstream is longer than a week; anything beyond a month is not a cooldown but a broken clock."""

CLOCK_TOLERANCE_SECONDS: Final = 300.0
"""What was written further in the future than this comes from a clock that was wrong."""

WHOLE_ACCOUNT: Final = "*"
"""The pool of a cooldown that benches an account altogether."""

ENDED: Final = "ended"
"""The reason on record when a cooldown was ended before its time."""

_MODEL: Final = "model:"
_LONGEST_BY_NAME_SECONDS: Final = 3600.0


def model_pool(model: str) -> str:
    """Return the pool of account x model for a canonical model name."""
    return f"{_MODEL}{model}"


@dataclass(frozen=True, slots=True)
class Cooldown:
    """An account's pool is not to be used until a moment in time.

    Attributes:
        account_id: whose.
        pool: a model family, ``model:<name>``, or ``*`` for the whole account.
        until: epoch seconds; ``math.inf`` until somebody acts.
        reason: one of the refusal kinds, or upstream's word from the accounts file.
        since: when it was recorded or last extended, in epoch seconds.
        fact: upstream said so, rather than this package inferring it.
        credential: fingerprint of the credential it is about; the cooldown lapses when the credential changes.
        url: what the user has to open to end it; in no ``repr``.
        message: upstream's own words, for ``status``.
    """

    account_id: str
    pool: str
    until: float
    reason: str
    since: float
    fact: bool = False
    credential: str | None = None
    url: str | None = field(default=None, repr=False)
    message: str | None = None

    def remaining(self, now: float) -> float:
        """Return the seconds left at ``now``; 0 when it is over.

        Never more than the cooldown's whole length, so that a clock that goes back cannot prolong it; one recorded
        well in the future is void, because the clock that wrote it was wrong.
        """
        return math.inf if math.isinf(self.until) else _left(self.since, self.until, now)

    @property
    def is_by_name(self) -> bool:
        """Whether it merely spares asking again for a model's name, which may be anybody's invention.

        Nothing is lost when it is forgotten, unlike with what upstream said, what is long, and what somebody ended.
        """
        short = self.until - self.since <= _LONGEST_BY_NAME_SECONDS
        return self.pool.startswith(_MODEL) and short and not self.fact and self.reason != ENDED

    def over(self, known: Cooldown | None) -> Cooldown:
        """Return what holds when this one is recorded over another: the later end, unless the credential is new."""
        if known is None or known.credential not in (None, self.credential):
            return self
        return known if known.remaining(self.since) >= self.remaining(self.since) else self

    def ended(self, now: float) -> Cooldown | None:
        """Return what is recorded when somebody ends it at ``now``; ``None`` when it is over already."""
        return Cooldown(self.account_id, self.pool, now, ENDED, now) if self.remaining(now) > 0 else None


@dataclass(frozen=True, slots=True)
class Capacity:
    """A model has no capacity for anybody until a moment in time (epoch seconds)."""

    model: str
    until: float
    since: float

    def remaining(self, now: float) -> float:
        """Return the seconds left at ``now``, bounded as `Cooldown.remaining` is."""
        return _left(self.since, self.until, now)


def _left(since: float, until: float, now: float) -> float:
    if since - now > CLOCK_TOLERANCE_SECONDS:
        return 0.0
    return max(0.0, min(until - now, until - since))


__all__ = [
    "CLOCK_TOLERANCE_SECONDS",
    "ENDED",
    "MAX_COOLDOWN_SECONDS",
    "WHOLE_ACCOUNT",
    "Capacity",
    "Cooldown",
    "model_pool",
]
