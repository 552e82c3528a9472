"""Signed thoughts of former replies, for histories that keep no more of a tool call than its id.

Gemini signs the call itself, and LiteLLM puts that signature into the id. Claude signs the thought before the call,
and takes the signature back only with the thought: too long for an id, so this process remembers it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from litellm_antigravity.forking import ForkAware

MAX_CHARACTERS: Final = 32_000_000
"""Of thoughts and signatures that are remembered; then the oldest go."""


class SignedThoughts(ForkAware):
    """The signed thoughts that came before tool calls, by the calls' ids; the newest ones of this process.

    Ids are upstream's or LiteLLM's, and not to be guessed; without its id no thought comes out.

    Args:
        max_characters: how much to remember.
    """

    def __init__(self, max_characters: int = MAX_CHARACTERS) -> None:
        self._max_characters = max_characters
        self._after_fork_in_child()
        self._watch_forks()

    def _after_fork_in_child(self) -> None:
        self._lock = threading.Lock()  # the parent's might be held
        self._blocks: OrderedDict[str, list[dict[str, str]]] = OrderedDict()
        self._characters = 0

    def remember(self, blocks: Sequence[Mapping[str, Any]], ids: Sequence[Any]) -> None:
        """Remember the signed ones of LiteLLM's thinking blocks under the first of a message's call ids."""
        signed = [
            {"thinking": str(block.get("thinking") or ""), "signature": str(block["signature"])}
            for block in blocks
            if block.get("signature")
        ]
        if not signed or not ids or not isinstance(ids[0], str):
            return
        with self._lock:
            self._forget(ids[0])
            self._blocks[ids[0]] = signed
            self._characters += _size(signed)
            while self._characters > self._max_characters:
                self._forget(next(iter(self._blocks)))

    def recall(self, ids: Sequence[Any]) -> list[dict[str, str]]:
        """Return the thoughts that came before a message's calls, or none."""
        if not ids or not isinstance(ids[0], str):
            return []
        with self._lock:
            blocks = self._blocks.get(ids[0])
            if blocks is None:
                return []
            self._blocks.move_to_end(ids[0])
            return [dict(block) for block in blocks]

    def _forget(self, call_id: str) -> None:
        self._characters -= _size(self._blocks.pop(call_id, []))


def _size(blocks: Sequence[Mapping[str, str]]) -> int:
    return sum(len(text) for block in blocks for text in block.values())


THOUGHTS: Final = SignedThoughts()
"""Those of this process."""

__all__ = ["MAX_CHARACTERS", "THOUGHTS", "SignedThoughts"]
