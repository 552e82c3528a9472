"""A state store that never fails a request: shared while it can be, this process's memory while it cannot."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from litellm_antigravity.clock import Clock
from litellm_antigravity.errors import StateBusyError, StateUnavailableError
from litellm_antigravity.forking import ForkAware
from litellm_antigravity.models import ModelFamily
from litellm_antigravity.selection.vitals import Penalty, VitalsRules
from litellm_antigravity.state.drift import VitalsDrift
from litellm_antigravity.state.memory import MemoryStore
from litellm_antigravity.state.outage import OutageMemory
from litellm_antigravity.state.rows import Cooldown, Presence, TokenRow
from litellm_antigravity.state.store import StateStore, StateView, StoreStatus

logger = logging.getLogger("litellm_antigravity")

RETRY_SECONDS = 1.0
"""How long a store that failed is left alone before the next try; twice as long after each try that fails."""

MAX_RETRY_SECONDS = 5.0

_LOOK_SECONDS = 0.25

_T = TypeVar("_T")


class ResilientStore(ForkAware):
    """Delegates to ``primary``; when that fails, to memory that starts with what was known.

    The first failure is logged as a warning, once per process; later ones at DEBUG. What is learnt meanwhile is handed
    to ``primary`` when it can be written again. Locks by name stay ``primary``'s, as long as those can be had.

    Args:
        primary: the shared state.
        clock: the source of time.
        background: have a thread look whether ``primary`` works again; else the calls look themselves, and wait for it.
    """

    def __init__(self, primary: StateStore, clock: Clock, *, background: bool = False) -> None:
        self._primary = primary
        self._clock = clock
        self._background = background
        self._lock = threading.Lock()
        self._trying = threading.Lock()
        self._memory: OutageMemory | None = None
        self._private_locks = MemoryStore()
        self._retry_at = 0.0
        self._pause = RETRY_SECONDS
        self._problem: str | None = None
        self._warned = False
        self._claims_version = 0
        self._watcher: threading.Thread | None = None
        self._watch_forks()

    def _after_fork_in_child(self) -> None:
        self._lock = threading.Lock()
        self._trying = threading.Lock()
        self._watcher = None

    def _call(self, operation: Callable[[StateStore], _T]) -> _T:
        memory = self._memory
        if memory is not None and (self._is_watched() or not self._recovered(memory)):
            return operation(memory)
        try:
            return operation(self._primary)
        except StateBusyError:
            raise  # it works, for who has more time
        except StateUnavailableError as error:
            return operation(self._degrade(error))

    def _degrade(self, error: StateUnavailableError) -> OutageMemory:
        with self._lock:
            self._problem = str(error)
            if self._memory is None:
                self._pause = RETRY_SECONDS
                self._retry_at = self._clock.monotonic() + self._pause
                self._say(error)
                self._memory = OutageMemory(self._primary.known())
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

    def _recovered(self, memory: OutageMemory) -> bool:
        """Return whether the primary works again, after handing it what memory has learnt.

        One thread tries; the others go on with memory meanwhile.
        """
        if self._clock.monotonic() < self._retry_at or not self._trying.acquire(blocking=False):
            return False
        try:
            if self._memory is not memory or self._clock.monotonic() < self._retry_at:
                return self._memory is None
            try:
                # A write, because a full or read-only disk can be read.
                self._primary.write_note("recovered", {"at": self._clock.time()})
                memory.hand_over(self._primary, self._clock.time())
            except StateUnavailableError as error:
                self._pause = min(2 * self._pause, MAX_RETRY_SECONDS)
                self._retry_at = self._clock.monotonic() + self._pause
                self._problem = str(error)
                return False
            self._memory = None
            self._problem = None
            with contextlib.suppress(StateUnavailableError):  # what other threads learnt during the first pass
                memory.hand_over(self._primary, self._clock.time())
            self._claims_version += memory.claimed
            logger.info("The shared state works again.")
            return True
        finally:
            self._trying.release()

    def refresh(self) -> StateView:
        """See `StateStore.refresh`."""
        return self._call(lambda store: store.refresh())

    def known(self) -> StateView:
        """See `StateStore.known`."""
        memory = self._memory
        return self._primary.known() if memory is None else memory.known()

    def guess(self) -> StateView | None:
        """See `StateStore.guess`."""
        return self._primary.guess() if self._memory is None else None

    def begin_if_current(self, account_id: str, now: float, rules: VitalsRules, *, require_token: bool) -> bool:
        """See `StateStore.begin_if_current`."""
        return self._call(lambda store: store.begin_if_current(account_id, now, rules, require_token=require_token))

    def extend_cooldown(self, cooldown: Cooldown) -> Cooldown:
        """See `StateStore.extend_cooldown`."""
        return self._call(lambda store: store.extend_cooldown(cooldown))

    def end_cooldown(self, account_id: str, pool: str, now: float) -> None:
        """See `StateStore.end_cooldown`."""
        self._call(lambda store: store.end_cooldown(account_id, pool, now))

    def begin_request(self, account_id: str, now: float, rules: VitalsRules, *, require_token: bool) -> bool:
        """See `StateStore.begin_request`."""
        return self._call(lambda store: store.begin_request(account_id, now, rules, require_token=require_token))

    def record_success(self, account_id: str, family: ModelFamily, now: float, rules: VitalsRules) -> None:
        """See `StateStore.record_success`."""
        self._call(lambda store: store.record_success(account_id, family, now, rules))

    def record_failure(
        self,
        account_id: str,
        family: ModelFamily,
        now: float,
        rules: VitalsRules,
        *,
        penalty: Penalty | None,
        refund: bool,
    ) -> int:
        """See `StateStore.record_failure`."""
        return self._call(
            lambda store: store.record_failure(account_id, family, now, rules, penalty=penalty, refund=refund)
        )

    def refund_token(self, account_id: str, now: float, rules: VitalsRules) -> None:
        """See `StateStore.refund_token`."""
        self._call(lambda store: store.refund_token(account_id, now, rules))

    def merge_vitals(self, account_id: str, drift: VitalsDrift, now: float, rules: VitalsRules) -> None:
        """See `StateStore.merge_vitals`."""
        self._call(lambda store: store.merge_vitals(account_id, drift, now, rules))

    def hold_capacity(self, model: str, now: float, seconds: float) -> None:
        """See `StateStore.hold_capacity`."""
        self._call(lambda store: store.hold_capacity(model, now, seconds))

    def claim_probe(self, cooldown: Cooldown, now: float) -> bool:
        """See `StateStore.claim_probe`."""
        return self._call(lambda store: store.claim_probe(cooldown, now))

    def finish_probe(self, account_id: str, pool: str, now: float) -> None:
        """See `StateStore.finish_probe`."""
        self._call(lambda store: store.finish_probe(account_id, pool, now))

    def take_retry(self, cost: float, now: float) -> bool:
        """See `StateStore.take_retry`."""
        return self._call(lambda store: store.take_retry(cost, now))

    def give_retry(self, gain: float, now: float) -> None:
        """See `StateStore.give_retry`."""
        self._call(lambda store: store.give_retry(gain, now))

    def claim_turn(self, family: ModelFamily, earliest: float, latest: float) -> float:
        """See `StateStore.claim_turn`."""
        return self._call(lambda store: store.claim_turn(family, earliest, latest))

    def claim_slot(self, owner: str) -> int:
        """See `StateStore.claim_slot`."""
        return self._call(lambda store: store.claim_slot(owner))

    def next_cursor_start(self) -> int:
        """See `StateStore.next_cursor_start`."""
        return self._call(lambda store: store.next_cursor_start())

    def claims_version(self) -> int:
        """See `StateStore.claims_version`."""
        return self._claims_version

    def read_token(self, account_id: str) -> TokenRow | None:
        """See `StateStore.read_token`."""
        return self._call(lambda store: store.read_token(account_id))

    def write_token(self, account_id: str, token: str, expires_at: float | None, credential: str) -> TokenRow:
        """See `StateStore.write_token`."""
        return self._call(lambda store: store.write_token(account_id, token, expires_at, credential))

    def read_note(self, name: str) -> Mapping[str, object] | None:
        """See `StateStore.read_note`."""
        return self._call(lambda store: store.read_note(name))

    def write_note(self, name: str, fields: Mapping[str, object]) -> None:
        """See `StateStore.write_note`."""
        self._call(lambda store: store.write_note(name, fields))

    def announce(self, presence: Presence) -> None:
        """See `StateStore.announce`."""
        self._call(lambda store: store.announce(presence))

    def processes(self, *, forget: bool = True) -> list[Presence]:
        """See `StateStore.processes`."""
        return self._call(lambda store: store.processes(forget=forget))

    def slot_owners(self) -> dict[int, str]:
        """See `StateStore.slot_owners`."""
        return self._call(lambda store: store.slot_owners())

    def free_slot(self, number: int) -> None:
        """See `StateStore.free_slot`."""
        self._call(lambda store: store.free_slot(number))

    @contextmanager
    def exclusive(self, name: str, timeout: float) -> Iterator[bool]:
        """See `StateStore.exclusive`: the lock that was entered is the one that is left."""
        try:
            manager, held = _entered(self._primary, name, timeout)  # a lock needs the folder only
        except StateUnavailableError as error:
            self._say(error)
            manager, held = _entered(self._private_locks, name, timeout)
        try:
            yield held
        finally:
            manager.__exit__(None, None, None)

    def status(self) -> StoreStatus:
        """Return how the store is doing, and why it is not shared if it is not."""
        status = self._primary.status()
        if self._memory is None:
            return status
        return StoreStatus(status.description, shared=False, dropped_rows=status.dropped_rows, problem=self._problem)

    def close(self) -> None:
        """See `StateStore.close`."""
        self._primary.close()


def _entered(store: StateStore, name: str, timeout: float) -> tuple[AbstractContextManager[bool], bool]:
    manager = store.exclusive(name, timeout)
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
