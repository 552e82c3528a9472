"""OpenAI messages, made ready for LiteLLM's converter, which fails on some that callers do send."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel

from litellm_antigravity.litellm.errors import bad_request
from litellm_antigravity.litellm.target import Target
from litellm_antigravity.litellm.translation.tool_names import ToolNames

Message = dict[str, Any]

_ROLES: Final = ("system", "user", "assistant", "tool", "function")


def prepare_messages(messages: Sequence[Any], target: Target, names: ToolNames) -> list[Message]:
    """Return copies of the messages that LiteLLM's converter understands.

    Names of tools become upstream's, results of tools get the name of their call, arguments become an object, and
    developer messages system messages.

    Raises:
        litellm.BadRequestError: for an unknown role, and for a result without its call.
    """
    prepared = [_as_dict(message, target) for message in messages]
    called: dict[str, str] = {}
    for index, message in enumerate(prepared):
        role = message["role"] = "system" if message.get("role") == "developer" else message.get("role")
        if role not in _ROLES:
            raise _bad_request(f"messages[{index}].role is {role!r}; it must be one of {', '.join(_ROLES)}.", target)
        if role == "assistant":
            _prepare_calls(message, names, called)
        elif role in ("tool", "function"):
            _name_result(message, index, names, called, target)
    return prepared


def _as_dict(message: Any, target: Target) -> Message:
    if isinstance(message, BaseModel):
        return message.model_dump(exclude_none=True)
    if isinstance(message, Mapping):
        return copy.deepcopy(dict(message))
    raise _bad_request(f"A message must be an object, not {type(message).__name__}.", target)


def _prepare_calls(message: Message, names: ToolNames, called: dict[str, str]) -> None:
    calls = [call for call in message.get("tool_calls") or () if isinstance(call, dict)]
    functions = [(call.get("id"), call.get("function")) for call in calls]
    functions.append((None, message.get("function_call")))
    for call_id, function in functions:
        if not isinstance(function, dict):
            continue
        function["name"] = names.upstream(str(function.get("name") or ""))
        function["arguments"] = _arguments(function.get("arguments"))
        if isinstance(call_id, str):
            called[call_id] = function["name"]


def _arguments(given: Any) -> str:
    """Return arguments as the JSON of an object, as upstream wants them; what is none goes in whole."""
    if isinstance(given, Mapping):
        return json.dumps(given, ensure_ascii=False)
    text = given if isinstance(given, str) else ""
    if not text.strip():
        return "{}"
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return json.dumps({"arguments": text}, ensure_ascii=False)
    if isinstance(value, dict):
        return text
    return "{}" if value is None else json.dumps({"arguments": value}, ensure_ascii=False)


def _name_result(message: Message, index: int, names: ToolNames, called: Mapping[str, str], target: Target) -> None:
    call_id = message.get("tool_call_id")
    if isinstance(call_id, str) and call_id in called:
        message["name"] = called[call_id]
    elif message.get("name"):
        message["name"] = names.upstream(str(message["name"]))
    else:
        msg = f"messages[{index}] is the result of a tool call ({call_id!r}) that no message before it makes."
        raise _bad_request(msg, target)


def _bad_request(message: str, target: Target) -> Exception:
    return bad_request(message, target.model)


def on_text(parts: Sequence[dict[str, Any]], keep: Callable[[str], bool]) -> list[dict[str, Any]]:
    """Return the parts without those whose text is not to be kept; thoughts stay."""
    return [part for part in parts if "text" not in part or part.get("thought") or keep(part["text"])]


__all__ = ["on_text", "prepare_messages"]
