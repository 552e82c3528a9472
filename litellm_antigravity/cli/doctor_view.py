"""How ``doctor`` shows what it found: a line per check, whose continuation stands below its text."""

from __future__ import annotations

import textwrap
from contextlib import AbstractContextManager, nullcontext

from rich.console import Console
from rich.text import Text

from litellm_antigravity.cli.consoles import printable
from litellm_antigravity.cli.doctor_report import Finding, Report

_STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red", "skipped": "dim"}
_NARROW = 50  # columns for the text, below which it begins further left


def while_examining(console: Console) -> AbstractContextManager[object]:
    """Show on a terminal that something is going on."""
    return console.status("Checking; importing LiteLLM takes seconds") if console.is_terminal else nullcontext()


def show_report(console: Console, report: Report) -> None:
    """Print the findings and what they come to."""
    state = max(len(one.state) for one in report.findings)
    check = max(len(one.check) for one in report.findings)
    for one in report.findings:
        _show(console, one, state, check)
    console.print()
    console.print(Text(_sum(report)))


def _show(console: Console, finding: Finding, state: int, check: int) -> None:
    head = f"{finding.state:<{state}}  {finding.check:<{check}}  "
    indent = len(head) if console.width - len(head) >= _NARROW else 4
    # Words and addresses stay in one piece, however narrow it is.
    lines = textwrap.wrap(
        head + printable(" ".join(filter(None, (finding.says, finding.remedy)))),
        max(console.width - 1, 40),
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )
    for number, line in enumerate(lines):
        text = Text(line)
        if number == 0:
            text.stylize(_STYLES[finding.state], 0, len(finding.state))
        console.print(text, soft_wrap=True)


def _sum(report: Report) -> str:
    failed = sum(one.state == "failed" for one in report.findings)
    warnings = sum(one.state == "warning" for one in report.findings)
    if not failed and not warnings:
        return "Everything is as it should be."
    counts = [f"{count} {what}" for count, what in ((failed, "failed"), (warnings, "to look at")) if count]
    return f"{', '.join(counts)}, of {len(report.findings)} checks."
