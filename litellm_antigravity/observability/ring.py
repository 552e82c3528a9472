"""The last decisions of every process of the host, each in a file of fixed size that its process writes in memory.

A slot is the number of the record (eight bytes), its length (two) and its text; the oldest is written over. Who reads a
slot while it is written finds no JSON in it, or another number than that place can have, and leaves it out.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import mmap
import os
import secrets
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from litellm_antigravity.errors import StateUnavailableError
from litellm_antigravity.forking import AtRestInForks
from litellm_antigravity.identity import ProcessIdentity
from litellm_antigravity.observability.oldest import forget_oldest
from litellm_antigravity.state.private_files import prepare_directory

SLOTS: Final = 512
"""So many decisions of one process are kept, and what answers took."""

SLOT_BYTES: Final = 1024
MOST_FILES: Final = 128
"""So many processes' decisions are kept, those written last."""

LONGEST_ID: Final = 64
"""Characters of a request's id that are kept."""

_SUFFIX: Final = ".ring"
_MAGIC: Final = b"antigravity ring 1\n".ljust(SLOT_BYTES, b"\0")
_HEAD: Final = struct.Struct("=QH")
_SIZE: Final = (SLOTS + 1) * SLOT_BYTES
_REST_SECONDS: Final = 5.0
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False, ensure_ascii=False)


class Ring(AtRestInForks):
    """The last decisions; opens nothing before the first one. Thread-safe, and raises nothing.

    Args:
        directory: the folder of the shared state; the files are in a folder within it.
        identity: gives who this process is.
    """

    _fork_rank = 20  # it calls nobody while it holds its lock

    def __init__(self, directory: Path, identity: Callable[[], ProcessIdentity] = ProcessIdentity.read) -> None:
        self._state = directory
        self._directory = directory / "decisions"
        self._identity = identity
        self._begin()

    def _start_over(self) -> None:
        self._slots: mmap.mmap | None = None
        self._path: Path | None = None
        self._number = 0
        self._look_at = -math.inf

    def open(self) -> None:
        """Have a file; may touch the disk."""
        now = time.monotonic()
        if now < self._look_at:
            return
        with self._lock, contextlib.suppress(OSError, StateUnavailableError):
            self._look_at = now + _REST_SECONDS
            if self._path is None or not self._path.exists():
                self._slots = None
                self._make()

    def _make(self) -> None:
        prepare_directory(self._state)
        prepare_directory(self._directory)
        forget_oldest(self._directory, _SUFFIX, MOST_FILES)
        name = f"{self._identity().owner}:{secrets.token_hex(4)}"
        path = self._directory / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}{_SUFFIX}"
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(path, flags, 0o600)
        try:
            rest = memoryview(_MAGIC.ljust(_SIZE, b"\0"))  # all of it: holes would kill on a full disk
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            self._slots = mmap.mmap(descriptor, _SIZE)
        finally:
            os.close(descriptor)
        self._path, self._number = path, 0

    def add(self, record: Mapping[str, object]) -> bool:
        """Keep a record; touches no disk. Return whether it is kept: there has to be a file, and it has to fit.

        Args:
            record: with the time, in epoch seconds, as ``t``.
        """
        slots = self._slots
        if slots is None:
            return False
        text = _ENCODER.encode(record).encode("utf-8", "replace")
        if len(text) > SLOT_BYTES - _HEAD.size:
            return False
        with self._lock:
            if self._slots is not slots:
                return False
            at = SLOT_BYTES * (1 + self._number % SLOTS)
            _HEAD.pack_into(slots, at, self._number, 0)
            slots[at + _HEAD.size : at + _HEAD.size + len(text)] = text
            _HEAD.pack_into(slots, at, self._number, len(text))
            self._number += 1
        return True

    def records(self) -> list[dict[str, Any]]:
        """Return the records of all processes, oldest first; touches the disk."""
        found: list[tuple[float, int, dict[str, Any]]] = []
        for path in _files(self._directory):
            with contextlib.suppress(OSError):
                found.extend(_records(path))
        return [record for *_, record in sorted(found, key=lambda one: one[:2])]

    def full_since(self) -> float | None:
        """Return since when nothing is missing, in epoch seconds; ``None`` if nothing was written over yet."""
        begins = []
        for path in _files(self._directory):
            with contextlib.suppress(OSError):
                times = [at for at, *_ in _records(path)]
                if len(times) == SLOTS:
                    begins.append(min(times))
        return max(begins, default=None)


def _files(directory: Path) -> list[Path]:
    return list(directory.glob(f"*{_SUFFIX}"))


def _records(path: Path) -> Iterator[tuple[float, int, dict[str, Any]]]:
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(_SIZE)
    if len(content) != _SIZE or not content.startswith(_MAGIC):
        return
    for slot in range(SLOTS):
        at = SLOT_BYTES * (1 + slot)
        number, length = _HEAD.unpack_from(content, at)
        if not 0 < length <= SLOT_BYTES - _HEAD.size or number % SLOTS != slot:
            continue
        try:
            record = json.loads(content[at + _HEAD.size :][:length])
        except (ValueError, RecursionError):
            continue
        at_time = record.get("t") if isinstance(record, dict) else None
        if isinstance(at_time, (int, float)) and not isinstance(at_time, bool) and math.isfinite(at_time):
            yield at_time, number, record


__all__ = ["LONGEST_ID", "MOST_FILES", "SLOTS", "SLOT_BYTES", "Ring"]
