"""In flight: how many requests each account has now, of every process of the host. Thread-safe.

A request is counted from its lease to its end; a stream ends when it has been read or given up. This process's own
counts are a dictionary. A `Board` tells them to the others: it forgets a process that died, and writes no database.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
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

    def write(self, key: int, count: int) -> None:
        """Say a count; 0 or less takes the key out. Neither blocks nor fails: it is called on event loops' threads."""
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

    __slots__ = ("_account_id", "_began", "_of", "_once")

    def __init__(self, account_id: str, of: _Changes, now: float) -> None:
        self._account_id = account_id
        self._began = now
        self._of = of
        self._once = [None]  # to take it out is atomic

    def end(self) -> None:
        """Count it no longer; again does nothing. Never blocks."""
        try:
            self._once.pop()
        except IndexError:
            return
        of, took = self._of, time.monotonic() - self._began
        of.took += (took - of.took) * _WEIGHT
        of.make(self._account_id, -1)

    def __del__(self) -> None:
        self.end()


class _Changes:
    """The counts of one life of a process, and what is to be changed about them.

    A flight may end anywhere, in the middle of a change too, when the garbage collector finds it. So changes queue, and
    whoever has the lock makes all of them; nobody waits for it.
    """

    def __init__(self, board: Board | None) -> None:
        self.counts: dict[str, int] = {}
        self.keys: dict[str, int] = {}
        self.took = 0.0  # seconds, of the last ones mostly
        self._board = board
        self._lock = threading.Lock()
        self._queue: deque[tuple[str, int]] = deque()

    def make(self, account_id: str, step: int) -> None:
        if self._lock.acquire(False):
            try:
                self._make(account_id, step)
            finally:
                self._lock.release()
        else:
            self._queue.append((account_id, step))
        if self._queue:
            self._make_what_is_queued()

    def _make_what_is_queued(self) -> None:
        while self._queue:
            if not self._lock.acquire(blocking=False):
                return  # its owner looks once more
            try:
                while self._queue:
                    self._make(*self._queue.popleft())
            finally:
                self._lock.release()

    def _make(self, account_id: str, step: int) -> None:
        count = self.counts.get(account_id, 0) + step
        if count > 0:
            self.counts[account_id] = count
        else:
            self.counts.pop(account_id, None)
        if self._board is not None:
            self._board.write(self.keys.get(account_id) or self.key(account_id), count)

    def claim(self, board: Board) -> None:
        """Claim a place on the board, and write there what is in flight."""
        with self._lock:
            if board.claim():
                for account_id, count in self.counts.items():
                    board.write(self.key(account_id), count)
        self._make_what_is_queued()

    def key(self, account_id: str) -> int:
        key = self.keys.get(account_id)
        if key is None:
            if len(self.keys) >= _MOST_NAMES:
                self.keys.clear()
            key = self.keys[account_id] = key_of(account_id)
        return key


class InFlight(ForkAware):
    """The requests in flight of every process of the host, and of the hosts that it is joined with.

    Args:
        board: where processes tell each other; ``None`` where nobody else is to know.
    """

    def __init__(self, board: Board | None = None) -> None:
        self._board = board
        self._changes = _Changes(board)
        self._look_at = 0.0
        self._watch_forks()

    def _after_fork_in_child(self) -> None:
        # What is in flight is the parent's.
        if self._board is not None:
            self._board.forked()
        self._changes = _Changes(self._board)
        self._look_at = 0.0

    def know(self, account_ids: Iterable[str]) -> None:
        """Be able to tell of these accounts what other processes have in flight."""
        for account_id in account_ids:
            self._changes.key(account_id)

    def begin(self, account_id: str, at_most: int | None = None) -> Flight | None:
        """Count a request; may touch the disk, once.

        Args:
            account_id: that it goes to.
            at_most: count it only if the account has no more than that in flight then.

        Returns:
            What ends it; ``None`` when the account has enough.
        """
        now, changes = time.monotonic(), self._changes
        if self._board is not None and now >= self._look_at:
            self._look_at = now + _LOOK_SECONDS
            try:
                changes.claim(self._board)
            except StateUnavailableError:
                self._look_at = now + _AGAIN_SECONDS
        changes.make(account_id, 1)
        flight = Flight(account_id, changes, now)
        # Counted first and looked at then: of two that come at once, at least one sees the other.
        if at_most is not None and self.counts().get(account_id, 0) > at_most:
            flight.end()
            return None
        return flight

    def own(self) -> Mapping[str, int]:
        """Return the requests in flight of this process, by account id."""
        return self._changes.counts

    def counts(self, *, of_host: bool = False) -> Mapping[str, int]:
        """Return the requests in flight of all processes, by account id.

        Those of other hosts are as of a moment ago; with ``of_host`` they are left out.
        """
        changes = self._changes
        others = {} if self._board is None else self._board.others(of_host=of_host)
        found = dict(changes.counts)
        if others:
            for account_id, key in tuple(changes.keys.items()):
                if key in others:
                    found[account_id] = found.get(account_id, 0) + others[key]
        return found

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
        counts, took = self.counts(), self._changes.took
        return max(1.0, took / max(1, sum(counts.get(account_id, 0) for account_id in account_ids)))

    def close(self) -> None:
        """Let go of the place on the board; the next request claims another one."""
        self._look_at = 0.0
        if self._board is not None:
            self._board.close()


def busy_pause(waited: float) -> float:
    """Return the seconds until another look at accounts that are full, after so many: the longer, the rarer."""
    return min(0.25, max(0.05, waited / 4))


__all__ = ["Board", "Flight", "InFlight", "busy_pause"]
