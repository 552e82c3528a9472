"""How far the demo is, and what it waits for: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from litellm_antigravity.cli.demo_crew import Waiting

_SOON_SECONDS = 3.0
_LINE_SECONDS = 10.0


class ShownProgress:
    """Tells how far it is.

    Args:
        console: where to.
        title: what is going on.
        bar: to be moved on; ``None`` for lines.
    """

    def __init__(self, console: Console, title: str, bar: Progress | None, total: int) -> None:
        self._console = console
        self._title = title
        self._bar = bar
        self._task = None if bar is None else bar.add_task(title, total=total)
        self._what = ""
        self._next_line = _LINE_SECONDS

    def advance(self, _: int) -> None:
        """One more of what is waited for has come."""
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task)

    def waits(self, waiting: Waiting) -> None:
        """Show what is waited for and for how long, when it takes longer than a moment."""
        if self._bar is not None and self._task is not None:
            said = f": {tell_waiting(waiting)}" if waiting.seconds >= _SOON_SECONDS else ""
            self._bar.update(self._task, description=f"{self._title}{said}")
            return
        if waiting.what != self._what:
            self._what, self._next_line = waiting.what, _LINE_SECONDS
        if waiting.seconds >= self._next_line:
            self._next_line = waiting.seconds + _LINE_SECONDS
            self._console.print(f"    {tell_waiting(waiting)}")


def tell_waiting(waiting: Waiting) -> str:
    """Return what is waited for, for how long, and what it has got of a processor: little on a busy machine."""
    return f"{waiting.what}, for {waiting.seconds:.0f} s ({waiting.used:.1f} s of processor time)"


@contextmanager
def shown_progress(console: Console, title: str, total: int) -> Iterator[ShownProgress]:
    """Show how far it is: on a terminal by a bar that goes away at the end.

    Args:
        console: where to.
        title: what is going on.
        total: how often there will be an advance.
    """
    if not console.is_interactive:
        yield ShownProgress(console, title, None, total)
        return
    spinner = "dots" if console.encoding.startswith("utf") else "line"
    columns = (SpinnerColumn(spinner), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        yield ShownProgress(console, title, bar, total)
