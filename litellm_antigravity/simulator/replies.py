"""What the simulated model says, whole or in chunks, in Gemini's shape (docs/upstream.md, "Hosts and paths")."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from litellm_antigravity.simulator.answers import Pace, to_json
from litellm_antigravity.simulator.signatures import signed

Part: TypeAlias = "Mapping[str, Any]"

_CHUNK_CHARACTERS: Final = 40
_MIN_CHUNKS: Final = 3


@dataclass(frozen=True, slots=True)
class Served:
    """A request that is going to be served.

    Attributes:
        email: the account that serves it.
        model: that it asks for.
        request: the Gemini request: contents, tools, generationConfig, ...
    """

    email: str
    model: str
    request: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ModelReply:
    """What the model says, for `Simulator.reply_with`.

    Attributes:
        parts: of the only candidate.
        finish_reason: of the only candidate; ``None`` for a reply that ends without one.
        usage: fields of ``usageMetadata`` to add to those that are counted, or to put in their place.
        about: more fields of the only candidate, such as ``groundingMetadata``; in a stream they come with its end.
        counted: whether it has ``usageMetadata``; upstream's errors that come as a model's text have none.
        pace: how long it takes; the simulator's own latency when ``None``.
    """

    parts: Sequence[Part]
    finish_reason: str | None = "STOP"
    usage: Mapping[str, Any] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    counted: bool = True
    pace: Pace | None = None


Said: TypeAlias = "str | Sequence[Part] | ModelReply"
Script: TypeAlias = "Said | Callable[[Served], Said]"


def reply_to(served: Served, script: Script | None) -> ModelReply:
    """Return what the model says.

    Args:
        served: the request.
        script: what it is to say, or a function of the request. Without one it calls a tool if the last message
            says ``call <tool name>`` (arguments as a JSON object may follow), signed as upstream signs calls, and else
            names itself and the account.
    """
    if script is None:
        return _default_reply(served)
    said = script(served) if callable(script) else script
    if isinstance(said, ModelReply):
        return said
    return ModelReply([{"text": said}] if isinstance(said, str) else said)


def whole_reply(served: Served, reply: ModelReply, reply_id: str) -> dict[str, Any]:
    """Return the Gemini reply of a request that does not stream."""
    return _reply(served, reply_id, reply.parts, reply, _usage(served, reply))


def reply_chunks(served: Served, reply: ModelReply, reply_id: str) -> list[dict[str, Any]]:
    """Return the Gemini replies of a stream: texts in three pieces or more, each with what has been counted so far.

    The Gemini API has ``usageMetadata`` in every event: of the prompt, of the candidates so far, and their sum.
    """
    if not reply.counted:  # upstream's own words come at once
        return [whole_reply(served, reply, reply_id)]
    pieces = [piece for part in reply.parts for piece in _pieces(part)]
    usage = _usage(served, reply)
    chunks = [
        _reply(served, reply_id, [piece], usage=_so_far(usage, number / len(pieces)))
        for number, piece in enumerate(pieces[:-1], start=1)
    ]
    chunks.append(_reply(served, reply_id, pieces[-1:], reply, usage))
    return chunks


def envelope(reply: Mapping[str, Any], trace_id: str) -> dict[str, Any]:
    """Return a Gemini reply as Cloud Code wraps it."""
    return {"response": reply, "traceId": trace_id}


def event(value: Mapping[str, Any]) -> bytes:
    """Return a server-sent event."""
    return b"data: " + to_json(value) + b"\r\n\r\n"


def _reply(
    served: Served,
    reply_id: str,
    parts: Sequence[Part],
    ends: ModelReply | None = None,
    usage: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if ends is not None:
        finish = {} if ends.finish_reason is None else {"finishReason": ends.finish_reason}
        candidate |= {**finish, **ends.about}
    reply: dict[str, Any] = {"candidates": [candidate], "modelVersion": served.model, "responseId": reply_id}
    if usage:
        reply["usageMetadata"] = usage
    return reply


def _pieces(part: Part) -> Iterator[Part]:
    """Cut a part's text; a signature stays with the last piece, as upstream sends it."""
    text = part.get("text")
    if not isinstance(text, str) or len(text) < 2:
        yield part
        return
    rest = {key: value for key, value in part.items() if key not in ("text", "thoughtSignature")}
    count = min(len(text), max(_MIN_CHUNKS, -(-len(text) // _CHUNK_CHARACTERS)))
    bounds = [len(text) * number // count for number in range(count + 1)]
    for number in range(count):
        piece = {**rest, "text": text[bounds[number] : bounds[number + 1]]}
        if number == count - 1 and "thoughtSignature" in part:
            piece["thoughtSignature"] = part["thoughtSignature"]
        yield piece


def _default_reply(served: Served) -> ModelReply:
    call = _asked_call(served.request)
    if call is not None:
        return ModelReply(signed(served.model, [{"functionCall": call}]))
    return ModelReply([{"text": f"Served by {served.email} with {served.model}."}])


def _asked_call(request: Mapping[str, Any]) -> dict[str, Any] | None:
    names = [
        declaration["name"] for tool in request.get("tools", ()) for declaration in tool.get("functionDeclarations", ())
    ]
    last = request["contents"][-1]
    if not names or last.get("role", "user") != "user":
        return None
    text = " ".join(part["text"] for part in last["parts"] if "text" in part)
    for name in sorted(names, key=len, reverse=True):  # the longest first: one name may begin another
        found = re.search(rf"\bcall {re.escape(name)}(?![\w.:-]*\w)\s*", text)
        if found:
            return {"name": name, "args": _arguments(text[found.end() :])}
    return None


def _arguments(text: str) -> dict[str, Any]:
    try:
        value, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


# Tokens are counted at four characters each: deterministic, and near enough for whoever looks at it.


def _tokens(value: Any) -> int:
    if isinstance(value, str):
        return -(-len(value) // 4)
    if isinstance(value, Mapping):
        return sum(_tokens(item) for item in value.values())
    if isinstance(value, (list, tuple)):
        return sum(_tokens(item) for item in value)
    return 1


def _usage(served: Served, reply: ModelReply) -> dict[str, Any]:
    if not reply.counted:
        return {}
    prompt = _tokens(served.request["contents"]) + _tokens(served.request.get("systemInstruction", ""))
    thoughts = sum(_tokens(part.get("text", "")) for part in reply.parts if part.get("thought"))
    said = sum(
        _tokens({key: value for key, value in part.items() if key != "thoughtSignature"})
        for part in reply.parts
        if not part.get("thought")
    )
    usage: dict[str, Any] = {"promptTokenCount": prompt, "candidatesTokenCount": said}
    if not reply.parts:
        usage.pop("candidatesTokenCount")
    if thoughts:
        usage["thoughtsTokenCount"] = thoughts
    usage |= {name: count for name, count in reply.usage.items() if name != "totalTokenCount"}
    counted = ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount")
    usage["totalTokenCount"] = reply.usage.get("totalTokenCount", sum(usage.get(name, 0) for name in counted))
    return usage


def _so_far(usage: Mapping[str, Any], share: float) -> dict[str, Any]:
    if not usage:
        return {}
    prompt, said = usage["promptTokenCount"], int(usage.get("candidatesTokenCount", 0) * share)
    return {"promptTokenCount": prompt, "candidatesTokenCount": said, "totalTokenCount": prompt + said}
