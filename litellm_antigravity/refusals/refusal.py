"""A refusal: one upstream error, classified."""

from __future__ import annotations

from dataclasses import dataclass, field

from litellm_antigravity.redaction import HIDDEN
from litellm_antigravity.refusals.kinds import RefusalKind
from litellm_antigravity.refusals.messages import clean, https_url

ADDRESS = "(an address that `litellm-antigravity status` shows)"
"""What stands in a message in the place of a page to open."""

_MAX_NAME = 256  # as long as a model's name may be


@dataclass(frozen=True, slots=True)
class Refusal:
    """An upstream error, classified. Picklable; holds no secret that is known, whatever it was made of.

    Attributes:
        kind: its class.
        status: the HTTP status; the one inside the body when the response itself had none that is an error.
        message: upstream's words on one line, at most 1000 characters, without control characters and tokens.
        reason: ``reason`` of ``google.rpc.ErrorInfo``, or a word of ours where upstream has none.
        retry_after: seconds from when it was parsed; ``None`` when upstream gave no hint.
        url: what the user has to open (``validation_url``, ``appeal_url``); https only. For the accounts' owner alone:
            whoever has it may act for the account, so it is in no ``repr`` and, if the message repeats it, not there.
        model: upstream's name of the model that the refusal is about.
        grpc_status: the name of the gRPC code, such as ``RESOURCE_EXHAUSTED``.
        silent: whether the account's turn was over before anything had come, and the request's time was not.
    """

    kind: RefusalKind
    status: int
    message: str
    reason: str | None = None
    retry_after: float | None = None
    url: str | None = field(default=None, repr=False)
    model: str | None = None
    grpc_status: str | None = None
    silent: bool = False

    @property
    def is_about_signature(self) -> bool:
        """Whether the request holds a thought signature that upstream does not take.

        Seen: "Corrupted thought signature." (Gemini) and "Invalid `signature` in `thinking` block" (Claude).
        """
        return self.kind is RefusalKind.CALLER and self.status == 400 and "signature" in self.message.lower()

    @property
    def is_limit(self) -> bool:
        """Whether the account has had its share, and will be back."""
        return self.kind.meaning.is_limit

    def __post_init__(self) -> None:
        # Here rather than in the parser: it goes into logs, exceptions and the store whoever made it.
        url = https_url(self.url)
        message = self.message
        for spelling in () if self.url is None else (self.url, *_without_query(self.url)):
            message = message.replace(spelling, ADDRESS)
        object.__setattr__(self, "url", url)
        object.__setattr__(self, "message", clean(message))
        for name in ("reason", "model", "grpc_status"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, clean(value)[:_MAX_NAME])


def _without_query(url: str) -> tuple[str, str]:
    """Return an address as `clean` leaves it, and its beginning alone."""
    bare = url.partition("?")[0].partition("#")[0]
    return f"{bare}?{HIDDEN}", bare
