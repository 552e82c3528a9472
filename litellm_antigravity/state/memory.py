"""The state in this process's memory: for tests, and for the time when the disk cannot be used."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from litellm_antigravity.state.backend import Change, Position, Row, StoreStatus, is_watched
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.replica import Replica


class MemoryBackend:
    """Rows in a dictionary. Threads share it, processes do not: a forked child goes on with a copy."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}  # those written last come last
        self._number = 0
        self.forked()

    def forked(self) -> None:
        """Start afresh in a forked child: nobody holds a lock there."""
        self._lock = threading.RLock()
        self._named_locks: dict[str, threading.Lock] = {}

    def read(self, key: str) -> str | None:
        """Return a row's text."""
        row = self._rows.get(key)
        return None if row is None else row.text

    def rows(self, prefix: str, *, after: str = "", limit: int | None = None) -> list[Row]:
        """Return rows by key; see `Backend.rows`."""
        with self._lock:
            found = [row for key, row in self._rows.items() if key.startswith(prefix) and key > after]
        return sorted(found) if limit is None else heapq.nsmallest(limit, found)

    def changes(self, since: Position) -> tuple[list[Row], Position]:
        """Return the rows written after a position; see `Backend.changes`."""
        found: list[Row] = []
        with self._lock:
            for row in reversed(self._rows.values()):
                if row.position is not None and row.position <= since:
                    break
                if row.position is not None:
                    found.append(row)
            return found[::-1], Position(0, self._number)

    def update(self, keys: Sequence[str], change: Change) -> list[Row]:
        """Change rows; see `Backend.update`."""
        with self._lock:
            return [self._put(*each) for each in change({key: self.read(key) for key in keys}).items()]

    def _put(self, key: str, text: str) -> Row:
        position = None
        if is_watched(key):
            self._number += 1
            position = Position(0, self._number)
        self._rows.pop(key, None)
        self._rows[key] = row = Row(key, text, position)
        return row

    def replace(self, key: str, text: str, known: str) -> Position | None:
        """Write a row if it still reads as ``known``; see `Backend.replace`."""
        with self._lock:
            return self._put(key, text).position if self.read(key) == known else None

    def replace_if_current(self, key: str, text: str, since: Position) -> Position | None:
        """Write a row if nothing was written since; see `Backend.replace_if_current`."""
        with self._lock:
            is_current = self._number == since.number and key in self._rows
            return self._put(key, text).position if is_current else None

    def delete(self, key: str, text: str) -> None:
        """Delete a row if it still reads so; see `Backend.delete`."""
        with self._lock:
            row = self._rows.get(key)
            if row is not None and row.text == text:
                del self._rows[key]

    @contextmanager
    def lock(self, name: str, timeout: float) -> Iterator[bool]:
        """Hold a lock by name among this process's threads."""
        with self._lock:
            lock = self._named_locks.setdefault(name, threading.Lock())
        held = lock.acquire(timeout=max(0.0, timeout))
        try:
            yield held
        finally:
            if held:
                lock.release()

    def stay_alive(self, owner: str) -> None:
        """Nothing to do: nobody else can see this memory."""

    def is_alive(self, owner: str) -> bool:  # noqa: ARG002 - whoever wrote to this memory lives in it
        """Return True."""
        return True

    def status(self) -> StoreStatus:
        """Return how it is doing."""
        return StoreStatus("this process's memory", shared=False)

    def close(self) -> None:
        """Nothing to let go of."""


class MemoryStore(Ledger):
    """A ledger in this process's memory."""

    def __init__(self) -> None:
        super().__init__(Replica(MemoryBackend()))


__all__ = ["MemoryBackend", "MemoryStore"]
