"""What each process of a host says of itself to the others at no price: a page of a file that is mapped into memory.

A page is its process's own, by a lock that the kernel frees when the process dies; nobody else writes it. It holds
words of eight bytes: a number drawn when the page was taken (an even one if others than a process of this host are
counted there), how many entries follow, and the entries. An entry is a
key (48 bits of a hash) and a count (16 bits) in one word, so that no reader meets half of one. The first page has one
word: how many pages there are.

To write costs no call of the system, and neither does a look; whether the others live still is asked now and then. As
with the file that SQLite maps beside a database with a write-ahead log, pages are written out before they are mapped: a
full disk is met then. Nothing in a page outlives its process.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from litellm_antigravity.errors import StateUnavailableError
from litellm_antigravity.state.kernel_locks import exclusively, is_held, lock_on
from litellm_antigravity.state.private_files import create_private, identity_of, keep_private, prepare_directory

if TYPE_CHECKING:
    import filelock

FOLDER: Final = "in-flight"
_FILE: Final = "pages-1"  # the number of the layout
_PAGE: Final = 4096
_WORDS: Final = _PAGE // 8
_LIFE, _USED, _ENTRIES = 0, 1, 2
_MOST_PAGES: Final = 4096
_MOST_COUNT: Final = 0xFFFF
LIVENESS_SECONDS: Final = 0.1
"""How long a process counts as alive after it was seen to be."""

_CLAIM_SECONDS: Final = 2.0
_NO_WORDS: Final = memoryview(b"").cast("Q")


def key_of(name: str) -> int:
    """Return the 48 bits that stand for a name; never 0."""
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=6).digest(), "big") or 1


HOSTS: Final = key_of("\0hosts")
"""How many other hosts have had requests of late, in a page of what other hosts have told."""

HOSTS_BEFORE: Final = key_of("\0hosts before this one")
"""How many of them come before this one, in an order that all of them know."""


class Pages:
    """The pages of a folder, and this process's own one.

    Args:
        state_dir: the folder of the shared state.
        prepare: makes sure that it is there, private, and on a disk of this host.
        folder: where in it.
        relays: whether the own page holds what other hosts have told, and not what a process has.
    """

    def __init__(
        self, state_dir: Path, prepare: Callable[[], None], folder: str = FOLDER, *, relays: bool = False
    ) -> None:
        self._relays = relays
        self._directory = state_dir / folder
        self._file = self._directory / _FILE
        self._prepare = prepare
        self.forked()

    def forked(self) -> None:
        """Start afresh in a forked child, without a page; filelock lets its copies of locks go."""
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._words: memoryview | None = None
        self._own: tuple[memoryview, dict[int, int]] = (_NO_WORDS, {})  # where each key is; replaced as a whole
        self._identity: tuple[int, int] | None = None
        self._looked_at = 0.0
        self._life: filelock.BaseFileLock | None = None
        self._number = 0
        self._alive: dict[int, tuple[int, bool, float]] = {}

    def close(self) -> None:
        """Give the page back."""
        life = self._life
        self._forget()
        if life is not None:
            with contextlib.suppress(OSError):
                life.release()

    def relay(self) -> Pages:
        """Return a second page for this process, in the same file, for what other hosts have told."""
        return Pages(self._directory.parent, self._prepare, self._directory.name, relays=True)

    @property
    def identity(self) -> tuple[int, int] | None:
        """The device and number of the file in which this process has its page."""
        return self._identity

    @property
    def is_used(self) -> bool:
        """Whether any process has had a page."""
        return self._file.exists()

    # One's own page

    def claim(self) -> bool:
        """Have a page of one's own; return whether it is a new one, in which nothing is written.

        Raises:
            StateUnavailableError: when there is none to be had.
        """
        if self._number and not self._is_gone():
            return False
        self.close()
        with self._lock:
            try:
                self._prepare()
                prepare_directory(self._directory)
                create_private(self._file)
                keep_private(self._file)
                with exclusively(self._directory / "claim.lock", _CLAIM_SECONDS):
                    self._take()
            except (OSError, ValueError) as error:
                self.close()
                msg = f"{self._file} cannot be used: {error}"
                raise StateUnavailableError(msg) from error
        return True

    def _take(self) -> None:
        for number in range(1, _MOST_PAGES):
            life = lock_on(self._lock_of(number), 0)
            with contextlib.suppress(TimeoutError):
                life.acquire()
                break
        else:
            msg = "too many processes"
            raise OSError(msg)
        self._life = life
        descriptor = os.open(self._file, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "r+b") as file:
            size = file.seek(0, os.SEEK_END)
            for place in range(size // _PAGE, number + 1):
                file.seek(place * _PAGE)
                file.write(bytes(_PAGE))
            file.flush()
            self._map(file.fileno(), mmap.ACCESS_WRITE)
            found = os.fstat(file.fileno())
        words = self._words
        assert words is not None  # noqa: S101 - just mapped
        start = number * _WORDS
        words[start + _USED] = 0
        words[start + _LIFE] = (secrets.randbits(62) << 1 or 2) | (not self._relays)
        words[0] = max(words[0] if words[0] < _MOST_PAGES else 0, number)
        self._identity = (found.st_dev, found.st_ino)
        self._number, self._own = number, (words, {})

    def _lock_of(self, number: int) -> Path:
        return self._directory / f"{number}.lock"

    def _map(self, descriptor: int, access: int) -> None:
        size = os.fstat(descriptor).st_size // _PAGE * _PAGE
        self._words = memoryview(mmap.mmap(descriptor, size, access=access)).cast("Q") if size else None

    def _is_gone(self) -> bool:
        """Return whether somebody has removed the file."""
        return identity_of(self._file) != self._identity or not self._lock_of(self._number).exists()

    def write(self, key: int, count: int) -> bool:
        """Say a count; 0 takes the key out. Return False for a key that has no place; neither blocks nor fails."""
        words, places = self._own
        place = places.get(key)
        if place is None:
            return False
        words[place] = key << 16 | (count if count < _MOST_COUNT else _MOST_COUNT) if count else 0  # noqa: FURB136 - for every request
        return True

    def place(self, key: int) -> None:
        """Have a place for a key. Without a page, or with a full one, nobody hears of it."""
        with self._lock:
            words, places = self._own
            if not self._number or key in places:
                return
            first = self._number * _WORDS + _ENTRIES
            if len(places) < _WORDS - _ENTRIES:
                places[key] = first + len(places)
                words[first - _ENTRIES + _USED] = len(places)
            elif (idle := next((known for known, at in places.items() if not words[at]), None)) is not None:
                places[key] = places.pop(idle)

    # The others'

    def others(self, *, of_host: bool = False) -> Mapping[int, int]:
        """Return the counts of every other process that lives, added up; none where nothing can be read.

        Args:
            of_host: without what other hosts have told.
        """
        words = self._readable()
        if words is None:
            return {}
        found: dict[int, int] = {}
        now = time.monotonic()
        for number in range(1, min(words[0], len(words) // _WORDS - 1) + 1):
            start = number * _WORDS
            used = min(words[start + _USED], _WORDS - _ENTRIES)
            if number == self._number or not used or (of_host and not words[start + _LIFE] & 1):
                continue
            busy = [one for one in words[start + _ENTRIES : start + _ENTRIES + used].tolist() if one]
            if busy and self._lives(number, words[start + _LIFE], now):
                for one in busy:
                    found[one >> 16] = found.get(one >> 16, 0) + (one & _MOST_COUNT)
        return found

    def _readable(self) -> memoryview | None:
        """Return the words of all pages there are; maps the file anew when it has grown."""
        words = self._words
        if words is not None and (words[0] + 1) * _WORDS <= len(words):
            return words
        if words is None and time.monotonic() - self._looked_at < LIVENESS_SECONDS:
            return None
        try:
            access = mmap.ACCESS_WRITE if self._number else mmap.ACCESS_READ
            flags = (os.O_RDWR if self._number else os.O_RDONLY) | getattr(os, "O_NOFOLLOW", 0)
            descriptor = os.open(self._file, flags | getattr(os, "O_BINARY", 0))
            try:
                self._map(descriptor, access)
            finally:
                os.close(descriptor)
        except (OSError, ValueError):
            self._looked_at = time.monotonic()
        return self._words

    def _lives(self, number: int, life: int, now: float) -> bool:
        known = self._alive.get(number)
        if known is not None and known[0] == life and now < known[2]:
            return known[1]
        lives = is_held(self._lock_of(number))
        self._alive[number] = (life, lives, now + LIVENESS_SECONDS)
        return lives


__all__ = ["FOLDER", "HOSTS", "HOSTS_BEFORE", "LIVENESS_SECONDS", "Pages", "key_of"]
