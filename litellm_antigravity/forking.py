"""Objects that must know about `os.fork`: a child opens its own handles and starts with locks that nobody holds."""

from __future__ import annotations

import os
import threading
import weakref


class ForkAware:
    """Base of objects whose locks and handles must not be carried into a forked child.

    Call `_watch_forks` before the first use of a handle. The registry holds weak references only. Objects come to rest
    in the order of ``_fork_rank``: whoever takes another's lock while holding its own has the lower rank.
    """

    _fork_rank: int = 10

    def _watch_forks(self) -> None:
        """Have the three hooks below called around every fork from now on; calling it again does nothing."""
        global _registered  # noqa: PLW0603 - hooks can be registered once per process and never taken back
        with _registry_lock:
            _watched.add(self)
            if not _registered and hasattr(os, "register_at_fork"):
                os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
                _registered = True

    def _before_fork(self) -> None:
        """Come to rest: called in the parent, in the thread that forks."""

    def _after_fork_in_parent(self) -> None:
        """Undo `_before_fork`."""

    def _after_fork_in_child(self) -> None:
        """Start afresh; every other thread of the parent is gone."""


class AtRestInForks(ForkAware):
    """One whose lock nobody else holds while the process forks; a child starts over, with a lock of its own."""

    _lock: threading.Lock

    def _begin(self) -> None:
        """Make the lock, start over, and watch forks from now on."""
        self._lock = threading.Lock()
        self._start_over()
        self._watch_forks()

    def _start_over(self) -> None:
        """Be as one that has just been made: called by `_begin`, and in a forked child."""

    def _before_fork(self) -> None:
        self._lock.acquire()

    def _after_fork_in_parent(self) -> None:
        self._lock.release()

    def _after_fork_in_child(self) -> None:
        self._lock = threading.Lock()
        self._start_over()


_watched: weakref.WeakSet[ForkAware] = weakref.WeakSet()
_registry_lock = threading.Lock()
_fork_lock = threading.Lock()
_registered = False
_resting: list[ForkAware] = []


def _before() -> None:
    _fork_lock.acquire()  # one fork at a time
    while True:
        # Nobody may wait for the registry while holding a lock that is waited for here: an object may be registered
        # by a thread that holds another one's lock. So the registry is free while the objects come to rest.
        with _registry_lock:
            _resting.extend(sorted(_watched, key=lambda watched: watched._fork_rank))
        for watched in _resting:
            watched._before_fork()
        _registry_lock.acquire()
        known = {id(watched) for watched in _resting}
        if all(id(watched) in known for watched in _watched):
            return
        _registry_lock.release()
        _wake()


def _wake() -> None:
    for watched in reversed(_resting):
        watched._after_fork_in_parent()
    _resting.clear()


def _in_parent() -> None:
    _registry_lock.release()
    _wake()
    _fork_lock.release()


def _in_child() -> None:
    _registry_lock.release()
    for watched in _resting:
        watched._after_fork_in_child()
    _resting.clear()
    _fork_lock.release()
