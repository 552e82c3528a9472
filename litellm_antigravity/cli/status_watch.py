"""``status --watch``: the report, drawn anew each second until somebody ends it."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.live import Live
from rich.text import Text

from litellm_antigravity.cli.status_facts import StatusReport
from litellm_antigravity.cli.status_hour import Strips
from litellm_antigravity.cli.status_view import status_lines
from litellm_antigravity.cli.stopping import stopped_by_signals
from litellm_antigravity.clock import Clock

_INTERVAL_SECONDS = 1.0


def watch_status(
    console: Console, read: Callable[[], StatusReport], clock: Clock, last_hour: Callable[[], Strips] | None = None
) -> StatusReport:
    """Show the report until Ctrl-C, on a screen of its own; return the last one.

    Args:
        console: a terminal.
        read: returns what is known now.
        clock: what waits.
        last_hour: returns the last hour of each account, to be drawn as a strip.

    Raises:
        AccountsFileError: when the accounts file goes away meanwhile; the terminal is as it was by then.
    """
    report = read()
    with stopped_by_signals():
        try:
            with Live(console=console, screen=True, auto_refresh=False) as live:
                while True:
                    hours = None if last_hour is None else last_hour()
                    live.update(_screen(report, console, hours), refresh=True)
                    clock.sleep(_INTERVAL_SECONDS)
                    report = read()
        except KeyboardInterrupt:
            return report


def _screen(report: StatusReport, console: Console, hours: Strips | None) -> Text:
    """Return as much of the report as there is room for, and how much more there is."""
    unicode = console.encoding.startswith("utf")
    lines = [*status_lines(report, console.width, hours, unicode=unicode), Text(), Text("Live; Ctrl-C ends it.", "dim")]
    room = max(2, console.height)
    if len(lines) > room:
        lines = [*lines[: room - 1], Text(f"... {len(lines) - room + 1} more lines; Ctrl-C ends it.", "dim")]
    return Text("\n").join(lines)
