"""Numbers that only rise, shared by every process of the host: each adds to a page of its own, whoever asks sums.

To add is a matter of this process's memory. The pages of processes that are gone are added to a file of totals, so that
there are as many pages as processes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from litellm_antigravity.errors import StateUnavailableError
from litellm_antigravity.forking import AtRestInForks
from litellm_antigravity.identity import ProcessIdentity
from litellm_antigravity.observability.pages import Page, read_page
from litellm_antigravity.state.host_locks import HostLocks
from litellm_antigravity.state.private_files import prepare_directory

_SUFFIX: Final = ".counts"
_TOTALS: Final = "totals.json"
_LOCK: Final = "counts"
_LOCK_SECONDS: Final = 2.0
_REST_SECONDS: Final = 5.0  # between two looks whether the page is there
_MOST_PAGES: Final = 64  # then one that begins sums those that are gone, if nobody has asked
_MOST_WAITING: Final = 10_000  # names, while there is no page
_MOST_NAMES: Final = 100_000  # of totals


class Counts(AtRestInForks):
    """The counts of this process, and those of all processes that use the same folder. Thread-safe.

    Opens nothing before `open`. A forked child has a page of its own.

    Args:
        directory: the folder of the shared state; the counts are in a folder within it.
        identity: gives who this process is.
    """

    _fork_rank = 20  # it calls nobody while it holds its lock

    def __init__(self, directory: Path, identity: Callable[[], ProcessIdentity] = ProcessIdentity.read) -> None:
        self._state = directory
        self._directory = directory / "counts"
        self._identity = identity
        self._locks = HostLocks(directory, lambda: prepare_directory(directory))
        self._begin()

    def _start_over(self) -> None:
        self._page: Page | None = None
        self._waiting: dict[str, float] = {}
        self._look_at = -math.inf

    def _after_fork_in_child(self) -> None:
        self._locks.forked()
        super()._after_fork_in_child()

    def add(self, name: str, amount: float = 1.0) -> None:
        """Add to a number; touches no disk, and raises nothing.

        Args:
            name: up to 500 bytes.
            amount: not negative.
        """
        with self._lock:
            if (self._page is None or not self._page.add(name, amount)) and (
                name in self._waiting or len(self._waiting) < _MOST_WAITING
            ):
                self._waiting[name] = self._waiting.get(name, 0.0) + amount

    def open(self) -> None:
        """Have a page, and room in it; may touch the disk, and raises nothing. Cheap when there is nothing to do."""
        page, now = self._page, time.monotonic()
        if now < self._look_at and (page is None or not (self._waiting or page.is_nearly_full)):
            return
        with self._lock, contextlib.suppress(OSError, StateUnavailableError):
            self._look_at = now + _REST_SECONDS
            if self._page is not None and not self._page.path.exists():
                self._page = None  # somebody has emptied the folder: all counts begin anew
            if self._page is None:
                self._page = self._new_page()
            elif self._page.is_nearly_full:
                self._page.grow()
            for name in list(self._waiting):
                if self._page.add(name, self._waiting[name]):
                    del self._waiting[name]

    def _new_page(self) -> Page:
        prepare_directory(self._state)
        prepare_directory(self._directory)
        owner = f"counts:{self._identity().owner}:{secrets.token_hex(4)}"
        self._locks.stay_alive(owner)
        return Page(self._directory / f"{hashlib.sha256(owner.encode()).hexdigest()[:32]}{_SUFFIX}", owner)

    def tidy(self) -> None:
        """Sum the pages of processes that are gone, if there are many; touches the disk, and raises nothing."""
        with contextlib.suppress(OSError):
            if sum(1 for _ in self._directory.glob(f"*{_SUFFIX}")) > _MOST_PAGES:
                self.totals()

    def totals(self, *, tidy: bool = True) -> dict[str, float]:
        """Return the counts of all processes, living or gone, by name; touches the disk, and raises nothing.

        Args:
            tidy: add the pages of processes that are gone to the file of totals; else write nothing.
        """
        with contextlib.suppress(OSError, StateUnavailableError):
            if not self._directory.is_dir():
                return self._own()
            with self._locks.lock(_LOCK, _LOCK_SECONDS) as held:
                return self._summed(may_write=held and tidy)
        return self._own()

    def _own(self) -> dict[str, float]:
        with self._lock:
            return dict(self._waiting)

    def _summed(self, *, may_write: bool) -> dict[str, float]:
        totals, folded = _read_totals(self._directory / _TOTALS)
        sums: dict[str, float] = {}
        gone: list[Path] = []
        with self._lock:
            own = None if self._page is None else self._page.path
        for path in sorted(self._directory.glob(f"*{_SUFFIX}")):
            if path.name in folded:
                gone.append(path)
                continue
            with contextlib.suppress(OSError):
                owner, numbers = read_page(path) or ("", {})
                if path == own or not may_write or self._locks.is_alive(owner):
                    _add(sums, numbers)
                else:
                    _add(totals, numbers)
                    gone.append(path)
        if gone and may_write:
            _write_totals(self._directory / _TOTALS, totals, [path.name for path in gone])
            for path in gone:  # a page that stays, because this process is killed here, is known as summed
                with contextlib.suppress(OSError):
                    path.unlink()
        _add(sums, totals)
        _add(sums, self._own())
        return sums


def _add(sums: dict[str, float], numbers: Mapping[str, float]) -> None:
    for name, number in numbers.items():
        sums[name] = sums.get(name, 0.0) + number


def _read_totals(path: Path) -> tuple[dict[str, float], frozenset[str]]:
    """Return the sums of the processes that are gone, and the pages that are in them."""
    try:
        read = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        read = None
    fields: Mapping[str, Any] = read if isinstance(read, dict) else {}
    counts, folded = fields.get("counts"), fields.get("folded")
    totals: dict[str, float] = {}
    for name, number in counts.items() if isinstance(counts, dict) else ():
        if isinstance(number, (int, float)) and math.isfinite(number) and number >= 0 and len(totals) < _MOST_NAMES:
            totals[name] = float(number)
    return totals, frozenset(one for one in folded if isinstance(one, str)) if isinstance(folded, list) else frozenset()


def _write_totals(path: Path, totals: Mapping[str, float], folded: list[str]) -> None:
    new = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    descriptor = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"counts": totals, "folded": folded}, file)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


__all__ = ["Counts"]
