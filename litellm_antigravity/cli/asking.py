"""Questions to whoever sits at the terminal: Ctrl-C stops the command, and the end of input is an error of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

_Answer = TypeVar("_Answer")


def ask(text: str, *, among: tuple[str, ...] = ()) -> str:
    """Return what was typed, without surrounding blanks.

    Args:
        text: the question, without the colon.
        among: the only answers there are, whatever their case; asked again until it is one of them.

    Raises:
        KeyboardInterrupt: at Ctrl-C.
        click.ClickException: when the input ends.
    """
    kind = click.Choice(among, case_sensitive=False) if among else None
    return str(_asked(lambda: click.prompt(text, type=kind, show_choices=False))).strip()


def confirm(text: str) -> bool:
    """Return whether the answer is yes; no is what plain Enter means.

    Raises:
        KeyboardInterrupt: at Ctrl-C.
        click.ClickException: when the input ends.
    """
    return _asked(lambda: click.confirm(text, default=False))


def _asked(question: Callable[[], _Answer]) -> _Answer:
    try:
        return question()
    except click.Abort as aborted:  # click's word for both
        ended = isinstance(aborted.__context__, EOFError)
    click.echo()
    if ended:
        msg = "The input ended before the question was answered."
        raise click.ClickException(msg)
    raise KeyboardInterrupt
