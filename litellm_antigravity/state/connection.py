"""One SQLite connection for all threads of a process; its owner serialises every use.

Threads of a process do not run into each other's locks that way, and file descriptors stay few. No memory mapping: a
truncated file would kill the process. Who waits for the write lock waits as long as others get it and let it go;
SQLite counts seconds only.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from litellm_antigravity.deadlines import seconds_left
from litellm_antigravity.errors import StateBusyError
from litellm_antigravity.state.backend import BUSY
from litellm_antigravity.state.kernel_locks import Queue

_SLICE_SECONDS: Final = 0.05
"""After waiting this long for the write lock, queue up, and look whether others get on."""

_QUEUE_SECONDS: Final = 0.5
"""How long to wait in the queue between two tries."""

_MOST_PATIENCE_SECONDS: Final = 60.0
"""Longer than any crowd takes: 256 starters were served in 5 s on two cores."""

_PRAGMAS = ("journal_mode = WAL", "synchronous = NORMAL", "mmap_size = 0")


class Connection:
    """A connection to a database file.

    Args:
        file: the database; made if it is not there.
        patience: seconds to wait for another process that has the write lock and makes no progress.
        durable: whether what is committed is to survive a failure of the host.
        pragmas: to be set before anything else.
    """

    def __init__(self, file: Path, patience: float, *, durable: bool = True, pragmas: Sequence[str] = ()) -> None:
        self._patience = patience
        self._queue = file.with_name("turn.lock")
        self.raw = sqlite3.connect(
            file, timeout=min(patience, _SLICE_SECONDS), isolation_level=None, check_same_thread=False
        )
        self.raw.text_factory = _text_or_bytes
        try:
            for pragma in (*pragmas, *_PRAGMAS, *(() if durable else ("synchronous = OFF",))):
                self.sql(f"PRAGMA {pragma}")
        except BaseException:
            self.raw.close()
            raise

    def sql(self, statement: str, parameters: Any = ()) -> sqlite3.Cursor:
        """Execute a statement; outside of a transaction, wait for the others as long as they get on.

        Raises:
            StateBusyError: when they get on for longer than the caller has time; see `time_limit`.
        """
        try:
            return self.raw.execute(statement, parameters)
        except sqlite3.OperationalError as error:
            if self.raw.in_transaction or not _is_busy(error):
                raise
            return self._wait_and_execute(statement, parameters, error)

    def _wait_and_execute(self, statement: str, parameters: Any, busy: sqlite3.OperationalError) -> sqlite3.Cursor:
        """Go on trying while the others get on: a crowd of writers is served, a stuck one is not waited for."""
        began = moved = time.monotonic() - min(self._patience, _SLICE_SECONDS)
        version = self._version()
        queue = Queue(self._queue)
        try:
            while True:
                now = time.monotonic()
                if now - moved >= self._patience or now - began >= _MOST_PATIENCE_SECONDS:
                    raise busy
                if (left := seconds_left()) <= 0:
                    raise StateBusyError(BUSY)
                queue.granted(min(_QUEUE_SECONDS, self._patience, left))  # if not, the first of them may be stuck
                try:
                    return self.raw.execute(statement, parameters)
                except sqlite3.OperationalError as error:
                    if not _is_busy(error):
                        raise
                    busy = error
                if version != (version := self._version()):
                    moved = time.monotonic()
        finally:
            queue.leave()

    def _version(self) -> object:
        """Return what changes whenever another connection has committed; ``None`` if it cannot be read now."""
        try:
            return self.raw.execute("PRAGMA data_version").fetchone()
        except sqlite3.OperationalError:
            return None

    def close(self) -> None:
        """Close the connection."""
        self.raw.close()


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return "is locked" in str(error)  # its code came with Python 3.11


def _text_or_bytes(stored: bytes) -> str | bytes:
    """Return a text column's text; bytes, which no row of ours holds, where it is none, rather than fail the query."""
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return stored


def is_corrupt(error: sqlite3.DatabaseError | IsADirectoryError) -> bool:
    """Return whether a file that cannot be opened is to be moved aside: broken, or another program's database."""
    # SQLITE_CORRUPT and SQLITE_NOTADB are raised as DatabaseError itself; its subclasses mean something else.
    if isinstance(error, IsADirectoryError) or type(error) is sqlite3.DatabaseError:
        return True
    return any(sign in str(error) for sign in ("malformed", "no such column", "has no column"))


__all__ = ["Connection", "is_corrupt"]
