"""What Claude and GPT-OSS models need: upstream serves them in Gemini's shape, but they are not Gemini."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from litellm_antigravity.litellm.target import Target
from litellm_antigravity.litellm.translation.histories import with_unique_ids
from litellm_antigravity.litellm.translation.messages import on_text
from litellm_antigravity.litellm.translation.parameters import fit_limits, fit_sampling, settle_thinking
from litellm_antigravity.litellm.translation.provenance import MADE_UP
from litellm_antigravity.litellm.translation.thoughts import (
    may_think,
    restored,
    without_last_thoughts,
    without_thoughts,
)
from litellm_antigravity.litellm.translation.tools import forces_a_tool

logger = logging.getLogger("litellm_antigravity")

_CONTINUE: Final = "Please continue."  # Anthropic takes no blank text; these are LiteLLM's words for it
_NOT_IN_IDS: Final = re.compile(r"[^A-Za-z0-9_-]")


def finish_request(body: dict[str, Any], aside: Sequence[Any], target: Target) -> None:
    """Make a translated request one for Claude or GPT-OSS, in place.

    Args:
        body: LiteLLM's translation.
        aside: the thoughts that `set_thoughts_aside` has returned.
        target: the model.
    """
    contents = _contents(body.get("contents", ()), aside, target)
    config = dict(body.pop("generationConfig", None) or {})
    settle_thinking(config, target, forced=forces_a_tool(body))
    if target.is_anthropic:
        contents = _thinking_or_not(contents, config, unasked=target.thinks_unasked)
    fit_limits(config, target)
    fit_sampling(config, target)
    if config:
        body["generationConfig"] = config
    body["contents"] = contents
    system = body.get("systemInstruction")
    if isinstance(system, Mapping):
        parts = _without_blanks(system.get("parts", []))
        body["systemInstruction"] = {**system, "parts": parts}
        if not parts:
            body.pop("systemInstruction")


def _contents(given: Sequence[dict[str, Any]], aside: Sequence[Any], target: Target) -> list[dict[str, Any]]:
    """Return the messages without what is blank; the user has the first word, and the last where it has to."""
    contents = []
    for content in given:
        parts = _without_blanks([one for part in content["parts"] for one in _parts(part, aside)])
        parts = without_last_thoughts(parts)
        if parts:
            contents.append({**content, "parts": parts})
    go_on = {"role": "user", "parts": [{"text": _CONTINUE}]}
    if not contents or contents[0]["role"] != "user":
        contents.insert(0, go_on)
    if contents[-1]["role"] != "user" and not target.takes_prefill:
        contents.append(go_on)
    return with_unique_ids(contents)


def _parts(part: dict[str, Any], aside: Sequence[Any]) -> list[dict[str, Any]]:
    if part.get("thought"):
        return restored(part, aside)
    kept = {name: value for name, value in part.items() if name != "mediaResolution"}
    # A text has no signature of its own: LiteLLM puts that of its message's thought there.
    if "text" in kept or kept.get("thoughtSignature") == MADE_UP:
        kept.pop("thoughtSignature", None)
    for name in ("functionCall", "functionResponse"):
        if isinstance(kept.get(name), Mapping) and "id" in kept[name]:
            kept[name] = {**kept[name], "id": _NOT_IN_IDS.sub("_", kept[name]["id"])}
    return [kept]


def _without_blanks(parts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return on_text(parts, lambda text: bool(text.strip()))


def _thinking_or_not(contents: list[dict[str, Any]], config: dict[str, Any], *, unasked: bool) -> list[dict[str, Any]]:
    """Return the contents with thoughts where Anthropic wants them; without them the model does not think this time.

    Better one answer without thinking than none: Anthropic rejects the request otherwise.

    Args:
        contents: the messages.
        config: the generation config; its thinking is taken out if it cannot be.
        unasked: whether the model may think without being asked to.
    """
    asked = "thinkingConfig" in config
    if asked and not may_think(contents):
        config.pop("thinkingConfig")
        logger.debug("The turn to go on with does not begin with a signed thought; the model does not think this time.")
        return without_thoughts(contents)
    return contents if asked or unasked else without_thoughts(contents)


__all__ = ["finish_request"]
