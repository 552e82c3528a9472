"""``litellm-antigravity status``: what is known of every account, on this machine, now."""

from __future__ import annotations

import click

from litellm_antigravity.cli.completing import complete_accounts, complete_models


@click.command()
@click.option(
    "--model",
    metavar="NAME",
    shell_complete=complete_models,
    help="Only what concerns this model, such as claude-sonnet-4-6.",
)
@click.option(
    "--account",
    "accounts",
    metavar="ACCOUNT",
    multiple=True,
    shell_complete=complete_accounts,
    help="Only this account, by number, e-mail, label or an unambiguous beginning; may be repeated.",
)
@click.option("--watch", is_flag=True, help="Draw it anew each second, with each account's last hour, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; docs/command-line.md describes it.")
def status(model: str | None, accounts: tuple[str, ...], watch: bool, as_json: bool) -> None:
    """Show who is ready, who is not, and why.

    First how many accounts are free and when the next one is back; then each account with its quota pools: state, time
    left and reason, health and tokens, and which processes are on it. Nothing is changed, and nobody is asked. E-mail
    addresses are shown in full.
    """
    import json

    from litellm_antigravity.cli.status_facts import gather_status

    if watch and as_json:
        msg = "--watch and --json exclude each other: ask for JSON as often as you need it."
        raise click.UsageError(msg)
    if watch:
        _watch(model, accounts)
        return
    report = gather_status(model, accounts)
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=2))
        return
    from litellm_antigravity.cli.consoles import new_console
    from litellm_antigravity.cli.layout import show
    from litellm_antigravity.cli.status_view import status_lines

    console = new_console()
    show(console, status_lines(report, console.width))


def _watch(model: str | None, accounts: tuple[str, ...]) -> None:
    from litellm_antigravity.cli.consoles import new_console
    from litellm_antigravity.cli.layout import show
    from litellm_antigravity.cli.status_facts import StatusReader
    from litellm_antigravity.cli.status_hour import last_hour_of
    from litellm_antigravity.cli.status_view import status_lines
    from litellm_antigravity.cli.status_watch import watch_status
    from litellm_antigravity.clock import SystemClock

    console = new_console()
    if not console.is_terminal:
        msg = "--watch needs a terminal; without one, use --json or plain `status`."
        raise click.UsageError(msg)
    reader = StatusReader(model, accounts)
    try:
        clock = SystemClock()
        report = watch_status(console, reader.read, clock, lambda: last_hour_of(reader.pool, clock.time()))
    finally:
        reader.close()
    show(console, status_lines(report, console.width))  # stays when the screen is gone
