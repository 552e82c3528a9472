"""Moments at which waiting ends, whatever has come until then. They travel with a request to its sockets."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

from litellm_antigravity.wire.limits import Limits, TimeLimits

if TYPE_CHECKING:
    from typing_extensions import Self

_ERROR_SECONDS: Final = 5.0
"""What comes of an error's body within this time has to do: its status is known, and another account may be asked."""

_LONGEST_SECONDS: Final = 30 * 86_400.0  # stands for "no limit": sockets take no infinity


class Deadline(float):
    """A time-out of httpx's that knows when it ends. Its sockets ask it before each wait, and it can be moved.

    A float, so that what knows nothing of deadlines takes it for a plain time-out.

    Args:
        seconds: from now on.
        each: seconds that a single wait may take.
    """

    __slots__ = ("_each", "_ends")

    def __new__(cls, seconds: float, each: float = math.inf) -> Self:
        """Make the float: what it is worth at the beginning."""
        return super().__new__(cls, min(seconds, each, _LONGEST_SECONDS))

    def __init__(self, seconds: float, each: float = math.inf) -> None:
        self._each = each
        self.restart(seconds)

    def restart(self, seconds: float) -> None:
        """End so many seconds from now."""
        self._ends = time.monotonic() + min(seconds, _LONGEST_SECONDS)

    @property
    def is_whole(self) -> bool:
        """Whether it is one over everything, rather than one for each wait."""
        return self._each == math.inf

    @property
    def over(self) -> bool:
        """Whether its moment has passed."""
        return self._ends <= time.monotonic()

    def left(self) -> float:
        """Return the seconds that the next wait may take; zero or less when it is over."""
        return min(self._each, self._ends - time.monotonic())


def seconds_left(timeout: float | None) -> float | None:
    """Return what a time-out means now: seconds, zero or less when it is over, ``None`` for no limit."""
    return timeout.left() if isinstance(timeout, Deadline) else timeout


class ExchangeTimes:
    """The deadlines of one exchange as it goes on: the headers, the first content, each further one.

    Args:
        limits: see `TimeLimits`. With a `httpx.Timeout` each wait has its own limit, and the whole has none.

    Attributes:
        extension: the request's time-outs, as httpx and httpcore have them.
        reading: the one that holds for what is to come.
        gap: seconds between two contents.
    """

    def __init__(self, limits: Limits) -> None:
        self._began = time.monotonic()
        self._answered = False
        if isinstance(limits, TimeLimits):
            self._total, self.gap = limits.total, limits.gap
            self._leaves_early = limits.first_byte < limits.total
            until_headers = min(limits.total, limits.first_byte)
            self.reading = Deadline(until_headers)
            connecting, writing = Deadline(min(limits.connect, until_headers)), self.reading
        else:
            self._total = self.gap = math.inf
            self._leaves_early = False
            each = [math.inf if phase is None else phase for phase in (limits.read, limits.connect, limits.write)]
            self.reading, connecting, writing = (Deadline(math.inf, each=seconds) for seconds in each)
        self.extension: dict[str, float | None] = {
            "connect": connecting,
            "read": self.reading,
            "write": writing,
            "pool": None,  # its size has no limit
        }

    @property
    def silent(self) -> bool:
        """Whether a time-out now means that the account leaves its turn, with time left for another one."""
        return self._leaves_early and not self._answered

    def answered(self, *, is_error: bool) -> None:
        """Wait for the body from now on, up to the first content: the headers are there."""
        self._answered = True
        left = self._total - (time.monotonic() - self._began)
        self.reading.restart(min(left, _ERROR_SECONDS) if is_error else left)
