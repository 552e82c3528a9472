"""Reading the accounts file and its companion: bytes, and by what a change of them is seen."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from litellm_antigravity.accounts.writing import file_age
from litellm_antigravity.errors import AccountsFileError

MAX_BYTES = 8 * 1024 * 1024
"""A thousand accounts with everything that version 4 keeps come to about 2 MiB; a larger file is another file."""

_SETTLING_SECONDS = 0.1  # file systems stamp changes with a clock that may tick as rarely as every 10 ms

Signature: TypeAlias = tuple[int, int, int]
"""Modification time (ns), size (bytes) and inode."""


@dataclass(frozen=True, slots=True, repr=False)
class FileContent:
    """What a file holds.

    Attributes:
        path: the file.
        raw: its bytes.
        signature: of the file as it was when reading began.
        mode: as `stat` has it.
    """

    path: Path
    raw: bytes
    signature: Signature
    mode: int

    @property
    def settled(self) -> bool:
        """Whether it was old enough for the next change to have another signature."""
        return abs(file_age(self.signature[0])) > _SETTLING_SECONDS

    @property
    def open_to_others(self) -> bool:
        """Whether other users of this machine may read or write it."""
        return os.name != "nt" and bool(self.mode & 0o066)


def signature_of(name: str) -> Signature | None:
    """Return the signature of a file; ``None`` when it cannot be looked at.

    Args:
        name: its path; a string, because this is called for every request.
    """
    try:
        found = os.stat(name)  # noqa: PTH116 - as above
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def digest_of(contents: tuple[FileContent | None, ...]) -> bytes:
    """Return a digest of several files' contents; a missing file is another content than an empty one."""
    parts = (b"-" if one is None else hashlib.sha256(one.raw).digest() for one in contents)
    return hashlib.sha256(b"|".join(parts)).digest()


def read_file(path: Path) -> FileContent | None:
    """Return what a file holds; ``None`` when there is none.

    Args:
        path: the file.

    Raises:
        AccountsFileError: when it is there but cannot be read; says why.
    """
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            problem = "is a folder. Set `accounts_file` to the file in it."
        elif not stat.S_ISREG(found.st_mode):
            problem = "is not a regular file."
        else:
            with path.open("rb") as file:
                # Of the descriptor, and before reading: a change during the read then shows as a new signature.
                found = os.fstat(file.fileno())
                raw = file.read(MAX_BYTES + 1)
            if len(raw) <= MAX_BYTES:
                return FileContent(path, raw, (found.st_mtime_ns, found.st_size, found.st_ino), found.st_mode)
            problem = f"is larger than {MAX_BYTES // 2**20} MiB, so it is hardly an accounts file."
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:
        problem = "may not be read by this user. Make it the user's own (chown) and readable (chmod 600)."
    except OSError as error:
        problem = f"cannot be read: {error.strerror}."
    except ValueError:  # a NUL in the path
        problem = "has a name that no file can have."
    msg = f"Accounts file {path} {problem}"
    raise AccountsFileError(msg)
