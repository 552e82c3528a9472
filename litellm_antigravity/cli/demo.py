"""``litellm-antigravity demo``: four real processes share four accounts of a stand-in for Google."""

from __future__ import annotations

import click

from litellm_antigravity.selection.strategies import STRATEGIES


@click.command()
@click.option(
    "--requests",
    type=click.IntRange(1, 100),
    default=6,
    show_default=True,
    metavar="N",
    help="How many requests each worker sends per strategy.",
)
@click.option(
    "--strategy",
    "strategies",
    type=click.Choice(STRATEGIES),
    multiple=True,
    help="Show this strategy only; may be given several times.  [default: all three]",
)
@click.option("--no-color", is_flag=True, help="No colours.")
def demo(requests: int, strategies: tuple[str, ...], no_color: bool) -> None:
    """See it work. No account needed, nor network.

    Four worker processes call litellm.completion on a stand-in for Google with four accounts, two of which run out. It
    takes less than 30 seconds, and longer on a busy machine: then it says what it waits for.
    """
    from litellm_antigravity.cli.consoles import new_console
    from litellm_antigravity.cli.demo_run import run_demo

    failures = run_demo(new_console(no_color=no_color), tuple(dict.fromkeys(strategies)) or STRATEGIES, requests)
    if failures:
        msg = f"{failures} request(s) failed, and none should have."
        raise click.ClickException(msg)
