"""Ctrl-C and its relatives: a command that has started processes and made folders takes them along when it ends."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # not every platform has all of them


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Raise `KeyboardInterrupt` once, at the first request to end; later ones do not disturb the cleaning up.

    A signal that is ignored, as by ``nohup``, stays ignored. Outside the main thread this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [number for name in _NAMES if (number := getattr(signal, name, None)) is not None]
    known = {number: signal.getsignal(number) for number in numbers}
    watched = [number for number in numbers if known[number] not in (signal.SIG_IGN, None)]

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of handlers
        for each in watched:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in watched:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in watched:
            signal.signal(number, known[number])
