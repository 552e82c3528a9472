"""Conversations with Claude: thoughts with signatures, calls and results, and what LiteLLM makes of them."""

from __future__ import annotations

from typing import Any

from upstream_rules import THOUGHTS as THOUGHT_RULES
from upstream_rules import check_rules

from litellm_antigravity.litellm.translation import to_gemini
from litellm_antigravity.litellm.translation.signatures import SignedThoughts
from litellm_antigravity.simulator.validation import check_request

CLAUDE = "claude-sonnet-4-6"
HELLO = [{"role": "user", "content": "Hello"}]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
THINKING = {"type": "enabled", "budget_tokens": 4000}


class Logging:
    """What LiteLLM's parsers ask of its logging object."""

    def __init__(self) -> None:
        self.optional_params: dict[str, Any] = {}
        self.model_call_details: dict[str, Any] = {}

    def post_call(self, **_: Any) -> None:
        """Take no note."""


def request(messages: Any = HELLO, model: str = CLAUDE, thoughts: SignedThoughts | None = None, **params: Any) -> Any:
    body = to_gemini(model, messages, params, thoughts=thoughts or SignedThoughts())
    check_request(body, "request")
    check_rules(model, body, only=THOUGHT_RULES)
    return body


def call(call_id: str = "toolu_1", name: str = "weather") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": "{}"}}


def turns(**assistant: Any) -> list[dict[str, Any]]:
    calls = assistant.setdefault("tool_calls", [call()])
    results = [{"role": "tool", "tool_call_id": one["id"], "content": "grey"} for one in calls]
    return [*HELLO, {"role": "assistant", "content": None, **assistant}, *results]


# Thoughts

BLOCKS = [{"type": "thinking", "thinking": "Rain?", "signature": "c2ln"}]
SIGNED_PART = {"thought": True, "text": "Rain?", "thoughtSignature": "c2ln"}
