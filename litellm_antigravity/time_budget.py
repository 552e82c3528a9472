"""The time that a request may still take, and how much of it each part gets."""

from __future__ import annotations

import math
from collections.abc import Callable

import httpx

from litellm_antigravity.wire.limits import Limits, TimeLimits

CONNECT_SECONDS = 10.0
"""A connection that takes longer will not come; another account may have its turn within the request's time-out."""


class Budget:
    """The time that a request may still take."""

    def __init__(self, timeout: float | httpx.Timeout, monotonic: Callable[[], float]) -> None:
        self._timeout = timeout
        self._monotonic = monotonic
        self._ends = math.inf if isinstance(timeout, httpx.Timeout) else monotonic() + timeout

    @property
    def left(self) -> float:
        """Seconds left; ``math.inf`` when every attempt has a time-out of its own."""
        return self._ends - self._monotonic()

    @property
    def for_credentials(self) -> float:
        """Seconds that a token or a project may take, so that another account may have its turn after it."""
        return self.left / 2

    def for_attempt(self, first_byte: float = math.inf) -> Limits:
        """Return the limits of the next attempt.

        Args:
            first_byte: seconds after which its account leaves the turn to another one; see `TimeLimits`.
        """
        if isinstance(self._timeout, httpx.Timeout):
            return self._timeout
        return TimeLimits(max(self.left, 0.001), first_byte=first_byte, connect=CONNECT_SECONDS, gap=self._timeout)
