"""Locks by name and signs of life of one host: files whose locks the kernel frees when their holder dies."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from litellm_antigravity.errors import StateUnavailableError
from litellm_antigravity.state.kernel_locks import lock_on
from litellm_antigravity.state.private_files import prepare_directory


class HostLocks:
    """The lock files in a folder; whatever else is in it, processes that use the folder share them.

    Args:
        directory: the folder.
        prepare: make sure that it is there and private.
    """

    def __init__(self, directory: Path, prepare: Callable[[], None]) -> None:
        self._directory = directory
        self._prepare = prepare
        self.forked()

    def forked(self) -> None:
        """Start afresh in a forked child: filelock lets its copies go without unlocking the parent's."""
        self._lock = threading.Lock()
        self._life: filelock.BaseFileLock | None = None
        self._owner: str | None = None

    @contextmanager
    def lock(self, name: str, timeout: float) -> Iterator[bool]:
        """Hold a lock by name across processes; yields False when it was not to be had in time."""
        path = self._file("locks", name)
        lock = lock_on(path, max(0.0, timeout))
        try:
            lock.acquire()
        except filelock.Timeout:
            yield False
            return
        except OSError as error:
            msg = f"the lock file {path} cannot be used: {error}"
            raise StateUnavailableError(msg) from error
        try:
            yield True
        finally:
            lock.release()

    def _file(self, folder: str, name: str) -> Path:
        directory = self._directory / folder
        try:
            self._prepare()
            prepare_directory(directory)
        except OSError as error:
            msg = f"the shared state in {self._directory} cannot be used: {error}"
            raise StateUnavailableError(msg) from error
        return directory / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.lock"

    def stay_alive(self, owner: str) -> None:
        """Hold the lock that tells the others that this process lives."""
        with self._lock:
            path = self._file("owners", owner)
            if self._life is not None and self._owner == owner and path.exists():  # the folder may be removed
                return
            life = lock_on(path, 0)
            # Held already: by another store of this process, since nobody else is this owner.
            with contextlib.suppress(filelock.Timeout):
                life.acquire()
            self._life, self._owner = life, owner

    def is_alive(self, owner: str) -> bool:
        """Return whether a process holds the lock that tells that it lives; True when that cannot be known."""
        if owner == self._owner:
            return True
        path = self._file("owners", owner)
        if not path.exists():
            return False
        probe = lock_on(path, 0)
        try:
            probe.acquire()
        except filelock.Timeout:
            return True
        except OSError:
            return True  # not provably dead
        probe.release()
        path.unlink(missing_ok=True)
        return False


__all__ = ["HostLocks"]
