"""A refusal, classified."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum


class RefusalKind(str, Enum):
    """The classes of DESIGN, section 7. The values are what cooldowns and messages call them."""

    QUOTA = "quota"
    RATE = "rate"
    REFUSED_REQUEST = "refused request"
    CAPACITY = "capacity"
    TRANSPORT = "transport"
    AUTH = "auth"
    REVOKED = "revoked"
    VERIFICATION = "verification"
    BANNED = "banned"
    NOT_AVAILABLE = "not available"
    CALLER = "caller"
    BROKEN_REPLY = "broken reply"


@dataclass(frozen=True, slots=True)
class Refusal:
    """What upstream said, classified.

    Attributes:
        kind: its class.
        status: HTTP status; 408 for a time-out, 503 when there was no answer.
        message: upstream's words on one line, without anything that looks like a token.
        reason: ``ErrorInfo.reason``, upper case.
        retry_after: seconds, counted from when it was read; ``None`` when upstream gave no hint.
        url: what the user has to open: ``validation_url`` or ``appeal_url``.
        model: the model that upstream names.
        grpc_status: ``error.status``, such as ``RESOURCE_EXHAUSTED``.
    """

    kind: RefusalKind
    status: int
    message: str
    reason: str | None = None
    retry_after: float | None = None
    url: str | None = None
    model: str | None = None
    grpc_status: str | None = None


_MESSAGE_LIMIT = 1000
_TOKENS = re.compile(r"(ya29\.[\w.-]+|1//[\w-]+|(?i:bearer)\s+[\w.~+/=-]{8,}|eyJ[\w-]{10,}\.[\w.-]+)")


def one_line(text: str) -> str:
    """Return ``text`` on one line: white space normalised, control characters and tokens removed, not too long."""
    text = "".join(character if character.isprintable() else " " for character in text[: 4 * _MESSAGE_LIMIT])
    return _TOKENS.sub("[redacted]", " ".join(text.split()))[:_MESSAGE_LIMIT]
