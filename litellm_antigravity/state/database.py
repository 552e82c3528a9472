"""A backend whose rows are in one table of an SQLite file, in a private folder of this host.

Watched rows carry a rising number in the column ``tag``, which has an index, so that catching up with other processes
is one query that returns only what changed. The row with the highest number is never deleted: the next number is found
from it, and would otherwise be given out twice.
"""

from __future__ import annotations

import contextlib
import functools
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar

from litellm_antigravity.errors import StateUnavailableError
from litellm_antigravity.state.backend import Change, Position, Row, StoreStatus, is_watched
from litellm_antigravity.state.callers import FOLDER as CALLERS
from litellm_antigravity.state.connection import Connection
from litellm_antigravity.state.file_systems import refuse_network
from litellm_antigravity.state.host_locks import HostLocks
from litellm_antigravity.state.opening import Layout, opened
from litellm_antigravity.state.pages import Pages
from litellm_antigravity.state.private_files import identity_of, prepare_directory

BUSY_TIMEOUT_SECONDS: Final = 5.0
MAX_VALUE_CHARS: Final = 64 * 1024

_IDENTITY_CHECK_SECONDS = 1.0
_BEHIND_ALL_TEXT: Final = b""  # SQLite sorts by type first
_IS_NUMBER: Final = "tag < 9000000000000000000 AND typeof(tag) = 'integer'"  # others are not ours

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Table:
    """The statements on the table that holds the rows.

    Args:
        name: of the table, with columns ``key``, ``value`` and ``tag``.
        ours: the condition that a row is not somebody else's, as far as columns tell that are not these.
        upsert: the statement that writes a row: key, tag, value.
    """

    def __init__(self, name: str, ours: str, upsert: str) -> None:
        plain = f"{ours} AND typeof(value) = 'text' AND length(value) <= {MAX_VALUE_CHARS}"
        columns = f"key, CASE WHEN {plain} THEN value END, tag FROM {name}"  # a value that is refused comes as NULL
        where = f"WHERE key = ? AND {ours}"
        self.last = f"SELECT tag FROM {name} WHERE {_IS_NUMBER} ORDER BY tag DESC LIMIT 1"  # noqa: S608 - constants
        last = f"COALESCE(({self.last}), 0)"
        self.upsert = upsert
        self.read = f"SELECT {columns} WHERE key = ?"
        self.rows = f"SELECT {columns} WHERE key > ? AND key < ? ORDER BY key LIMIT ?"
        self.changes = f"SELECT {columns} WHERE tag > ? AND {_IS_NUMBER} ORDER BY tag"
        self.tag = f"SELECT tag FROM {name} {where}"  # noqa: S608
        self.replace = f"UPDATE {name} SET tag = 1 + {last}, value = ? {where} AND value = ?"  # noqa: S608
        self.replace_if_current = (
            f"UPDATE {name} SET tag = ?, value = ? {where}"  # noqa: S608
            f" AND NOT EXISTS (SELECT 1 FROM {name} WHERE tag > ? AND {_IS_NUMBER})"
        )
        self.delete = f"DELETE FROM {name} {where} AND value = ? AND tag IS NOT {last}"  # noqa: S608


def _translated(
    method: Callable[Concatenate[DatabaseBackend, _P], _R],
) -> Callable[Concatenate[DatabaseBackend, _P], _R]:
    """Turn what SQLite and the file system raise into `StateUnavailableError`, and close the file."""

    @functools.wraps(method)
    def translated(backend: DatabaseBackend, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return method(backend, *args, **kwargs)
        except (sqlite3.Error, OSError) as error:
            backend.close()
            msg = f"the shared state in {backend.directory} cannot be used: {error}"
            raise StateUnavailableError(msg) from error

    return translated


class DatabaseBackend:
    """Rows shared by every process on this host that uses the same file. Nothing is opened before the first call.

    Args:
        directory: the folder; created with mode 0700 if absent.
        layout: of the file.
        table: of the rows.
        busy_timeout: seconds to wait for another process that is writing and does not get on.
        on_network: use the folder though it is on a network file system.

    Attributes:
        pages: where the processes that use the folder tell each other what is in flight.
        callers_pages: where they tell each other whose that is.
    """

    def __init__(self, directory: Path, layout: Layout, table: Table, *, busy_timeout: float, on_network: bool) -> None:
        self.directory = directory
        self._layout = layout
        self._table = table
        self._busy_timeout = busy_timeout
        self._may_be_used = on_network
        self._locks = HostLocks(directory, self._prepare)
        self.pages = Pages(directory, self._prepare)
        self.callers_pages = Pages(directory, self._prepare, CALLERS)
        self._connection: Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._checked_at = 0.0
        self._life = 0
        self._dropped = 0

    # Opening and closing

    def _ready(self) -> Connection:
        now = time.monotonic()
        if self._connection is not None:
            if now - self._checked_at < _IDENTITY_CHECK_SECONDS:
                return self._connection
            if self._identity == identity_of(self.directory / self._layout.database):
                self._checked_at = now
                return self._connection
            self.close()  # the folder was removed, or the file set aside by somebody who found it broken
        self._prepare()
        connection, self._identity = opened(self.directory, self._layout, self._busy_timeout)
        self._connection, self._checked_at = connection, now
        self._life += 1
        return connection

    def _prepare(self) -> None:
        if not self._may_be_used:
            refuse_network(self.directory)
            self._may_be_used = True
        prepare_directory(self.directory)

    def close(self) -> None:
        """Close the connection; the next call opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def forked(self) -> None:
        """Let the parent's life and its locks be the parent's."""
        self._locks.forked()

    # Reading

    @_translated
    def read(self, key: str) -> str | None:
        """Return a row's text as committed."""
        return self._read(self._ready(), key)

    def _read(self, connection: Connection, key: str) -> str | None:
        found = connection.sql(self._table.read, (_spelt(key),)).fetchall()
        return next((row.text for row in self._plain(found)), None)

    @_translated
    def rows(self, prefix: str, *, after: str = "", limit: int | None = None) -> list[Row]:
        """Return rows by key; see `Backend.rows`."""
        end: str | bytes = prefix[:-1] + chr(ord(prefix[-1]) + 1) if prefix else _BEHIND_ALL_TEXT
        bounds = (max(prefix, after), end, -1 if limit is None else limit)
        found = self._ready().sql(self._table.rows, bounds).fetchall()
        return list(self._plain(found, count_refused=bool(prefix)))

    @_translated
    def changes(self, since: Position) -> tuple[list[Row], Position]:
        """Return the watched rows that were written after a position; see `Backend.changes`."""
        connection = self._ready()
        number = since.number if since.life == self._life else 0
        found = connection.sql(self._table.changes, (number,)).fetchall()
        if not found:  # as for most requests
            return [], since if number else Position(self._life, 0)
        return list(self._plain(found)), Position(self._life, found[-1][-1])

    def _plain(self, found: list[tuple[object, ...]], *, count_refused: bool = True) -> Iterator[Row]:
        for key, text, tag in found:
            if isinstance(key, str) and isinstance(text, str):
                yield Row(key, text, Position(self._life, tag) if isinstance(tag, int) else None)
            elif count_refused:
                self._dropped += 1

    # Writing

    @_translated
    def update(self, keys: Sequence[str], change: Change) -> list[Row]:
        """Change rows in a transaction; see `Backend.update`."""
        connection = self._ready()
        connection.sql("BEGIN IMMEDIATE")
        try:
            written = self._write(connection, change({key: self._read(connection, key) for key in keys}))
            connection.sql("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # a full disk has rolled back by itself
                connection.sql("ROLLBACK")
            raise
        return written

    def _write(self, connection: Connection, texts: Mapping[str, str]) -> list[Row]:
        written: list[Row] = []
        number: int | None = None
        for key, text in texts.items():
            if len(text) > MAX_VALUE_CHARS:
                msg = f"rows are short texts; {key.partition('/')[0]} is not"
                raise TypeError(msg)
            position = None
            if is_watched(key):
                number = 1 + (self._last(connection) if number is None else number)
                position = Position(self._life, number)
            connection.sql(self._table.upsert, (_spelt(key), None if position is None else number, text))
            written.append(Row(key, text, position))
        return written

    def _last(self, connection: Connection) -> int:
        last = connection.sql(self._table.last).fetchone()
        return 0 if last is None else int(last[0])

    @_translated
    def replace(self, key: str, text: str, known: str) -> Position | None:
        """Write a row if it still reads as ``known``; see `Backend.replace`."""
        connection = self._ready()
        if connection.sql(self._table.replace, (text, _spelt(key), known)).rowcount != 1:
            return None
        found = connection.sql(self._table.tag, (_spelt(key),)).fetchone()
        return Position(self._life, found[0] if found is not None and isinstance(found[0], int) else 0)

    @_translated
    def replace_if_current(self, key: str, text: str, since: Position) -> Position | None:
        """Write a row if nothing was written since; see `Backend.replace_if_current`."""
        connection, number = self._ready(), since.number + 1
        if since.life != self._life:
            return None
        done = connection.sql(self._table.replace_if_current, (number, text, _spelt(key), since.number)).rowcount == 1
        return Position(self._life, number) if done else None

    @_translated
    def delete(self, key: str, text: str) -> None:
        """Delete a row if it still reads so; see `Backend.delete`."""
        self._ready().sql(self._table.delete, (_spelt(key), text))

    # Locks

    def lock(self, name: str, timeout: float) -> AbstractContextManager[bool]:
        """Hold a lock by name across processes; see `Backend.lock`."""
        return self._locks.lock(name, timeout)

    @_translated
    def stay_alive(self, owner: str) -> None:
        """Make this process's life visible; see `Backend.stay_alive`."""
        self._locks.stay_alive(owner)

    @_translated
    def is_alive(self, owner: str) -> bool:
        """Return whether a process lives; see `Backend.is_alive`."""
        return self._locks.is_alive(owner)

    def status(self) -> StoreStatus:
        """Return how the backend is doing."""
        return StoreStatus(str(self.directory), shared=True, dropped_rows=self._dropped)


def _spelt(key: str) -> str:
    """Return a key as it is stored: half a surrogate pair, of which SQLite has none, is spelt out."""
    return key if key.isascii() else key.encode("utf-8", "backslashreplace").decode()


__all__ = ["BUSY_TIMEOUT_SECONDS", "DatabaseBackend", "Table"]
