"""The state of one host in a file of diskcache's.

diskcache makes the file, and `diskcache.Cache` can open it. Its rows are read and written by statements of our own (see
`database`), for what it has no methods for: compare-and-set, the feed of changes. It also unpickles rows, `JSONDisk`
too, and joins the ``filename`` column to the folder unchecked (CVE-2025-69872): none of that code runs here.

What is different in the making of the file (measured facts in brackets are about diskcache 5.6.3):

* Opening a complete file only reads [diskcache: writes every setting, which takes the write lock some twenty times].
* Opening gives up after the busy timeout [diskcache: 60 s].
* Settings in the file that are not known are ignored [diskcache: become attributes and PRAGMAs].
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import diskcache

from litellm_antigravity.state.callers import Callers
from litellm_antigravity.state.connection import Connection
from litellm_antigravity.state.database import BUSY_TIMEOUT_SECONDS, DatabaseBackend, Table
from litellm_antigravity.state.in_flight import InFlight
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.replica import Replica

DATABASE: Final = diskcache.core.DBNAME
OURS: Final = "raw = 1 AND mode = 1 AND filename IS NULL"
"""The condition that a row's key and value are not pickled and in no file."""

_KNOWN_SETTINGS = frozenset(name for name in diskcache.DEFAULT_SETTINGS if not name.startswith("sqlite_")) | {
    *diskcache.core.METADATA
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
_SETTINGS: Final = {"eviction_policy": "none", "cull_limit": 0, "tag_index": 1, "statistics": 0}
_TABLE: Final = Table(
    "Cache",
    OURS,
    "INSERT INTO Cache(key, raw, store_time, access_time, tag, mode, value)"
    " VALUES (?, 1, strftime('%s', 'now'), strftime('%s', 'now'), ?, 1, ?)"
    " ON CONFLICT(key, raw) DO UPDATE SET store_time = excluded.store_time, expire_time = NULL, tag = excluded.tag,"
    " size = 0, mode = 1, filename = NULL, value = excluded.value",
)


class _Disk(diskcache.Disk):  # type: ignore[misc]  # diskcache has no annotations
    """Reads and writes nothing; takes no settings of the file's."""

    def __init__(self, directory: str, **_: object) -> None:
        super().__init__(directory)


class _Maker(diskcache.Cache):  # type: ignore[misc]  # diskcache has no annotations
    """Makes a file what diskcache wants it to be, over a connection of ours.

    Leans on ``_con``, ``_sql`` and ``_sql_retry``, which the constructor of diskcache 5.6.3 uses, the last release
    since 2023.
    """

    def __init__(self, connection: Connection, directory: Path, settings: Mapping[str, object]) -> None:
        self._connection = connection
        super().__init__(str(directory), disk=_Disk, **settings)

    @property
    def _con(self) -> Any:
        return self._connection.raw

    @property
    def _sql(self) -> Any:
        return self._connection.sql

    _sql_retry = _sql  # it waits; diskcache would go on trying for a minute

    def reset(self, key: str, value: Any = diskcache.core.ENOVAL, update: bool = True) -> Any:
        """Ignore settings that are not ours: the name, as found in the file, would become an attribute or a PRAGMA."""
        return super().reset(key, value, update) if key in _KNOWN_SETTINGS else None

    def close(self) -> None:
        """Leave the connection open: it goes on to be used."""


class CacheLayout:
    """What a file of diskcache's is to be like; see `Layout`.

    Args:
        settings: those that differ from diskcache's defaults.
        keeps_corrupt: see `Layout`.
        pragmas: to be set before anything is made.
    """

    database = DATABASE

    def __init__(
        self, settings: Mapping[str, object], *, keeps_corrupt: bool = True, pragmas: tuple[str, ...] = ()
    ) -> None:
        self.keeps_corrupt = keeps_corrupt
        self.pragmas = pragmas
        self._settings = settings

    def lacks_nothing(self, connection: Connection) -> bool:
        """Return whether the file is complete; see `Layout`."""
        wanted = {*_SCHEMA, *(["Cache_tag_rowid"] if self._settings.get("tag_index") else [])}
        if not wanted <= {name for (name,) in connection.sql("SELECT name FROM sqlite_master").fetchall()}:
            return False
        connection.sql(_ALL_COLUMNS)  # an error for a table that diskcache did not make
        stored = dict(connection.sql("SELECT key, value FROM Settings").fetchall())
        return stored.keys() >= diskcache.core.METADATA.keys() and all(
            stored.get(key) == value for key, value in self._settings.items()
        )

    def complete(self, connection: Connection, directory: Path) -> None:
        """Write what the file lacks, as diskcache does; see `Layout`."""
        _Maker(connection, directory, self._settings)


class DiskStore(Ledger):
    """A ledger that every process on this host shares that uses the same folder; see `DatabaseBackend`.

    Args:
        directory: the folder; created with mode 0700 if absent.
        busy_timeout: seconds to wait for another process that is writing and does not get on.
        on_network: use the folder though it is on a network file system.
    """

    def __init__(
        self, directory: Path, *, busy_timeout: float = BUSY_TIMEOUT_SECONDS, on_network: bool = False
    ) -> None:
        layout = CacheLayout(_SETTINGS)
        backend = DatabaseBackend(directory, layout, _TABLE, busy_timeout=busy_timeout, on_network=on_network)
        super().__init__(Replica(backend), InFlight(backend.pages), Callers(backend.callers_pages))


__all__ = ["DATABASE", "OURS", "CacheLayout", "DiskStore"]
