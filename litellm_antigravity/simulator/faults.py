"""Refusals on demand: one kind for every class of docs/design.md, "Refusals", and every way in which a reply breaks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

from litellm_antigravity.models import ModelFamily, canonical_model, family_of
from litellm_antigravity.simulator import bodies, failed_replies
from litellm_antigravity.simulator.answers import Action, Answer, Silence, Stream
from litellm_antigravity.simulator.replies import event

FaultKind: TypeAlias = Literal[
    "quota",
    "rate",
    "refused-request",
    "capacity",
    "server-error",
    "unauthorized",
    "verification",
    "banned",
    "banned-old-text",
    "not-available",
    "bad-request",
    "html",
    "html-error",
    "empty-candidates",
    "truncated-stream",
    "mid-stream-error",
    "hang",
    "drop",
    "version-unsupported",
    "malformed-function-call",
    "unexpected-tool-call",
    "empty-stop",
    "thoughts-only",
    "error-as-text",
    "partial-args",
    "no-finish-reason",
]
Target: TypeAlias = Literal["generate", "token", "project", "models", "consent", "userinfo"]

# The options of each kind and their defaults; `headers` is for all that answer with a body.
_OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "quota": {"reset_seconds": 600.0},
    "rate": {"retry_seconds": 30.0},
    "refused-request": {},
    "capacity": {"status": 503, "retry_seconds": 39.0},
    "server-error": {"status": 500},
    "unauthorized": {},
    "verification": {},
    "banned": {},
    "banned-old-text": {},
    "not-available": {"status": 404},
    "bad-request": {"message": "Request contains an invalid argument."},
    "html": {},
    "html-error": {"status": 502},
    "empty-candidates": {},
    "truncated-stream": {"after_chunks": 1, "abrupt": False},
    "mid-stream-error": {"after_chunks": 1, "status": 500},
    "hang": {"after_chunks": 0},
    "drop": {},
    **failed_replies.OPTIONS,
}
_WITHOUT_BODY: Final = (
    frozenset({"truncated-stream", "mid-stream-error", "hang", "drop"}) | failed_replies.OPTIONS.keys()
)
_STREAMS_ONLY: Final = frozenset({"truncated-stream", "mid-stream-error"}) | failed_replies.STREAMS_ONLY
_MODEL_REPLIES: Final = _STREAMS_ONLY | failed_replies.OPTIONS.keys() | {"empty-candidates"}


@dataclass(slots=True)
class Fault:
    """A refusal that waits for its requests.

    Attributes:
        kind: of refusal.
        options: see `Simulator.refuse`.
        target: which requests: for a model's reply, a token, a project, the list of models, consent, or userinfo.
        email: of the account; ``None`` for all.
        model: ``None`` for all.
        family: ``None`` for both.
        left: how many requests are still to be refused; ``None`` for all there will be.
    """

    kind: FaultKind
    options: Mapping[str, Any]
    target: Target = "generate"
    email: str | None = None
    model: str | None = None
    family: ModelFamily | None = None
    left: int | None = None

    def matches(self, target: Target, email: str | None, model: str | None, *, stream: bool) -> bool:
        """Return whether a request is one of those to be refused."""
        if self.target != target or self.left == 0 or (self.email is not None and self.email != email):
            return False
        if self.kind in _STREAMS_ONLY and not stream:
            return False
        if self.model is not None and (model is None or canonical_model(self.model) != canonical_model(model)):
            return False
        return self.family is None or (model is not None and family_of(model) == self.family)


def new_fault(
    kind: FaultKind,
    *,
    target: Target,
    email: str | None,
    model: str | None,
    family: ModelFamily | None,
    times: int | None,
    options: Mapping[str, Any],
) -> Fault:
    """Return a fault.

    Raises:
        ValueError: when there is no such kind or target, or when the kind has no such option.
    """
    if kind not in _OPTIONS:
        msg = f"no such kind of refusal: {kind!r}; there are {', '.join(sorted(_OPTIONS))}"
        raise ValueError(msg)
    if target not in get_args(Target) or (target != "generate" and kind in _MODEL_REPLIES):
        msg = f"kind {kind!r} is not for target {target!r}"
        raise ValueError(msg)
    known = {**_OPTIONS[kind], **({} if kind in _WITHOUT_BODY else {"headers": {}})}
    unknown = sorted(set(options) - set(known))
    if unknown:
        msg = f"kind {kind!r} has no option {unknown[0]!r}; it has {', '.join(sorted(known)) or 'none'}"
        raise ValueError(msg)
    if times is not None and times < 1:
        msg = f"times must be at least 1, or None for ever, not {times}"
        raise ValueError(msg)
    return Fault(kind, {**known, **options}, target, email, model, family, times)


def carry_out(
    fault: Fault,
    *,
    model: str,
    now: float,
    stream: bool,
    chunks: Callable[[], list[Mapping[str, Any]]],
    wrap: Callable[[Mapping[str, Any]], Mapping[str, Any]],
) -> Action:
    """Return what to do with a request that a fault is for.

    Args:
        fault: the fault.
        model: that is asked for.
        now: epoch seconds.
        stream: whether a stream is asked for.
        chunks: the chunks of the reply that would have been served.
        wrap: the envelope around a Gemini reply.
    """
    kind, options = fault.kind, fault.options
    if kind in _WITHOUT_BODY:
        return _broken(kind, options, stream=stream, chunks=chunks)
    headers = options["headers"]
    if kind == "html":
        return bodies.html(kind, 200)
    if kind == "html-error":
        return bodies.html(kind, options["status"])
    if kind == "empty-candidates":
        return _one_reply(kind, wrap({"candidates": [], "modelVersion": model}), headers, stream=stream)
    body = _error_body(kind, options, model, now)
    return Answer.of_json(kind, body["error"]["code"], body, headers)


def _one_reply(kind: str, reply: Mapping[str, Any], headers: Mapping[str, str], *, stream: bool) -> Action:
    return Stream(kind, (event(reply),)) if stream else Answer.of_json(kind, 200, reply, headers)


def _error_body(kind: str, options: Mapping[str, Any], model: str, now: float) -> dict[str, Any]:
    make: dict[str, Callable[[], dict[str, Any]]] = {
        "quota": lambda: bodies.quota(model, options["reset_seconds"], now),
        "rate": lambda: bodies.rate(model, options["retry_seconds"]),
        "refused-request": bodies.refused_request,
        "capacity": lambda: bodies.capacity(model, options["retry_seconds"], options["status"]),
        "server-error": lambda: bodies.server_error(options["status"]),
        "unauthorized": bodies.unauthenticated,
        "verification": bodies.verification,
        "banned": bodies.banned,
        "banned-old-text": bodies.banned_old_text,
        "not-available": lambda: bodies.not_available(options["status"]),
        "bad-request": lambda: bodies.invalid_argument(options["message"]),
    }
    return make[kind]()


def _broken(
    kind: str, options: Mapping[str, Any], *, stream: bool, chunks: Callable[[], list[Mapping[str, Any]]]
) -> Action:
    if kind == "drop":
        return Silence(kind, "drop")
    count = options["after_chunks"]
    if kind == "hang":
        if not stream or count == 0:
            return Silence(kind, "hang")
        return Stream(kind, _first(chunks(), count), "hang")
    if kind == "truncated-stream":
        return Stream(kind, _first(chunks(), count), "drop" if options["abrupt"] else "end")
    error = event(bodies.server_error(options["status"]))
    return Stream(kind, (*_first(chunks(), count), error))


def _first(chunks: list[Mapping[str, Any]], count: int) -> tuple[bytes, ...]:
    """Return the first ``count`` chunks, never the last one, which would end the reply."""
    return tuple(event(chunk) for chunk in chunks[:-1][:count])
