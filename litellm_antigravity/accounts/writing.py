"""Replacing a file that other programs write too: their lock, a temporary file, fsync, rename."""

from __future__ import annotations

import os
import re
import secrets
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from litellm_antigravity.clock import Clock
from litellm_antigravity.errors import AccountsFileError

STALE_SECONDS = 10.0
"""A lock folder that nobody has touched for this long is abandoned (docs/upstream.md, "Accounts file")."""

WAIT_SECONDS = 12.0
"""How long to wait for somebody else's lock."""

_TOUCH_SECONDS = 2.5
_FIRST_PAUSE_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 0.25
_LEFTOVER_SECONDS = 60.0


def file_age(modified_ns: int) -> float:
    """Return the age in seconds of a modification time (ns since the epoch); negative when it is in the future.

    Files are stamped by the operating system, so this is its time too, whatever clock the caller was given.
    """
    return time.time() - modified_ns / 1e9


class LockLostError(Exception):
    """Another process has taken the lock over, because this one had not touched it for too long."""


class FolderLock:
    """The lock of npm's proper-lockfile: a folder ``<file>.lock`` that its holder touches regularly.

    Made by `folder_lock`. A folder is known by its inode and by the modification time that we gave it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._touching = threading.Lock()
        self._mark: tuple[int, int] | None = _mark_of(path)

    def confirm(self) -> None:
        """Make sure that the lock is still ours.

        Raises:
            LockLostError: when it is not; then nothing may be written.
        """
        with self._touching:
            if self._mark is None or _mark_of(self._path) != self._mark:
                raise LockLostError

    def touch(self) -> None:
        """Show that the holder is alive."""
        with self._touching:
            if self._mark is None or _mark_of(self._path) != self._mark:
                self._mark = None  # lost for good, even if the next holder's folder looks like ours
                return
            with suppress(OSError):
                os.utime(self._path)
                self._mark = _mark_of(self._path)

    def release(self) -> None:
        """Remove the folder if it is ours."""
        with self._touching:
            if self._mark is not None and _mark_of(self._path) == self._mark:
                with suppress(OSError):
                    self._path.rmdir()
            self._mark = None


@contextmanager
def folder_lock(target: Path, clock: Clock, *, wait: float = WAIT_SECONDS) -> Iterator[FolderLock]:
    """Hold the lock that guards ``target``.

    Args:
        target: the file, with symbolic links resolved.
        clock: for waiting.
        wait: seconds to wait for it.

    Raises:
        AccountsFileError: when it cannot be had; says which folder is in the way and for how long it has been.
    """
    path = target.with_name(f"{target.name}.lock")
    lock = _acquire(path, target, clock, wait)
    done = threading.Event()

    def keep_alive() -> None:
        while not done.wait(_TOUCH_SECONDS):
            lock.touch()

    toucher = threading.Thread(target=keep_alive, name="antigravity-accounts-lock", daemon=True)
    try:
        toucher.start()
        yield lock
    finally:
        done.set()
        lock.release()


def _acquire(path: Path, target: Path, clock: Clock, wait: float) -> FolderLock:
    deadline = clock.monotonic() + wait
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            pass
        except FileNotFoundError:
            msg = f"There is no folder {path.parent} to write the accounts file in."
            raise AccountsFileError(msg) from None
        except OSError as error:
            msg = (
                f"Accounts file {target} cannot be changed: making its lock {path} failed ({error.strerror}). "
                "Make its folder writable for this user."
            )
            raise AccountsFileError(msg) from None
        else:
            return FolderLock(path)
        if _remove_abandoned(path, target):
            continue
        if clock.monotonic() >= deadline:
            mark = _mark_of(path)
            since = "" if mark is None else f", last touched {max(0.0, file_age(mark[1])):.0f} s ago"
            msg = (
                f"Accounts file {target} cannot be changed: another process (OpenCode, or another one of ours) holds "
                f"its lock, the folder {path}{since}. If no such process runs, remove that folder."
            )
            raise AccountsFileError(msg)
        clock.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _remove_abandoned(path: Path, target: Path) -> bool:
    """Remove a lock whose holder has died; return whether to try again at once."""
    try:
        found = path.lstat()
    except OSError:
        return True  # released just now
    if not stat.S_ISDIR(found.st_mode):
        msg = f"Accounts file {target} cannot be changed: {path}, its lock, is not a folder. Remove it."
        raise AccountsFileError(msg)
    if file_age(found.st_mtime_ns) <= STALE_SECONDS:
        return False
    # Of several processes that see it abandoned, one may hold a new lock of the same name by now. Therefore the folder
    # is moved out of the way first, and put back if it turns out to be another one than the one we looked at.
    aside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        path.rename(aside)
        if _mark_of(aside) != (found.st_ino, found.st_mtime_ns):
            aside.rename(path)
            return False
        aside.rmdir()
    except OSError:
        # Taken away by somebody else, or not empty: in that case the wait tells the user.
        with suppress(OSError):
            aside.rename(path)
        return False
    return True


def _mark_of(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def replace_file(target: Path, content: bytes, *, before: Callable[[], None]) -> None:
    """Put new content in the place of a file at once: whoever reads it sees the old or the new one, never half.

    The new file has mode 0600 and, where that is allowed, the owner of the old one.

    Args:
        target: the file, with symbolic links resolved.
        content: the new content.
        before: called when all is written, right before the file is replaced; what it raises stops it.

    Raises:
        OSError: when writing fails; the old file is untouched.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(8)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(temporary, flags, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, because of the mode
            _keep_owner(descriptor, target)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        before()
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(target.parent)


def remove_leftovers(target: Path) -> None:
    """Remove the temporary files of writers that were killed more than a minute ago."""
    ours = re.compile(rf"\.{re.escape(target.name)}\.\d+\.[0-9a-f]{{16}}\.tmp")
    with suppress(OSError), os.scandir(target.parent) as entries:
        for entry in entries:
            if ours.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with suppress(OSError):
                    if file_age(entry.stat(follow_symlinks=False).st_mtime_ns) > _LEFTOVER_SECONDS:
                        os.unlink(entry.path)  # noqa: PTH108 - an entry of scandir has its path as a string


def _keep_owner(descriptor: int, target: Path) -> None:
    """Give the new file the owner of the old one: root may be signing in for the user of a service."""
    if not hasattr(os, "fchown"):
        return
    with suppress(OSError):
        old, new = target.stat(), os.fstat(descriptor)
        if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
            os.fchown(descriptor, old.st_uid, old.st_gid)


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; where folders cannot be opened (Windows), the file system sees to it."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
