"""Names of tools: upstream takes a letter or ``_`` first, then letters, digits, ``_ . : -``, 64 at most."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

MAX_LENGTH: Final = 64

_VALID: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}")
_INVALID: Final = re.compile(r"[^A-Za-z0-9_.:-]")
_HASH_LENGTH: Final = 8
_BUILT_IN: Final = ("web_search", "web_search_preview", "computer_use")  # LiteLLM makes upstream's own tools of them


class ToolNames:
    """The names of a request's tools, as the caller and as upstream know them; valid ones are the same.

    Args:
        declared: the names of the tools that the request declares, as the caller writes them.
    """

    def __init__(self, declared: Iterable[str] = ()) -> None:
        names = list(dict.fromkeys(declared))
        taken = {name for name in names if _VALID.fullmatch(name)}
        self._upstream: dict[str, str] = {}
        for name in names:
            if name in taken:
                continue
            written = _written(name)
            if written in taken or written in self._upstream.values():
                written = _hashed(name)
            self._upstream[name] = written
        self._callers = {written: name for name, written in self._upstream.items()}

    @classmethod
    def of(cls, optional_params: Mapping[str, Any]) -> ToolNames:
        """Return the names of the tools in OpenAI parameters."""
        return cls(_declared(optional_params))

    def upstream(self, name: str) -> str:
        """Return how upstream is to know a tool; also for one that is not declared, from an old message."""
        if name in self._upstream:
            return self._upstream[name]
        return name if _VALID.fullmatch(name) else _written(name)

    def callers(self, name: str) -> str:
        """Return how the caller knows a tool that upstream names."""
        return self._callers.get(name, name)


def functions_of(optional_params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the function objects of ``tools`` and ``functions``, in the order in which LiteLLM declares them."""
    for name in ("tools", "functions"):
        tools = optional_params.get(name)
        for tool in tools if isinstance(tools, list) else ():
            if not isinstance(tool, dict):
                continue
            function = tool["function"] if isinstance(tool.get("function"), dict) else tool
            if isinstance(function.get("name"), str) and tool.get("type") not in _BUILT_IN:
                yield function


def _declared(optional_params: Mapping[str, Any]) -> Iterator[str]:
    return (function["name"] for function in functions_of(optional_params))


def _written(name: str) -> str:
    written = _INVALID.sub("_", name)
    if not written or not (written[0].isalpha() or written[0] == "_"):
        written = f"_{written}"
    return written if len(written) <= MAX_LENGTH else _hashed(name)


def _hashed(name: str) -> str:
    """Return a name that no other one gets: shortened, with a hash of the whole."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_LENGTH]
    written = _INVALID.sub("_", name)[: MAX_LENGTH - _HASH_LENGTH - 2]
    return f"_{written}_{digest}" if not (written[:1].isalpha() or written[:1] == "_") else f"{written}_{digest}"


__all__ = ["MAX_LENGTH", "ToolNames", "functions_of"]
