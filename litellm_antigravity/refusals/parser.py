"""Classifies what upstream refuses (docs/failover.md). Reasons beat status codes; status codes beat texts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from litellm_antigravity.refusals.body import (
    NOT_JSON,
    ErrorBody,
    decode,
    error_in,
    text_of,
)
from litellm_antigravity.refusals.durations import first_delay, text_delay
from litellm_antigravity.refusals.kinds import RefusalKind
from litellm_antigravity.refusals.messages import clean, clean_name, https_url
from litellm_antigravity.refusals.refusal import Refusal

# The graver first: it decides when a body has several (docs/upstream.md, "Error bodies").
_BY_REASON: Final = {
    "TOS_VIOLATION": RefusalKind.BANNED,
    "VALIDATION_REQUIRED": RefusalKind.VERIFICATION,
    "QUOTA_EXHAUSTED": RefusalKind.QUOTA,
    "INSUFFICIENT_G1_CREDITS_BALANCE": RefusalKind.QUOTA,
    "MODEL_CAPACITY_EXHAUSTED": RefusalKind.CAPACITY,
    "RATE_LIMIT_EXCEEDED": RefusalKind.RATE,
}

_BY_STATUS: Final = {
    401: RefusalKind.AUTH,
    403: RefusalKind.NOT_AVAILABLE,
    404: RefusalKind.NOT_AVAILABLE,
    408: RefusalKind.TRANSPORT,
    503: RefusalKind.CAPACITY,
    529: RefusalKind.CAPACITY,
}

# Texts only tell apart what a status leaves open, so that words from a request, repeated in a 400, decide nothing.
_BY_TEXT: Final = {
    401: ((re.compile(r"\binvalid_grant\b"), RefusalKind.REVOKED),),
    403: (
        (
            re.compile(
                r"(?:disabled|suspended).{0,100}violation of (?:[\w'\u2019]+ ){0,3}terms of service", re.IGNORECASE
            ),
            RefusalKind.BANNED,
        ),
        (re.compile(r"verify your account|verification required", re.IGNORECASE), RefusalKind.VERIFICATION),
    ),
    429: (
        (re.compile(r"no capacity available", re.IGNORECASE), RefusalKind.CAPACITY),
        (
            re.compile(r"individual quota reached|exhausted your capacity on this model", re.IGNORECASE),
            RefusalKind.QUOTA,
        ),
        (re.compile(r"per[ -]?minute|\brate[ -]?limit", re.IGNORECASE), RefusalKind.RATE),
    ),
}

# google.rpc.Code, for an error inside a 200 that has a name and no number.
_HTTP_STATUS: Final = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "DATA_LOSS": 500,
    "UNKNOWN": 500,
    "INTERNAL": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


def parse_refusal(status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> Refusal:
    """Classify a response that is not a reply. Never raises, whatever the body.

    Args:
        status: the HTTP status.
        headers: the response's; their names in any case.
        body: JSON, HTML, plain text or nothing.
        now: the wall time in epoch seconds, for reset times.
    """
    lowered = {str(name).lower(): str(value) for name, value in headers.items()}
    decoded = decode(body)
    error = error_in(decoded)
    if error is not None:
        return refusal_from(error, status, lowered, now)
    unworded = refusal_from(ErrorBody(), status, lowered, now)
    if decoded is not NOT_JSON or not body.strip():
        return unworded
    # Not upstream's own words but those of something in between: only the status says anything.
    message = not_json_message(lowered.get("content-type", ""), status, text_of(body))
    kind = RefusalKind.BROKEN_REPLY if status == 404 else unworded.kind  # the wrong address, not the wrong model
    return replace(unworded, kind=kind, message=message)


def refusal_from(error: ErrorBody, status: int, headers: Mapping[str, str], now: float) -> Refusal:
    """Classify an error.

    Args:
        error: what the body says.
        status: the HTTP status; unless it is an error, the one inside the body counts.
        headers: the response's, with lower-case names.
        now: the wall time in epoch seconds.
    """
    if not 400 <= status <= 599:
        status = error.code or _HTTP_STATUS.get(error.grpc_status or "", status)
    delay = first_delay(
        retry_delays=error.retry_delays,
        reset_delays=error.named("quotaResetDelay"),
        reset_times=error.named("quotaResetTimeStamp"),
        headers=headers,
        message=error.message,
        now=now,
    )
    kind = _kind(error, status, delay)
    urls = map(https_url, error.named(kind.meaning.page))
    return Refusal(
        kind=kind,
        status=status,
        message=error.message or _nothing_said(status, headers),
        reason=_telling(error.reasons),
        retry_after=delay,
        url=next((url for url in urls if url is not None), None),
        model=next((name for name in map(clean_name, error.named("model")) if name is not None), None),
        grpc_status=error.grpc_status,
    )


def not_json_message(content_type: str, status: int, title: str = "") -> str:
    """Return what to tell people whose endpoint answers something else than JSON."""
    what = clean(content_type.partition(";")[0])[:100] or "a body without a content type"
    if what == "application/json" or what.endswith("+json"):
        return f"upstream answered {status} with a body that is not valid JSON"
    titled = f' ("{title}")' if title else ""
    return f"upstream answered {status} with {what}, not JSON{titled}; is `endpoint` right, or is a proxy in between?"


def _kind(error: ErrorBody, status: int, delay: float | None) -> RefusalKind:
    reason = _telling(error.reasons)
    if "invalid_grant" in _words(error):
        return RefusalKind.REVOKED
    if reason in _BY_REASON:
        return _BY_REASON[reason]
    if status == 429:
        return _kind_of_429(error, delay)
    return _by_text(status, error.message) or _by_status(status)


def _kind_of_429(error: ErrorBody, delay: float | None) -> RefusalKind:
    """Tell apart the four things that are called 429 (docs/upstream.md, "Lessons of other pools")."""
    for period, kind in (("PerDay", RefusalKind.QUOTA), ("PerMinute", RefusalKind.RATE)):
        if any(period in name for name in error.quota_ids):
            return kind
    told = _by_text(429, error.message)
    if told is not None:
        return told
    resets = (
        text_delay(error.message) is not None or error.named("quotaResetDelay") or error.named("quotaResetTimeStamp")
    )
    if resets and "quota" in error.message.lower():
        return RefusalKind.QUOTA
    bare = delay is None and not error.reasons and not error.quota_ids and not error.metadata
    return RefusalKind.REFUSED_REQUEST if bare else RefusalKind.RATE


def _by_text(status: int, message: str) -> RefusalKind | None:
    return next((kind for pattern, kind in _BY_TEXT.get(status, ()) if pattern.search(message)), None)


def _by_status(status: int) -> RefusalKind:
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if 400 <= status <= 499:
        return RefusalKind.CALLER
    return RefusalKind.TRANSPORT if 500 <= status <= 599 else RefusalKind.BROKEN_REPLY


def _telling(reasons: tuple[str, ...]) -> str | None:
    """Return the reason that decides: a known one, the gravest first; else the first."""
    return next((known for known in _BY_REASON if known in reasons), reasons[0] if reasons else None)


def _words(error: ErrorBody) -> set[str]:
    """Return the words that stand where a code stands; what the message begins with is one when a colon follows."""
    head = error.message.partition(":")[0]
    return {word.strip().lower() for word in (error.word or "", error.grpc_status or "", head, *error.reasons)}


def _nothing_said(status: int, headers: Mapping[str, str]) -> str:
    if 300 <= status <= 399:
        try:
            host = urlsplit(headers.get("location", "")).hostname
        except ValueError:
            host = None
        where = f" to {host[:100]}" if host else ""
        return f"upstream answered {status}, a redirect{where} that is not followed; is `endpoint` right?"
    return f"upstream answered {status} without a message"
