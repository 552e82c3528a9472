"""Files and folders that only their owner can read."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
from pathlib import Path

from litellm_antigravity.errors import StateUnavailableError

logger = logging.getLogger("litellm_antigravity")


def identity_of(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from another one of its name; ``None`` when there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def create_private(path: Path) -> None:
    """Create an empty file with mode 0600 unless it exists; SQLite gives its companions the same mode.

    Raises:
        IsADirectoryError: if a folder is in its place.
        StateUnavailableError: if the path is a symbolic link or anything else that is not a regular file.
    """
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0)
    try:
        os.close(os.open(path, flags, 0o600))
    except FileExistsError:
        refuse_odd_file(path)


def refuse_odd_file(path: Path) -> None:
    """Refuse what is in a file's place and is none; nothing at all is fine.

    Raises:
        IsADirectoryError: if it is a folder.
        StateUnavailableError: if it is a symbolic link or anything else that is not a regular file.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISLNK(mode):
        msg = f"{path} is a symbolic link; the state is kept in a file of its own"
        raise StateUnavailableError(msg)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        msg = f"{path} is not a regular file"
        raise StateUnavailableError(msg)


def keep_private(path: Path) -> None:
    """Take a regular file away from other users; anything else, a symbolic link above all, is left as it is.

    By name: opening a file and closing it again would drop the locks that SQLite in this process holds on it.
    """
    with contextlib.suppress(FileNotFoundError):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode) and stat.S_IMODE(mode) != 0o600:
            path.chmod(0o600)


def problem_with_directory(found: os.stat_result) -> str | None:
    """Return why a folder cannot hold the state, to be put behind its name; ``None`` when it can.

    Args:
        found: what `os.lstat` says of it.
    """
    if stat.S_ISLNK(found.st_mode):
        return "is a symbolic link"
    if not stat.S_ISDIR(found.st_mode):
        return "is not a folder"
    if hasattr(os, "getuid") and found.st_uid != os.getuid():
        return "belongs to another user"
    return None


def prepare_directory(path: Path) -> None:
    """Make sure that a folder is there, ours, private and no symbolic link.

    Raises:
        StateUnavailableError: if it cannot be made so; the message names the folder and the remedy.
    """
    if path.parts[:1] == ("~",):
        msg = (
            f"the state folder {path} cannot be found, since this user has no home directory. Set HOME, or state_dir "
            "to a folder of your own"
        )
        raise StateUnavailableError(msg)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        found = path.lstat()
    except OSError as error:
        msg = f"the state folder {path} cannot be created: {error.strerror}. Set state_dir to a folder you can write to"
        raise StateUnavailableError(msg) from error
    problem = problem_with_directory(found)
    if problem is not None:
        msg = f"the state folder {path} {problem}. Set state_dir to a folder of your own"
        raise StateUnavailableError(msg)
    if os.name == "posix" and found.st_mode & 0o077:
        path.chmod(0o700)
        logger.warning("The state folder %s was open to other users; it is private now.", path)
