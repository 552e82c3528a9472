"""``litellm-antigravity why``: where the next request for a model would go and why, or where the last ones went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from litellm_antigravity.cli.completing import complete_models

if TYPE_CHECKING:
    from litellm_antigravity.cli.why_facts import Reason


@click.command()
@click.argument("what", metavar="[MODEL | REQUEST_ID]", required=False, shell_complete=complete_models)
@click.option("--last", type=click.IntRange(1, 10_000), metavar="N", help="The last N decisions on this machine.")
@click.option("--pid", type=int, metavar="PID", help="As this process would choose, which is on some account already.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def why(what: str | None, last: int | None, pid: int | None, as_json: bool) -> None:
    """Explain where a request goes.

    With a model: every account with its numbers, and the rule that would take or leave it now. Strategies that stay
    with an account begin with the one that the process seen last is on, or that of --pid.

    With the id that LiteLLM gave a request (x-litellm-call-id), or with --last: what was decided, and by what, as far
    as it is remembered. `statistics` says where decisions are.

    Nothing is changed, and nobody is asked.
    """
    import json

    from litellm_antigravity.cli.why_facts import decisions, next_for

    if (what is None) == (last is None):
        msg = "Name a model, or the id of a request, or ask for the --last decisions."
        raise click.UsageError(msg)
    found = decisions(what) if last is None else decisions()[-last:]
    if last is None and not found:
        _show_next(next_for(str(what), pid), as_json=as_json)
        return
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    _show_last(found)


def _show_next(reason: Reason, *, as_json: bool) -> None:
    import json

    if as_json:
        click.echo(json.dumps(reason.as_json(), indent=2))
        return
    from litellm_antigravity.cli.consoles import new_console
    from litellm_antigravity.cli.layout import show
    from litellm_antigravity.cli.why_view import next_lines

    console = new_console()
    show(console, next_lines(reason, console.width))


def _show_last(found: list[dict[str, Any]]) -> None:
    from litellm_antigravity.cli.consoles import new_console
    from litellm_antigravity.cli.layout import show
    from litellm_antigravity.cli.why_view import decision_lines

    console = new_console()
    show(console, decision_lines(found, console.width))
