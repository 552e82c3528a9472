"""The thread that tells, in whichever process of the host has the lock for it; events start and wake it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from litellm_antigravity import events
from litellm_antigravity.alerts.channels import Channel
from litellm_antigravity.alerts.telling import Teller, Telling
from litellm_antigravity.errors import AntigravityError
from litellm_antigravity.forking import ForkAware
from litellm_antigravity.logs import LOGGER

_LOCK: Final = "alerts"
_LOOK_SECONDS: Final = 1.0
_TAKE_OVER_SECONDS: Final = 2.0
_ASK_SECONDS: Final = 5.0
_LAST_SECONDS: Final = 2.0
_NEWS: Final = frozenset({events.Benched, events.Back})


class Watching(ForkAware):
    """Listens, and has a thread look at the shared state: what there is to tell is read there, whoever noticed it.

    So nothing is lost with a process that dies. No request waits for it. A forked child has a thread of its own.

    Args:
        telling: makes what a teller works with; called in the thread, once in a while.
        channels: where alerts go; while none is open, there is no thread.
    """

    always = True

    def __init__(self, telling: Callable[[], Telling], channels: Sequence[Channel]) -> None:
        self._telling = telling
        self._channels = channels
        self._stopped = False
        self._after_fork_in_child()
        self._watch_forks()

    def _after_fork_in_child(self) -> None:
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._news = threading.Event()
        self._ask_at = 0.0

    def wants(self) -> bool:
        """Return whether it listens: always."""
        return True

    def hear(self, event: events.Event) -> None:
        """Have the thread look, if there may be something new."""
        if self._thread is None:
            self._begin()
        if type(event) in _NEWS:
            self._news.set()

    def _begin(self) -> None:
        if time.monotonic() < self._ask_at or not self._starting.acquire(blocking=False):
            return
        try:
            self._ask_at = time.monotonic() + _ASK_SECONDS
            if self._thread is None and any(one.is_open() for one in self._channels):
                thread = threading.Thread(target=self._run, name="antigravity-alerts", daemon=True)
                with contextlib.suppress(RuntimeError):  # no thread to be had: another process tells
                    thread.start()
                    self._thread = thread
        finally:
            self._starting.release()

    def end(self) -> None:
        """Have the thread end, once it has told what there is to tell."""
        self._stopped = True
        self._news.set()

    def stop(self) -> None:
        """Do what `end` does, and wait for it a moment."""
        thread = self._thread
        self.end()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_LAST_SECONDS)

    def _run(self) -> None:
        while not self._stopped:
            try:
                telling = self._telling()
                with telling.ledger.exclusive(_LOCK, 0.0) as mine:
                    if mine:
                        self._tell(telling)
            except AntigravityError as error:
                LOGGER.debug("Alerts wait: %s", type(error).__name__)
            except Exception:  # noqa: BLE001 - LiteLLM's groups may be anything; no request is concerned
                LOGGER.debug("Alerts wait.", exc_info=True)
            if not self._stopped:
                self._wait(_TAKE_OVER_SECONDS)

    def _tell(self, telling: Telling) -> None:
        teller = Teller(telling)
        while True:
            self._news.clear()
            teller.look()
            if self._stopped:
                return
            self._wait(_LOOK_SECONDS)

    def _wait(self, seconds: float) -> None:
        self._news.wait(seconds)


__all__ = ["Watching"]
