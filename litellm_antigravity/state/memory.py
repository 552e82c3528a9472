"""A state store in this process's memory: for tests, and for the time when the disk cannot be used."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from litellm_antigravity.forking import ForkAware
from litellm_antigravity.state.crowd import BUDGET_KEY, encode_budget
from litellm_antigravity.state.rows import (
    capacity_key,
    encode_capacity,
    encode_cooldown,
    encode_vitals,
    vitals_key,
)
from litellm_antigravity.state.store import RowStore, StateView, StoreStatus


class MemoryStore(ForkAware, RowStore):
    """Rows in a dictionary. Threads share it, processes do not: a forked child goes on with a copy."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._named_locks: dict[str, threading.Lock] = {}
        self._data: dict[str, str] = {}
        self._to_sweep: list[str] = []
        self._view = StateView()
        self._watch_forks()

    def _before_fork(self) -> None:
        self._lock.acquire()

    def _after_fork_in_parent(self) -> None:
        self._lock.release()

    def _after_fork_in_child(self) -> None:
        self._lock = threading.RLock()
        self._named_locks = {}

    def adopt(self, view: StateView) -> None:
        """Start with what another store's view holds."""
        with self._lock:
            for pools in view.cooldowns.values():
                for cooldown in pools.values():
                    self._put(cooldown.key, encode_cooldown(cooldown), watched=True)
            for capacity in view.capacity.values():
                self._put(capacity_key(capacity.model), encode_capacity(capacity), watched=True)
            self._put(BUDGET_KEY, encode_budget(view.retry_budget), watched=True)
            for account_id, vitals in dict(view.vitals).items():
                self._put(vitals_key(account_id), encode_vitals(vitals), watched=True)

    def known(self) -> StateView:
        """Return the view; it is always current."""
        return self._view

    def refresh(self) -> StateView:
        """Return the view; it is always current."""
        return self._view

    @contextmanager
    def _atomic(self) -> Iterator[None]:
        with self._lock:
            yield

    def _get(self, key: str) -> str | None:
        return self._data.get(key)

    def _put(self, key: str, text: str, *, watched: bool) -> None:
        self._data[key] = text
        if watched:
            self._view.apply([(key, text)])

    def _rows(self, prefix: str) -> Iterator[tuple[str, str]]:
        with self._lock:
            return iter([(key, text) for key, text in self._data.items() if key.startswith(prefix)])

    def _next_rows(self, count: int) -> list[tuple[str, str]]:
        if not self._to_sweep:
            self._to_sweep = list(self._data)
        keys, self._to_sweep = self._to_sweep[-count:], self._to_sweep[:-count]
        return [(key, self._data[key]) for key in keys if key in self._data]

    def _delete(self, key: str) -> None:
        self._data.pop(key, None)

    def _is_alive(self, owner: str) -> bool:  # noqa: ARG002 - whoever wrote to this memory lives in it
        return True

    def _stay_alive(self, owner: str) -> None:
        """Nothing to do: nobody else can see this memory."""

    @contextmanager
    def exclusive(self, name: str, timeout: float) -> Iterator[bool]:
        """Hold a lock by name among this process's threads."""
        with self._lock:
            lock = self._named_locks.setdefault(name, threading.Lock())
        held = lock.acquire(timeout=max(0.0, timeout))
        try:
            yield held
        finally:
            if held:
                lock.release()

    def status(self) -> StoreStatus:
        """Return how the store is doing."""
        return StoreStatus("this process's memory", shared=False)

    def close(self) -> None:
        """Nothing to let go of."""
