"""What Claude and GPT-OSS models need: upstream serves them in Gemini's shape, but they are not Gemini."""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from litellm_antigravity.litellm.target import Target
from litellm_antigravity.litellm.translation.messages import on_text
from litellm_antigravity.litellm.translation.thoughts import (
    may_think,
    restored,
    without_last_thoughts,
    without_thoughts,
)

logger = logging.getLogger("litellm_antigravity")

MIN_THINKING_BUDGET: Final = 1024
"""Tokens; Anthropic's documentation of extended thinking."""

ADAPTIVE_BUDGET: Final = 8192
"""Tokens for ``thinking: {"type": "adaptive"}``, which leaves the amount to the model."""

ANSWER_TOKENS: Final = 16_384
"""Output tokens beside the thinking budget when the caller names no limit."""

_EFFORTS: Final = {"xhigh": 16_384, "max": 32_768}  # tokens; LiteLLM's Gemini rules end at `high`
_CONTINUE: Final = "Please continue."  # Anthropic takes no blank text; these are LiteLLM's words for it
_MADE_UP: Final = base64.b64encode(b"skip_thought_signature_validator").decode()  # LiteLLM's, for Gemini 3
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


def finish_request(body: dict[str, Any], aside: Sequence[Any], target: Target) -> None:
    """Make a translated request one for Claude or GPT-OSS, in place.

    Args:
        body: LiteLLM's translation.
        aside: the thoughts that `set_thoughts_aside` has returned.
        target: the model.
    """
    contents = []
    for content in body.get("contents", ()):
        parts = _without_blanks([one for part in content["parts"] for one in _parts(part, aside)])
        parts = without_last_thoughts(parts)
        if parts:
            contents.append({**content, "parts": parts})
    if not contents or contents[0]["role"] != "user":
        contents.insert(0, {"role": "user", "parts": [{"text": _CONTINUE}]})
    config = body.get("generationConfig")
    if isinstance(config, dict):
        _settle_thinking(config)
    if target.is_anthropic:
        contents = _thinking_or_not(contents, config, unasked=target.thinks_unasked)
    if isinstance(config, dict):
        _fit_thinking(config)
        if not config:
            body.pop("generationConfig")
    body["contents"] = contents
    system = body.get("systemInstruction")
    if isinstance(system, Mapping):
        parts = _without_blanks(system.get("parts", []))
        body["systemInstruction"] = {**system, "parts": parts}
        if not parts:
            body.pop("systemInstruction")


def _parts(part: dict[str, Any], aside: Sequence[Any]) -> list[dict[str, Any]]:
    if part.get("thought"):
        return restored(part, aside)
    kept = {name: value for name, value in part.items() if name != "mediaResolution"}
    # A text has no signature of its own: LiteLLM puts that of its message's thought there.
    if "text" in kept or kept.get("thoughtSignature") == _MADE_UP:
        kept.pop("thoughtSignature", None)
    for name in ("functionCall", "functionResponse"):
        if isinstance(kept.get(name), Mapping) and "id" in kept[name]:
            kept[name] = {**kept[name], "id": _NOT_IN_IDS.sub("_", kept[name]["id"])}
    return [kept]


def _without_blanks(parts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return on_text(parts, lambda text: bool(text.strip()))


def _settle_thinking(config: dict[str, Any]) -> None:
    """Leave thinking out that is none, and the levels that only Gemini knows."""
    thinking = config.get("thinkingConfig")
    if not isinstance(thinking, Mapping) or not thinking.get("includeThoughts") or thinking.get("thinkingBudget") == 0:
        config.pop("thinkingConfig", None)
    else:
        config["thinkingConfig"] = {name: value for name, value in thinking.items() if name != "thinkingLevel"}


def _thinking_or_not(contents: list[dict[str, Any]], config: Any, *, unasked: bool) -> list[dict[str, Any]]:
    """Return the contents with thoughts where Anthropic wants them; without them the model does not think this time.

    Better one answer without thinking than none: Anthropic rejects the request otherwise.

    Args:
        contents: the messages.
        config: the generation config, if there is one; its thinking is taken out if it cannot be.
        unasked: whether the model may think without being asked to.
    """
    asked = isinstance(config, dict) and "thinkingConfig" in config
    if asked and not may_think(contents):
        config.pop("thinkingConfig")
        logger.debug("The turn to go on with does not begin with a signed thought; the model does not think this time.")
        return without_thoughts(contents)
    return contents if asked or unasked else without_thoughts(contents)


def _fit_thinking(config: dict[str, Any]) -> None:
    """Keep the thinking budget within what Anthropic allows, and the output limit above it."""
    thinking = config.get("thinkingConfig")
    if thinking is None:
        return
    budget = thinking.get("thinkingBudget")
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
]
