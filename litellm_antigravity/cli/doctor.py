"""``litellm-antigravity doctor``: what keeps requests from being served here, and what to do about it."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="A proxy's YAML, whose antigravity_settings come first.",
)
@click.option("--offline", is_flag=True, help="Leave out what needs the network.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(config: Path | None, offline: bool, as_json: bool) -> None:
    """Check everything that a request needs.

    One line for each check, with what helps: settings and where they come from, accounts, OAuth client, clock, shared
    state, endpoints, LiteLLM. Signs in nowhere and takes nothing from a quota. Ends with 1 when a check has failed.
    """
    from litellm_antigravity.cli.doctor_run import examine

    if as_json:
        import json

        report = examine(config, offline=offline)
        click.echo(json.dumps(report.as_json(), indent=2))
    else:
        from litellm_antigravity.cli.consoles import new_console
        from litellm_antigravity.cli.doctor_view import show_report, while_examining

        console = new_console()
        with while_examining(console):
            report = examine(config, offline=offline)
        show_report(console, report)
    if report.has_failed:
        click.get_current_context().exit(1)
