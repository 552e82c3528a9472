"""Locks on files, shared or exclusive, that the kernel frees when their holder dies."""

from __future__ import annotations

import os
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
