"""Histories as clients hold them, made into ones that upstream accepts: one place for all models.

Upstream refuses a call that is not answered right behind it, and a result without its call. Clients hold both: a tool
that its user interrupted, one of two answers, words before a result, results whose calls a compaction took away. What
is repaired depends on nothing that comes after the model's next turn, so that a conversation's prefix stays the same
from request to request, and with it upstream's prompt cache.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from pydantic import BaseModel

from litellm_antigravity.litellm.blocks import text_of
from litellm_antigravity.litellm.seams import borrowed

Message = dict[str, Any]

CANCELLED: Final = "Cancelled by the user: there is no result."
"""The result of a call that has none."""

_NOT_IN_IDS: Final = re.compile(r"[^A-Za-z0-9_-]")
_TWIN: Final = "\x00twin"
_RESULTS: Final = ("tool", "function")


def repair_history(messages: Sequence[Message]) -> list[Message]:
    """Return messages in which every call is answered right behind it, and every result has its call.

    A call without a result is answered by `CANCELLED`. Results move in front of what else is said in the same turn. A
    second result of a call, and one whose call is not in the model's last turn, are kept as the user's text. Calls
    without an id get one, and their results the same. A history that is in order stays as it is.

    Args:
        messages: OpenAI's; they are changed, and returned in a new list.
    """
    repaired: list[Message] = []
    turn = _Turn()
    for number, message in enumerate(messages):
        role = message["role"]
        if role == "user" and not _says_anything(message.get("content")):
            continue  # LiteLLM would put nothing there, and leave two turns of the model side by side
        if role == "assistant":
            if turn.is_answered:
                repaired += turn.rest()
                turn = _Turn()
            turn.add_calls(_calls_of(message, number))
            repaired.append(message)
        elif role in _RESULTS:
            turn.add_result(message)
        else:
            turn.others.append(message)
    return [*repaired, *turn.rest()]


class _Turn:
    """A turn of the model, of one message or several, and what the user sent after it."""

    def __init__(self) -> None:
        self._calls: list[Message] = []
        self._answered: list[tuple[Message, Message]] = []
        self.others: list[Message] = []

    @property
    def is_answered(self) -> bool:
        """Whether the user's turn has begun; a system message behind open calls does not begin it."""
        begins = self.others if not self._calls else [one for one in self.others if one["role"] != "system"]
        return bool(self._answered or begins)

    def add_calls(self, calls: Sequence[Message]) -> None:
        """Take calls that the model made; those of one turn have different ids, and differ for LiteLLM."""
        for call in calls:
            ids = {_plain_id(one["id"]) for one in self._calls}
            base, mark, signature = str(call["id"]).partition(borrowed.SIGNATURE_IN_ID)
            if _plain_id(base) in ids:
                call["id"] = f"{base}_{len(self._calls)}{mark}{signature}"
                call["_own_id"] = base
            twins = sum(_is_same(one, call) for one in self._calls)
            if twins:
                call["_twin"] = twins
            self._calls.append(call)

    def add_result(self, result: Message) -> None:
        """Take a result of one of the calls; what is none of theirs becomes the user's text."""
        open_calls = [one for one in self._calls if self._is_open(one)]
        call = next((one for one in open_calls if _belongs(result, one)), None)
        if call is None:  # some clients write ids anew
            given_id = _plain_id(str(result.get("tool_call_id") or ""))
            call = next((one for one in open_calls if given_id and _plain_id(one["id"]) == given_id), None)
        if call is not None:
            result |= {"role": "tool", "tool_call_id": call["id"], "name": _name(call)}
            self._answered.append((call, result))
            return
        given = [one for call, one in self._answered if _belongs(result, call)]
        if not any(one.get("content") == result.get("content") for one in given):
            self.others.append(_as_users(result))

    def _is_open(self, call: Message) -> bool:
        return all(one is not call for one, _ in self._answered)

    def rest(self) -> Iterator[Message]:
        """Yield what follows the model's turn: the results, and then everything else."""
        yield from (result for _, result in self._answered)
        for call in self._calls:
            if self._is_open(call):
                yield {"role": "tool", "tool_call_id": call["id"], "name": _name(call), "content": CANCELLED}
        yield from self.others
        for call in self._calls:
            call.pop("_own_id", None)
            call.pop("_made_up", None)


def _calls_of(message: Message, number: int) -> list[Message]:
    """Return the calls of a message in today's form, each with an id; that of old becomes one of them.

    An id that is made up depends on what is called and where, so that it is the same in the next request.
    """
    calls = [found for call in message.get("tool_calls") or () if (found := _as_function(call)) is not None]
    old = _plain(message.pop("function_call", None))
    if isinstance(old, dict) and not calls:
        calls = [{"type": "function", "function": old}]
    for index, call in enumerate(calls):
        if not (isinstance(call.get("id"), str) and _base(call["id"])):
            said = json.dumps([number, index, call["function"]], sort_keys=True, default=str)
            call["id"] = f"call_{hashlib.sha256(said.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}"
            call["_made_up"] = True
    if calls:
        message["tool_calls"] = calls
    else:
        message.pop("tool_calls", None)
    return calls


def _as_function(call: Any) -> Message | None:
    """Return a call as plain data and one of a function; OpenAI's custom tools have one text for all arguments."""
    call = _plain(call)
    if not isinstance(call, dict):
        return None
    call["function"] = _plain(call.get("function"))
    if isinstance(call["function"], dict):
        return call
    custom = _plain(call.get("custom"))
    if not isinstance(custom, dict):
        return None
    arguments = json.dumps({"input": custom.get("input", "")}, ensure_ascii=False)
    return {"id": call.get("id"), "type": "function", "function": {"name": custom.get("name"), "arguments": arguments}}


def _plain(value: Any) -> Any:
    return value.model_dump(exclude_none=True) if isinstance(value, BaseModel) else value


def _belongs(result: Message, call: Message) -> bool:
    """Return whether a result is that of a call: by id, and by name where one of them has none."""
    given = result.get("tool_call_id")
    if isinstance(given, str) and _base(given) and not call.get("_made_up"):
        return _base(given) in (_base(call["id"]), call.get("_own_id"))
    return not result.get("name") or str(result["name"]) == _name(call)


def _base(call_id: str) -> str:
    return call_id.partition(borrowed.SIGNATURE_IN_ID)[0]


def _plain_id(call_id: str) -> str:
    """Return what all spellings of an id have in common: LiteLLM and Anthropic allow fewer characters than others."""
    return _NOT_IN_IDS.sub("_", _base(call_id))


def _name(call: Message) -> str:
    return str(call["function"].get("name") or "")


def _is_same(first: Message, second: Message) -> bool:
    """Return whether two calls are alike for LiteLLM, which compares what it has read, and no signatures."""
    given, other = first["function"].get("arguments"), second["function"].get("arguments")
    return _name(first) == _name(second) and (given == other or _read(given) == _read(other))


def _read(arguments: Any) -> Any:
    try:
        return json.loads(arguments) if isinstance(arguments, str) and arguments.strip() else arguments or {}
    except (ValueError, RecursionError):
        return arguments


def _as_users(result: Message) -> Message:
    """Return a result that belongs to no call as what the user says."""
    about = str(result.get("name") or result.get("tool_call_id") or "")
    heading = f"Result of a tool call that is not in this conversation{f' ({_base(about)})' if about else ''}:"
    content = result.get("content")
    if isinstance(content, list):
        return {"role": "user", "content": [{"type": "text", "text": heading}, *content]}
    return {"role": "user", "content": f"{heading}\n{'' if content is None else text_of(content)}"}


def _says_anything(content: Any) -> bool:
    if not isinstance(content, list):
        return content is not None
    return any(not isinstance(one, dict) or one.get("type") != "text" or one.get("text") for one in content)


def mark_twins(message: Message) -> None:
    """Make calls of one turn differ that are alike, in place, since LiteLLM leaves the second one out.

    `without_twins` takes the marks out again.
    """
    for call in message.get("tool_calls") or ():
        twin = call.pop("_twin", None)
        if twin:
            arguments = {**json.loads(call["function"]["arguments"]), _TWIN: twin}
            call["function"]["arguments"] = json.dumps(arguments, ensure_ascii=False)


def without_twins(contents: Sequence[Message]) -> None:
    """Take the marks of `mark_twins` out of translated contents, in place."""
    for content in contents:
        for part in content.get("parts") or ():
            call = part.get("functionCall")
            if isinstance(call, dict) and isinstance(call.get("args"), dict):
                call["args"].pop(_TWIN, None)


def with_unique_ids(contents: Sequence[Message]) -> list[Message]:
    """Return contents in which no two calls have one id, as Anthropic wants it; ids of clients may repeat by turns."""
    seen: set[str] = set()
    renamed: dict[str, str] = {}
    result = []
    for content in contents:
        if content["role"] == "model":
            renamed = {}
        parts = [_with_own_id(part, seen, renamed) for part in content["parts"]]
        result.append({**content, "parts": parts})
    return result


def _with_own_id(part: Message, seen: set[str], renamed: dict[str, str]) -> Message:
    if "functionCall" in part:
        call = part["functionCall"]
        given = str(call.get("id") or "call")
        own, number = given, 1
        while own in seen:
            number += 1
            own = f"{given}_{number}"
        seen.add(own)
        renamed[given] = own
        return {**part, "functionCall": {**call, "id": own}}
    if "functionResponse" in part:
        given = part["functionResponse"]
        return {**part, "functionResponse": {**given, "id": renamed.get(str(given.get("id")), given.get("id"))}}
    return part


__all__ = ["CANCELLED", "mark_twins", "repair_history", "with_unique_ids", "without_twins"]
