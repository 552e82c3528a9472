"""The state store of one host: a `diskcache.Cache` in a private folder.

It adds to what `strict_cache` gives:

* The connection is closed before a fork, which waits until no thread is inside SQLite: SQLite's own table of locks
  would be copied into the child.
* A change feed (`feed`), so that catching up with other processes is one query that returns only what changed.
* No eviction and no expiry of diskcache's: `expiry` says which rows are over.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import diskcache
import filelock

from litellm_antigravity.deadlines import seconds_left
from litellm_antigravity.errors import StateBusyError, StateUnavailableError
from litellm_antigravity.forking import ForkAware
from litellm_antigravity.models import ModelFamily
from litellm_antigravity.selection.vitals import Vitals, VitalsRules
from litellm_antigravity.state import feed
from litellm_antigravity.state.file_systems import refuse_network
from litellm_antigravity.state.kernel_locks import lock_on
from litellm_antigravity.state.opening import DATABASE, Layout, opened
from litellm_antigravity.state.private_files import identity_of, prepare_directory
from litellm_antigravity.state.rows import encode_vitals, vitals_key
from litellm_antigravity.state.store import RowStore, StateView, StoreStatus
from litellm_antigravity.state.strict_cache import BUSY, OneConnectionCache, StrictDisk

if TYPE_CHECKING:
    from types import TracebackType

BUSY_TIMEOUT_SECONDS = 5.0

_LAYOUT = Layout(
    OneConnectionCache, StrictDisk, {"eviction_policy": "none", "cull_limit": 0, "tag_index": 1, "statistics": 0}
)
_IDENTITY_CHECK_SECONDS = 1.0


class _Translated:
    """Turns what diskcache, SQLite and the file system raise into `StateUnavailableError`; closes on corruption."""

    __slots__ = ("_store",)

    def __init__(self, store: DiskStore) -> None:
        self._store = store

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is None or isinstance(error, StateUnavailableError):
            return
        if isinstance(error, (sqlite3.Error, OSError, diskcache.Timeout)):
            self._store.close()
            # diskcache reports whatever went wrong at the start of a transaction as Timeout, and hides the cause.
            cause = error.__context__ if isinstance(error, diskcache.Timeout) else error
            what = str(cause) if cause is not None else "busy for too long"
            msg = f"the shared state in {self._store.directory} cannot be used: {what}"
            self._store.failed(msg)
            raise StateUnavailableError(msg) from error


class _Turn(_Translated):
    """The use of the connection by one thread. Fails at once if it failed for another one that had its turn before.

    Otherwise each of many threads would wait for a stuck writer in turn: the busy timeout, times the threads.
    """

    __slots__ = ("_came",)

    def __init__(self, store: DiskStore) -> None:
        super().__init__(store)
        self._came = time.monotonic()

    def __enter__(self) -> None:
        self._store.begin_turn(self._came)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            super().__exit__(kind, error, trace)
        finally:
            self._store.end_turn()


class DiskStore(ForkAware, RowStore):
    """State shared by every process on this host that uses the same folder.

    Nothing is opened before the first call. After a fork, parent and child each open their own connection.

    Args:
        directory: the folder; created with mode 0700 if absent.
        busy_timeout: seconds to wait for another process that is writing and does not get on.
        on_network: use the folder though it is on a network file system.

    Raises:
        StateUnavailableError: by every method, when the folder cannot be used; the next call tries again.
    """

    def __init__(
        self, directory: Path, *, busy_timeout: float = BUSY_TIMEOUT_SECONDS, on_network: bool = False
    ) -> None:
        self.directory = directory
        self._may_be_used = on_network
        self._busy_timeout = busy_timeout
        self._lock = threading.RLock()
        self._cache: OneConnectionCache | None = None
        self._identity: tuple[int, int] | None = None
        self._checked_at = 0.0
        self._view = StateView()
        self._seen = 0
        self._quiet = False  # nobody else wrote anything between the last two looks
        self._pending: list[tuple[str, str, int]] = []
        self._depth = 0
        self._next_tag = 0
        self._swept_to = 0
        self._dropped = 0
        self._life: filelock.BaseFileLock | None = None
        self._life_owner: str | None = None
        self._failure: tuple[float, str] = (-math.inf, "")

    def begin_turn(self, came: float) -> None:
        """Wait for the connection; see `_Turn`."""
        left = seconds_left()
        if not self._lock.acquire(timeout=-1 if left == math.inf else min(max(left, 0.0), threading.TIMEOUT_MAX)):
            raise StateBusyError(BUSY)
        at, message = self._failure
        if at > came and not self._depth:
            self._lock.release()
            raise StateUnavailableError(message)

    def end_turn(self) -> None:
        """Let the next thread have the connection."""
        self._lock.release()

    def failed(self, message: str) -> None:
        """Note a failure, for those who are waiting."""
        self._failure = (time.monotonic(), message)

    # Opening and closing

    def _opened(self) -> OneConnectionCache:
        cache = self._cache
        now = time.monotonic()
        if cache is not None and (self._depth or now - self._checked_at < _IDENTITY_CHECK_SECONDS):
            return cache
        if cache is not None and self._identity == identity_of(self.directory / DATABASE):
            self._checked_at = now
            return cache
        if cache is not None:  # the folder was removed, or the file set aside by somebody who found it broken
            self.close()
        return self._open(now)

    def _open(self, now: float) -> OneConnectionCache:
        self._watch_forks()
        self._prepare()
        cache, self._identity = opened(self.directory, _LAYOUT, self._busy_timeout)
        self._cache = cache
        self._checked_at = now
        self._seen = 0
        self._quiet = False
        return cache

    def _prepare(self) -> None:
        if not self._may_be_used:
            refuse_network(self.directory)
            self._may_be_used = True
        prepare_directory(self.directory)

    def close(self) -> None:
        """Close the connection; the next call opens it again."""
        with self._lock:
            cache, self._cache = self._cache, None
            if cache is not None:
                self._dropped += cache.disk.dropped
                with contextlib.suppress(sqlite3.Error):
                    cache.close()

    def _before_fork(self) -> None:
        self._lock.acquire()  # no thread is inside SQLite now
        self.close()

    def _after_fork_in_parent(self) -> None:
        self._lock.release()

    def _after_fork_in_child(self) -> None:
        self._lock = threading.RLock()
        self._life = None  # filelock lets the child's copy go without unlocking the parent's
        self._life_owner = None
        self._depth = 0

    # What RowStore builds upon

    def known(self) -> StateView:
        """Return the view as it was last caught up with."""
        return self._view

    def refresh(self) -> StateView:
        """Return the view, caught up with every change that any process has committed."""
        with _Turn(self):
            cache = self._opened()
            rows, self._seen = feed.news(cache, self._seen)
            self._quiet = not rows
            if rows:
                cache.disk.dropped += self._view.apply(rows)
        return self._view

    @contextmanager
    def _atomic(self) -> Iterator[None]:
        with _Turn(self):
            cache = self._opened()
            if self._depth:
                yield
                return
            try:
                with cache.transact(retry=False):
                    self._depth = 1
                    self._next_tag = 0
                    self._pending = []
                    yield
            finally:
                self._depth = 0
            self._view.apply([(key, text) for key, text, _ in self._pending])
            for _, _, tag in self._pending:
                if tag == self._seen + 1:  # else somebody else's change lies between: the next refresh reads both
                    self._seen = tag

    def _get(self, key: str) -> str | None:
        with _Turn(self):
            cache = self._opened()
            value = cache.get(key)
            return value if isinstance(value, str) else None

    def _put(self, key: str, text: str, *, watched: bool) -> None:
        cache = self._opened()
        tag: int | None = None
        if watched:
            if not self._next_tag:
                self._next_tag = feed.last_tag(cache)
            self._next_tag += 1
            tag = self._next_tag
            self._pending.append((key, text, tag))
        cache.set(key, text, tag=tag)

    def _rows(self, prefix: str) -> Iterator[tuple[str, str]]:
        return feed.rows(self._opened(), prefix)

    def _next_rows(self, count: int) -> Iterable[tuple[str, str]]:
        rows, self._swept_to = feed.walk(self._opened(), self._swept_to, self._seen, count)
        return rows

    def _delete(self, key: str) -> None:
        feed.delete(self._opened(), key)

    # The short way, for what every request does

    def guess(self) -> StateView | None:
        """Return the view if it is probably current; see `StateStore.guess`."""
        return self._view if self._quiet else None

    def begin_if_current(self, account_id: str, now: float, rules: VitalsRules, *, require_token: bool) -> bool:
        """Do what `begin_request` does if the view is current; see `StateStore.begin_if_current`."""
        vitals = self._view.vitals.get(account_id)
        if vitals is None or (require_token and vitals.tokens_now(now, rules) < 1.0):
            return False
        begun = self._replace_vitals(account_id, vitals, vitals.sent(now, rules))
        if not begun:
            self._quiet = False  # where many write, a guess costs more than a look
        return begun

    def begin_request(self, account_id: str, now: float, rules: VitalsRules, *, require_token: bool) -> bool:
        """Take a token and set the last use; see `StateStore.begin_request`."""
        vitals = self._view.vitals.get(account_id)
        affordable = vitals is not None and (not require_token or vitals.tokens_now(now, rules) >= 1.0)
        if vitals is not None and affordable and self._replace_row(account_id, vitals, vitals.sent(now, rules)):
            return True
        return super().begin_request(account_id, now, rules, require_token=require_token)

    def record_success(self, account_id: str, family: ModelFamily, now: float, rules: VitalsRules) -> None:
        """Reward the account; see `StateStore.record_success`."""
        vitals = self._view.vitals.get(account_id)
        rewarded = None if vitals is None else vitals.succeeded(family, now, rules)
        if (
            vitals is None
            or rewarded is None
            or rewarded is vitals
            or not self._replace_row(account_id, vitals, rewarded)
        ):
            super().record_success(account_id, family, now, rules)

    def _replace_vitals(self, account_id: str, known: Vitals, changed: Vitals) -> bool:
        """Write vitals in one statement if nobody has written anything since the view; return whether it was done.

        A transaction takes six statements, and each of them lets go of the interpreter's lock: with other threads at
        work, getting it back costs more than the statement [LiteLLM logs in threads: 0.1 ms each].
        """
        with _Turn(self):
            cache = self._opened()
            if self._depth or self._view.vitals.get(account_id) is not known:
                return False
            if not feed.replace_if_current(cache, vitals_key(account_id), encode_vitals(changed), self._seen):
                return False
            self._view.set_vitals(account_id, changed)
            self._seen += 1
            return True

    def _replace_row(self, account_id: str, known: Vitals, changed: Vitals) -> bool:
        """Write vitals if they are still as in the view, whatever else was written; return whether it was done.

        Where many write, hardly ever has nobody written anything, and whole transactions in a thread hold up the event
        loop: on a busy machine each handing over of the interpreter's lock costs a turn of the scheduler's.
        """
        if self._quiet and self._replace_vitals(account_id, known, changed):
            return True
        with _Turn(self):
            cache = self._opened()
            if self._depth or self._view.vitals.get(account_id) is not known:
                return False
            tag = feed.replace_row(cache, vitals_key(account_id), encode_vitals(changed), encode_vitals(known))
            if tag is None:
                return False
            self._view.set_vitals(account_id, changed)
            if tag == self._seen + 1:  # as in `_atomic`
                self._seen = tag
            return True

    # Locks

    @contextmanager
    def exclusive(self, name: str, timeout: float) -> Iterator[bool]:
        """Hold a lock by name across processes; see `StateStore.exclusive`."""
        lock = lock_on(self._lock_file("locks", name), max(0.0, timeout))
        try:
            lock.acquire()
        except filelock.Timeout:
            yield False
            return
        except OSError as error:
            msg = f"the lock file {lock.lock_file} cannot be used: {error}"
            raise StateUnavailableError(msg) from error
        try:
            yield True
        finally:
            lock.release()

    def _lock_file(self, folder: str, name: str) -> Path:
        directory = self.directory / folder
        with _Translated(self):
            self._prepare()
            prepare_directory(directory)
        return directory / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.lock"

    def _stay_alive(self, owner: str) -> None:
        with self._lock:
            path = self._lock_file("owners", owner)
            if self._life is not None and self._life_owner == owner and path.exists():  # the folder may be removed
                return
            life = lock_on(path, 0)
            # Held already: by another store of this process, since nobody else is this owner.
            with _Translated(self), contextlib.suppress(filelock.Timeout):
                life.acquire()
            self._life, self._life_owner = life, owner

    def _is_alive(self, owner: str) -> bool:
        if owner == self._life_owner:
            return True
        path = self._lock_file("owners", owner)
        if not path.exists():
            return False
        probe = lock_on(path, 0)
        try:
            probe.acquire()
        except filelock.Timeout:
            return True
        except OSError:
            return True  # not provably dead
        probe.release()
        path.unlink(missing_ok=True)
        return False

    def status(self) -> StoreStatus:
        """Return how the store is doing."""
        with self._lock:
            dropped = self._dropped + (self._cache.disk.dropped if self._cache is not None else 0)
        return StoreStatus(str(self.directory), shared=True, dropped_rows=dropped)
