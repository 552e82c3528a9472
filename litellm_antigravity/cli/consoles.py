"""Where commands print tables: as wide as the terminal, or wide enough for a line per row in a pipe or file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_WIDTH_ELSEWHERE = 140
"""Columns; rich takes 80 when there is no terminal, and folds."""


def new_console(*, no_color: bool = False, stderr: bool = False) -> Console:
    """Return a console on standard output. Plain text: nothing in an e-mail address is taken for markup.

    Args:
        no_color: no colours even on a terminal; rich honours the variable ``NO_COLOR`` by itself.
        stderr: on standard error instead.
    """
    from rich.console import Console

    console = Console(stderr=stderr, no_color=no_color or None, highlight=False, markup=False, emoji=False)
    if not console.is_terminal and not os.environ.get("COLUMNS"):
        console.width = _WIDTH_ELSEWHERE
    return console


def printable(text: str, *, lines: bool = False) -> str:
    """Return ``text`` without what could steer a terminal, and without secrets; see `masking.shown`."""
    from litellm_antigravity.masking import shown

    return shown(text, lines=lines)
