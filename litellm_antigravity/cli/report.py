"""``litellm-antigravity report``: what happened lately, as a table, JSON, or a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from litellm_antigravity.cli.spans import seconds_of

if TYPE_CHECKING:
    from litellm_antigravity.observability.reporting import Report


@click.command()
@click.option(
    "--since", callback=seconds_of, default="24h", show_default=True, metavar="SPAN", help="24h, 90m, 2d, 1h30m ..."
)
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write it as a page that needs nothing else.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON; docs/command-line.md describes it.")
def report(since: float, html: Path | None, as_json: bool) -> None:
    """Tell who was served by whom, and what that took.

    By account and model: requests, answers, refusals, tokens and how many of them came out of the prompt cache, and
    what they cost by the prices of `model_costs`. Then how long requests waited, and which process used which account.

    Only so many decisions are kept of each process: the report says how far back they go. Nothing is changed, and
    nobody is asked. E-mail addresses are masked.
    """
    import json

    told = _gather(since)
    if html is not None:
        _write(html, told)
        click.echo(f"Wrote {html}", err=as_json)
    if as_json:
        click.echo(json.dumps(told.as_json(), indent=2))
    elif html is None:
        _show(told)


def _gather(since: float) -> Report:
    from litellm_antigravity.clock import SystemClock
    from litellm_antigravity.observability.decisions import remembered
    from litellm_antigravity.observability.reporting import reported
    from litellm_antigravity.observability.ring import Ring
    from litellm_antigravity.settings import Settings
    from litellm_antigravity.settings.costs import model_costs

    settings, now = Settings(), SystemClock().time()
    ring = Ring(settings.state_dir)
    full_since = ring.full_since()  # before the look: what is written over meanwhile is older
    return reported(
        remembered(ring, usage=True),
        since=now - since,
        now=now,
        full_since=full_since,
        costs=model_costs(settings.model_costs),
    )


def _show(told: Report) -> None:
    from litellm_antigravity.cli.consoles import new_console
    from litellm_antigravity.cli.layout import show
    from litellm_antigravity.cli.report_view import report_lines

    console = new_console()
    show(console, report_lines(told, console.width))


def _write(file: Path, told: Report) -> None:
    from litellm_antigravity.cli.report_page import page_of

    try:
        file.write_text(page_of(told), "utf-8")
    except OSError as error:
        msg = f"{file} cannot be written: {error.strerror or type(error).__name__}."
        raise click.ClickException(msg) from error


__all__ = ["report"]
