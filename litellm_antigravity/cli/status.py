"""``litellm-antigravity status``: what is known of every account, on this machine, now."""

from __future__ import annotations

import click


@click.command()
@click.option("--model", metavar="NAME", help="Only what concerns this model, such as claude-sonnet-4-6.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(model: str | None, as_json: bool) -> None:
    """Show who is ready, who is not, and why.

    A table of all accounts and their quota pools: state, reason, time left, health, tokens, and which processes are on
    them. E-mail addresses are shown in full.
    """
    import json

    from litellm_antigravity.cli.status_facts import gather_status

    report = gather_status(model)
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=2))
        return
    from litellm_antigravity.cli.consoles import new_console
    from litellm_antigravity.cli.status_view import show_status

    show_status(new_console(), report)
