"""The thread that carries rows between a host and Redis, in whichever process of the host has the lock for it."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final

from litellm_antigravity.errors import StateUnavailableError
from litellm_antigravity.state.courier import Courier
from litellm_antigravity.state.joined_flights import JoinedFlights
from litellm_antigravity.state.redis_backend import RedisBackend
from litellm_antigravity.state.redis_check import problems_with
from litellm_antigravity.state.replica import Replica

if TYPE_CHECKING:
    from litellm_antigravity.state.layers import JoinedStore

logger = logging.getLogger("litellm_antigravity")

_LISTEN_SECONDS: Final = 1.0
"""How often Redis is asked for changes though it has announced none."""

_BUSY_SECONDS, _IDLE_SECONDS = 0.02, 0.05
"""Between two looks at the host's own state, shortly after something has changed and otherwise."""

_BUSY_FOR_SECONDS: Final = 3.0
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 5.0
_TAKE_OVER_SECONDS: Final = 0.5


class Rounds:
    """The thread that carries, in whichever process of the host has the lock.

    Args:
        store: whose rows are carried; the thread ends when nobody uses it any more.
    """

    def __init__(self, store: JoinedStore) -> None:
        self._store = weakref.ref(store)
        self._stopped = threading.Event()
        self._name = f"redis {store.meeting.namespace} {store.meeting.description}"
        self._warned = self._has_failed = self._checked = False
        self._thread = threading.Thread(target=self._run, name="antigravity-hosts", daemon=True)
        with contextlib.suppress(RuntimeError):  # no thread to be had: another process carries
            self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(5.0)

    def _run(self) -> None:
        while not self._stopped.is_set():
            with self._turn() as mine:
                if mine:
                    self._carry()
            if not self._look_for_others() or self._stopped.wait(_TAKE_OVER_SECONDS):
                return

    def _turn(self) -> AbstractContextManager[bool]:
        """Hold the host's lock of those who carry; without a folder for locks, every process is a host by itself."""
        store = self._store()
        if store is None:
            return contextlib.nullcontext(False)
        return _held(store.replica.backend.lock(self._name, 0.0))

    def _look_for_others(self) -> bool:
        store = self._store()
        if store is not None:
            store.look_for_others()
        return store is not None

    def _carry(self) -> None:
        store = self._store()
        if store is None:
            return
        remote = RedisBackend(store.meeting)
        hears = _Hears(remote)
        courier = Courier(_weakly(self._store), remote, store.clock, store.rules)
        flights = JoinedFlights.of(store.replica.backend, remote.link)
        pause = _FIRST_PAUSE
        del store
        moved_at = looked_at = time.monotonic()
        while not self._stopped.is_set():
            try:
                busy = time.monotonic() - moved_at < _BUSY_FOR_SECONDS
                news = hears.wait(_BUSY_SECONDS if busy else _IDLE_SECONDS)
                if hears.began_anew:
                    courier.start_over()
                    hears.began_anew = False
                if courier.carry(listen=news):
                    moved_at = time.monotonic()
                for one in flights:
                    one.exchange()
                self._worked(remote)
                pause = _FIRST_PAUSE
            except Exception as error:  # noqa: BLE001 - whatever it is, the host goes on
                told = (
                    str(error) if isinstance(error, StateUnavailableError) else f"{type(error).__name__} in the courier"
                )
                for one in flights:
                    one.forget()
                hears.close()
                courier.start_over()
                if not self._failed(told) or self._stopped.wait(pause):
                    break
                pause = min(2 * pause, _LONGEST_PAUSE)
            if time.monotonic() - looked_at > _LISTEN_SECONDS:
                looked_at = time.monotonic()
                if not self._look_for_others():
                    break
        for one in flights:
            one.close()
        hears.close()

    def _worked(self, remote: RedisBackend) -> None:
        if not self._checked:
            self._checked = True
            for problem in problems_with(remote.link):
                logger.warning("%s.", problem)
        store = self._store()
        if store is None or store.breaker.problem is None or (store.breaker.is_open and not self._has_failed):
            return
        if self._has_failed:
            logger.info("The Redis at %s works again; what the hosts have learnt is joined.", store.meeting.description)
        self._has_failed = False
        store.breaker.worked()

    def _failed(self, why: str) -> bool:
        """Say that Redis cannot be used; return whether there is anybody to go on for."""
        store = self._store()
        if store is None:
            return False
        level = logging.DEBUG if self._warned else logging.WARNING
        self._warned = self._has_failed = True
        logger.log(level, "%s. This host goes on with its own state; other hosts do not see it.", why)
        store.breaker.failed(why)
        return True


class _Hears:
    """Listens for changes: the channel's messages only wake, what has changed is read.

    Attributes:
        began_anew: whether there is a new connection, which may lead to a server that has missed some writes.
    """

    def __init__(self, remote: RedisBackend) -> None:
        self._remote = remote
        self._listening: Any = None
        self._asked_at = -math.inf
        self.began_anew = False

    def wait(self, seconds: float) -> bool:
        """Wait for a message; return whether to look for changes."""
        if self._listening is None:
            self._listening = self._remote.link.call(self._subscribed)
        news = False
        while (message := self._message(0.0 if news else seconds)) is not None:
            news = True
            self.began_anew = self.began_anew or message["type"] == "subscribe"
        now = time.monotonic()
        if news or now - self._asked_at >= _LISTEN_SECONDS:
            self._asked_at = now
            return True
        return False

    def _message(self, seconds: float) -> Any:
        return self._remote.link.call(lambda _: self._listening.get_message(timeout=seconds))

    def _subscribed(self, client: Any) -> Any:
        listening = client.pubsub()
        listening.subscribe(self._remote.channel)
        return listening

    def close(self) -> None:
        """Let go of the connections."""
        listening, self._listening = self._listening, None
        self._asked_at = -math.inf
        if listening is not None:
            with contextlib.suppress(Exception):
                listening.close()
        self._remote.close()


@contextlib.contextmanager
def _held(lock: AbstractContextManager[bool]) -> Iterator[bool]:
    try:
        held = lock.__enter__()
    except StateUnavailableError:
        yield True
        return
    try:
        yield held
    finally:
        lock.__exit__(None, None, None)


def _weakly(reference: weakref.ref[JoinedStore]) -> Callable[[Callable[[Replica], Any]], Any]:
    def on_host(operation: Callable[[Replica], Any]) -> Any:
        store = reference()
        if store is None:
            msg = "nobody uses the state any more"
            raise StateUnavailableError(msg)
        return store.on_host(operation)

    return on_host


__all__ = ["Rounds"]
