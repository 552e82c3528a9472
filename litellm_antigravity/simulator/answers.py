"""What the simulator does with a request; the server only carries it out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias


def to_json(value: Any) -> bytes:
    """Return ``value`` as compact JSON in UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds that an answer of its own takes: until it begins, and between its chunks."""

    first: float = 0.0
    per_chunk: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP answer.

    Attributes:
        kind: what it is, for the request log.
        status: of HTTP.
        body: its bytes.
        content_type: of the body.
        headers: more headers.
        pace: of this answer; the simulator's when ``None``.
    """

    kind: str
    status: int
    body: bytes
    content_type: str = "application/json; charset=UTF-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    pace: Pace | None = None

    @classmethod
    def of_json(
        cls,
        kind: str,
        status: int,
        value: Any,
        headers: Mapping[str, str] | None = None,
        *,
        pace: Pace | None = None,
    ) -> Answer:
        """Return an answer with a JSON body."""
        return cls(kind, status, to_json(value), headers=headers or {}, pace=pace)


@dataclass(frozen=True, slots=True)
class Stream:
    """Server-sent events.

    Attributes:
        kind: what it is, for the request log.
        events: in order, each one whole.
        ending: ``end`` as HTTP has it; ``drop`` the connection instead; or ``hang`` until the client goes.
        pace: of this stream; the simulator's when ``None``.
    """

    kind: str
    events: tuple[bytes, ...]
    ending: Literal["end", "drop", "hang"] = "end"
    status: int = 200
    pace: Pace | None = None


@dataclass(frozen=True, slots=True)
class Silence:
    """No answer at all.

    Attributes:
        kind: what it is, for the request log.
        ending: ``drop`` the connection at once, or ``hang`` until the client goes.
    """

    kind: str
    ending: Literal["drop", "hang"]
    status: int = 0
    pace: None = None


Action: TypeAlias = "Answer | Stream | Silence"
