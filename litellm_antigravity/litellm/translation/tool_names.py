"""Names of tools, in the alphabet of the model's family.

Gemini takes a letter or ``_`` first, then letters, digits, ``_ . : -``. Claude, which is asked in the same envelope,
takes ``^[a-zA-Z0-9_-]{1,64}$`` of that (openai/codex #8174, github/copilot-cli #2581), and GPT-OSS is served like it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from litellm_antigravity.models import ModelFamily

MAX_LENGTH: Final = 64

_VALID: Final[Mapping[ModelFamily, re.Pattern[str]]] = {
    "claude": re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}"),
    "gemini": re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}"),
}
_INVALID: Final[Mapping[ModelFamily, re.Pattern[str]]] = {
    "claude": re.compile(r"[^A-Za-z0-9_-]"),
    "gemini": re.compile(r"[^A-Za-z0-9_.:-]"),
}
_HASH_LENGTH: Final = 8
_BUILT_IN: Final = ("web_search", "web_search_preview", "computer_use")  # LiteLLM makes upstream's own tools of them


class ToolNames:
    """The names of a request's tools, as the caller and as upstream know them; valid ones are the same.

    Args:
        declared: the names of the tools that the request declares, as the caller writes them.
        family: of the model.
    """

    def __init__(self, declared: Iterable[str] = (), family: ModelFamily = "gemini") -> None:
        self._family: ModelFamily = family
        names = list(dict.fromkeys(declared))
        self._valid = {name for name in names if self._is_valid(name)}
        self._upstream: dict[str, str] = {}
        self._callers: dict[str, str] = {}
        for name in names:
            if name not in self._valid:
                written = self._apart(name)
                self._upstream[name] = written
                self._callers[written] = name

    @classmethod
    def of(cls, optional_params: Mapping[str, Any], family: ModelFamily = "gemini") -> ToolNames:
        """Return the names of the tools in OpenAI parameters."""
        return cls((function["name"] for function in functions_of(optional_params)), family)

    def upstream(self, name: str) -> str:
        """Return how upstream is to know a tool; also for one that is not declared, from an old message."""
        if name in self._upstream:
            return self._upstream[name]
        return name if self._is_valid(name) else self._apart(name)

    def callers(self, name: str) -> str:
        """Return how the caller knows a tool that upstream names."""
        return self._callers.get(name, name)

    def _is_valid(self, name: str) -> bool:
        return _VALID[self._family].fullmatch(name) is not None

    def _apart(self, name: str) -> str:
        """Return a name in upstream's alphabet that is no declared tool's."""
        written = _INVALID[self._family].sub("_", name) or "_"
        if not self._is_valid(written) and len(written) < MAX_LENGTH:
            written = f"_{written}"  # a digit or a sign came first
        taken = not self._is_valid(written) or written in self._valid or written in self._callers
        return self._hashed(name) if taken else written

    def _hashed(self, name: str) -> str:
        """Return a name that no other one gets: shortened, with a hash of the whole."""
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_LENGTH]
        written = f"{_INVALID[self._family].sub('_', name)[: MAX_LENGTH - _HASH_LENGTH - 2]}_{digest}"
        return written if self._is_valid(written) else f"_{written}"


def functions_of(optional_params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the function objects of ``tools`` and ``functions``, in the order in which LiteLLM declares them."""
    for name in ("tools", "functions"):
        tools = optional_params.get(name)
        for tool in tools if isinstance(tools, list) else ():
            function = function_in(tool)
            if function is not None:
                yield function


def function_in(tool: Any) -> dict[str, Any] | None:
    """Return the function object of a tool, in any of its forms; ``None`` where the tool is another kind."""
    if not isinstance(tool, dict) or is_built_in(tool):
        return None
    function = tool["function"] if isinstance(tool.get("function"), dict) else tool
    return function if isinstance(function.get("name"), str) else None


def is_built_in(tool: Mapping[str, Any]) -> bool:
    """Return whether upstream is to have the tool itself: a search, Google's code execution, ..."""
    if isinstance(tool.get("type"), str) and tool["type"] in _BUILT_IN:
        return True
    return isinstance(tool.get("type"), str) and tool["type"].startswith("web_search_") and "function" not in tool


__all__ = ["MAX_LENGTH", "ToolNames", "function_in", "functions_of", "is_built_in"]
