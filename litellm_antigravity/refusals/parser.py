"""Upstream's error -> `Refusal`. Reasons beat status codes; status codes beat texts (DESIGN, section 7).

Nothing here raises, whatever upstream, or something in between, sends.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from litellm_antigravity.refusals import durations
from litellm_antigravity.refusals.refusal import Refusal, RefusalKind, one_line

_MAX_BODY_BYTES: Final = 1_000_000

# ErrorInfo.reason, seen in UPSTREAM, F1. Most telling first, should there be several.
_KIND_OF_REASON: Final = {
    "TOS_VIOLATION": RefusalKind.BANNED,
    "VALIDATION_REQUIRED": RefusalKind.VERIFICATION,
    "QUOTA_EXHAUSTED": RefusalKind.QUOTA,
    "INSUFFICIENT_G1_CREDITS_BALANCE": RefusalKind.QUOTA,
    "RATE_LIMIT_EXCEEDED": RefusalKind.RATE,
    "MODEL_CAPACITY_EXHAUSTED": RefusalKind.CAPACITY,
}
_QUOTA_TEXT: Final = re.compile(
    r"individual quota reached|exhausted your capacity on this model|quota will reset", re.IGNORECASE
)
_RATE_TEXT: Final = re.compile(r"per[ -]minute|rate limit|requests? per|too many requests", re.IGNORECASE)
_VERIFY_TEXT: Final = re.compile(r"verify your account|verification required", re.IGNORECASE)
_BAN_TEXT: Final = re.compile(r"violation of (the )?terms of service", re.IGNORECASE)
_UNSUPPORTED_TEXT: Final = re.compile(r"^this version of .{0,40}is no longer supported", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Error:
    """An error body, taken apart."""

    code: int | None = None
    message: str = ""
    grpc_status: str | None = None
    invalid_grant: bool = False
    reasons: tuple[str, ...] = ()
    metadata: tuple[Mapping[str, Any], ...] = ()
    retry_delays: tuple[object, ...] = field(default=())


def parse_refusal(status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> Refusal:
    """Classify a reply that is not a success.

    Args:
        status: HTTP status.
        headers: of the reply; names in any case.
        body: of the reply; anything.
        now: epoch seconds, for reset times.
    """
    lowered = {str(name).lower(): str(value) for name, value in headers.items()}
    document = _decoded(body)
    if document is None:
        message = _without_json(status, lowered.get("content-type", ""), body)
        return _classified(status, _Error(message=message), lowered, now)
    return _classified(status, _taken_apart(document), lowered, now)


def refusal_in_reply(reply: object, *, now: float, whole: bool = True) -> Refusal | None:
    """Return the refusal in a reply that came with status 200; ``None`` for a good one.

    Args:
        reply: the decoded JSON: the envelope, not what is in it.
        now: epoch seconds, for reset times.
        whole: False for one event of a stream, which may lack candidates.
    """
    if isinstance(reply, list) and len(reply) == 1:
        reply = reply[0]
    if not isinstance(reply, Mapping):
        return _broken("upstream answered JSON that is no reply")
    if "error" in reply:
        error = _taken_apart(reply)
        return _classified(error.code or 500, error, {}, now)
    response = reply.get("response")
    if not isinstance(response, Mapping):
        return _broken('upstream answered JSON without a "response"')
    candidates = response.get("candidates")
    if not whole and candidates is None:
        return None
    if "promptFeedback" in response and not candidates:
        return None  # the prompt was blocked: an answer, and the caller's business
    if not isinstance(candidates, list) or not candidates or not isinstance(candidates[0], Mapping):
        return _broken("upstream answered without a candidate")
    if _UNSUPPORTED_TEXT.match(text := _text_of(candidates[0])):
        return _broken(f"upstream answered in place of the model: {one_line(text)}")
    return None


def connection_refusal(error: Exception | str, *, host: str) -> Refusal:
    """Return the refusal for a connection that failed or broke.

    Args:
        error: only its type is told, since its text may hold headers.
        host: whose.
    """
    what = error if isinstance(error, str) else type(error).__name__
    message = f"cannot reach {host} ({what}); is the endpoint right, and is the network up?"
    return Refusal(RefusalKind.TRANSPORT, 503, message)


def timeout_refusal(phase: str) -> Refusal:
    """Return the refusal for a time-out; ``phase`` says what was waited for."""
    return Refusal(RefusalKind.TRANSPORT, 408, f"timed out: {phase}")


def truncated_stream(events: int) -> Refusal:
    """Return the refusal for a stream that ended without a finish reason after some events."""
    return _broken(f"the stream ended early, after {events} event(s) and without a finish reason")


def not_json_refusal(content_type: str, status: int) -> Refusal:
    """Return the refusal for a reply that is no JSON."""
    kind = one_line(content_type)[:60] or "an unknown type"
    message = (
        f"upstream answered HTTP {status} with {kind} in place of a Gemini reply; "
        "is the endpoint right, or does a proxy answer in between?"
    )
    return _broken(message, status)


def _broken(message: str, status: int = 502) -> Refusal:
    return Refusal(RefusalKind.BROKEN_REPLY, 502 if status == 200 else status, message)


def _decoded(body: bytes) -> object | None:
    try:
        return json.loads(body[:_MAX_BODY_BYTES])  # type: ignore[no-any-return]
    except (ValueError, RecursionError):
        return None


def _without_json(status: int, content_type: str, body: bytes) -> str:
    kind = content_type.partition(";")[0].strip().lower()
    if kind.startswith("text/plain"):
        return one_line(body[:2000].decode("utf-8", "replace")) or f"HTTP {status}"
    if not body.strip():
        return f"HTTP {status} without a body"
    return f"HTTP {status} with {one_line(kind)[:60] or 'an unknown type'} in place of JSON"


def _taken_apart(document: object) -> _Error:
    if isinstance(document, list) and document:
        document = document[0]  # streaming routes wrap their errors in a list
    if not isinstance(document, Mapping):
        return _Error(message="an error without a message")
    error = document.get("error")
    if isinstance(error, str):  # RFC 6749, section 5.2
        description = document.get("error_description")
        spelled = f"{error}: {description}" if isinstance(description, str) else error
        return _Error(message=one_line(spelled), invalid_grant=error == "invalid_grant")
    if not isinstance(error, Mapping):
        error = document
    message = error.get("message")
    status = error.get("status")
    code = error.get("code")
    details = error.get("details")
    entries = [entry for entry in details if isinstance(entry, Mapping)] if isinstance(details, list) else []
    return _Error(
        code=code if isinstance(code, int) and 100 <= code <= 599 else None,
        message=one_line(message) if isinstance(message, str) else "an error without a message",
        grpc_status=one_line(status)[:60] if isinstance(status, str) else None,
        invalid_grant="invalid_grant" in (status, message),
        reasons=tuple(entry["reason"].upper() for entry in entries if isinstance(entry.get("reason"), str)),
        metadata=tuple(entry["metadata"] for entry in entries if isinstance(entry.get("metadata"), Mapping)),
        retry_delays=tuple(entry["retryDelay"] for entry in entries if "retryDelay" in entry),
    )


def _classified(status: int, error: _Error, headers: Mapping[str, str], now: float) -> Refusal:
    delay = next((found for found in _delays(error, headers, now) if found is not None), None)
    kind = _kind(status, error, delay)
    reason = next((one for one in _KIND_OF_REASON if one in error.reasons), next(iter(error.reasons), None))
    return Refusal(
        kind=kind,
        status=status,
        message=error.message or f"HTTP {status}",
        reason=None if reason is None else one_line(reason)[:100],
        retry_after=None if delay is None else durations.floored(delay),
        url=_url(kind, error),
        model=next((str(one["model"])[:200] for one in error.metadata if isinstance(one.get("model"), str)), None),
        grpc_status=error.grpc_status,
    )


def _delays(error: _Error, headers: Mapping[str, str], now: float) -> Iterator[float | None]:
    """Yield the hints in the order of DESIGN, section 7; ``None`` for each that is not there."""
    yield from (durations.parse_duration(delay) for delay in error.retry_delays)
    yield from (durations.parse_duration(one.get("quotaResetDelay")) for one in error.metadata)
    yield from (durations.until_timestamp(one.get("quotaResetTimeStamp"), now) for one in error.metadata)
    if "retry-after" in headers:
        yield durations.retry_after_header(headers["retry-after"], now)
    if "retry-after-ms" in headers:
        yield durations.milliseconds_header(headers["retry-after-ms"])
    yield durations.duration_in_text(error.message)


def _kind(status: int, error: _Error, delay: float | None) -> RefusalKind:
    for reason, kind in _KIND_OF_REASON.items():
        if reason in error.reasons:
            return kind
    if error.invalid_grant:
        return RefusalKind.REVOKED
    if status == 429:
        return _kind_of_429(error, delay)
    if status == 403:
        return _kind_of_403(error)
    if status in (503, 529):
        return RefusalKind.CAPACITY
    if status >= 500 or status == 408:
        return RefusalKind.TRANSPORT
    if status == 401:
        return RefusalKind.AUTH
    if status == 404:
        return RefusalKind.NOT_AVAILABLE
    return RefusalKind.CALLER if status >= 400 else RefusalKind.BROKEN_REPLY


def _kind_of_429(error: _Error, delay: float | None) -> RefusalKind:
    if _QUOTA_TEXT.search(error.message):
        return RefusalKind.QUOTA
    if _RATE_TEXT.search(error.message):
        return RefusalKind.RATE
    if delay is not None and "quota" in error.message.lower() and durations.duration_in_text(error.message):
        return RefusalKind.QUOTA
    if delay is not None or error.reasons:
        return RefusalKind.RATE
    return RefusalKind.REFUSED_REQUEST


def _kind_of_403(error: _Error) -> RefusalKind:
    if _BAN_TEXT.search(error.message):
        return RefusalKind.BANNED
    return RefusalKind.VERIFICATION if _VERIFY_TEXT.search(error.message) else RefusalKind.NOT_AVAILABLE


def _url(kind: RefusalKind, error: _Error) -> str | None:
    name = {RefusalKind.VERIFICATION: "validation_url", RefusalKind.BANNED: "appeal_url"}.get(kind)
    if name is None:
        return None
    for one in error.metadata:
        url = one.get(name)
        if isinstance(url, str) and url.startswith("https://") and len(url) <= 2000 and url.isprintable():
            return url
    return None


def _text_of(candidate: Mapping[str, Any]) -> str:
    content = candidate.get("content")
    parts = content.get("parts") if isinstance(content, Mapping) else None
    texts = [part.get("text") for part in parts if isinstance(part, Mapping)] if isinstance(parts, list) else []
    return "".join(text for text in texts if isinstance(text, str)).strip()
