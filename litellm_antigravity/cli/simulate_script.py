"""The scripts of ``litellm-antigravity simulate``: listing them, reading one, playing it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from litellm_antigravity.simulator import Simulator
    from litellm_antigravity.simulator.scripts.document import Script


def list_scripts(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print the scripts that come with the package, and end; a click callback."""
    if not wanted or context.resilient_parsing:
        return
    from litellm_antigravity.simulator.scripts.reading import ready_scripts

    found = ready_scripts()
    width = max(map(len, found))
    for name, script in found.items():
        click.echo(f"{name:<{width}}  {script.about}")
    context.exit()


def script_named(name: str) -> Script:
    """Return the script that the command line names.

    Raises:
        click.ClickException: when there is none, or when it is wrong.
    """
    from litellm_antigravity.simulator.scripts.reading import ScriptError, load_script

    try:
        return load_script(name)
    except ScriptError as error:
        raise click.ClickException(str(error)) from error


def play(simulator: Simulator, script: Script | None, on_note: Callable[[str], object]) -> None:
    """Have a simulator play a script, and say the notes of it and of those that replace it.

    Raises:
        click.ClickException: when the script names an account that the simulator does not have.
    """
    try:
        simulator.play(script, on_note=on_note)
    except ValueError as error:
        msg = f"The script does not fit: {error}."
        raise click.ClickException(msg) from error


def is_given(name: str) -> bool:
    """Return whether an option of this command was given, rather than left at its default."""
    return click.get_current_context().get_parameter_source(name) not in (None, ParameterSource.DEFAULT)


__all__ = ["is_given", "list_scripts", "play", "script_named"]
