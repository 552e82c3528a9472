"""Requests in every form that a proxy takes."""

from __future__ import annotations

from typing import Any

import pytest
from serving import MESSAGES

MODEL = "claude-sonnet-4-6"


def body_for(path: str, model: str = MODEL, *, stream: bool = False) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model, "stream": stream}
    if path.endswith("/responses"):
        return {**body, "input": "Hello", "max_output_tokens": 50}
    return {**body, "messages": MESSAGES, "max_tokens": 50}


every_endpoint = pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
