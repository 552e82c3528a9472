"""Until when work may wait for others: said by whoever serves a request, asked by whatever waits for the shared state.

It holds for what is called in the same thread, so that nothing in between has to hand it on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_ENDS: Final[ContextVar[float]] = ContextVar("litellm_antigravity_ends", default=math.inf)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Let what is called inside wait for the shared state no longer than this; then `StateBusyError` is raised there.

    Args:
        seconds: from now; ``math.inf`` for as long as it takes, 0 or less for not at all.
    """
    before = _ENDS.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _ENDS.reset(before)


def seconds_left() -> float:
    """Return how long the caller may wait; ``math.inf`` where nobody has set an end."""
    ends = _ENDS.get()
    return ends if ends == math.inf else ends - time.monotonic()


__all__ = ["seconds_left", "time_limit"]
