"""Error bodies as upstream writes them, and the short ways to make and parse them."""

from __future__ import annotations

import json
from typing import Any

from support import NOW

from litellm_antigravity.refusals import (
    Refusal,
    RefusalKind,
    parse_refusal,
)

K = RefusalKind
ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"
BARE = "Resource has been exhausted (e.g. check quota)."
BANNED_OLD = (
    "Gemini has been disabled in this account for violation of Terms of\n\t\tService. If you believe this is a mistake"
)
VALIDATION_URL = "https://accounts.google.com/signin/continue?sarp=1&continue=x"
APPEAL_URL = "https://forms.example.com/appeal?id=7"
UNSUPPORTED = "This version of Antigravity is no longer supported. Please update to receive the latest features!"


def info(reason: str | None, **metadata: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"@type": ERROR_INFO, "domain": "cloudcode-pa.googleapis.com", "metadata": metadata}
    return entry if reason is None else {**entry, "reason": reason}


def retry_info(delay: str) -> dict[str, Any]:
    return {"@type": RETRY_INFO, "retryDelay": delay}


def error(code: int, message: str, status: str, *details: object) -> dict[str, Any]:
    fields: dict[str, Any] = {"code": code, "message": message, "status": status}
    return {"error": {**fields, "details": list(details)} if details else fields}


def parse(status: int, body: object, **headers: str) -> Refusal:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return parse_refusal(status, named, body if isinstance(body, bytes) else json.dumps(body).encode(), now=NOW)


def exhausted(message: str, *details: object) -> dict[str, Any]:
    return error(429, message, "RESOURCE_EXHAUSTED", *details)


def denied(message: str, *details: object) -> dict[str, Any]:
    return error(403, message, "PERMISSION_DENIED", *details)


WEEKLY = exhausted(
    "Individual quota reached. Contact your administrator to enable overages. Resets in 71h15m27s.",
    info(
        "QUOTA_EXHAUSTED",
        uiMessage="true",
        model="gpt-oss-120b-medium",
        quotaResetDelay="71h15m27.791609974s",
        quotaResetTimeStamp="2026-05-27T16:32:54Z",
    ),
    retry_info("256527.791609974s"),
)
CAPACITY_MESSAGE = "No capacity available for model gemini-3-pro-low on the server"
CAPACITY = error(
    503, CAPACITY_MESSAGE, "UNAVAILABLE", info("MODEL_CAPACITY_EXHAUSTED", model="gemini-3-pro-low"), retry_info("39s")
)
VERIFICATION = denied(
    "Verify your account to continue.",
    info(
        "VALIDATION_REQUIRED",
        validation_error_message="Verify your account to continue.",
        validation_url_link_text="Verify",
        validation_url=VALIDATION_URL,
    ),
)
BANNED = denied(
    "This service has been disabled in this account for violation of Terms of Service. Please submit an appeal to "
    "continue using this product.",
    info("TOS_VIOLATION", uiMessage="true", appeal_url_link_text="Appeal", appeal_url=APPEAL_URL),
)
PER_DAY = {"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}
PER_MINUTE = {"violations": [{"quotaId": "GenerateContentInputTokensPerModelPerMinute-FreeTier"}]}


# What was sent, and what must come out: class, delay. Named after where the body is written down.
BODIES: dict[str, tuple[int, object, RefusalKind, float | None]] = {
    # docs/upstream.md, "Error bodies"
    "weekly quota": (429, WEEKLY, K.QUOTA, 256527.791609974),
    "quota, older text": (
        429,
        exhausted("You have exhausted your capacity on this model. Your quota will reset after 25h20m26s."),
        K.QUOTA,
        25 * 3600 + 20 * 60 + 26,
    ),
    "quota, newer text": (
        429,
        exhausted("Individual quota reached. Contact your administrator to enable overages. Resets in 160h20m10s."),
        K.QUOTA,
        160 * 3600 + 20 * 60 + 10,
    ),
    "quota, text without a reset": (
        429,
        exhausted("Individual quota reached. Please upgrade your subscription to increase your limits."),
        K.QUOTA,
        None,
    ),
    "capacity on a model, text without a reset": (
        429,
        exhausted("You have exhausted your capacity on this model."),
        K.QUOTA,
        None,
    ),
    "credits": (429, exhausted("Not enough credits.", info("INSUFFICIENT_G1_CREDITS_BALANCE")), K.QUOTA, None),
    "bare 429": (429, exhausted(BARE), K.REFUSED_REQUEST, None),
    "capacity 503": (503, CAPACITY, K.CAPACITY, 39.0),
    "capacity 503 without RetryInfo": (
        503,
        error(503, CAPACITY_MESSAGE, "UNAVAILABLE", info("MODEL_CAPACITY_EXHAUSTED")),
        K.CAPACITY,
        None,
    ),
    "capacity as 429": (
        429,
        exhausted(CAPACITY_MESSAGE, info("MODEL_CAPACITY_EXHAUSTED"), retry_info("39s")),
        K.CAPACITY,
        39.0,
    ),
    "capacity as 429, text only": (429, exhausted(CAPACITY_MESSAGE), K.CAPACITY, None),
    "per minute": (
        429,
        exhausted("Slow down.", info("RATE_LIMIT_EXCEEDED", quotaResetDelay="754.431528ms")),
        K.RATE,
        1.0,
    ),
    "529": (529, error(529, "Overloaded", "UNAVAILABLE"), K.CAPACITY, None),
    "verification": (403, VERIFICATION, K.VERIFICATION, None),
    "verification, text only": (403, denied("Verify your account to continue."), K.VERIFICATION, None),
    "verification, other text": (403, denied("Account verification required"), K.VERIFICATION, None),
    "banned": (403, BANNED, K.BANNED, None),
    "banned, old text": (403, denied(BANNED_OLD), K.BANNED, None),
    "401": (401, error(401, "Invalid bearer token", "UNAUTHENTICATED"), K.AUTH, None),
    "404": (404, error(404, "Requested entity was not found.", "NOT_FOUND"), K.NOT_AVAILABLE, None),
    "invalid_grant, as OAuth says it": (
        400,
        {"error": "invalid_grant", "error_description": "Token has been expired or revoked."},
        K.REVOKED,
        None,
    ),
    "invalid_grant, as Google APIs say it": (
        400,
        error(400, "invalid_grant: Bad Request", "INVALID_ARGUMENT"),
        K.REVOKED,
        None,
    ),
    "invalid_grant in a 401": (401, error(401, "Token refresh: invalid_grant", "UNAUTHENTICATED"), K.REVOKED, None),
    # docs/design.md, "Refusals", what is left of it
    "quota text with a reset": (429, exhausted("Weekly quota is used up; it resets in 5h."), K.QUOTA, 5 * 3600.0),
    "quota text with a reset in the details": (
        429,
        exhausted("Quota is used up.", info(None, quotaResetDelay="1h16m0.667s")),
        K.QUOTA,
        4560.667,
    ),
    "per-minute text": (429, exhausted("Too many requests per minute."), K.RATE, None),
    "per-minute text with quota and reset": (
        429,
        exhausted("Quota of requests per minute exceeded; resets in 20s."),
        K.RATE,
        20.0,
    ),
    "daily quota id": (429, exhausted("You exceeded it.", PER_DAY, retry_info("39s")), K.QUOTA, 39.0),
    "per-minute quota id": (429, exhausted("You exceeded it.", PER_MINUTE), K.RATE, None),
    "429 with a delay and no reason": (429, exhausted(BARE, retry_info("39s")), K.RATE, 39.0),
    "429 with an unknown reason": (429, exhausted("No.", info("SOMETHING_NEW")), K.RATE, None),
    "429 with nothing": (429, b"", K.REFUSED_REQUEST, None),
    "503 without details": (503, error(503, "Unavailable", "UNAVAILABLE"), K.CAPACITY, None),
    "500": (500, error(500, "Internal error", "INTERNAL"), K.TRANSPORT, None),
    "501": (501, b"", K.TRANSPORT, None),
    "502": (502, b"<html><title>Bad Gateway</title></html>", K.TRANSPORT, None),
    "504": (504, error(504, "Deadline exceeded", "DEADLINE_EXCEEDED"), K.TRANSPORT, None),
    "other 403": (403, denied("The caller does not have permission"), K.NOT_AVAILABLE, None),
    "400": (400, error(400, "Invalid value at 'contents[0].role'", "INVALID_ARGUMENT"), K.CALLER, None),
    "408": (408, b"", K.TRANSPORT, None),
    "409": (409, error(409, "Aborted", "ABORTED"), K.CALLER, None),
    "413": (413, b"too large", K.CALLER, None),
    "422": (422, error(422, "No", "INVALID_ARGUMENT"), K.CALLER, None),
    "redirect": (302, b"", K.BROKEN_REPLY, None),
    "a status that is none": (0, b"", K.BROKEN_REPLY, None),
    "204": (204, b"", K.BROKEN_REPLY, None),
}
