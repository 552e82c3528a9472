"""Error bodies, as users have seen them (docs/upstream.md, "Error bodies"): in upstream's words, which parsers read."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, Final

from litellm_antigravity.simulator.answers import Answer

_TYPE: Final = "type.googleapis.com/google.rpc."
_DOMAIN: Final = "cloudcode-pa.googleapis.com"

# google.rpc.Code by HTTP status
_CODES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    529: "UNAVAILABLE",
}
_SERVER_ERRORS: Final = {
    500: "Internal error encountered.",
    502: "Bad gateway.",
    503: "The service is currently unavailable.",
    504: "Deadline expired before operation could complete.",
}
_HTML: Final = (
    b"<!DOCTYPE html><html><head><title>Error</title></head><body><h1>Not what you asked for</h1></body></html>"
)
_OLD_BAN: Final = (
    "Gemini has been disabled in this account for violation of Terms of\n\t\tService. "
    "If you believe this is an error, submit an appeal."
)
VERSION_OUT_OF_DATE: Final = (
    "Your current version of Antigravity is out of date. Please visit https://antigravity.google/download to update."
)
VERSION_UNSUPPORTED: Final = (
    "This version of Antigravity is no longer supported. Please update to receive the latest features."
)


def spell_go_duration(seconds: float) -> str:
    """Return a duration as Go prints it: ``71h15m27.791609974s``, ``1h0m0s``, ``39s``, ``290.979975ms``."""
    nanos = max(0, round(seconds * 1e9))
    if nanos == 0:
        return "0s"
    if nanos < 10**9:
        return f"{_decimal(nanos, 10**6)}ms"
    minutes, rest = divmod(nanos, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    spelled = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{spelled}{_decimal(rest, 10**9)}s"


def spell_duration_proto(seconds: float) -> str:
    """Return a duration in the JSON form of google.protobuf.Duration: ``256527.791609974s``."""
    return f"{_decimal(max(0, round(seconds * 1e9)), 10**9)}s"


def _decimal(number: int, unit: int) -> str:
    whole, rest = divmod(number, unit)
    if not rest:
        return str(whole)
    digits = len(str(unit)) - 1
    return f"{whole}.{rest:0{digits}d}".rstrip("0")


def google_error(status: int, message: str, details: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """Return a body in Google's error shape."""
    error: dict[str, Any] = {"code": status, "message": message, "status": _CODES.get(status, "UNKNOWN")}
    if details:
        error["details"] = list(details)
    return {"error": error}


def _error_info(reason: str, **metadata: str) -> dict[str, Any]:
    return {"@type": f"{_TYPE}ErrorInfo", "reason": reason, "domain": _DOMAIN, "metadata": metadata}


def _retry_info(seconds: float) -> dict[str, Any]:
    return {"@type": f"{_TYPE}RetryInfo", "retryDelay": spell_duration_proto(seconds)}


def quota(model: str, remaining: float | None, now: float) -> dict[str, Any]:
    """Return the refusal of a drained pool.

    Args:
        model: that was asked for.
        remaining: seconds to the reset; ``None`` for the text that names none.
        now: epoch seconds.
    """
    if remaining is None:
        message = "Individual quota reached. Please upgrade your subscription to increase your limits."
        return google_error(429, message, [_error_info("QUOTA_EXHAUSTED", uiMessage="true", model=model)])
    # Rounded up: what is before the reset would invite a request that is refused again. To hundredths only, although
    # upstream has nine digits: LiteLLM 1.108 takes an error for a 403 or a 500 that has these digits anywhere.
    remaining = math.ceil(remaining * 100) / 100
    stamp = datetime.fromtimestamp(math.ceil(now + remaining), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    info = _error_info(
        "QUOTA_EXHAUSTED",
        uiMessage="true",
        model=model,
        quotaResetDelay=spell_go_duration(remaining),
        quotaResetTimeStamp=stamp,
    )
    resets = spell_go_duration(math.floor(remaining) or 1)
    message = f"Individual quota reached. Contact your administrator to enable overages. Resets in {resets}."
    return google_error(429, message, [info, _retry_info(remaining)])


def rate(model: str, retry: float | None) -> dict[str, Any]:
    """Return the refusal of too many requests per minute; ``retry`` in seconds, ``None`` for no hint."""
    details = [_error_info("RATE_LIMIT_EXCEEDED", model=model)]
    if retry is not None:
        details.append(_retry_info(retry))
    return google_error(429, "Too many requests per minute for this model.", details)


def refused_request() -> dict[str, Any]:
    """Return the bare 429, which often is no quota at all."""
    return google_error(429, "Resource has been exhausted (e.g. check quota).")


def capacity(model: str, retry: float | None, status: int) -> dict[str, Any]:
    """Return the refusal of an overloaded model; ``retry`` in seconds, ``None`` for no hint."""
    details = [_error_info("MODEL_CAPACITY_EXHAUSTED", model=model)]
    if retry is not None:
        details.append(_retry_info(retry))
    return google_error(status, f"No capacity available for model {model} on the server", details)


def server_error(status: int) -> dict[str, Any]:
    """Return a 5xx."""
    return google_error(status, _SERVER_ERRORS.get(status, "Server error."))


def unauthenticated() -> dict[str, Any]:
    """Return the refusal of a token."""
    message = "Request had invalid authentication credentials: an OAuth 2 access token that is known and not expired."
    return google_error(401, message)


def verification() -> dict[str, Any]:
    """Return the refusal of an account whose owner has to act."""
    url = "https://accounts.google.com/signin/continue?sarp=1&scc=1"
    info = _error_info(
        "VALIDATION_REQUIRED",
        validation_error_message="Verify your account to continue.",
        validation_url_link_text="Verify your account",
        validation_url=url,
    )
    return google_error(403, "Verify your account to continue.", [info])


def banned() -> dict[str, Any]:
    """Return the refusal of a suspended account, in the newer form."""
    message = (
        "This service has been disabled in this account for violation of Terms of Service. "
        "Please submit an appeal to continue using this product."
    )
    info = _error_info(
        "TOS_VIOLATION",
        uiMessage="true",
        appeal_url_link_text="Submit an appeal",
        appeal_url="https://forms.example.com/appeal",
    )
    return google_error(403, message, [info])


def banned_old_text() -> dict[str, Any]:
    """Return the refusal of a suspended account, in the older form: no details, and white space within the text."""
    return google_error(403, _OLD_BAN)


def not_available(status: int) -> dict[str, Any]:
    """Return the refusal of a model that the account may not use: 404, or 403 without details."""
    if status == 404:
        return google_error(404, "Requested entity was not found.")
    return google_error(status, "The caller does not have permission")


def invalid_argument(message: str, field: str | None = None) -> dict[str, Any]:
    """Return the refusal of a malformed request; ``field`` is the path of what is wrong."""
    if field is None:
        return google_error(400, message)
    violation = {"@type": f"{_TYPE}BadRequest", "fieldViolations": [{"field": field, "description": message}]}
    return google_error(400, message, [violation])


def invalid_request(message: str, request_id: str) -> dict[str, Any]:
    """Return the refusal of a request by Anthropic's API, as upstream wraps it: its JSON is the message.

    Args:
        message: Anthropic's.
        request_id: of the request at Anthropic.
    """
    said = {"type": "error", "error": {"type": "invalid_request_error", "message": message}, "request_id": request_id}
    return google_error(400, json.dumps(said, separators=(",", ":")))


def quota_info(remaining: float, full_at: float | None) -> dict[str, Any]:
    """Return what ``fetchAvailableModels`` says of a model's quota (docs/upstream.md, "Hosts and paths").

    Args:
        remaining: the part that is left, from 0 to 1; upstream leaves out a 0.
        full_at: epoch seconds; ``None`` when it is full.
    """
    info: dict[str, Any] = {"remainingFraction": remaining} if remaining else {}
    if full_at is not None:
        info["resetTime"] = datetime.fromtimestamp(math.ceil(full_at), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return info


def html(kind: str, status: int) -> Answer:
    """Return a page, as a proxy in between would answer."""
    return Answer(kind, status, _HTML, "text/html; charset=utf-8")


def oauth_error(code: str, description: str) -> Answer:
    """Return a refusal of the token endpoint (RFC 6749, section 5.2)."""
    status = 401 if code == "invalid_client" else 400
    return Answer.of_json(code, status, {"error": code, "error_description": description})
