"""A refusal: one upstream error, classified."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from litellm_antigravity.refusals.words import clean


class RefusalKind(str, Enum):
    """The classes of DESIGN, section 7; the values are the words that people read in ``status`` and messages."""

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
    FAILED_REPLY = "failed reply"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An upstream error, classified. Picklable; holds no secret.

    Attributes:
        kind: its class.
        status: the HTTP status; the one inside the body when the response itself had none that is an error.
        message: upstream's words on one line, at most 1000 characters, without control characters and tokens.
        reason: ``reason`` of ``google.rpc.ErrorInfo``.
        retry_after: seconds from when it was parsed; ``None`` when upstream gave no hint.
        url: what the user has to open (``validation_url``, ``appeal_url``); https only.
        model: upstream's name of the model that the refusal is about.
        grpc_status: the name of the gRPC code, such as ``RESOURCE_EXHAUSTED``.
    """

    kind: RefusalKind
    status: int
    message: str
    reason: str | None = None
    retry_after: float | None = None
    url: str | None = None
    model: str | None = None
    grpc_status: str | None = None

    def __post_init__(self) -> None:
        # Here rather than in the parser: the message goes into logs, exceptions and the store whoever made it.
        object.__setattr__(self, "message", clean(self.message))
