"""Who made a signature, and whether it is whole: each model family takes back its own only.

A conversation may go from family to family: by the user's choice, or by LiteLLM's ``fallbacks``. Its history then
holds signatures of both, and some that a client has cut or spelt anew on their way (ids of tool calls are shortened to
40 or 64 characters, and written in other alphabets). Upstream refuses the whole request for one of them: "Corrupted
thought signature." for Gemini, "Invalid `signature` in `thinking` block" for Claude.

What this host remembers decides: by the id of the call for what came before it, by the signature itself for the family
that made it. What nobody remembers is judged by where LiteLLM puts signatures:

* a thought's goes to Claude, but not one that stands as Gemini's in the same message;
* a text's or a call's goes to Gemini, but not one that stands as a thought's in the same message;
* what is not whole goes nowhere.

Where that is wrong, upstream says so, but not of which signature. The request then goes once more without any. Those
in it that nobody knows are remembered as refused; where there are none, what was remembered of the others is doubted,
so that a second refusal tells.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from litellm_antigravity.litellm.seams import borrowed
from litellm_antigravity.litellm.target import Target
from litellm_antigravity.litellm.translation.signatures import ALTERED, SignedThoughts

Message = dict[str, Any]

_CUT_LENGTHS: Final = (40, 64)
"""Characters to which clients shorten ids: OpenAI's limit for those of tool calls, once and now."""

_INVOCATIONS: Final = ("thought_signature", "response_thought_signature")

MADE_UP: Final = base64.b64encode(b"skip_thought_signature_validator").decode()
"""What LiteLLM gives Gemini 3 for calls without a signature."""


def leave_out_foreign_signatures(messages: Sequence[Message], target: Target, remembered: SignedThoughts) -> None:
    """Take the signatures out that are not the target's own, in place, and put right what is remembered.

    Args:
        messages: prepared ones.
        target: the model that they go to.
        remembered: what this host knows of signatures.
    """
    renamed: dict[str, str] = {}
    for message in messages:
        if message["role"] == "assistant":
            signed = _Signed(message)
            if target.is_gemini:
                _keep_text_signatures(message, signed, target, remembered)
                _keep_signed_thoughts(message, target, remembered)
            else:
                _keep_thoughts(message, signed, target, remembered)
            _keep_calls(message, signed, target, remembered, renamed)
        elif message.get("tool_call_id") in renamed:
            message["tool_call_id"] = renamed[message["tool_call_id"]]


def note_refusal(body: Mapping[str, Any], target: Target, remembered: SignedThoughts) -> None:
    """Remember that upstream has refused a signature of a translated request, without saying which.

    Args:
        body: the request.
        target: the model that it was for.
        remembered: what this host knows of signatures; changed.
    """
    sent = {one for one in signatures_in({"content": content} for content in body["contents"]) if one != MADE_UP}
    unknown = {one for one in sent if remembered.maker_of(one) != target.signer}
    for signature in unknown:
        remembered.note_refused(signature, target.signer)
    for signature in sent if not unknown else ():
        remembered.doubt(signature)


def signatures_in(candidates: Any) -> Iterator[str]:
    """Yield the signatures in the candidates of a Gemini reply, in order."""
    for candidate in candidates if isinstance(candidates, Iterable) else ():
        content = candidate.get("content") if isinstance(candidate, Mapping) else None
        for part in (content.get("parts") if isinstance(content, Mapping) else None) or ():
            signature = part.get("thoughtSignature") if isinstance(part, Mapping) else None
            if isinstance(signature, str) and signature:
                yield signature


class _Signed:
    """Where a message has signatures, as LiteLLM lays them out."""

    def __init__(self, message: Message) -> None:
        blocks = message.get("thinking_blocks")
        self.of_thoughts = set(_texts(block.get("signature") for block in _mappings(blocks)))
        self.of_texts = set(_texts(_fields(message).get("thought_signatures")))
        self.of_calls = set(_texts(borrowed.signature_of(call) for call in _calls(message)))


def _is_own(
    signature: str,
    target: Target,
    remembered: SignedThoughts,
    *,
    unless_in: Iterable[str],
    thought: str | None = None,
) -> bool:
    maker = remembered.maker_of(signature, thought)
    if maker == target.signer:
        return True
    return (
        maker != ALTERED
        and remembered.may_be(signature, target.signer)
        and is_whole(signature)
        and signature not in unless_in
    )


def is_whole(signature: str) -> bool:
    """Return whether a signature can be one as upstream gives them: base64 (RFC 4648, section 4), to its last bit."""
    try:
        return base64.b64encode(base64.b64decode(signature, validate=True)).decode() == signature
    except (binascii.Error, ValueError):
        return False


def _keep_text_signatures(message: Message, signed: _Signed, target: Target, remembered: SignedThoughts) -> None:
    fields = _fields(message)
    if not fields:
        return
    kept = dict(fields)
    if "thought_signatures" in fields:
        kept["thought_signatures"] = [
            one
            for one in _texts(fields["thought_signatures"])
            if _is_own(one, target, remembered, unless_in=signed.of_thoughts)
        ]
    if "server_side_tool_invocations" in fields:
        kept["server_side_tool_invocations"] = [
            {
                name: value
                for name, value in one.items()
                if name not in _INVOCATIONS or _is_own(str(value), target, remembered, unless_in=signed.of_thoughts)
            }
            for one in _mappings(fields["server_side_tool_invocations"])
        ]
    message["provider_specific_fields"] = kept


def _keep_signed_thoughts(message: Message, target: Target, remembered: SignedThoughts) -> None:
    """Leave a message the signed thoughts that are known to be Gemini's own: older LiteLLM sends what is there."""
    blocks = _mappings(message.get("thinking_blocks"))
    if not all(remembered.maker_of(str(block.get("signature") or "")) == target.signer for block in blocks):
        del message["thinking_blocks"]


def _keep_thoughts(message: Message, signed: _Signed, target: Target, remembered: SignedThoughts) -> None:
    """Leave a message all of its signed thoughts or none: what is remembered of them may then take their place."""
    blocks = _mappings(message.get("thinking_blocks"))
    geminis = signed.of_calls | (signed.of_texts - signed.of_thoughts)
    if not all(
        _is_own(signature, target, remembered, unless_in=geminis, thought=str(block.get("thinking") or ""))
        for block in blocks
        if isinstance(signature := block.get("signature"), str) and signature
    ):
        del message["thinking_blocks"]


def _keep_calls(
    message: Message, signed: _Signed, target: Target, remembered: SignedThoughts, renamed: dict[str, str]
) -> None:
    """Settle the signatures of a message's calls, of which Gemini signs the first; no id is left with one."""
    for number, call in enumerate(_calls(message)):
        call_id, given = call.get("id"), str(borrowed.signature_of(call) or "")
        own = given if _is_own_of_call(call_id, given, signed, target, remembered) else None
        if target.is_gemini and (number == 0 or given):
            own = remembered.recall_call(call_id) or own
        holder = call if "id" in call else call["function"]
        _set_signature(call, holder, own)
        if isinstance(call_id, str) and borrowed.SIGNATURE_IN_ID in call_id:
            call["id"] = renamed[call_id] = call_id.partition(borrowed.SIGNATURE_IN_ID)[0]


def _is_own_of_call(call_id: object, given: str, signed: _Signed, target: Target, remembered: SignedThoughts) -> bool:
    if not given:
        return False
    if remembered.maker_of(given) == target.signer:
        return True
    may_be = target.is_gemini and remembered.may_be(given, target.signer)
    return may_be and is_whole(given) and not _is_cut(call_id) and given not in signed.of_thoughts


def _is_cut(call_id: object) -> bool:
    return isinstance(call_id, str) and borrowed.SIGNATURE_IN_ID in call_id and len(call_id) in _CUT_LENGTHS


def _set_signature(call: dict[str, Any], holder: dict[str, Any], signature: str | None) -> None:
    for place in (call, call.get("function")):
        if isinstance(place, dict) and "thought_signature" in _fields(place):
            others = {name: value for name, value in _fields(place).items() if name != "thought_signature"}
            place["provider_specific_fields"] = others
    if signature is not None:
        holder["provider_specific_fields"] = {**_fields(holder), "thought_signature": signature}


def _calls(message: Message) -> list[dict[str, Any]]:
    """Return the calls of a message; one of the legacy form is its function, in a call without an id."""
    calls = [call for call in message.get("tool_calls") or () if isinstance(call, dict)]
    if isinstance(message.get("function_call"), dict):
        calls.append({"function": message["function_call"]})
    return calls


def _fields(holder: Mapping[str, Any]) -> Mapping[str, Any]:
    fields = holder.get("provider_specific_fields")
    return fields if isinstance(fields, Mapping) else {}


def _mappings(values: Any) -> list[Mapping[str, Any]]:
    return [one for one in values if isinstance(one, Mapping)] if isinstance(values, list) else []


def _texts(values: Any) -> list[str]:
    if not isinstance(values, Iterable) or isinstance(values, (str, bytes)):
        return []
    return [one for one in values if isinstance(one, str) and one]


__all__ = ["MADE_UP", "is_whole", "leave_out_foreign_signatures", "note_refusal", "signatures_in"]
