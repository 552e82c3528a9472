"""How long an account may be silent before another one has its turn within the same request. Pure; time passed in.

A silent account (it accepts the connection and never answers) would otherwise take the whole time-out of every
request that meets it. To leave it too early is worse: upstream would compute a reply twice, and a request that was
only slow would fail. Hence what `turn_seconds` does:

* The only account that is left gets all that is left.
* Without experience a whole reply, whose first byte comes when it is finished, gets half of what is left; a stream,
  whose first byte comes with its first content, gets an equal part, as if there were `MOST_OTHERS` others at most.
* With experience (`FirstBytes`: the slowest of what this model took lately) it gets a multiple of that, never less
  than a least part of what is left and never more than without experience.
* Each time that a request was left by one account, the next gets twice as much: a slow request is not passed on and on.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Final, NamedTuple

MOST_OTHERS: Final = 4
LEAST_SECONDS: Final = 10.0
"""Nobody is left sooner, where the time-out has so much for everybody."""

STREAM_FACTOR: Final = 4.0
WHOLE_FACTOR: Final = 8.0
STREAM_LEAST_PART: Final = 1 / 20
WHOLE_LEAST_PART: Final = 1 / 10

_ENOUGH: Final = 3
_KEPT: Final = 32
_KEPT_SECONDS: Final = 1800.0
_MOST_KINDS: Final = 256  # names of models come from requests


class RequestKind(NamedTuple):
    """What decides how long upstream takes: the model, whether it is streamed, and whether the model thinks first."""

    model: str
    stream: bool
    thinks: bool


def turn_seconds(*, left: float, others: int, stream: bool, slowest: float | None, left_before: int = 0) -> float:
    """Return how many seconds an account may take until its first byte.

    Args:
        left: seconds that the request may still take.
        others: how many other accounts could take over.
        stream: whether the reply is streamed.
        slowest: the longest that requests of this kind took lately, in seconds; ``None`` without experience.
        left_before: how many accounts the request has left for their silence already.
    """
    if others <= 0:
        return left
    most = left / (1 + min(others, MOST_OTHERS)) if stream else left / 2
    if slowest is None:
        return most
    least = max(left * (STREAM_LEAST_PART if stream else WHOLE_LEAST_PART), min(LEAST_SECONDS, left / (1 + others)))
    usual = slowest * (STREAM_FACTOR if stream else WHOLE_FACTOR)
    return min(most, max(least, usual) * 2.0**left_before)


class FirstBytes:
    """How long upstream took lately, by kind of request: this process's own experience. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[RequestKind, deque[tuple[float, float]]] = {}

    def note(self, kind: RequestKind, seconds: float, now: float) -> None:
        """Note how long a request took until its first content.

        Args:
            kind: what was asked for.
            seconds: that it took.
            now: monotonic seconds.
        """
        with self._lock:
            if kind not in self._known and len(self._known) >= _MOST_KINDS:
                del self._known[next(iter(self._known))]
            self._known.setdefault(kind, deque(maxlen=_KEPT)).append((now, seconds))

    def slowest(self, kind: RequestKind, now: float) -> float | None:
        """Return the longest that requests of this kind took lately; ``None`` when there were too few of them."""
        with self._lock:
            recent = [seconds for at, seconds in self._known.get(kind, ()) if now - at <= _KEPT_SECONDS]
        return max(recent) if len(recent) >= _ENOUGH else None
