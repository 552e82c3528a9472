"""diskcache, made safe to share: rows are plain values, and one connection serves all threads of a process.

What diskcache does not give (measured facts in brackets are about diskcache 5.6.3):

* A strict `Disk`: only text and numbers that SQLite itself stores. diskcache unpickles rows, `JSONDisk` too, and
  joins the ``filename`` column to the folder unchecked (CVE-2025-69872).
* One connection per process, not one per thread; see `connection`.
* Never ``retry=True`` (it spins for ever on a permanent error). Opening gives up after the busy timeout too
  [diskcache: 60 s].
* Opening a complete file only reads [diskcache: writes every setting, which takes the write lock some twenty times].
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diskcache
from typing_extensions import Self

from litellm_antigravity.state.connection import Connection

MAX_VALUE_CHARS = 64 * 1024

_RAW = 1  # diskcache's MODE_RAW: the value column is the value
_KNOWN_SETTINGS = frozenset(name for name in diskcache.DEFAULT_SETTINGS if not name.startswith("sqlite_")) | {
    "count",
    "size",
    "hits",
    "misses",
}
_SCHEMA = frozenset(
    {
        *("Settings", "Cache", "Cache_key_raw", "Settings_count_insert", "Settings_count_delete"),
        *("Settings_size_insert", "Settings_size_update", "Settings_size_delete"),
    }
)
_ALL_COLUMNS = (
    "SELECT rowid, key, raw, store_time, expire_time, access_time, access_count, tag, size, mode, filename, value"
    " FROM Cache LIMIT 0"
)


class RefusedRowError(OSError):
    """A row that is not a plain value. An `OSError`, because `diskcache.Cache.get` takes that for a missing row."""


class StrictDisk(diskcache.Disk):  # type: ignore[misc]  # diskcache has no annotations
    """Keys are text, values are text or numbers, all of them in the row; no pickle, no file, ever.

    Attributes:
        max_chars: of a text.
        dropped: how many rows were refused.
    """

    max_chars = MAX_VALUE_CHARS

    def __init__(self, directory: str, **_: object) -> None:
        super().__init__(directory)
        self.dropped = 0

    def put(self, key: object) -> tuple[str, bool]:
        """Return the key as stored; only text is, and half a surrogate pair (SQLite has none) is spelt out."""
        if type(key) is not str:
            msg = f"state keys are text, not {type(key).__name__}"
            raise TypeError(msg)
        return key if key.isascii() else key.encode("utf-8", "backslashreplace").decode(), True

    def get(self, key: object, raw: object) -> str:
        """Return a key as read; anything but plain text is refused."""
        if raw != 1 or type(key) is not str:
            raise self.refuse()
        return key

    def store(self, value: object, read: bool, key: object = None) -> tuple[int, int, None, object]:  # noqa: ARG002 - diskcache's signature
        """Return the columns of a value; only text and numbers of a sane size have any."""
        if type(value) not in (str, int, float) or (isinstance(value, str) and len(value) > self.max_chars):
            msg = f"state values are short text or numbers, not {type(value).__name__}"
            raise TypeError(msg)
        return 0, _RAW, None, value

    def fetch(self, mode: object, filename: object, value: object, read: object) -> object:
        """Return a value as read; anything that this class would not have stored is refused."""
        if read or not is_plain(mode, filename, value, self.max_chars):
            raise self.refuse()
        return value

    def filename(self, key: object = None, value: object = None) -> tuple[str, str]:  # noqa: ARG002 - diskcache's signature
        """Refuse: no value lives in a file."""
        raise self.refuse()

    def remove(self, file_path: object) -> None:
        """Do nothing: no row owns a file, whatever its ``filename`` column says."""

    def refuse(self) -> RefusedRowError:
        """Count a refused row and return the error to raise."""
        self.dropped += 1
        return RefusedRowError("a row in the shared state is not a plain value")


def is_plain(mode: object, filename: object, value: object, max_chars: int = MAX_VALUE_CHARS) -> bool:
    """Return whether a row's columns are what `StrictDisk.store` writes."""
    if mode != _RAW or filename is not None or type(value) not in (str, int, float):
        return False
    return not isinstance(value, str) or len(value) <= max_chars


class OneConnectionCache(diskcache.Cache):  # type: ignore[misc]  # diskcache has no annotations
    """A cache with one connection for all threads; its owner serialises every use.

    Leans on ``_con``, ``_sql``, ``_sql_retry`` and on the attributes that the constructor sets in diskcache 5.6.3, the
    last release since 2023.

    Args:
        directory: the folder of the file; it is made complete.
        timeout: seconds to wait for another process that has the write lock and makes no progress.
        durable: whether what is committed is to survive a failure of the host.
        settings: diskcache's.
    """

    more_pragmas: tuple[str, ...] = ()
    _one: Connection | None = None
    _durable = True

    def __init__(self, directory: str, *, timeout: float, durable: bool = True, **settings: object) -> None:
        self._patience = timeout
        self._durable = durable
        try:
            super().__init__(directory, timeout=timeout, **settings)
        except BaseException:
            self.close()
            raise

    @classmethod
    def found(
        cls, directory: str, *, timeout: float, disk: type[StrictDisk], settings: Mapping[str, object]
    ) -> Self | None:
        """Return the cache as the constructor does, writing nothing; ``None`` if the file is not complete."""
        cache = cls.__new__(cls)
        cache._patience = cache._timeout = timeout
        cache._directory, cache._local, cache._txn_id = directory, threading.local(), None
        try:
            if cache._is_complete(settings):
                cache._disk = disk(directory)
                for key, value in {**diskcache.DEFAULT_SETTINGS, **settings}.items():
                    setattr(cache, key, value)
                ((cache._page_size,),) = cache._sql("PRAGMA page_size").fetchall()
                return cache
        except BaseException:
            cache.close()
            raise
        cache.close()
        return None

    def _is_complete(self, settings: Mapping[str, object]) -> bool:
        wanted = {*_SCHEMA, *(["Cache_tag_rowid"] if settings.get("tag_index") else [])}
        if not wanted <= {name for (name,) in self._sql("SELECT name FROM sqlite_master").fetchall()}:
            return False
        self._sql(_ALL_COLUMNS)  # an error for a table that diskcache did not make
        stored = dict(self._sql("SELECT key, value FROM Settings").fetchall())
        return stored.keys() >= diskcache.core.METADATA.keys() and all(
            stored.get(key) == value for key, value in settings.items()
        )

    @property
    def _con(self) -> sqlite3.Connection:
        return self._connection.raw

    @property
    def _connection(self) -> Connection:
        if self._one is None:
            file = Path(self._directory, diskcache.core.DBNAME)
            self._one = Connection(file, self._patience, durable=self._durable, pragmas=self.more_pragmas)
        return self._one

    def sql(self, statement: str, parameters: Any = ()) -> sqlite3.Cursor:
        """Execute a statement; see `Connection.sql`."""
        return (self._one or self._connection).sql(statement, parameters)

    _sql = _sql_retry = sql  # it waits; diskcache would go on trying for a minute

    def reset(self, key: str, value: Any = diskcache.core.ENOVAL, update: bool = True) -> Any:
        """Ignore settings that are not ours: the name, as found in the file, would become an attribute or a PRAGMA."""
        if key not in _KNOWN_SETTINGS:
            return None
        return super().reset(key, value, update)

    def close(self) -> None:
        """Close the connection; the next use opens another one."""
        connection, self._one = self._one, None
        if connection is not None:
            connection.close()
