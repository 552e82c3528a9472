"""Cloud Code's own language: paths, headers, the envelope around Gemini requests, and small questions to it.

Paths and bodies: docs/upstream.md, "Hosts and paths".
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Mapping
from typing import Any, Final

import httpx
from pydantic import SecretStr

from litellm_antigravity.clock import Clock
from litellm_antigravity.errors import RequestRefusedError
from litellm_antigravity.refusals import (
    connection_refusal,
    not_json_refusal,
    parse_refusal,
    timeout_refusal,
    unreadable_refusal,
)
from litellm_antigravity.settings import Settings
from litellm_antigravity.wire.asking import ask
from litellm_antigravity.wire.http import HttpClients
from litellm_antigravity.wire.reading import ENCODING, TooLongError

GENERATE = "/v1internal:generateContent"
STREAM = "/v1internal:streamGenerateContent?alt=sse"
LOAD_CODE_ASSIST = "/v1internal:loadCodeAssist"
FETCH_AVAILABLE_MODELS = "/v1internal:fetchAvailableModels"

_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def wrap(request: Mapping[str, Any], *, model: str, project: str, user_agent: str) -> bytes:
    """Return the body of a call.

    Args:
        request: the Gemini request: contents, generationConfig, tools, ...
        model: upstream's name of the model.
        project: the account's project.
        user_agent: who asks; the same as in the header.
    """
    envelope = {
        "project": project,
        "model": model,
        "request": request,
        "userAgent": user_agent,
        "requestId": str(uuid.uuid4()),
    }
    try:
        text = _ENCODER.encode(envelope)
    except ValueError:
        text = _ENCODER.encode(_with_odd_numbers_as_text(envelope))
    return text.encode("utf-8", "replace")


def _with_odd_numbers_as_text(value: Any) -> Any:
    """Return a value with NaN and infinities as texts, which is how protobuf's JSON writes them.

    Python's JSON has them (a tool's statistics, say); the standard does not (RFC 8259, section 6).
    """
    if isinstance(value, Mapping):
        return {name: _with_odd_numbers_as_text(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_odd_numbers_as_text(one) for one in value]
    return json.dumps(value) if isinstance(value, float) and not math.isfinite(value) else value


def headers(token: SecretStr, user_agent: str, *, stream: bool) -> dict[str, str]:
    """Return the headers of a call."""
    return {
        "authorization": f"Bearer {token.get_secret_value()}",
        "content-type": "application/json",
        "accept": "text/event-stream" if stream else "application/json",
        "accept-encoding": ENCODING,
        "user-agent": user_agent,
    }


def inner(reply: Mapping[str, Any]) -> dict[str, Any]:
    """Return the Gemini reply inside ``{"response": ..., "traceId": ...}``."""
    response = reply.get("response")
    return response if isinstance(response, dict) else {}


class CloudCode:
    """Asks Cloud Code what takes no quota.

    Args:
        settings: for the endpoint and for who asks.
        clients: for HTTP.
        clock: for reset times in refusals.
    """

    def __init__(self, settings: Settings, clients: HttpClients, clock: Clock) -> None:
        self._settings = settings
        self._clients = clients
        self._clock = clock

    def ask(
        self, path: str, body: Mapping[str, Any], token: SecretStr, *, timeout: float, account: str | None = None
    ) -> dict[str, Any]:
        """Return the JSON object that upstream answers.

        Args:
            path: below the endpoint.
            body: what is sent, as JSON.
            token: who asks.
            timeout: seconds for all of it.
            account: its label, for messages.

        Raises:
            RequestRefusedError: when upstream refuses, cannot be reached, or answers something else.
        """
        try:
            answer = ask(
                self._clients.sync(),
                f"{self._settings.endpoint}{path}",
                json=body,
                headers=headers(token, self._settings.user_agent, stream=False),
                timeout=timeout,
            )
        except httpx.TimeoutException:
            raise RequestRefusedError(timeout_refusal(f"{_method(path)} was asked for"), account=account) from None
        except (TooLongError, httpx.DecodingError):
            raise RequestRefusedError(unreadable_refusal(), account=account) from None
        except httpx.HTTPError as error:
            refusal = connection_refusal(error, host=httpx.URL(self._settings.endpoint).host)
            raise RequestRefusedError(refusal, account=account) from None
        if answer.status != 200:
            refusal = parse_refusal(answer.status, answer.headers, answer.content, now=self._clock.time())
            raise RequestRefusedError(refusal, account=account)
        try:
            fields = json.loads(answer.content)
        except (ValueError, RecursionError):
            fields = None
        if not isinstance(fields, dict):
            refusal = not_json_refusal(answer.headers.get("content-type", ""), 200)
            raise RequestRefusedError(refusal, account=account)
        return fields


def _method(path: str) -> str:
    return path.rpartition(":")[2]
