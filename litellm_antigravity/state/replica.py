"""A backend, and the view of it that this process keeps: one thread at a time.

Whatever is written goes through `Replica.update`, which runs a pure change on the row as committed. What the view has
already may be compared and set instead, in one statement: a transaction takes six, and each of them lets go of the
interpreter's lock; with other threads at work, getting it back costs more than the statement [LiteLLM logs in threads:
0.1 ms each].
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from litellm_antigravity.deadlines import seconds_left
from litellm_antigravity.errors import StateBusyError, StateUnavailableError
from litellm_antigravity.forking import ForkAware
from litellm_antigravity.state.backend import BUSY, START, Backend, Position, Row, StoreStatus, Texts
from litellm_antigravity.state.expiry import is_over
from litellm_antigravity.state.kinds import Kind
from litellm_antigravity.state.view import StateView

if TYPE_CHECKING:
    from types import TracebackType

SWEPT_AT_ONCE: Final = 16
"""So many rows are looked at with every write that may make one: more than one, so that the rows that are over go."""

_T = TypeVar("_T")


@dataclass(slots=True)
class Changed(Generic[_T]):
    """What became of a row: how it was, and what was written over it; ``None`` when nothing was."""

    before: _T | None
    after: _T | None


class _Turn:
    """The use of the backend by one thread. Fails at once if it failed for another one that had its turn before.

    Otherwise each of many threads would wait for a stuck writer in turn: the busy timeout, times the threads.
    """

    __slots__ = ("_replica",)

    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    def __enter__(self) -> None:
        self._replica.begin_turn()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._replica.end_turn(error)


class Replica(ForkAware):
    """The rows of a backend, and the view that is kept of the watched ones.

    After a fork, parent and child each open their own handles.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._lock = threading.RLock()
        self._turn = _Turn(self)
        self._failure: tuple[float, str] = (-math.inf, "")
        self._view = StateView()
        self._position = START
        self._quiet = False  # nobody else wrote anything between the last two looks
        self._swept_to = ""
        self._refused = 0
        self._watch_forks()

    def begin_turn(self) -> None:
        """Have the backend; see `_Turn`."""
        if not self._lock.acquire(blocking=False):  # hardly ever
            self.wait_for_turn(time.monotonic())

    def wait_for_turn(self, came: float) -> None:
        """Wait for the backend, since ``came`` (monotonic seconds)."""
        left = seconds_left()
        if not self._lock.acquire(timeout=-1 if left == math.inf else min(max(left, 0.0), threading.TIMEOUT_MAX)):
            raise StateBusyError(BUSY)
        at, message = self._failure
        if at > came:
            self._lock.release()
            raise StateUnavailableError(message)

    def end_turn(self, error: BaseException | None) -> None:
        """Let the next thread have the backend; those who wait fail if this one has."""
        if isinstance(error, StateUnavailableError) and not isinstance(error, StateBusyError):
            self._failure = (time.monotonic(), str(error))
        self._lock.release()

    def _before_fork(self) -> None:
        self._lock.acquire()  # no thread is inside the backend now
        self.backend.close()

    def _after_fork_in_parent(self) -> None:
        self._lock.release()

    def _after_fork_in_child(self) -> None:
        self._lock = threading.RLock()
        self.backend.forked()

    # Reading

    def known(self) -> StateView:
        """Return the view as it was last caught up with."""
        return self._view

    def guess(self) -> StateView | None:
        """Return the view if it is probably current still."""
        return self._view if self._quiet else None

    def refresh(self) -> StateView:
        """Return the view, caught up with every change that any process has committed."""
        with self._turn:
            rows, self._position = self.backend.changes(self._position)
            self._quiet = not rows
            if rows:
                self._refused += self._view.apply((key, text) for key, text, _ in rows)
        return self._view

    def read(self, kind: Kind[_T], name: str) -> _T | None:
        """Return a row as committed; ``None`` for one that is not there, or malformed."""
        with self._turn:
            return kind.decode(name, self.backend.read(kind.key(name)))

    def rows(self, prefix: str) -> list[Row]:
        """Return the rows whose keys begin with ``prefix``, as committed."""
        with self._turn:
            return self.backend.rows(prefix)

    def changes(self, since: Position) -> tuple[list[Row], Position]:
        """Return the watched rows written after a position, for somebody who keeps a position of his own."""
        with self._turn:
            return self.backend.changes(since)

    # Writing

    def update(self, kind: Kind[_T], name: str, change: Callable[[_T | None], _T | None]) -> Changed[_T]:
        """Change a row; nobody else writes it between reading and writing.

        Args:
            kind: of the row.
            name: of the row.
            change: pure, and perhaps run several times: from the row as it is to the row as it is to be; ``None``, or
                the very same object, to leave it.

        Returns:
            The row before, and what was written over it.
        """
        known = None if kind.known is None else kind.known(self._view, name)
        if known is not None:
            changed = change(known)
            # Where many write, hardly ever has nobody written anything: then whether this row was is asked.
            if changed is not None and changed is not known:
                if self._quiet and self._replace(kind, name, known, changed, if_current=True):
                    return Changed(known, changed)
                if self._replace(kind, name, known, changed, if_current=False):
                    return Changed(known, changed)
        before: dict[str, _T | None] = {}

        def on_all(rows: Mapping[str, _T | None]) -> Mapping[str, _T]:
            before.update(rows)
            changed = change(rows[name])
            return {} if changed is None or changed is rows[name] else {name: changed}

        written = self.update_all(kind, (name,), on_all)
        return Changed(before.get(name), written.get(name))

    def update_all(
        self, kind: Kind[_T], names: Sequence[str], change: Callable[[Mapping[str, _T | None]], Mapping[str, _T]]
    ) -> Mapping[str, _T]:
        """Change a few rows together: all of what ``change`` returns is written, or nothing; see `update`."""
        before: Mapping[str, _T | None] = {}
        written: Mapping[str, _T] = {}

        def on_texts(texts: Texts) -> Mapping[str, str]:
            nonlocal before, written
            before = {name: kind.decode(name, texts[kind.key(name)]) for name in names}
            written = change(before)
            return {kind.key(name): kind.encode(row) for name, row in written.items()}

        with self._turn:
            rows = self.backend.update([kind.key(name) for name in names], on_texts)
            self._view.apply((key, text) for key, text, position in rows if position is not None)
            for row in rows:
                self._move_to(row.position)
            for name, after in written.items():
                self._wrote(kind, name, before[name], after)
        return written

    def update_if_current(self, kind: Kind[_T], name: str, change: Callable[[_T], _T | None]) -> bool:
        """Change a row as the view has it; return False, and do nothing, if anything watched was written since."""
        known = None if kind.known is None else kind.known(self._view, name)
        changed = None if known is None else change(known)
        if known is None or changed is None:
            return False
        done = self._replace(kind, name, known, changed, if_current=True)
        if not done:
            self._quiet = False  # where many write, a guess costs more than a look
        return done

    def _replace(self, kind: Kind[_T], name: str, known: _T, changed: _T, *, if_current: bool) -> bool:
        with self._turn:
            if kind.known is None or kind.learn is None or kind.known(self._view, name) is not known:
                return False
            key, text = kind.key(name), kind.encode(changed)
            if if_current:
                position = self.backend.replace_if_current(key, text, self._position)
            else:
                position = self.backend.replace(key, text, kind.encode(known))
            if position is None:
                return False
            kind.learn(self._view, name, changed)
            self._move_to(position)
            self._wrote(kind, name, known, changed)
            return True

    def _wrote(self, kind: Kind[_T], name: str, before: _T | None, after: _T) -> None:
        """Called for each row that was written, while no other thread has its turn."""

    def _move_to(self, position: Position | None) -> None:
        """Go on if nobody else's change lies between; otherwise the next refresh reads both."""
        life, number = self._position
        if position is not None and position.number == number + 1 and life in (position.life, 0):
            self._position = position

    def delete(self, rows: Iterable[Row]) -> None:
        """Delete rows that still are as they were read. The views do not hear of it."""
        with self._turn:
            for row in rows:
                self.backend.delete(row.key, row.text)

    def sweep(self, now: float) -> None:
        """Delete those of the next few rows that are over."""
        with self._turn:
            rows = self.backend.rows("", after=self._swept_to, limit=SWEPT_AT_ONCE)
            self._swept_to = rows[-1].key if len(rows) == SWEPT_AT_ONCE else ""
            # What the view has not seen yet, it does not hold either, and that does not mean that it is over.
            seen = [row for row in rows if row.position is None or row.position <= self._position]
            self.delete([row for row in seen if is_over(row.key, row.text, now, self._view, self.backend.is_alive)])

    # For people

    def status(self) -> StoreStatus:
        """Return how the backend is doing."""
        status = self.backend.status()
        return replace(status, dropped_rows=status.dropped_rows + self._refused)

    def close(self) -> None:
        """Let go of every handle; the next call opens them again."""
        with self._lock:
            self.backend.close()


__all__ = ["SWEPT_AT_ONCE", "Changed", "Replica"]
