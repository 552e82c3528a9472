"""A backend that compares and sets, as a server without transactions would, and loses three writes of ten at random.

What it loses, somebody else might have written: each change is then run again on the row as it is by that time.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from litellm_antigravity.state.backend import Change, Position, Row
from litellm_antigravity.state.memory import MemoryBackend

LOSSES = 0.3


class LosingBackend(MemoryBackend):
    """Rows in memory that are compared and set; nothing is locked while a change is made up.

    Attributes:
        lost: how many writes were lost.
    """

    def __init__(self, seed: int = 20_261_126) -> None:
        super().__init__()
        self._random = random.Random(seed)
        self.lost = 0

    def update(self, keys: Sequence[str], change: Change) -> list[Row]:
        while True:
            before = {key: self.read(key) for key in keys}
            after = change(before)
            with self._lock:
                if not self._loses() and all(self.read(key) == text for key, text in before.items()):
                    return super().update((), lambda _, after=after: after)  # type: ignore[misc]

    def replace(self, key: str, text: str, known: str) -> Position | None:
        return None if self._loses() else super().replace(key, text, known)

    def replace_if_current(self, key: str, text: str, since: Position) -> Position | None:
        return None if self._loses() else super().replace_if_current(key, text, since)

    def _loses(self) -> bool:
        with self._lock:
            loses = self._random.random() < LOSSES
            self.lost += loses
            return loses
