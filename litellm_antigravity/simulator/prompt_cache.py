"""The prompt cache: what of a request an account has lately sent to the same model, in tokens.

Upstream keeps the work on a prompt's beginning for some minutes, for the account that sent it: who goes on with a
conversation on another account pays for all of it again. The numbers are the Gemini API's for implicit caching (1,024
tokens at least) and Anthropic's for how long (5 minutes); neither is published for this endpoint.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping
from typing import Any, Final

BLOCK_TOKENS: Final = 1024
KEPT_SECONDS: Final = 300.0

_TOKEN: Final = 4  # characters
_MOST_BLOCKS: Final = 100_000


class PromptCache:
    """The beginnings of prompts, by whom they belong to; safe for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ends: OrderedDict[tuple[Hashable, bytes], float] = OrderedDict()

    def take(self, owner: Hashable, request: Mapping[str, Any], now: float) -> int:
        """Return how many tokens of a prompt are known, and know all of it from now on.

        Args:
            owner: account and model.
            request: the Gemini request.
            now: epoch seconds.
        """
        cached, still_known = 0, True
        with self._lock:
            for block in _blocks(request):
                key = (owner, block)
                still_known = still_known and self._ends.get(key, 0.0) > now
                cached += BLOCK_TOKENS if still_known else 0
                self._ends[key] = now + KEPT_SECONDS
                self._ends.move_to_end(key)
            while len(self._ends) > _MOST_BLOCKS:
                self._ends.popitem(last=False)
        return cached


def _blocks(request: Mapping[str, Any]) -> Iterator[bytes]:
    """Yield a digest per whole block: of the block and of all before it, tools included."""
    tools = json.dumps([request.get("tools"), request.get("toolConfig")], sort_keys=True)
    digest = hashlib.sha256(tools.encode("utf-8", "surrogatepass"))
    prompt = "".join(_texts([request.get("systemInstruction", ""), request["contents"]]))
    size = BLOCK_TOKENS * _TOKEN
    for start in range(0, len(prompt) - size + 1, size):
        digest.update(prompt[start : start + size].encode("utf-8", "surrogatepass"))
        yield digest.digest()


def _texts(value: Any) -> Iterator[str]:
    """Yield what is counted as tokens (see `replies`), each text filled up to whole tokens."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value + "\0" * (-len(value) % _TOKEN)
    else:
        yield repr(value).ljust(_TOKEN)[:_TOKEN]


__all__ = ["BLOCK_TOKENS", "KEPT_SECONDS", "PromptCache"]
