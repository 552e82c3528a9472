"""In flight: how many requests each account has now, of every process of the host. Thread-safe.

A request is counted from its lease to its end; a stream ends when it has been read or given up. This process's own
counts are sets. A `Board` tells them to the others: it forgets a process that died, and writes no database.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

from litellm_antigravity.errors import StateUnavailableError
from litellm_antigravity.forking import ForkAware
from litellm_antigravity.state.pages import HOSTS, HOSTS_BEFORE, key_of

_LOOK_SECONDS: Final = 1.0  # between two looks whether the place on the board is there still
_AGAIN_SECONDS: Final = 5.0  # until a board that could not be used is tried again
_MOST_NAMES: Final = 100_000
_WEIGHT: Final = 0.1  # of a request in how long they take


class Board(Protocol):
    """Where processes tell each other their counts, by the keys of `key_of`."""

    def claim(self) -> bool:
        """Have a place to write; return whether it is a new one, in which nothing is written.

        Raises:
            StateUnavailableError: when there is none to be had.
        """
        ...

    def place(self, key: int) -> None:
        """Have room for a key, if there is any; may wait for another thread that claims."""
        ...

    def write(self, key: int, count: int) -> bool:
        """Say a count; 0 takes the key out. Return False where there is no room for the key.

        Neither blocks nor fails: it is called on event loops' threads, and in the middle of anything.
        """
        ...

    def others(self, *, of_host: bool = False) -> Mapping[int, int]:
        """Return the counts of all others that live, added up; with ``of_host``, without those of other hosts."""
        ...

    def close(self) -> None:
        """Give the place back."""
        ...

    def forked(self) -> None:
        """Start afresh in a forked child."""
        ...


class Flight:
    """One request in flight. It ends when `end` is called first, or when nobody knows it any more."""

    __slots__ = ("_at", "_began", "_number")

    def __init__(self, at: _At, number: int, began: float | None = None) -> None:
        self._at: _At | None = at
        self._number = number
        self._began = began

    def end(self) -> None:
        """Count it no longer; again does nothing. Never blocks."""
        at = self._at
        if at is None:
            return
        try:
            at.living.remove(self._number)  # atomic: of two threads, one does it
        except KeyError:
            return
        self._at = None
        at.tell()
        if self._began is not None:
            at.times.add(time.monotonic() - self._began)

    def __del__(self) -> None:
        if self._at is not None:
            self.end()


class _Times:
    """How long requests take, in seconds: the last ones mostly. Known where an account may have only so many."""

    __slots__ = ("took",)

    def __init__(self) -> None:
        self.took = 0.0

    def add(self, seconds: float) -> None:
        self.took += (seconds - self.took) * _WEIGHT


class _At:
    """The requests of this process at one account, by number.

    A flight may end anywhere, in the middle of another one's end too, when the garbage collector finds it. So there is
    no lock here: a set changes in one step, and whoever has told the board a count looks whether it is that still.
    """

    __slots__ = ("_board", "key", "living", "times")

    def __init__(self, key: int, board: Board | None, times: _Times) -> None:
        self.key = key
        self.living: set[int] = set()
        self.times = times
        self._board = board

    def tell(self) -> bool:
        """Have the board say how many there are; return whether it has room for that."""
        if (board := self._board) is None:
            return True
        living, count = self.living, len(self.living)
        while board.write(self.key, count):
            if count == len(living):
                return True
            count = len(living)
        return False

    def forget(self) -> None:
        """Tell nobody any more: what is in flight is a parent's."""
        self._board = None


class InFlight(ForkAware):
    """The requests in flight of every process of the host, and of the hosts that it is joined with.

    Args:
        board: where processes tell each other; ``None`` where nobody else is to know.
        key: gives the 48 bits that stand for an account.
    """

    def __init__(self, board: Board | None = None, key: Callable[[str], int] = key_of) -> None:
        self._board = board
        self._key = key
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._start_over()
        self._watch_forks()

    def _start_over(self) -> None:
        self._times = _Times()
        self._at: dict[str, _At] = {}
        self._look_at = math.inf if self._board is None else 0.0

    def _after_fork_in_child(self) -> None:
        for at in self._at.values():
            at.forget()
        if self._board is not None:
            self._board.forked()
        self._lock = threading.Lock()
        self._start_over()

    def _known(self, account_id: str) -> _At:
        at = self._at.get(account_id)
        if at is None:
            with self._lock:
                if len(self._at) >= _MOST_NAMES:
                    self._at = {one: kept for one, kept in self._at.items() if kept.living}
                at = self._at.setdefault(account_id, _At(self._key(account_id), self._board, self._times))
        return at

    def know(self, account_ids: Iterable[str]) -> None:
        """Be able to tell of these accounts what other processes have in flight."""
        for account_id in account_ids:
            self._known(account_id)

    def begin(self, account_id: str, at_most: int | None = None) -> Flight | None:
        """Count a request; may touch the disk, once.

        Args:
            account_id: that it goes to.
            at_most: count it only if the account has no more than that in flight then.

        Returns:
            What ends it; ``None`` when the account has enough.
        """
        now = time.monotonic()
        if now >= self._look_at:
            self._claim(now)
        at, number = self._at.get(account_id) or self._known(account_id), next(self._numbers)
        at.living.add(number)
        if not at.tell():
            self._place(at)
        if at_most is None:
            return Flight(at, number)
        flight = Flight(at, number, now)
        # Counted first and looked at then: of two that come at once, at least one sees the other.
        if self.counts().get(account_id, 0) > at_most:
            flight.end()
            return None
        return flight

    def _place(self, at: _At) -> None:
        if self._board is not None:
            self._board.place(at.key)
            at.tell()

    def _claim(self, now: float) -> None:
        """Have a place on the board, and say there what is in flight."""
        board = self._board
        if board is None:
            return
        self._look_at = now + _LOOK_SECONDS
        try:
            with self._lock:
                is_new = board.claim()
        except StateUnavailableError:
            self._look_at = now + _AGAIN_SECONDS
            return
        if is_new:
            for at in tuple(self._at.values()):
                if at.living:
                    self._place(at)

    def own(self, account_id: str) -> int:
        """Return how many requests this process has in flight at an account."""
        at = self._at.get(account_id)
        return 0 if at is None else len(at.living)

    def own_counts(self) -> dict[str, int]:
        """Return the requests in flight of this process, by account id."""
        return {account_id: len(at.living) for account_id, at in tuple(self._at.items()) if at.living}

    def counts(self, *, of_host: bool = False) -> Mapping[str, int]:
        """Return the requests in flight of all processes, by account id.

        Those of other hosts are as of a moment ago; with ``of_host`` they are left out.
        """
        others = {} if self._board is None else self._board.others(of_host=of_host)
        if not others:
            return self.own_counts()
        found = ((account_id, len(at.living) + others.get(at.key, 0)) for account_id, at in tuple(self._at.items()))
        return {account_id: count for account_id, count in found if count}

    def counts_of(self, account_ids: Iterable[str]) -> Mapping[str, int]:
        """Return what this host has in flight, for whoever has told nobody yet which accounts it asks about."""
        self.know(account_ids)
        return self.counts(of_host=True)

    def hosts(self) -> tuple[int, int]:
        """Return how many hosts have had requests of late, this one included, and how many come before it."""
        others = {} if self._board is None else self._board.others()
        return 1 + others.get(HOSTS, 0), others.get(HOSTS_BEFORE, 0)

    def seconds_to_an_end(self, account_ids: Iterable[str]) -> float:
        """Return when one of these accounts has likely one request less (Little's law); a second without experience."""
        counts, took = self.counts(), self._times.took
        return max(1.0, took / max(1, sum(counts.get(account_id, 0) for account_id in account_ids)))

    def close(self) -> None:
        """Let go of the place on the board; the next request claims another one."""
        if self._board is not None:
            self._look_at = 0.0
            self._board.close()


def busy_pause(waited: float) -> float:
    """Return the seconds until another look at accounts that are full, after so many: the longer, the rarer."""
    return min(0.25, max(0.05, waited / 4))


__all__ = ["Board", "Flight", "InFlight", "busy_pause"]
