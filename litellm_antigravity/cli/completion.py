"""``litellm-antigravity completion``: the script that lets a shell complete commands, accounts and models."""

from __future__ import annotations

import os
from pathlib import PurePath

import click

from litellm_antigravity.cli.examples import PROGRAM

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS), required=False)
@click.pass_context
def completion(ctx: click.Context, shell: str | None) -> None:
    """Print the script that completes commands with Tab.

    It completes accounts and models, too. Without SHELL it is for the one that you are logged in with.
    """
    from click.shell_completion import get_completion_class

    name = shell or PurePath(os.environ.get("SHELL", "")).name
    if name not in _SHELLS:
        msg = f"Which shell? Name one: {', '.join(_SHELLS)}."
        raise click.UsageError(msg)
    maker = get_completion_class(name)
    if maker is None:  # pragma: no cover - click has had these three since 8.0
        raise AssertionError
    click.echo(maker(ctx.find_root().command, {}, PROGRAM, VARIABLE).source())


VARIABLE = f"_{PROGRAM}_COMPLETE".replace("-", "_").upper()
"""The environment variable by which click's script asks; click derives the same one from the program's name."""
