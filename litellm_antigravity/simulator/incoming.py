"""A request as it arrived, what is known of it, and what the server is to do with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from litellm_antigravity.simulator import bodies
from litellm_antigravity.simulator.answers import Action, Answer


@dataclass(frozen=True, slots=True)
class Incoming:
    """An HTTP request as it arrived.

    Attributes:
        method: in upper case.
        path: decoded, without the query.
        query: its parameters.
        headers: names in lower case.
        body: its bytes.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def media_type(self) -> str:
        """Of the body, in lower case, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def decoded(self) -> Any:
        """Return the JSON of the body; ``None`` when it is none."""
        try:
            return json.loads(self.body, parse_constant=_refuse)
        except (ValueError, RecursionError):
            return None


def _refuse(number: str) -> Any:
    """Turn away NaN and infinities, which Python's JSON has and the standard has not (RFC 8259, section 6)."""
    raise ValueError(number)


@dataclass(frozen=True, slots=True)
class Decision:
    """What the server is to do; it calls `Upstream.finished` when it is done.

    Attributes:
        action: the answer, if any.
        latency: seconds to wait before it.
        chunk_latency: seconds to wait before each further event of a stream.
        in_flight_for: the account whose request is under way.
    """

    action: Action
    latency: float = 0.0
    chunk_latency: float = 0.0
    in_flight_for: str | None = None


@dataclass(slots=True)
class Latency:
    """Seconds that things take. Refusals come at once unless told otherwise, as upstream's do."""

    served: float = 0.0
    per_chunk: float = 0.0
    refused: float = 0.0
    token: float = 0.0


@dataclass(slots=True)
class Facts:
    """What is known of a request by the time it is logged."""

    email: str | None = None
    model: str | None = None
    stream: bool = False
    body: Any = None
    counts: bool = False  # as a model request in flight
    rule: str | None = None  # that it breaks


def invalid(field: str, message: str) -> Answer:
    """Return the refusal of a malformed request."""
    return Answer.of_json("invalid-request", 400, bodies.invalid_argument(message, field or None))


def rejected_headers(incoming: Incoming) -> Answer | None:
    """Return the refusal of a request with wrong headers."""
    if not incoming.headers.get("user-agent", "").strip():
        return invalid("", "Missing header: User-Agent.")
    if incoming.media_type != "application/json":
        return invalid("", "The Content-Type must be application/json.")
    return None


def rejected_alt(incoming: Incoming, facts: Facts) -> Answer | None:
    """Return the refusal of a stream that is not asked for as events."""
    if facts.stream and incoming.query.get("alt") != "sse":
        return invalid("", "A stream must be asked for with alt=sse.")
    return None
