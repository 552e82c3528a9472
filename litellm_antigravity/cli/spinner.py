"""What a command waits for, on a terminal: a line on standard error that goes away."""

from __future__ import annotations

import contextlib
import datetime as dt
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from litellm_antigravity.cli.durations import about

if TYPE_CHECKING:
    from litellm_antigravity.events import Event


@contextlib.contextmanager
def spinning(what: str) -> Iterator[Callable[[str], None]]:
    """Show what is waited for, on a terminal; the function that it gives shows something else, or with "" nothing."""
    from litellm_antigravity.cli.consoles import new_console

    console = new_console(stderr=True)
    if not (console.is_terminal and sys.stderr.isatty()):  # colours may be wanted elsewhere; a spinner may not
        yield ignore
        return
    with console.status(what, spinner="dots" if console.encoding.startswith("utf") else "line") as status:

        def say(more: str) -> None:
            if more:
                status.update(more)
            else:
                status.stop()

        yield say


def ignore(_: str) -> None:
    """Do nothing."""


class Waits:
    """Says until when a request waits for an account.

    Args:
        say: shows it.
        now: the wall clock.
    """

    always = True

    def __init__(self, say: Callable[[str], None], now: Callable[[], float]) -> None:
        self._say = say
        self._now = now

    def wants(self) -> bool:
        """Return whether it would say anything: always."""
        return True

    def hear(self, event: Event) -> None:
        """Say it; once an account is chosen, the wait is over."""
        from litellm_antigravity.events import Chosen, Waited

        if isinstance(event, Waited):
            at = dt.datetime.fromtimestamp(self._now() + event.seconds).astimezone()
            who = "Every account is limited" if event.why == "nobody" else "The account is not free"
            self._say(f"{who} for {event.model}; waiting until {at:%H:%M:%S} ({about(event.seconds)}) ...")
        elif isinstance(event, Chosen):
            self._say(f"Asking {event.about.model} ...")


@contextlib.contextmanager
def telling_waits(say: Callable[[str], None], now: Callable[[], float]) -> Iterator[None]:
    """Say of every request that waits until when it does.

    Args:
        say: shows it.
        now: the wall clock.
    """
    from litellm_antigravity import events

    waits = Waits(say, now)
    events.listen(waits)
    try:
        yield
    finally:
        events.stop_listening(waits)


__all__ = ["Waits", "ignore", "spinning", "telling_waits"]
