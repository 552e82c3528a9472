"""``litellm-antigravity ask``: one request, to see that everything works."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from litellm_antigravity.cli.completing import complete_models
from litellm_antigravity.cli.spinner import ignore, spinning, telling_waits

if TYPE_CHECKING:
    from rich.console import Console

    from litellm_antigravity.accounts import AccountsSnapshot
    from litellm_antigravity.cli.ask_call import Answered
    from litellm_antigravity.settings import Settings

_DEFAULT_MODEL = "claude-sonnet-4-6"


@click.command()
@click.argument("prompt")
@click.option(
    "--model",
    default=_DEFAULT_MODEL,
    show_default=True,
    metavar="NAME",
    shell_complete=complete_models,
    help="Which model to ask.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=120.0,
    metavar="SECONDS",
    help="How long to wait for the first word; 120 by default.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON when the answer is complete.")
def ask(prompt: str, model: str, timeout: float, as_json: bool) -> None:
    """Ask one question, through LiteLLM as your programs do.

    The answer comes on standard output as it is written; account, time, tokens and cost come on standard error. For
    PROMPT - the question is read from standard input. It takes one request of an account's quota.
    """
    import json

    from litellm_antigravity.cli.ask_call import call_model
    from litellm_antigravity.cli.stopping import stopped_by_signals
    from litellm_antigravity.clock import SystemClock
    from litellm_antigravity.settings import Settings

    question = _question(prompt)
    settings = Settings()
    snapshot = _accounts(settings)  # what is wrong here is said before LiteLLM is imported, which takes seconds
    clock = SystemClock()
    with (
        stopped_by_signals(),
        spinning("Importing LiteLLM ...") as say,
        telling_waits(say, clock.time),
        _printing(say) as show,
    ):
        answered = call_model(
            question,
            model,
            settings,
            timeout=timeout,
            clock=clock,
            on_ready=lambda: say(f"Asking {model} ..."),
            on_text=ignore if as_json else show,
        )
    account = _name(answered.account, snapshot)
    if as_json:
        click.echo(json.dumps(_as_json(answered, account, model), indent=2))
    else:
        _show(answered, account)
    if not answered.text.strip():
        msg = "The answer is empty. Ask again; if it stays so, ask another model."
        raise click.ClickException(msg)


def _question(prompt: str) -> str:
    question = sys.stdin.read() if prompt == "-" else prompt
    if not question.strip():
        msg = "There is no question. Write it in quotes, or pipe it to `ask -`."
        raise click.UsageError(msg)
    return question


def _accounts(settings: Settings) -> AccountsSnapshot:
    from litellm_antigravity.accounts import AccountsFile
    from litellm_antigravity.credentials.clients import Readiness

    snapshot = AccountsFile(settings.accounts_file).current()
    Readiness(settings).check_clients(snapshot)
    return snapshot


@contextlib.contextmanager
def _printing(say: Callable[[str], object]) -> Iterator[Callable[[str], object]]:
    """Give a function that prints pieces of the answer; the line that they make ends whatever happens."""
    from litellm_antigravity.masking import shown

    begun = False

    def show(text: str) -> None:
        nonlocal begun
        begun = True
        say("")
        click.echo(shown(text, lines=True), nl=False)

    try:
        yield show
    finally:
        if begun:
            click.echo()


def _name(label: str | None, snapshot: AccountsSnapshot) -> str | None:
    """Return what the command line calls the account that an answer names."""
    from litellm_antigravity.cli.choosing import name_of
    from litellm_antigravity.masking import header_value

    return next((name_of(one) for one in snapshot.accounts if header_value(one.label) == label), label)


def _as_json(answered: Answered, account: str | None, model: str) -> dict[str, object]:
    from dataclasses import asdict

    return {"model": model, **asdict(answered), "account": account}


def _show(answered: Answered, account: str | None) -> None:
    from rich.text import Text

    from litellm_antigravity.cli.layout import flow, show

    facts = [
        f"account {account or 'not named'}",
        f"{answered.seconds:.1f} s (first word after {answered.first_seconds:.1f} s)",
        _tokens(answered),
        _cost(answered),
        "" if answered.finish_reason in (None, "stop") else f"ended by {answered.finish_reason}",
    ]
    console = _standard_error()
    show(console, flow(Text("; ".join(filter(None, facts)), "dim"), console.width))


def _tokens(answered: Answered) -> str:
    if answered.input_tokens is None:
        return ""
    return f"{answered.input_tokens} tokens in, {answered.output_tokens or 0} out"


def _cost(answered: Answered) -> str:
    if answered.cost is None:
        return "cost not known"
    return f"cost ${answered.cost:.6f}" if answered.cost else "cost 0, within the subscription"


def _standard_error() -> Console:
    from litellm_antigravity.cli.consoles import new_console

    return new_console(stderr=True)
