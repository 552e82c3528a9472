"""Quotas: so many requests per account, family and window."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from litellm_antigravity.clock import Clock
from litellm_antigravity.models import FAMILIES, ModelFamily

FIVE_HOURS: Final = 5 * 3600.0
"""Seconds; the window of upstream's short quota (users have seen "5h" and "weekly")."""


@dataclass(slots=True)
class _Quota:
    """So many requests per window; a window begins with its first request."""

    requests: int
    window_seconds: float
    used: int = 0
    ends: float = 0.0

    def take(self, now: float) -> float | None:
        """Take one request; return ``None``, or the seconds to the reset when there is none left."""
        if now >= self.ends:
            self.used, self.ends = 0, now + self.window_seconds
        if self.used >= self.requests:
            return self.ends - now
        self.used += 1
        return None


class Quotas:
    """What the accounts have left; safe for any thread.

    Args:
        emails: of the accounts.
        clock: for windows and resets.
        requests: per account and family and window; ``None`` for no limit.
        window_seconds: how long a window is.
    """

    def __init__(self, emails: Iterable[str], *, clock: Clock, requests: int | None, window_seconds: float) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self._quotas: dict[tuple[str, ModelFamily], _Quota] = {}
        self._drained: dict[tuple[str, ModelFamily], float] = {}
        if requests is not None:
            for email, family in itertools.product(emails, FAMILIES):
                self._quotas[email, family] = _Quota(requests, window_seconds)

    def drain(self, email: str, family: ModelFamily | None, reset_seconds: float) -> None:
        """Let an account have no quota for ``reset_seconds``, in one family or in both."""
        with self._lock:
            for one in FAMILIES if family is None else (checked_family(family),):
                self._drained[email, one] = self._clock.time() + reset_seconds

    def set(self, email: str, family: ModelFamily, requests: int | None, window_seconds: float) -> None:
        """Give an account a fresh quota, or with ``None`` no limit."""
        with self._lock:
            if requests is None:
                self._quotas.pop((email, checked_family(family)), None)
            else:
                self._quotas[email, checked_family(family)] = _Quota(requests, window_seconds)

    def heal(self) -> None:
        """Let no pool be drained any more."""
        with self._lock:
            self._drained.clear()

    def left(self, email: str, family: ModelFamily, now: float) -> tuple[float, float | None]:
        """Return the part of a quota that is left, and when it is full again in epoch seconds; ``None`` when it is."""
        with self._lock:
            until = self._drained.get((email, family), now)
            if until > now:
                return 0.0, until
            quota = self._quotas.get((email, family))
            if quota is None or now >= quota.ends:
                return 1.0, None
            return 1.0 - quota.used / quota.requests if quota.requests else 0.0, quota.ends

    def take(self, email: str, family: ModelFamily, now: float) -> float | None:
        """Take one request of a quota; return the seconds to the reset when there is none left."""
        with self._lock:
            until = self._drained.get((email, family), now)
            if until > now:
                return until - now
            quota = self._quotas.get((email, family))
            return None if quota is None else quota.take(now)


def checked_family(family: ModelFamily) -> ModelFamily:
    """Return a family.

    Raises:
        ValueError: when there is no such family.
    """
    if family not in FAMILIES:
        msg = f"no such family: {family!r}; there are {', '.join(FAMILIES)}"
        raise ValueError(msg)
    return family
