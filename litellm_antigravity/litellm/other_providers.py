"""LiteLLM's exceptions as refusals: how requests to other providers ended."""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

import litellm

from litellm_antigravity.errors import AllAccountsLimitedError
from litellm_antigravity.litellm.seams.proxy import make_rate_limit_error
from litellm_antigravity.refusals import Refusal, connection_refusal, parse_refusal, timeout_refusal


def refusal_of(error: object, provider: str) -> Refusal | None:
    """Return what an exception of LiteLLM says about the account; ``None`` when it is none that upstream caused.

    LiteLLM keeps upstream's body inside the message and its headers in ``response`` or ``litellm_response_headers``.
    """
    if isinstance(error, litellm.Timeout):
        return timeout_refusal(f"{provider} was expected to answer")
    status = getattr(error, "status_code", None)
    if isinstance(error, litellm.APIConnectionError) or not isinstance(status, int):
        return connection_refusal(type(error).__name__, host=provider) if isinstance(error, Exception) else None
    body = _body(error)
    # LiteLLM looks for a status in the text: to it a `retryDelay` of "32.403s" is a 403.
    code = body["error"].get("code") if isinstance(body["error"], dict) else None
    if isinstance(code, int) and 400 <= code < 600:
        status = code
    return parse_refusal(status, _headers(error), json.dumps(body).encode(), now=time.time())


_TOLD: Final = "litellm_antigravity_told"

_reported: deque[tuple[object, ...]] = deque(maxlen=256)


def first_report(error: object) -> bool:
    """Return whether this failure is seen for the first time: LiteLLM tells of one in several ways.

    One of them gives a copy of the exception. What copy and original share is the very tuple of their arguments.
    """
    arguments = getattr(error, "args", None)
    if not isinstance(arguments, tuple) or not arguments:
        return True
    if any(known is arguments for known in tuple(_reported)):
        return False
    _reported.append(arguments)
    return True


def give_up(error: Any, limits: AllAccountsLimitedError, retry_after: float | None) -> None:
    """Have the Router hand a rate limit to its caller at once, with who is limited and the time until one is free.

    It would otherwise sleep and ask again, though no account is left. What LiteLLM took for another error keeps its
    class, but tells clients of the proxy 429. Upstream's own words stay behind ours: they are about the last account.

    Args:
        error: LiteLLM's exception; changed.
        limits: why nobody is left.
        retry_after: seconds that its caller is told to wait.
    """
    error.num_retries = 0
    error.status_code = 429
    if not getattr(error, _TOLD, False):  # LiteLLM tells of one failure in several ways
        error.message = f"{limits} Upstream said: {getattr(error, 'message', error)}"
        setattr(error, _TOLD, True)
        make_rate_limit_error(error)
    if retry_after is not None:
        headers = {"retry-after": str(max(1, math.ceil(retry_after)))}
        error.headers = {**(getattr(error, "headers", None) or {}), **headers}
        if getattr(error, "response", None) is not None:
            error.response.headers.update(headers)


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


def _body(error: object) -> dict[str, Any]:
    """Return upstream's JSON, dug out of the message, or the message as upstream's words."""
    said = getattr(error, "message", None) or str(error)
    message = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    start = message.find("{")
    while start != -1:
        try:
            document, _ = json.JSONDecoder().raw_decode(message, start)
        except (ValueError, RecursionError):
            start = message.find("{", start + 1)
            continue
        if isinstance(document, dict) and "error" in document:
            return document
        break
    return {"error": {"message": message}}
