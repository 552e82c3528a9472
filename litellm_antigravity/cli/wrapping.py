"""Texts as wide as the terminal: words, paths and addresses are never broken."""

from __future__ import annotations

import shutil
import textwrap

_WIDTH_ELSEWHERE = 140


def wrapped(text: str, *, beside: int = 0) -> str:
    """Return a text whose lines fit the terminal.

    Args:
        text: each of its lines is wrapped by itself; what follows a number is indented.
        beside: columns that something else takes, before the first line.
    """
    width = max(20, shutil.get_terminal_size((_WIDTH_ELSEWHERE, 24)).columns - beside)
    return "\n".join(
        textwrap.fill(
            line,
            width,
            subsequent_indent="   " if line[:1].isdigit() else "",
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in text.split("\n")
    )
