"""OpenAI messages, made ready for LiteLLM's converter, which fails on some that callers do send."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel

from litellm_antigravity.litellm.blocks import known_elements
from litellm_antigravity.litellm.errors import bad_request
from litellm_antigravity.litellm.target import Target
from litellm_antigravity.litellm.translation.histories import mark_twins, repair_history
from litellm_antigravity.litellm.translation.operator_notes import keep_in_place
from litellm_antigravity.litellm.translation.tool_names import ToolNames

Message = dict[str, Any]

_ROLES: Final = ("system", "user", "assistant", "tool", "function")
_THOUGHTS: Final = ("thinking", "redacted_thinking")


def prepare_messages(messages: Sequence[Any], target: Target, names: ToolNames) -> list[Message]:
    """Return copies of the messages that LiteLLM's converter understands, in an order that upstream accepts.

    Names of tools become upstream's, results of tools get the name of their call, arguments become an object,
    developer messages system messages, later ones of these notes (`keep_in_place`), and unknown elements text; for the
    order see `repair_history`.

    Raises:
        litellm.BadRequestError: for an unknown role.
    """
    prepared = [_as_dict(message, target) for message in messages]
    for index, message in enumerate(prepared):
        role = message["role"] = "system" if message.get("role") == "developer" else message.get("role")
        if role not in _ROLES:
            raise _bad_request(f"messages[{index}].role is {role!r}; it must be one of {', '.join(_ROLES)}.", target)
        if role == "assistant":
            _take_thoughts_out(message)
        if role == "system" and message.get("content") is None:
            message["content"] = ""  # LiteLLM reads it without looking whether there is one
        if "content" in message:
            message["content"] = known_elements(message["content"], role)
    repaired = keep_in_place(repair_history(prepared))
    for message in repaired:
        if message["role"] == "assistant":
            _prepare_calls(message, names)
            mark_twins(message)
        elif message["role"] == "tool":
            message["name"] = names.upstream(message["name"])
    return repaired


def _take_thoughts_out(message: Message) -> None:
    """Put thoughts among an assistant's words where LiteLLM has them, and pictures too; in place."""
    content = message.get("content")
    if not isinstance(content, list):
        return
    thoughts = [one for one in content if isinstance(one, Mapping) and one.get("type") in _THOUGHTS]
    if thoughts:
        message["content"] = [one for one in content if one not in thoughts]
        if not message.get("thinking_blocks"):
            message["thinking_blocks"] = thoughts


def _as_dict(message: Any, target: Target) -> Message:
    if isinstance(message, BaseModel):
        return message.model_dump(exclude_none=True)
    if isinstance(message, Mapping):
        # Most of a history is words, for which copying is slow.
        return {name: value if isinstance(value, str) else copy.deepcopy(value) for name, value in message.items()}
    raise _bad_request(f"A message must be an object, not {type(message).__name__}.", target)


def _prepare_calls(message: Message, names: ToolNames) -> None:
    for call in message.get("tool_calls") or ():
        function = call["function"]
        function["name"] = names.upstream(str(function.get("name") or ""))
        function["arguments"] = _arguments(function.get("arguments"))


def _arguments(given: Any) -> str:
    """Return arguments as the JSON of an object, as upstream wants them; what is none goes in whole."""
    if isinstance(given, Mapping):
        return json.dumps(given, ensure_ascii=False)
    if isinstance(given, str):
        if not given.strip():
            return "{}"
        try:
            value = json.loads(given)
        except (ValueError, RecursionError):
            return json.dumps({"arguments": given}, ensure_ascii=False)
        if isinstance(value, dict):
            return given
    else:
        value = given
    return "{}" if value is None else json.dumps({"arguments": value}, ensure_ascii=False, default=str)


def _bad_request(message: str, target: Target) -> Exception:
    return bad_request(message, target.model)


def on_text(parts: Sequence[dict[str, Any]], keep: Callable[[str], bool]) -> list[dict[str, Any]]:
    """Return the parts without those whose text is not to be kept; thoughts stay."""
    return [part for part in parts if "text" not in part or part.get("thought") or keep(part["text"])]


__all__ = ["on_text", "prepare_messages"]
