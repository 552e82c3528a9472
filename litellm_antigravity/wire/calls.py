"""Function calls whose arguments come in pieces (Gemini 3 on Vertex AI, ``streamFunctionCallArguments``).

A call in pieces begins with its name and ``willContinue``. Each piece has ``partialArgs``: values with the JSON path
(RFC 9535, names and indexes only) of where they belong; a string that ``willContinue`` goes on in a later piece. The
last piece does not say ``willContinue``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

Json: TypeAlias = dict[str, Any]

_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d{1,6})\]|\['([^']*)'\]|\[\"([^\"]*)\"\]")
_PIECES: Final = ("partialArgs", "willContinue")
_VALUES: Final = ("stringValue", "numberValue", "boolValue", "nullValue")


class _BadPathError(Exception):
    """A path leads nowhere."""


class PartialCalls:
    """Puts the calls of one reply together; what is no piece of a call passes through."""

    def __init__(self) -> None:
        self._call: Json | None = None
        self._part: Json = {}
        self._open: set[str] = set()
        self.broken: str | None = None
        """The name of a call that came to its end without all of its arguments."""

    @property
    def unfinished(self) -> str | None:
        """The name of a call that is incomplete so far."""
        return self.broken or (None if self._call is None else str(self._call["name"]))

    def assemble(self, reply: Json) -> Json:
        """Return a reply with whole calls only; each comes in place of its last piece."""
        candidates = reply.get("candidates")
        first = candidates[0] if isinstance(candidates, list) and candidates else None
        content = first.get("content") if isinstance(first, dict) else None
        parts = content.get("parts") if isinstance(content, dict) else None
        if not isinstance(parts, list) or not any(self._is_piece(part) for part in parts):
            return reply
        whole = [one for part in parts for one in self._taken(part)]
        changed = {**first, "content": {**content, "parts": whole}}  # type: ignore[dict-item]
        return {**reply, "candidates": [changed, *candidates[1:]]}  # type: ignore[index]

    def _is_piece(self, part: Any) -> bool:
        call = part.get("functionCall") if isinstance(part, Mapping) else None
        return isinstance(call, Mapping) and (any(name in call for name in _PIECES) or not call.get("name"))

    def _taken(self, part: Any) -> list[Any]:
        if not self._is_piece(part):
            return [part]
        call = part["functionCall"]
        if call.get("name"):
            if self._call is not None:
                self._break()
            self._call = {name: value for name, value in call.items() if name not in _PIECES} | {
                "args": dict(call.get("args") or {})
            }
            self._part, self._open = dict(part), set()
        elif self._call is None:
            if call.get("partialArgs"):
                self.broken = self.broken or ""
            return []  # an end without a beginning
        self._part.update({name: value for name, value in part.items() if name != "functionCall"})
        self._add(call.get("partialArgs") or ())
        return [] if call.get("willContinue") else self._end()

    def _add(self, pieces: Sequence[Any]) -> None:
        assert self._call is not None  # noqa: S101 - for the type checker
        for piece in pieces:
            path = str(piece.get("jsonPath") or "") if isinstance(piece, Mapping) else ""
            try:
                self._call["args"] = _put(self._call["args"], _steps(path), piece)
            except (_BadPathError, AttributeError):
                self.broken = str(self._call["name"])
                return
            (self._open.add if piece.get("willContinue") else self._open.discard)(path)

    def _end(self) -> list[Json]:
        call, part = self._call, self._part
        if self._open or self.broken is not None:
            self._break()
            return []
        self._call = None
        return [{**part, "functionCall": call}]

    def _break(self) -> None:
        assert self._call is not None  # noqa: S101 - for the type checker
        self.broken, self._call = str(self._call["name"]), None


def _steps(path: str) -> list[str | int]:
    if not path.startswith("$"):
        raise _BadPathError
    steps: list[str | int] = []
    at = 1
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None:
            raise _BadPathError
        steps.append(int(found[2]) if found[2] else found[1] or found[3] or found[4] or "")
        at = found.end()
    if not steps:
        raise _BadPathError
    return steps


def _put(place: Any, steps: Sequence[str | int], piece: Mapping[str, Any]) -> Any:
    """Return a value with a piece put in; lists grow by one at most."""
    if not steps:
        return _joined(place, piece)
    step, rest = steps[0], steps[1:]
    if isinstance(step, int):
        items = [] if place is None else place
        if not isinstance(items, list) or step > len(items):
            raise _BadPathError
        old = items[step] if step < len(items) else None
        return [*items[:step], _put(old, rest, piece), *items[step + 1 :]]
    fields = {} if place is None else place
    if not isinstance(fields, dict):
        raise _BadPathError
    return {**fields, step: _put(fields.get(step), rest, piece)}


def _joined(old: Any, piece: Mapping[str, Any]) -> Any:
    if "stringValue" in piece:
        return (old if isinstance(old, str) else "") + str(piece["stringValue"])
    if "numberValue" in piece:
        number = piece["numberValue"]
        return int(number) if isinstance(number, float) and number.is_integer() else number
    if "boolValue" in piece:
        return bool(piece["boolValue"])
    if "nullValue" in piece:
        return None
    return old if old is not None else ""  # a string that has only begun


__all__ = ["PartialCalls"]
