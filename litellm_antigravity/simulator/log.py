"""What the simulator was asked, and how it answered."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from litellm_antigravity.models import ModelFamily

TOKEN_PATH = "/token"  # noqa: S105 - a path, no secret


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request, logged when the simulator had decided what to do with it. No secret is in it.

    Attributes:
        at: epoch seconds of its arrival, by the simulator's clock.
        path: of the URL, without the query.
        email: whose credential it carried; ``None`` when that was not valid.
        model: that it asked for.
        family: of the model.
        status: of the answer; 0 when there is none (kinds ``hang`` and ``drop``).
        kind: ``served``, ``token``, ``project``, the kind of refusal, or why it was rejected.
        stream: whether it asked for a stream.
        in_flight: the model requests of this account that were under way when it arrived, itself included.
        body: decoded; of a form only what is no secret; ``None`` when it is no JSON.
        headers: names in lower case, without ``authorization`` and API keys.
        rule: the name of the rule that it broke, if any (kind ``invalid-request``).
    """

    at: float
    path: str
    email: str | None
    model: str | None
    family: ModelFamily | None
    status: int
    kind: str
    stream: bool
    in_flight: int
    body: Any
    headers: Mapping[str, str]
    rule: str | None = None


class RequestLog:
    """The newest requests, safe to read from any thread.

    Args:
        limit: how many are kept.
    """

    def __init__(self, limit: int) -> None:
        self._lock = threading.Lock()
        self._entries: deque[LoggedRequest] = deque(maxlen=limit)
        self._token_calls: Counter[str | None] = Counter()

    def add(self, entry: LoggedRequest) -> None:
        """Append one."""
        with self._lock:
            self._entries.append(entry)
            if entry.path == TOKEN_PATH:
                self._token_calls[entry.email] += 1

    def snapshot(self) -> list[LoggedRequest]:
        """Return all that are kept, oldest first."""
        with self._lock:
            return list(self._entries)

    def token_calls(self, email: str | None = None) -> int:
        """Return how often the token endpoint was called (for ``email``), since the start or the last `clear`."""
        with self._lock:
            return self._token_calls.total() if email is None else self._token_calls[email]

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._entries.clear()
            self._token_calls.clear()
