"""The envelope around Gemini requests and replies (UPSTREAM, F2)."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from litellm_antigravity.wire.reading import ENCODING

GENERATE = "/v1internal:generateContent"
STREAM = "/v1internal:streamGenerateContent?alt=sse"


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
    return json.dumps(envelope, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


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
