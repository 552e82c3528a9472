"""A page: a file of numbers by name that one process writes, in memory, and others read.

To add to a number costs no system call, and what was added outlives a process that is killed. A record is the number
(a C double), the length of its name (two bytes) and the name, padded to eight bytes: numbers lie on eight bytes, so
that nobody reads half of one. The header says how far the records go, and is written last.
"""

from __future__ import annotations

import math
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_MAGIC: Final = b"antigravity counts 1\n\0\0\0"
_LONGEST_OWNER: Final = 254
_OWNER_AT: Final = 32
_HEADER: Final = _OWNER_AT + 2 + _LONGEST_OWNER  # a multiple of eight
_NUMBER: Final = 8
_LENGTH: Final = struct.Struct("=H")
_USED: Final = struct.Struct("=Q")

FIRST_BYTES: Final = 64 * 1024
MOST_BYTES: Final = 8 * 1024 * 1024
LONGEST_NAME: Final = 500


def _padded(length: int) -> int:
    return (_NUMBER + _LENGTH.size + length + 7) // 8 * 8


class Page:
    """The page of this process; no two threads use it at once.

    Args:
        path: of a file that is not there yet.
        owner: who writes it, for those who ask whether he lives.

    Raises:
        OSError: when it cannot be made.
    """

    def __init__(self, path: Path, owner: str) -> None:
        self.path = path
        self._places: dict[str, int] = {}
        self._used = _HEADER
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(path, flags, 0o600)
        try:
            said = owner.encode("utf-8", "replace")[:_LONGEST_OWNER]
            header = _MAGIC + _USED.pack(_HEADER) + _LENGTH.pack(len(said)) + said
            _write(descriptor, header.ljust(FIRST_BYTES, b"\0"))
            self._map(descriptor, FIRST_BYTES)
        finally:
            os.close(descriptor)

    def _map(self, descriptor: int, size: int) -> None:
        self._bytes = mmap.mmap(descriptor, size)
        self._numbers = memoryview(self._bytes).cast("d")

    def add(self, name: str, amount: float) -> bool:
        """Add to a number; return False, and do nothing, when it has no place yet and there is no room for one."""
        place = self._places.get(name)
        if place is None and (place := self._new_place(name)) is None:
            return False
        self._numbers[place] += amount
        return True

    def put(self, name: str, number: float) -> bool:
        """Write over a number; else as `add`."""
        place = self._places.get(name)
        if place is None and (place := self._new_place(name)) is None:
            return False
        self._numbers[place] = number
        return True

    def _new_place(self, name: str) -> int | None:
        said = name.encode("utf-8", "replace")
        end = self._used + _padded(len(said))
        if len(said) > LONGEST_NAME or end > len(self._bytes):
            return None
        at = self._used + _NUMBER
        self._bytes[at : at + _LENGTH.size + len(said)] = _LENGTH.pack(len(said)) + said
        self._places[name] = place = self._used // _NUMBER
        self._used = end
        memoryview(self._bytes).cast("Q")[len(_MAGIC) // 8] = end  # at once, and last
        return place

    @property
    def is_nearly_full(self) -> bool:
        """Whether it is time to `grow`."""
        return len(self._bytes) - self._used < FIRST_BYTES // 2 and len(self._bytes) < MOST_BYTES

    def grow(self) -> None:
        """Make room for twice as much; touches the disk.

        Raises:
            OSError: when it cannot, or when the file is gone.
        """
        size = len(self._bytes)
        descriptor = os.open(self.path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
        try:
            os.lseek(descriptor, size, os.SEEK_SET)
            _write(descriptor, b"\0" * size)
            old, numbers = self._bytes, self._numbers
            self._map(descriptor, 2 * size)
            numbers.release()
            old.close()
        finally:
            os.close(descriptor)


def _write(descriptor: int, content: bytes) -> None:
    """Write all of it: a file with holes would kill whoever writes to its memory on a full disk."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def read_page(path: Path) -> tuple[str, dict[str, float]] | None:
    """Return the owner of a page, and its numbers by name; ``None`` for what is no page.

    Raises:
        OSError: when it cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(MOST_BYTES)
    if len(content) < _HEADER or not content.startswith(_MAGIC):
        return None
    (length,) = _LENGTH.unpack_from(content, _OWNER_AT)
    if length > _LONGEST_OWNER:
        return None
    owner = content[_OWNER_AT + _LENGTH.size :][:length].decode("utf-8", "replace")
    return owner, dict(_records(content))


def _records(content: bytes) -> Iterator[tuple[str, float]]:
    (used,) = _USED.unpack_from(content, len(_MAGIC))
    at, end = _HEADER, min(used, len(content))
    while at + _NUMBER + _LENGTH.size <= end:
        (number,) = struct.unpack_from("=d", content, at)
        (length,) = _LENGTH.unpack_from(content, at + _NUMBER)
        name_at = at + _NUMBER + _LENGTH.size
        at += _padded(length)
        if length > LONGEST_NAME or at > end:
            return
        if math.isfinite(number) and number >= 0:
            yield content[name_at : name_at + length].decode("utf-8", "replace"), number


__all__ = ["LONGEST_NAME", "Page", "read_page"]
