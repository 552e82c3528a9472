"""Signed thoughts that the processes of a host share: encrypted, bounded in size, and gone after some hours.

A cache of its own beside the state. Without it, or without `cryptography` (which LiteLLM's proxy brings), each process
has its own memory only. Whoever reads the file finds neither a thought nor what it belongs to: rows are named by a hash
of the tool call's id and encrypted with a key made of the id, which is nowhere in the file.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import json
import logging
import sqlite3
import threading
import time
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import filelock

from litellm_antigravity.forking import ForkAware
from litellm_antigravity.settings.model import StateBackend
from litellm_antigravity.state.connection import Connection, is_corrupt
from litellm_antigravity.state.file_systems import refuse_network
from litellm_antigravity.state.opening import Layout, opened
from litellm_antigravity.state.private_files import identity_of, prepare_directory
from litellm_antigravity.state.sqlite import PlainLayout

if TYPE_CHECKING:
    from litellm_antigravity.state.joined_thoughts import JoinedThoughts

logger = logging.getLogger("litellm_antigravity")

KEPT_SECONDS: Final = 12 * 3600.0
MAX_BYTES: Final = 64 * 1024 * 1024
"""Of the file; then the oldest go."""

MAX_PENDING: Final = 100
"""Thoughts that wait for being written; what comes when there are more is not shared."""

PATIENCE_SECONDS: Final = 0.25
"""For another process that is writing, and for this process's own writer."""

REST_SECONDS: Final = 60.0
"""How long a file that cannot be used is left alone; one that is only busy, for a second."""

_MAX_CHARS: Final = 1024 * 1024  # a thought is as long as its budget, and its signature longer
_SWEPT_AT_ONCE: Final = 10
_PRAGMAS: Final = ("auto_vacuum = FULL",)

Blocks = list[dict[str, str]]


class _Table:
    """The statements on the table of thoughts.

    Args:
        layout: of the file.
        name: of the table, with columns ``key``, ``value``, ``store_time`` and ``expire_time``.
        ours: the condition that a row is not somebody else's, as far as other columns tell.
        upsert: the statement that writes a row: key, value, and both times.
    """

    def __init__(self, layout: Layout, name: str, ours: str, upsert: str) -> None:
        some = f"DELETE FROM {name} WHERE key IN (SELECT key FROM {name}"  # noqa: S608 - constants
        self.layout = layout
        self.upsert = upsert
        self.read = (
            f"SELECT value FROM {name} WHERE key = ? AND expire_time > ? AND {ours}"  # noqa: S608
            f" AND typeof(value) = 'text' AND length(value) <= {_MAX_CHARS}"
        )
        self.sweep = f"{some} WHERE expire_time < ? LIMIT {_SWEPT_AT_ONCE})"
        self.evict = f"{some} ORDER BY store_time LIMIT {_SWEPT_AT_ONCE})"


def _diskcache_table(max_bytes: int) -> _Table:
    from litellm_antigravity.state.disk import OURS, CacheLayout  # diskcache is only imported when it is used

    settings = {"eviction_policy": "least-recently-stored", "cull_limit": 10, "statistics": 0, "size_limit": max_bytes}
    return _Table(
        CacheLayout(settings, keeps_corrupt=False, pragmas=_PRAGMAS),
        "Cache",
        OURS,
        "INSERT INTO Cache(key, value, store_time, expire_time, raw, mode) VALUES (?, ?, ?, ?, 1, 1)"
        " ON CONFLICT(key, raw) DO UPDATE SET value = excluded.value, store_time = excluded.store_time,"
        " expire_time = excluded.expire_time, mode = 1, filename = NULL, size = 0",
    )


def _sqlite_table(_: int) -> _Table:
    columns = {"key": "TEXT NOT NULL PRIMARY KEY", "value": "TEXT", "store_time": "REAL", "expire_time": "REAL"}
    return _Table(
        PlainLayout("thoughts.db", "thoughts", columns, "store_time", keeps_corrupt=False, pragmas=_PRAGMAS),
        "thoughts",
        "TRUE",
        "INSERT OR REPLACE INTO thoughts(key, value, store_time, expire_time) VALUES (?, ?, ?, ?)",
    )


class SharedThoughts(ForkAware):
    """The signed thoughts of all processes that use one folder.

    Opens nothing before the first thought. Never raises, and never lets anybody wait for a write.

    Args:
        directory: a folder of its own; made with mode 0700 when first written to.
        kept_seconds: for how long.
        max_bytes: of the file.
        on_network: use the folder though it is on a network file system; else nothing is shared there.
        backend: what keeps them; see the setting ``state_backend``.
        among_hosts: where other hosts have theirs.
    """

    def __init__(
        self,
        directory: Path,
        *,
        kept_seconds: float = KEPT_SECONDS,
        max_bytes: int = MAX_BYTES,
        on_network: bool = False,
        backend: StateBackend = "diskcache",
        among_hosts: JoinedThoughts | None = None,
    ) -> None:
        self._among_hosts = among_hosts
        self.directory = directory
        self.backend = backend
        self._kept_seconds = kept_seconds
        self._max_bytes = max_bytes
        self.on_network = on_network
        self._after_fork_in_child()
        self._watch_forks()

    def _before_fork(self) -> None:
        self._lock.acquire()  # nobody is inside SQLite now
        self._close()

    def _after_fork_in_parent(self) -> None:
        self._lock.release()

    def _after_fork_in_child(self) -> None:
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._writer: ThreadPoolExecutor | None = None
        self._pending = threading.BoundedSemaphore(MAX_PENDING)
        self._rests_until = 0.0

    def write(self, call_id: str, blocks: Sequence[dict[str, str]], *, far: bool = True) -> None:
        """Write the thoughts before a tool call, later and in another thread; with ``far``, for other hosts as well."""
        if self._rests or not self._pending.acquire(blocking=False):
            return
        try:
            if self._writer is None:
                self._writer = ThreadPoolExecutor(1, thread_name_prefix="shared-thoughts")  # done before the exit
            self._writer.submit(self._write, call_id, list(blocks), self._pending, far)
        except RuntimeError:  # the interpreter ends
            self._pending.release()

    def _write(self, call_id: str, blocks: Blocks, pending: threading.BoundedSemaphore, far: bool) -> None:
        try:
            cipher = None if self._rests else _cipher(call_id)
            if cipher is None:
                return
            text = cipher.encrypt(zlib.compress(json.dumps(blocks).encode())).decode()
            if len(text) <= _MAX_CHARS:
                try:
                    with self._lock:
                        self._put(_row(call_id), text, time.time())
                finally:  # the other hosts come second: their Redis may be slow
                    if far and self._among_hosts is not None:
                        self._among_hosts.put(_row(call_id), text)
        except Exception as error:  # noqa: BLE001 - nobody is to fail because of this
            self._failed(error)
        finally:
            pending.release()

    def _put(self, key: str, text: str, now: float) -> None:
        connection = self._opened()
        connection.sql(self._table.upsert, (key, text, now, now + self._kept_seconds))
        connection.sql(self._table.sweep, (now,))
        if _size(connection) > self._max_bytes:
            connection.sql(self._table.evict)

    def read(self, call_id: str) -> Blocks:
        """Return the thoughts before a tool call that any process has written, or none."""
        if self._rests or not self._file.exists() or not self._lock.acquire(timeout=PATIENCE_SECONDS):
            return []
        try:
            found = self._opened().sql(self._table.read, (_row(call_id), time.time())).fetchone()
        except Exception as error:  # noqa: BLE001 - see `_write`
            self._lock.release()
            self._failed(error)
            return []
        self._lock.release()
        return [] if found is None else _opened(call_id, found[0])

    @property
    def asks_other_hosts(self) -> bool:
        """Whether other hosts may have more."""
        return self._among_hosts is not None

    def read_far(self, call_ids: Sequence[str]) -> dict[str, Blocks] | None:
        """Return the thoughts before tool calls that other hosts have; ``None`` where they cannot be asked."""
        names = {_row(call_id): call_id for call_id in call_ids}
        texts = None if self._among_hosts is None else self._among_hosts.get([*names])
        return None if texts is None else {names[row]: _opened(names[row], text) for row, text in texts.items()}

    @property
    def _rests(self) -> bool:
        return time.monotonic() < self._rests_until

    def _failed(self, error: Exception) -> None:
        logger.debug("Thoughts are not shared with other processes for a while: %s.", type(error).__name__)
        busy = isinstance(error, filelock.Timeout) or "locked" in str(error)
        with self._lock, contextlib.suppress(OSError):
            corrupt = isinstance(error, (sqlite3.DatabaseError, IsADirectoryError)) and is_corrupt(error)
            if corrupt and self._identity == identity_of(self._file):  # still the one that is corrupt
                for path in self.directory.glob(self._file.name + "*"):
                    path.unlink()
            self._close()
            self._rests_until = time.monotonic() + (1.0 if busy else REST_SECONDS)

    @functools.cached_property
    def _table(self) -> _Table:
        return (_sqlite_table if self.backend == "sqlite" else _diskcache_table)(self._max_bytes)

    @property
    def _file(self) -> Path:
        return self.directory / self._table.layout.database

    def _opened(self) -> Connection:
        """Return the connection, a new one if its file is another one now; under the lock."""
        if self._connection is not None and self._identity != identity_of(self._file):
            self._close()
        if self._connection is None:
            if not self.on_network:
                refuse_network(self.directory)
            prepare_directory(self.directory.parent)
            prepare_directory(self.directory)
            self._connection, self._identity = opened(self.directory, self._table.layout, PATIENCE_SECONDS)
        return self._connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def close(self) -> None:
        """Wait for what is being written, and close the file; the next thought opens it again."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.shutdown()
        with self._lock:
            self._close()


def _size(connection: Connection) -> int:
    """Return the bytes of the file."""
    ((pages,),) = connection.sql("PRAGMA page_count").fetchall()
    ((size,),) = connection.sql("PRAGMA page_size").fetchall()
    return int(pages) * int(size)


def _row(call_id: str) -> str:
    return _digest(call_id, b"row").hex()


def _digest(call_id: str, purpose: bytes) -> bytes:
    return hashlib.blake2b(call_id.encode("utf-8", "surrogatepass"), digest_size=32, person=purpose).digest()


def _cipher(call_id: str) -> Any:
    """Return what encrypts the thoughts before a call; ``None`` when that cannot be had."""
    try:
        from cryptography.fernet import Fernet
    except ImportError:
        return None
    return Fernet(base64.urlsafe_b64encode(_digest(call_id, b"key")))


def _opened(call_id: str, text: str) -> Blocks:
    """Return what a row holds; nothing where it is none of ours."""
    try:
        cipher = _cipher(call_id)
        return [] if cipher is None else _blocks(json.loads(zlib.decompress(cipher.decrypt(text.encode()))))
    except Exception as error:  # noqa: BLE001 - somebody else's row tells nothing of the file
        logger.debug("A shared thought cannot be read: %s.", type(error).__name__)
        return []


def _blocks(value: Any) -> Blocks:
    return [{"thinking": str(block["thinking"]), "signature": str(block["signature"])} for block in value]


__all__ = ["KEPT_SECONDS", "MAX_BYTES", "MAX_PENDING", "SharedThoughts"]
