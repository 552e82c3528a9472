"""Signed thoughts that the processes of a host share: encrypted, bounded in size, and gone after some hours.

A cache of its own beside the state. Without it, or without `cryptography` (which LiteLLM's proxy brings), each process
has its own memory only. Whoever reads the file finds neither a thought nor what it belongs to: rows are named by a hash
of the tool call's id and encrypted with a key made of the id, which is nowhere in the file.
"""

from __future__ import annotations

import base64
import contextlib
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
from typing import Any, Final

import diskcache
import filelock

from litellm_antigravity.forking import ForkAware
from litellm_antigravity.state.connection import is_corrupt
from litellm_antigravity.state.disk import CacheLayout
from litellm_antigravity.state.file_systems import refuse_network
from litellm_antigravity.state.opening import opened
from litellm_antigravity.state.private_files import identity_of, prepare_directory
from litellm_antigravity.state.strict_cache import OneConnectionCache, StrictDisk

DATABASE: Final = diskcache.core.DBNAME

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

_SETTINGS: Final = {"eviction_policy": "least-recently-stored", "cull_limit": 10, "statistics": 0}

Blocks = list[dict[str, str]]


class _Disk(StrictDisk):
    max_chars = 1024 * 1024  # a thought is as long as its budget, and its signature longer


class _Cache(OneConnectionCache):
    more_pragmas = ("auto_vacuum = FULL",)  # diskcache goes by the size of the file


class SharedThoughts(ForkAware):
    """The signed thoughts of all processes that use one folder.

    Opens nothing before the first thought. Never raises, and never lets anybody wait for a write.

    Args:
        directory: a folder of its own; made with mode 0700 when first written to.
        kept_seconds: for how long.
        max_bytes: of the file.
        on_network: use the folder though it is on a network file system; else nothing is shared there.
    """

    def __init__(
        self,
        directory: Path,
        *,
        kept_seconds: float = KEPT_SECONDS,
        max_bytes: int = MAX_BYTES,
        on_network: bool = False,
    ) -> None:
        self.directory = directory
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
        self._cache: _Cache | None = None
        self._identity: tuple[int, int] | None = None
        self._writer: ThreadPoolExecutor | None = None
        self._pending = threading.BoundedSemaphore(MAX_PENDING)
        self._rests_until = 0.0

    def write(self, call_id: str, blocks: Sequence[dict[str, str]]) -> None:
        """Write the thoughts before a tool call, later and in another thread."""
        if self._rests or not self._pending.acquire(blocking=False):
            return
        try:
            if self._writer is None:
                self._writer = ThreadPoolExecutor(1, thread_name_prefix="shared-thoughts")  # done before the exit
            self._writer.submit(self._write, call_id, list(blocks), self._pending)
        except RuntimeError:  # the interpreter ends
            self._pending.release()

    def _write(self, call_id: str, blocks: Blocks, pending: threading.BoundedSemaphore) -> None:
        try:
            cipher = None if self._rests else _cipher(call_id)
            if cipher is None:
                return
            text = cipher.encrypt(zlib.compress(json.dumps(blocks).encode())).decode()
            if len(text) <= _Disk.max_chars:
                with self._lock:
                    self._opened().set(_row(call_id), text, expire=self._kept_seconds)
        except Exception as error:  # noqa: BLE001 - nobody is to fail because of this
            self._failed(error)
        finally:
            pending.release()

    def read(self, call_id: str) -> Blocks:
        """Return the thoughts before a tool call that any process has written, or none."""
        file = self.directory / DATABASE
        if self._rests or not file.exists() or not self._lock.acquire(timeout=PATIENCE_SECONDS):
            return []
        try:
            text = self._opened().get(_row(call_id))
        except Exception as error:  # noqa: BLE001 - see `_write`
            self._lock.release()
            self._failed(error)
            return []
        self._lock.release()
        try:
            cipher = _cipher(call_id) if isinstance(text, str) else None
            return [] if cipher is None else _blocks(json.loads(zlib.decompress(cipher.decrypt(text.encode()))))
        except Exception as error:  # noqa: BLE001 - see `_write`; somebody else's row tells nothing of the file
            logger.debug("A shared thought cannot be read: %s.", type(error).__name__)
            return []

    @property
    def _rests(self) -> bool:
        return time.monotonic() < self._rests_until

    def _failed(self, error: Exception) -> None:
        logger.debug("Thoughts are not shared with other processes for a while: %s.", type(error).__name__)
        busy = isinstance(error, (diskcache.Timeout, filelock.Timeout)) or "locked" in str(error)
        with self._lock, contextlib.suppress(OSError):
            corrupt = isinstance(error, (sqlite3.DatabaseError, IsADirectoryError)) and is_corrupt(error)
            file = self.directory / DATABASE
            if corrupt and self._identity == identity_of(file):  # still the one that is corrupt
                for path in self.directory.glob(DATABASE + "*"):
                    path.unlink()
            self._close()
            self._rests_until = time.monotonic() + (1.0 if busy else REST_SECONDS)

    def _opened(self) -> _Cache:
        """Return the cache, opened again if its file is another one now; under the lock."""
        file = self.directory / DATABASE
        if self._cache is not None and self._identity != identity_of(file):
            self._close()
        if self._cache is None:
            if not self.on_network:
                refuse_network(self.directory)
            prepare_directory(self.directory.parent)
            prepare_directory(self.directory)
            layout = CacheLayout(_Cache, _Disk, {**_SETTINGS, "size_limit": self._max_bytes}, keeps_corrupt=False)
            self._cache, self._identity = opened(self.directory, layout, PATIENCE_SECONDS)
        return self._cache

    def _close(self) -> None:
        cache, self._cache = self._cache, None
        if cache is not None:
            with contextlib.suppress(sqlite3.Error):
                cache.close()

    def close(self) -> None:
        """Wait for what is being written, and close the file; the next thought opens it again."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.shutdown()
        with self._lock:
            self._close()


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


def _blocks(value: Any) -> Blocks:
    return [{"thinking": str(block["thinking"]), "signature": str(block["signature"])} for block in value]


__all__ = ["KEPT_SECONDS", "MAX_BYTES", "MAX_PENDING", "SharedThoughts"]
