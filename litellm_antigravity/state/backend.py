"""What the ledger needs of a place where rows are kept: a dozen small methods, all of them about keys and texts.

A backend knows nothing of accounts. `Replica` calls one method at a time, but for locks, liveness and `close`. Each
method may raise `StateUnavailableError`; the next call tries again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, TypeAlias

Texts: TypeAlias = Mapping[str, "str | None"]
"""Rows as committed, by key; ``None`` for one that is not there."""

Change: TypeAlias = Callable[[Texts], Mapping[str, str]]
"""A pure function from rows as committed to those that are to be written; it may be run again, on other rows."""

BUSY: Final = "others use the shared state, and there is no more time to wait for them"


class Position(NamedTuple):
    """A place in the order in which watched rows were written.

    Attributes:
        life: of the file, as this backend has opened it: numbers of another one mean nothing.
        number: of the write; the next one's is one above.
    """

    life: int
    number: int


START: Final = Position(0, 0)
"""Before the first write."""

_WATCHED: Final = frozenset({"vitals", "cooldown", "capacity", "retries", "binding"})


class Row(NamedTuple):
    """A row; ``position`` is that of its last write if it is watched, else ``None``."""

    key: str
    text: str
    position: Position | None


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """How the shared state is doing, for people.

    Attributes:
        description: where the state is kept.
        shared: whether other processes see it.
        dropped_rows: rows that were refused because they were not what this package writes.
        problem: why the state is not shared, if it is not though it should be.
    """

    description: str
    shared: bool
    dropped_rows: int = 0
    problem: str | None = None


class Backend(Protocol):
    """A place where rows are kept."""

    def read(self, key: str) -> str | None:
        """Return a row's text as committed."""
        ...

    def rows(self, prefix: str, *, after: str = "", limit: int | None = None) -> list[Row]:
        """Return rows by key, those whose keys begin with ``prefix`` and come after ``after``, ``limit`` at most."""
        ...

    def changes(self, since: Position) -> tuple[list[Row], Position]:
        """Return the watched rows that were written after a position, in that order, and the last one's position."""
        ...

    def update(self, keys: Sequence[str], change: Change) -> list[Row]:
        """Change rows, all of them or none; nobody else writes them between reading and writing.

        Args:
            keys: a few.
            change: what is to become of them; keys that are absent in its result stay as they are.

        Returns:
            What was written, in the order of the positions.
        """
        ...

    def replace(self, key: str, text: str, known: str) -> Position | None:
        """Write a watched row if it still reads as ``known`` (compare-and-set).

        A shorter way than `update`, for what every request does; where there is none, do nothing.

        Returns:
            The row's position, perhaps a later writer's; ``None`` when it was not written.
        """
        ...

    def replace_if_current(self, key: str, text: str, since: Position) -> Position | None:
        """Write a watched row that exists if no watched row at all was written after ``since``; else as `replace`."""
        ...

    def delete(self, key: str, text: str) -> None:
        """Delete a row if it still reads so, and is not the one that was written last; nobody hears of it."""
        ...

    def lock(self, name: str, timeout: float) -> AbstractContextManager[bool]:
        """Hold a lock by name; see `Ledger.exclusive`."""
        ...

    def stay_alive(self, owner: str) -> None:
        """Make this process's life visible to the others as ``owner``."""
        ...

    def is_alive(self, owner: str) -> bool:
        """Return whether the process behind ``owner`` still lives; True when that cannot be known."""
        ...

    def status(self) -> StoreStatus:
        """Return how the backend is doing; opens nothing."""
        ...

    def close(self) -> None:
        """Let go of every handle; the next call opens them again."""
        ...

    def forked(self) -> None:
        """Start afresh in a forked child; it was closed before the fork."""
        ...


def is_watched(key: str) -> bool:
    """Return whether every process's view has this row: the others are read when they are asked for."""
    return key.partition("/")[0] in _WATCHED


__all__ = ["START", "Backend", "Change", "Position", "Row", "StoreStatus", "Texts", "is_watched"]
