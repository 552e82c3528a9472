"""What Claude and GPT-OSS models need: upstream serves them in Gemini's shape, but they are not Gemini."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from litellm_antigravity.litellm.translation.messages import on_text
from litellm_antigravity.litellm.translation.signatures import SignedThoughts

MIN_THINKING_BUDGET: Final = 1024
"""Tokens; Anthropic's documentation of extended thinking."""

ADAPTIVE_BUDGET: Final = 8192
"""Tokens for ``thinking: {"type": "adaptive"}``, which leaves the amount to the model."""

ANSWER_TOKENS: Final = 16_384
"""Output tokens beside the thinking budget when the caller names no limit."""

_EFFORTS: Final = {"xhigh": 16_384, "max": 32_768}  # tokens; LiteLLM's Gemini rules end at `high`
_CONTINUE: Final = "Please continue."  # Anthropic takes no blank text; these are LiteLLM's words for it
_MADE_UP: Final = base64.b64encode(b"skip_thought_signature_validator").decode()  # LiteLLM's, for Gemini 3
_MARK: Final = "\x00thoughts-"
_NOT_IN_IDS: Final = re.compile(r"[^A-Za-z0-9_-]")


def prepare_params(params: dict[str, Any]) -> None:
    """Turn the ways to ask for thinking that Gemini has not into a budget, in place."""
    thinking = params.get("thinking")
    if isinstance(thinking, Mapping) and thinking.get("type") == "adaptive":
        params["thinking"] = {"type": "enabled", "budget_tokens": ADAPTIVE_BUDGET}
    effort = params.get("reasoning_effort")
    if isinstance(effort, Mapping):
        effort = effort.get("effort")
    if effort in _EFFORTS:
        params.pop("reasoning_effort")
        params.setdefault("thinking", {"type": "enabled", "budget_tokens": _EFFORTS[effort]})
    elif isinstance(thinking, Mapping) and effort is not None:
        params.pop("reasoning_effort")  # a budget says more than a level


def set_thoughts_aside(messages: Sequence[dict[str, Any]], remembered: SignedThoughts, *, thinks: bool) -> list[Any]:
    """Put marks in the place of the messages' thoughts; `restore` puts the signed ones back.

    LiteLLM sends thoughts without their signatures, which Claude rejects.

    Args:
        messages: prepared ones; changed.
        remembered: the thoughts of former replies, for histories that hold none.
        thinks: whether the model is to think now; else only what the history itself holds goes back.

    Returns:
        list: per mark, the blocks that it stands for.
    """
    aside: list[Any] = []
    for message in messages:
        if message["role"] != "assistant":
            continue
        message.pop("reasoning_content", None)
        blocks = _signed(message.pop("thinking_blocks", None))
        if not blocks and thinks:
            ids = [call.get("id") for call in message.get("tool_calls") or () if isinstance(call, dict)]
            blocks = remembered.recall(ids)
        if blocks:
            message["reasoning_content"] = f"{_MARK}{len(aside)}"
            aside.append(blocks)
    return aside


def _signed(blocks: Any) -> list[dict[str, str]]:
    return [
        {"thinking": str(block.get("thinking") or ""), "signature": block["signature"]}
        for block in (blocks if isinstance(blocks, list) else ())
        if isinstance(block, Mapping) and block.get("type") == "thinking"
        if isinstance(block.get("signature"), str) and block["signature"]
    ]


def finish_request(body: dict[str, Any], aside: Sequence[Any]) -> None:
    """Make a translated request one for Claude or GPT-OSS, in place."""
    contents = []
    for content in body.get("contents", ()):
        parts = _without_blanks([one for part in content["parts"] for one in _parts(part, aside)])
        if parts:
            contents.append({**content, "parts": parts})
    if not contents or contents[0]["role"] != "user":
        contents.insert(0, {"role": "user", "parts": [{"text": _CONTINUE}]})
    body["contents"] = contents
    system = body.get("systemInstruction")
    if isinstance(system, Mapping):
        parts = _without_blanks(system.get("parts", []))
        body["systemInstruction"] = {**system, "parts": parts}
        if not parts:
            body.pop("systemInstruction")
    config = body.get("generationConfig")
    if isinstance(config, dict):
        _fit_thinking(config)
        if not config:
            body.pop("generationConfig")


def _parts(part: dict[str, Any], aside: Sequence[Any]) -> list[dict[str, Any]]:
    text = part.get("text")
    if part.get("thought"):
        if not (isinstance(text, str) and text.startswith(_MARK)):
            return []
        blocks = aside[int(text.removeprefix(_MARK))]
        return [
            {"thought": True, "text": block["thinking"], "thoughtSignature": block["signature"]} for block in blocks
        ]
    kept = {name: value for name, value in part.items() if name != "thoughtSignature" or value != _MADE_UP}
    for name in ("functionCall", "functionResponse"):
        if isinstance(kept.get(name), Mapping) and "id" in kept[name]:
            kept[name] = {**kept[name], "id": _NOT_IN_IDS.sub("_", kept[name]["id"])}
    return [kept]


def _without_blanks(parts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return on_text(parts, lambda text: bool(text.strip()))


def _fit_thinking(config: dict[str, Any]) -> None:
    """Keep the thinking budget within what Anthropic allows, and the output limit above it."""
    thinking = config.get("thinkingConfig")
    if not isinstance(thinking, Mapping):
        return
    thinking = {name: value for name, value in thinking.items() if name != "thinkingLevel"}
    budget = thinking.get("thinkingBudget")
    if not thinking.get("includeThoughts") or budget == 0:
        config.pop("thinkingConfig")
        return
    if not isinstance(budget, int) or budget < 0:  # Gemini's -1: as much as the model likes
        budget = ADAPTIVE_BUDGET
    budget = max(budget, MIN_THINKING_BUDGET)
    limit = config.get("maxOutputTokens")
    if not isinstance(limit, int):
        config["maxOutputTokens"] = budget + ANSWER_TOKENS
    elif limit <= budget:
        config["maxOutputTokens"] = budget + max(limit, 1)
    config["thinkingConfig"] = {**thinking, "thinkingBudget": budget}


__all__ = [
    "ADAPTIVE_BUDGET",
    "ANSWER_TOKENS",
    "MIN_THINKING_BUDGET",
    "finish_request",
    "prepare_params",
    "set_thoughts_aside",
]
