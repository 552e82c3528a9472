"""Sentences on standard output, in lines of whole words where there is a screen: addresses stay in one piece."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap


def on_screen(line: str, *, hang: int = 0) -> str:
    """Return a line wrapped between its words, if the screen's width is known; a pipe or a file gets it whole.

    Args:
        line: without a line break; blanks at its beginning stay.
        hang: the indent of what follows the first line, in columns.
    """
    if not sys.stdout.isatty() and not os.environ.get("COLUMNS"):
        return line
    start = line[: len(line) - len(line.lstrip())]
    return textwrap.fill(
        line.lstrip(),
        shutil.get_terminal_size().columns,
        initial_indent=start,
        subsequent_indent=" " * hang,
        break_long_words=False,
        break_on_hyphens=False,
    )
