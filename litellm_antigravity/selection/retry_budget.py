"""The retry budget: how many upstream requests beyond the first tries a host may send. Pure; time passed in.

A first try is always free. A retry takes tokens from a bucket that all processes of the host share and is not sent
when there are too few; what works gives tokens back. So an outage is asked once per request, however many processes
and accounts there are, and the failover from one bad account to a good one costs nothing in the end.

The formula is the retry quota of the AWS SDKs' standard retry mode (botocore, ``retries/standard.py`` and
``retries/quota.py``: 500 tokens; a retry takes 5, after a time-out 10; it gives them back when it succeeds; a success
at the first try gives 1). To it comes what Finagle's ``RetryBudget`` calls a minimum of retries per second, for hosts
with little traffic, that could not earn anything back for minutes: one token per second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_TOKENS: Final = 500.0
RETRY_COST: Final = 5.0
TIMEOUT_COST: Final = 10.0
SUCCESS_GAIN: Final = 1.0
TOKENS_PER_SECOND: Final = 1.0


@dataclass(frozen=True, slots=True)
class RetryBudget:
    """The bucket: ``tokens`` at the time ``at`` (epoch seconds). Every change returns a new value."""

    tokens: float = MAX_TOKENS
    at: float = 0.0

    def now(self, now: float) -> float:
        """Return the tokens at ``now``. A clock that goes back neither takes nor gives any."""
        return min(MAX_TOKENS, self.tokens + max(0.0, now - self.at) * TOKENS_PER_SECOND)

    def taken(self, cost: float, now: float) -> RetryBudget | None:
        """Return the bucket after a retry; ``None`` when there are too few tokens for one."""
        tokens = self.now(now)
        return None if tokens < cost else RetryBudget(tokens - cost, now)

    def given(self, gain: float, now: float) -> RetryBudget:
        """Return the bucket after a success; the very same object when it is full, and there is nothing to write."""
        tokens = self.now(now)
        return self if tokens >= MAX_TOKENS else RetryBudget(min(MAX_TOKENS, tokens + gain), now)
