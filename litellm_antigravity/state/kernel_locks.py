"""Locks on files, shared or exclusive, that the kernel frees when their holder dies."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # only asked for where it is

_POLL_SECONDS = 0.005


def lock_on(path: Path, timeout: float) -> filelock.BaseFileLock:
    """Return a lock that the kernel frees when its holder dies: never filelock's fallback, a file that stays."""
    return filelock.FileLock(path, timeout=timeout, mode=0o600, thread_local=False, fallback_to_soft=False)


@contextmanager
def exclusively(path: Path, timeout: float) -> Iterator[None]:
    """Hold a lock that nobody else holds in any way.

    Raises:
        TimeoutError: when it was not to be had within ``timeout`` seconds.
        OSError: when the file cannot be used.
    """
    lock = lock_on(path, timeout)
    lock.acquire(poll_interval=_POLL_SECONDS)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def shared(path: Path, timeout: float) -> Iterator[None]:
    """Hold a lock that others may share, but nobody holds exclusively; Windows has none, and needs none here.

    There a file that anybody has open cannot be renamed anyway, which is what this lock keeps off.

    Raises:
        TimeoutError: when it was not to be had within ``timeout`` seconds.
        OSError: when the file cannot be used.
    """
    if fcntl is None:
        yield
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        ends = time.monotonic() + timeout
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # as filelock does, so that both see each other
                break
            except BlockingIOError:
                if time.monotonic() >= ends:
                    msg = f"{path} has been locked for too long"
                    raise TimeoutError(msg) from None
                time.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Return whether somebody, perhaps in this process, holds a lock exclusively; False when there is no file.

    Whoever asks holds it as one of many for a moment, which may make somebody else's try fail.
    """
    if fcntl is None:
        try:
            with exclusively(path, 0):
                return False
        except OSError:  # a time-out is one
            return path.exists()
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except OSError as error:
        return not isinstance(error, FileNotFoundError)  # not provably free
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


class Queue:
    """A place in the queue for an exclusive lock: the kernel serves who waits in the order in which they came.

    The kernel's wait has no end of its own, so another thread waits. Windows has no such queue: nobody waits there.

    Args:
        path: the lock's file.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._granted = threading.Event()
        self._left = False
        if fcntl is None:
            self._granted.set()
            return
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        self._descriptor = descriptor
        threading.Thread(target=self._wait, args=(descriptor,), name="antigravity-queue", daemon=True).start()

    def _wait(self, descriptor: int) -> None:
        with contextlib.suppress(OSError):  # no locks to be had: nobody to queue with
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        with self._lock:
            self._granted.set()
            if self._left:
                self._give_back()

    def _give_back(self) -> None:
        if fcntl is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)  # a forked child may have a copy of the descriptor
            os.close(self._descriptor)

    def granted(self, timeout: float) -> bool:
        """Wait for the lock; return whether it is held now."""
        return self._granted.wait(timeout)

    def leave(self) -> None:
        """Let the lock go, or stop waiting for it."""
        with self._lock:
            self._left = True
            if self._granted.is_set():
                self._give_back()
