"""Gemini replies, made ready for LiteLLM's parser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from litellm_antigravity.litellm.translation.tool_names import ToolNames
from litellm_antigravity.refusals.failed import FAILED_FINISHES

Json = dict[str, Any]

CUT_OFF: Final = "length"
"""The finish reason of a reply that has failed after its first words.

LiteLLM says "stop" for it, and makes "stop" of any word that it does not know. This one tells the clients of every
endpoint that the reply is not all there is (``max_tokens`` for Anthropic's, ``incomplete`` for OpenAI's responses).
Upstream's own reason is in ``provider_specific_fields``, where LiteLLM has it.
"""


def prepare_reply(reply: Mapping[str, Any], names: ToolNames, *, join_thoughts: bool = False) -> Json:
    """Return a reply with the caller's names of tools, and arguments in every call.

    Args:
        reply: what was inside the envelope; not changed.
        names: of the request's tools.
        join_thoughts: whether to make one part of the pieces of a thought up to its signature, as Claude's come.
    """
    candidates = reply.get("candidates")
    if not isinstance(candidates, list):
        return dict(reply)
    return {**reply, "candidates": [_candidate(one, names, join_thoughts=join_thoughts) for one in candidates]}


def parts_of(candidate: Any) -> list[Json]:
    """Return the parts of a candidate."""
    content = candidate.get("content") if isinstance(candidate, dict) else None
    parts = content.get("parts") if isinstance(content, dict) else None
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def failed_finish(candidate: Any) -> str | None:
    """Return the finish reason of a candidate that says that its reply has failed; ``None`` for any other end."""
    reason = candidate.get("finishReason") if isinstance(candidate, Mapping) else None
    return reason if isinstance(reason, str) and reason in FAILED_FINISHES else None


def one_kind_each(reply: Mapping[str, Any]) -> Iterator[Json]:
    """Yield a streamed reply in pieces that hold one thought, its signature, text or calls, in their order.

    LiteLLM's chunks have one field for each kind, which would lose the order; and of a thought with a signature its
    ``/v1/messages`` passes on only the signature. What ends the reply, and what it counts, comes with the last piece.
    """
    candidates = reply.get("candidates")
    if not isinstance(candidates, list) or len(candidates) != 1 or not isinstance(candidates[0], Mapping):
        yield dict(reply)
        return
    candidate = candidates[0]
    runs: list[list[Json]] = []
    for part in (one for whole in parts_of(candidate) for one in _signature_apart(whole)):
        if runs and _kind(runs[-1][-1]) == _kind(part) != "thought":
            runs[-1].append(part)
        else:
            runs.append([part])
    if len(runs) < 2:
        yield dict(reply)
        return
    about = {name: reply[name] for name in ("responseId", "modelVersion") if name in reply}
    for run in runs[:-1]:
        piece = {"content": {**candidate["content"], "parts": run}, "index": candidate.get("index", 0)}
        yield {**about, "candidates": [piece]}
    yield {**reply, "candidates": [{**candidate, "content": {**candidate["content"], "parts": runs[-1]}}]}


def _kind(part: Mapping[str, Any]) -> str:
    if part.get("thought"):
        return "thought"
    return "call" if "functionCall" in part else "text"


def _signature_apart(part: Json) -> list[Json]:
    if not (part.get("thought") and part.get("text") and part.get("thoughtSignature")):
        return [part]
    return [{name: value for name, value in part.items() if name != "thoughtSignature"}, {**part, "text": ""}]


def _candidate(candidate: Any, names: ToolNames, *, join_thoughts: bool) -> Any:
    parts = parts_of(candidate)
    if not parts:
        return candidate
    if join_thoughts:
        parts = _joined(parts)
    return {**candidate, "content": {**candidate["content"], "parts": [_part(part, names) for part in parts]}}


def _part(part: Json, names: ToolNames) -> Json:
    call = part.get("functionCall")
    if not isinstance(call, Mapping):
        return part
    name = call.get("name")
    known = names.callers(name) if isinstance(name, str) else ""
    return {**part, "functionCall": {**call, "name": known, "args": call.get("args") or {}}}


def _joined(parts: Sequence[Json]) -> list[Json]:
    joined: list[Json] = []
    for part in parts:
        last = joined[-1] if joined else None
        if (
            part.get("thought")
            and last is not None
            and last.get("thought")
            and not last.get("thoughtSignature")
            and "text" in part
            and "text" in last
        ):
            joined[-1] = {**last, **part, "text": last["text"] + part["text"]}
        else:
            joined.append(part)
    return joined


__all__ = ["CUT_OFF", "failed_finish", "one_kind_each", "parts_of", "prepare_reply"]
