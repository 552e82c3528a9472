"""Questions to Redis while a request waits: bounded in time, and not asked while it is known to be away."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from litellm_antigravity.clock import Clock
from litellm_antigravity.errors import AntigravityError

QUESTION_SECONDS: Final = 0.05
"""How long a request waits for Redis at most, unless somebody says otherwise."""

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 5.0

_T = TypeVar("_T")


class Breaker:
    """Whether Redis is left alone for now. Thread-safe.

    Args:
        clock: the source of time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open_until = -math.inf
        self._pause = _FIRST_PAUSE
        self.problem: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether nobody is to ask now."""
        return self._clock.monotonic() < self._open_until

    def failed(self, why: str) -> None:
        """Leave it alone for a while, longer each time."""
        if not self.is_open:
            self._open_until = self._clock.monotonic() + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        self.problem = why

    def worked(self) -> None:
        """Ask again as usual."""
        self._open_until, self._pause, self.problem = -math.inf, _FIRST_PAUSE, None


def answer_of(question: Callable[[], _T], breaker: Breaker, seconds: float, where: str) -> _T | None:
    """Return Redis's answer; ``None`` if there is none within the time that there is.

    Args:
        question: asks it, and may fail with an error of this package's.
        breaker: nothing is asked while it is open; it hears of what fails.
        seconds: that there are.
        where: the Redis is, for people.
    """
    if breaker.is_open:
        return None
    answers: list[_T] = []
    problems: list[str] = []

    def ask() -> None:
        try:
            answers.append(question())
        except AntigravityError as error:
            problems.append(str(error))

    # In a thread of its own: neither a name that is looked up nor a handshake keeps to a time-out.
    asking = threading.Thread(target=ask, name="antigravity-redis", daemon=True)
    try:
        asking.start()
    except RuntimeError:
        return None
    asking.join(seconds)
    if answers:
        return answers[0]
    breaker.failed(problems[0] if problems else f"the Redis at {where} is slow")
    return None


__all__ = ["QUESTION_SECONDS", "Breaker", "answer_of"]
