"""LiteLLM's exceptions as refusals: how requests to other providers ended."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, Final

import litellm

from litellm_antigravity.refusals import Refusal, connection_refusal, parse_refusal, timeout_refusal

_REPORTED: Final = "_litellm_antigravity_reported"


def refusal_of(error: object, provider: str) -> Refusal | None:
    """Return what an exception of LiteLLM says about the account; ``None`` when it is none that upstream caused.

    LiteLLM keeps upstream's body inside the message and its headers in ``response`` or ``litellm_response_headers``.
    """
    if isinstance(error, litellm.Timeout):
        return timeout_refusal(f"{provider} was expected to answer")
    status = getattr(error, "status_code", None)
    if isinstance(error, litellm.APIConnectionError) or not isinstance(status, int):
        return connection_refusal(type(error).__name__, host=provider) if isinstance(error, Exception) else None
    return parse_refusal(status, _headers(error), _body(error), now=time.time())


def first_report(error: object) -> bool:
    """Return whether this failure is seen for the first time: LiteLLM tells of one in several ways."""
    if getattr(error, _REPORTED, False):
        return False
    try:
        setattr(error, _REPORTED, True)
    except AttributeError:
        return True
    return True


def _headers(error: object) -> dict[str, str]:
    found: dict[str, str] = {}
    response = getattr(error, "response", None)
    for headers in (
        getattr(response, "headers", None),
        getattr(error, "litellm_response_headers", None),
        getattr(error, "headers", None),
    ):
        if isinstance(headers, Mapping):
            found.update({str(name).lower(): str(value) for name, value in headers.items()})
    return found


def _body(error: object) -> bytes:
    """Return upstream's JSON, dug out of the message, or the message as upstream's words."""
    message = str(getattr(error, "message", None) or error)
    start = message.find("{")
    while start != -1:
        try:
            document, _ = json.JSONDecoder().raw_decode(message, start)
        except (ValueError, RecursionError):
            start = message.find("{", start + 1)
            continue
        if isinstance(document, dict) and "error" in document:
            return json.dumps(document).encode()
        break
    words: dict[str, Any] = {"error": {"message": message}}
    return json.dumps(words).encode()
