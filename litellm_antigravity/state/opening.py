"""Opening a shared database file: any number of processes at once, without one waiting for another.

* A file that is not there is built whole in a folder of its own, and put in place by one `os.link`: whoever is first
  wins, the others throw theirs away.
* A sound file is only read: its settings, its tables, its quick check. Openers hold a shared lock meanwhile.
* A file that is corrupt is set aside by one process under an exclusive lock, because nobody may open the file between
  the renames: SQLite would play one file's write-ahead log into another file. A file that lacks something (an older
  version's, or an empty one) is completed by one process at a time.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from litellm_antigravity.errors import StateUnavailableError
from litellm_antigravity.state.connection import Connection, is_corrupt
from litellm_antigravity.state.kernel_locks import exclusively, lock_on, shared
from litellm_antigravity.state.private_files import create_private, identity_of, keep_private, refuse_odd_file

logger = logging.getLogger("litellm_antigravity")

COMPANIONS = ("-wal", "-shm", "-journal")
"""What SQLite appends to the name for the files that it keeps beside a database."""

_POLL_SECONDS = 0.02
_LEFTOVER_SECONDS = 3600.0
_MOST_ROUNDS = 5


class Layout(Protocol):
    """What a file is to be like.

    Attributes:
        database: the file's name.
        keeps_corrupt: whether a corrupt file is kept, and told of; else it is deleted.
        pragmas: to be set before anything is made.
    """

    database: str
    keeps_corrupt: bool
    pragmas: tuple[str, ...]

    def lacks_nothing(self, connection: Connection) -> bool:
        """Return whether the file is complete; write nothing.

        Raises:
            sqlite3.Error: for another program's file, as `is_corrupt` tells it.
        """
        ...

    def complete(self, connection: Connection, directory: Path) -> None:
        """Write what the file lacks."""
        ...


def opened(directory: Path, layout: Layout, timeout: float) -> tuple[Connection, tuple[int, int] | None]:
    """Open the file in a folder that is there and private; set a corrupt file aside.

    Returns:
        The open file, and what tells it from another one of its name.

    Args:
        directory: the folder.
        layout: what the file is to be like.
        timeout: seconds to wait for another process that holds the file and makes no progress.

    Raises:
        StateUnavailableError: when something is in the way that is nobody's database, or somebody else has been mending
            the file for too long.
        sqlite3.Error: when SQLite cannot use the file.
        OSError: when the folder cannot be used.
    """
    ends = time.monotonic() + timeout
    file = directory / layout.database
    for _ in range(_MOST_ROUNDS):
        seen = identity_of(file)
        with shared(directory / "open.lock", _left(ends)), contextlib.suppress(_CorruptError):
            if seen is None:
                _build(directory, layout, timeout)
                seen = identity_of(file)
            if (connection := _sound(directory, layout, timeout)) is not None:
                return connection, identity_of(file)  # while nobody can set it aside
        with _turn_to_mend(file, seen, ends) as granted:
            if granted and (connection := _mend(directory, layout, timeout, ends)) is not None:
                return connection, identity_of(file)
    msg = f"the database in {directory} is broken again whenever it is made anew"
    raise StateUnavailableError(msg)


class _CorruptError(Exception):
    """The file is to be set aside."""


def _sound(directory: Path, layout: Layout, timeout: float, *, complete: bool = False) -> Connection | None:
    """Return the file, opened, or ``None`` for one that lacks something, unless that is to be completed.

    Raises:
        _CorruptError: when the file is broken, or another program's database.
    """
    file = directory / layout.database
    try:
        for path in (file, *_companions(file)):
            refuse_odd_file(path)
        connection = Connection(file, timeout, pragmas=layout.pragmas)
        try:
            if not layout.lacks_nothing(connection):
                if not complete:
                    connection.close()
                    return None
                layout.complete(connection, directory)
            verdict = connection.sql("PRAGMA quick_check(1)").fetchone()
            if verdict != ("ok",):
                msg = f"database disk image is malformed: {verdict[0]}"
                raise sqlite3.DatabaseError(msg)
            for path in (file, *_companions(file)):
                keep_private(path)
        except BaseException:
            connection.close()
            raise
    except (TypeError, ValueError, AttributeError) as error:  # a table of settings that makes no sense
        raise _CorruptError from error
    except (sqlite3.DatabaseError, IsADirectoryError) as error:
        if is_corrupt(error):
            raise _CorruptError from error
        raise
    return connection


@contextlib.contextmanager
def _turn_to_mend(file: Path, seen: tuple[int, int] | None, ends: float) -> Iterator[bool]:
    """Be the one process that mends the file ``seen``; yields False when somebody has put another one in its place."""
    lock = lock_on(file.with_name("mend.lock"), _POLL_SECONDS)
    while identity_of(file) in (seen, None):
        try:
            lock.acquire(poll_interval=_POLL_SECONDS)
        except TimeoutError as error:
            if not _left(ends):
                msg = f"another process has been mending the shared state in {file.parent} for too long"
                raise StateUnavailableError(msg) from error
            continue
        try:
            yield True
        finally:
            lock.release()
        return
    yield False


def _mend(directory: Path, layout: Layout, timeout: float, ends: float) -> Connection | None:
    lock = directory / "open.lock"
    with shared(lock, _left(ends)), contextlib.suppress(_CorruptError):
        return _sound(directory, layout, timeout, complete=True)
    with exclusively(lock, _left(ends)):
        _set_aside(directory / layout.database, keep=layout.keeps_corrupt)
    return None


def _left(ends: float) -> float:
    return max(0.0, ends - time.monotonic())


def _set_aside(file: Path, *, keep: bool) -> None:
    target = file.parent / f"corrupt-{time.time_ns()}"
    target.mkdir(mode=0o700)
    for path in sorted(file.parent.glob(file.name + "*")):
        path.rename(target / path.name)
    if keep:
        logger.warning("The shared state was corrupt; it was moved to %s and starts empty.", target)
    else:
        shutil.rmtree(target)


def _build(directory: Path, layout: Layout, timeout: float) -> None:
    """Put an empty file in place, unless somebody else does so first."""
    _clear_leftovers(directory)
    file = directory / layout.database
    with tempfile.TemporaryDirectory(prefix="new-", dir=directory, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        create_private(folder / layout.database)
        # Not durable: should the host fail now, the file comes back empty or broken, and is completed or set aside.
        connection = Connection(folder / layout.database, timeout, durable=False, pragmas=layout.pragmas)
        try:
            layout.complete(connection, folder)
        finally:
            connection.close()
        try:
            os.link(folder / layout.database, file)
        except FileExistsError:
            return
        except OSError:  # no links on this file system: the file is completed in place
            create_private(file)


def _clear_leftovers(directory: Path) -> None:
    """Remove what processes that were killed while building have left."""
    for folder in directory.glob("new-*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.lstat().st_mtime > _LEFTOVER_SECONDS:
                shutil.rmtree(folder)


def _companions(file: Path) -> list[Path]:
    return [file.with_name(file.name + ending) for ending in COMPANIONS]
