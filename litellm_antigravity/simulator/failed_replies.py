"""Replies with status 200 that are of no use, as the Gemini API makes them, and calls in pieces."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from litellm_antigravity.simulator import bodies
from litellm_antigravity.simulator.replies import ModelReply, Part
from litellm_antigravity.simulator.signatures import signed

OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "malformed-function-call": {"after_words": False, "after_thoughts": False},
    "unexpected-tool-call": {"after_words": False, "after_thoughts": False},
    "empty-stop": {},
    "thoughts-only": {},
    "version-unsupported": {},
    "error-as-text": {"message": bodies.VERSION_OUT_OF_DATE},
    "partial-args": {"complete": True},
    "no-finish-reason": {},
}
"""The options of each kind, and their defaults."""

STREAMS_ONLY: Final = frozenset({"partial-args", "no-finish-reason"})

_WORDS: Final[Part] = {"text": "Let me look that up for you."}
_THOUGHT: Final[Part] = {"text": "The user wants me to look something up.", "thought": True}
_PIECE: Final = 8  # characters of a string, per piece of a call


def failed_reply(kind: str, options: Mapping[str, Any], model: str, reply: ModelReply) -> ModelReply:
    """Return what the model says instead of a reply.

    Args:
        kind: one of `OPTIONS`.
        options: of the fault.
        model: that is asked.
        reply: that it would have given.
    """
    make: dict[str, Callable[[], ModelReply]] = {
        "malformed-function-call": lambda: _cut_off(model, "MALFORMED_FUNCTION_CALL", options),
        "unexpected-tool-call": lambda: _cut_off(model, "UNEXPECTED_TOOL_CALL", options),
        "empty-stop": lambda: ModelReply([]),
        "thoughts-only": lambda: ModelReply(signed(model, [_THOUGHT])),
        "version-unsupported": lambda: ModelReply([{"text": bodies.VERSION_UNSUPPORTED}], counted=False),
        "error-as-text": lambda: ModelReply([{"text": options["message"]}], counted=False),
        "partial-args": lambda: replace(
            reply, parts=[piece for part in reply.parts for piece in _in_pieces(part, complete=options["complete"])]
        ),
        "no-finish-reason": lambda: replace(reply, finish_reason=None),
    }
    return make[kind]()


def _cut_off(model: str, reason: str, options: Mapping[str, Any]) -> ModelReply:
    parts = [*([_THOUGHT] if options["after_thoughts"] else []), *([_WORDS] if options["after_words"] else [])]
    said = "Malformed function call: print(default_api.look_up(" if reason == "MALFORMED_FUNCTION_CALL" else ""
    return ModelReply(signed(model, parts), reason, about={"finishMessage": said} if said else {})


def _in_pieces(part: Part, *, complete: bool) -> Iterator[Part]:
    """Yield a call as Vertex AI streams its arguments: name, values by path, end."""
    call = part.get("functionCall")
    if call is None:
        yield part
        return
    about = {name: value for name, value in call.items() if name != "args"}
    yield {**part, "functionCall": {**about, "willContinue": True}}
    for path, value in _leaves(call.get("args") or {}, "$"):
        for piece in _values(path, value):
            yield {"functionCall": {"partialArgs": [piece], "willContinue": True}}
    if complete:
        yield {"functionCall": {}}


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            plain = name.isidentifier()
            yield from _leaves(inner, f"{path}.{name}" if plain else f"{path}[{json.dumps(name)}]")
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{index}]")
    elif path != "$":
        yield path, value


def _values(path: str, value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, str):
        pieces = [value[start : start + _PIECE] for start in range(0, len(value), _PIECE)] or [""]
        for number, piece in enumerate(pieces, start=1):
            yield {"jsonPath": path, "stringValue": piece, **({"willContinue": True} if number < len(pieces) else {})}
    elif isinstance(value, bool):
        yield {"jsonPath": path, "boolValue": value}
    elif value is None:
        yield {"jsonPath": path, "nullValue": "NULL_VALUE"}
    else:
        yield {"jsonPath": path, "numberValue": value}


__all__ = ["OPTIONS", "STREAMS_ONLY", "failed_reply"]
