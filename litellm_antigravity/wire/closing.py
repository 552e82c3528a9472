"""Streams that nobody reads any more are closed in a thread of its own.

Garbage collection may come upon an abandoned stream at any moment, also while its thread holds the lock of httpx's
connection pool. Closing the stream takes that lock, and the thread would wait for itself for ever, and every other
thread that sends a request for it [encode/httpcore#1108; seen with 1.0.9]. So garbage hands over, and closes nothing.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import weakref
from collections.abc import Generator
from typing import Any, Final, TypeAlias

import httpx

from litellm_antigravity.forking import ForkAware

_Abandoned: TypeAlias = "queue.SimpleQueue[tuple[httpx.Response, Generator[Any]]]"


class ClosingThread(ForkAware):
    """Closes responses that are handed to it. Its thread is started for the first stream."""

    def __init__(self) -> None:
        self._after_fork_in_child()
        self._inherited: list[object] = []
        self._watch_forks()

    def _after_fork_in_child(self) -> None:
        self._lock = threading.Lock()
        self._started = False
        self._abandoned: _Abandoned = queue.SimpleQueue()

    def watch(self, stream: object, response: httpx.Response, reading: Generator[Any]) -> weakref.finalize[Any, Any]:
        """Have a response closed when its stream is garbage, or when what this returns is called.

        Args:
            stream: what its reader holds on to.
            response: open.
            reading: reads from the response for the stream, without holding on to the stream. What is suspended in
                there would be garbage together with the stream, and close the response, were it not kept here.
        """
        self._start()
        handing_over = weakref.finalize(stream, self._hand_over, self._abandoned, response, reading)
        handing_over.atexit = False
        return handing_over

    def _start(self) -> None:
        if not self._started:
            with self._lock:
                if not self._started:
                    closing = threading.Thread(
                        target=_close_all, args=(self._abandoned,), name="antigravity-closing", daemon=True
                    )
                    with contextlib.suppress(RuntimeError):  # no more threads, or the process ends: it closes all
                        closing.start()
                        self._started = True

    def _hand_over(self, to: _Abandoned, response: httpx.Response, reading: Generator[Any]) -> None:
        if to is self._abandoned:
            to.put((response, reading))  # a `SimpleQueue`: the only one that garbage may be put in
        else:
            self._inherited.append((response, reading))  # the parent's; the lock it needs may never be free here


def _close_all(abandoned: _Abandoned) -> None:
    while True:
        response, reading = abandoned.get()
        for one in (response, reading):
            with contextlib.suppress(Exception):  # somebody may be reading still
                one.close()
        del response, reading, one


CLOSING: Final = ClosingThread()
