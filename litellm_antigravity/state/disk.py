"""The state of one host in a `diskcache.Cache`.

diskcache opens and makes the file; its rows are read and written by the statements of `database`, which diskcache has
no methods for: compare-and-set, the feed of changes. No eviction and no expiry of diskcache's: `expiry` says which rows
are over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

import diskcache

from litellm_antigravity.state.database import BUSY_TIMEOUT_SECONDS, DatabaseBackend, Table
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.replica import Replica
from litellm_antigravity.state.strict_cache import OneConnectionCache, StrictDisk

_C = TypeVar("_C", bound=OneConnectionCache)


@dataclass(frozen=True, slots=True)
class CacheLayout(Generic[_C]):
    """What a cache's file is to be like; see `Layout`.

    Attributes:
        cache: the class of the cache.
        disk: the class of its `diskcache.Disk`.
        settings: those that differ from diskcache's defaults.
        keeps_corrupt: see `Layout`.
        database: see `Layout`.
    """

    cache: type[_C]
    disk: type[StrictDisk]
    settings: Mapping[str, object]
    keeps_corrupt: bool = True
    database: str = diskcache.core.DBNAME

    def found_in(self, directory: Path, timeout: float) -> _C | None:
        """Return the cache in a folder if it is complete; see `OneConnectionCache.found`."""
        return self.cache.found(str(directory), timeout=timeout, disk=self.disk, settings=self.settings)

    def completed_in(self, directory: Path, timeout: float, *, durable: bool = True) -> _C:
        """Return the cache in a folder after writing what it lacks, as diskcache does."""
        return self.cache(str(directory), timeout=timeout, disk=self.disk, durable=durable, **self.settings)


_LAYOUT: Final = CacheLayout(
    OneConnectionCache, StrictDisk, {"eviction_policy": "none", "cull_limit": 0, "tag_index": 1, "statistics": 0}
)
_TABLE: Final = Table(
    "Cache",
    "raw = 1 AND mode = 1 AND filename IS NULL",
    "INSERT INTO Cache(key, raw, store_time, access_time, tag, mode, value)"
    " VALUES (?, 1, strftime('%s', 'now'), strftime('%s', 'now'), ?, 1, ?)"
    " ON CONFLICT(key, raw) DO UPDATE SET store_time = excluded.store_time, expire_time = NULL, tag = excluded.tag,"
    " size = 0, mode = 1, filename = NULL, value = excluded.value",
)


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
        self.directory = directory
        backend = DatabaseBackend(directory, _LAYOUT, _TABLE, busy_timeout=busy_timeout, on_network=on_network)
        super().__init__(Replica(backend))


__all__ = ["CacheLayout", "DiskStore"]
