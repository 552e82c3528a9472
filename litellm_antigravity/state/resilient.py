"""A ledger that never fails a request: shared while it can be, this process's memory while it cannot."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import TypeVar

from litellm_antigravity.clock import Clock
from litellm_antigravity.errors import StateBusyError, StateUnavailableError
from litellm_antigravity.forking import ForkAware
from litellm_antigravity.selection.vitals import VitalsRules
from litellm_antigravity.state.backend import Backend, StoreStatus
from litellm_antigravity.state.kinds import NOTE
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.memory import MemoryBackend
from litellm_antigravity.state.outage import OutageReplica
from litellm_antigravity.state.replica import Replica
from litellm_antigravity.state.view import StateView

logger = logging.getLogger("litellm_antigravity")

RETRY_SECONDS = 1.0
"""How long a store that failed is left alone before the next try; twice as long after each try that fails."""

MAX_RETRY_SECONDS = 5.0

_LOOK_SECONDS = 0.25

_T = TypeVar("_T")


class ResilientStore(ForkAware, Ledger):
    """Works on ``primary``'s rows; when they cannot be used, on memory that starts with what was known.

    The first failure is logged as a warning, once per process; later ones at DEBUG. What is learnt meanwhile is handed
    to ``primary`` when it can be written again. Locks by name stay ``primary``'s, as long as those can be had.

    Args:
        primary: the shared state.
        clock: the source of time.
        rules: by which vitals change.
        background: have a thread look whether ``primary`` works again; else the calls look themselves, and wait for it.
    """

    def __init__(
        self, primary: Ledger, clock: Clock, *, rules: VitalsRules | None = None, background: bool = False
    ) -> None:
        super().__init__(primary.replica, primary.in_flight, primary.callers)
        self._clock = clock
        self._rules = rules or VitalsRules()
        self._background = background
        self._memory: OutageReplica | None = None
        self._retry_at = 0.0
        self._pause = RETRY_SECONDS
        self._problem: str | None = None
        self._warned = False
        self._claims_version = 0
        self._after_fork_in_child()
        self._watch_forks()

    def _after_fork_in_child(self) -> None:
        self._lock = threading.Lock()
        self._trying = threading.Lock()
        self._private_locks = MemoryBackend()
        self._watcher: threading.Thread | None = None

    def _do(self, operation: Callable[[Replica], _T]) -> _T:
        memory = self._memory
        if memory is not None and (self._is_watched() or not self._recovered(memory)):
            return operation(memory)
        try:
            return operation(self.replica)
        except StateBusyError:
            raise  # it works, for who has more time
        except StateUnavailableError as error:
            return operation(self._degrade(error))

    def _degrade(self, error: StateUnavailableError) -> OutageReplica:
        with self._lock:
            self._problem = str(error)
            if self._memory is None:
                self._pause = RETRY_SECONDS
                self._retry_at = self._clock.monotonic() + self._pause
                self._say(error)
                self._memory = OutageReplica(self.replica.known(), self._rules)
            memory = self._memory
        self._is_watched()
        return memory

    def _say(self, error: StateUnavailableError) -> None:
        level = logging.DEBUG if self._warned else logging.WARNING
        self._warned = True
        logger.log(level, "%s. Going on with this process's memory; other processes do not see it.", error)

    def _is_watched(self) -> bool:
        """Return whether a thread looks for the primary; start it if there is to be one."""
        if not self._background:
            return False
        if self._watcher is not None and self._watcher.is_alive():
            return True
        with self._lock:
            if self._memory is not None and (self._watcher is None or not self._watcher.is_alive()):
                watcher = threading.Thread(
                    target=_watch, args=(weakref.ref(self),), name="antigravity-state", daemon=True
                )
                try:
                    watcher.start()
                except RuntimeError:  # no thread to be had: the calls look
                    return False
                self._watcher = watcher
        return True

    def _recovered(self, memory: OutageReplica) -> bool:
        """Return whether the primary works again, after handing it what memory has learnt.

        One thread tries; the others go on with memory meanwhile.
        """
        if self._clock.monotonic() < self._retry_at or not self._trying.acquire(blocking=False):
            return False
        try:
            if self._memory is not memory or self._clock.monotonic() < self._retry_at:
                return self._memory is None
            now = self._clock.time()
            try:
                # A write, because a full or read-only disk can be read.
                self.replica.update(NOTE, "recovered", lambda _: {"at": now})
                memory.hand_over(self.replica, now)
            except StateUnavailableError as error:
                self._pause = min(2 * self._pause, MAX_RETRY_SECONDS)
                self._retry_at = self._clock.monotonic() + self._pause
                self._problem = str(error)
                return False
            self._memory = None
            self._problem = None
            with contextlib.suppress(StateUnavailableError):  # what other threads learnt during the first pass
                memory.hand_over(self.replica, now)
            self._claims_version += memory.claimed
            logger.info("The shared state works again.")
            return True
        finally:
            self._trying.release()

    def known(self) -> StateView:
        """See `Ledger.known`."""
        return (self._memory or self.replica).known()

    def guess(self) -> StateView | None:
        """See `Ledger.guess`."""
        return self.replica.guess() if self._memory is None else None

    def claims_version(self) -> int:
        """See `Ledger.claims_version`."""
        return self._claims_version

    @contextmanager
    def exclusive(self, name: str, timeout: float) -> Iterator[bool]:
        """See `Ledger.exclusive`: the lock that was entered is the one that is left."""
        try:
            manager, held = _entered(self.replica.backend, name, timeout)  # a lock needs the folder only
        except StateUnavailableError as error:
            self._say(error)
            manager, held = _entered(self._private_locks, name, timeout)
        try:
            yield held
        finally:
            manager.__exit__(None, None, None)

    def status(self) -> StoreStatus:
        """Return how the store is doing, and why it is not shared if it is not."""
        status = super().status()
        return status if self._memory is None else replace(status, shared=False, problem=self._problem)


def _entered(backend: Backend, name: str, timeout: float) -> tuple[AbstractContextManager[bool], bool]:
    manager = backend.lock(name, timeout)
    return manager, manager.__enter__()


def _watch(reference: weakref.ref[ResilientStore]) -> None:
    """Look once in a while whether the shared state works again, until it does or nobody uses the store any more."""
    while True:
        time.sleep(_LOOK_SECONDS)
        store = reference()
        memory = None if store is None else store._memory
        if store is None or memory is None or store._recovered(memory):
            return
        del store, memory
