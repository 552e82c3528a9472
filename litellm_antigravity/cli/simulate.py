"""``litellm-antigravity simulate``: the stand-in for Google, in the foreground."""

from __future__ import annotations

import contextlib
import errno
import tempfile
import time
from collections import Counter
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

import click

from litellm_antigravity.cli.simulate_script import is_given, list_scripts, play, script_named
from litellm_antigravity.cli.stopping import stopped_by_signals

if TYPE_CHECKING:
    from litellm_antigravity.simulator import LoggedRequest


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0 for any that is free.")
@click.option("--accounts", type=click.IntRange(1, 1000), default=4, show_default=True, help="How many there are.")
@click.option(
    "--quota",
    type=click.IntRange(0),
    metavar="N",
    help="Requests that an account serves per window and model family; no limit by default.",
)
@click.option(
    "--window",
    type=click.FloatRange(0, min_open=True),
    default=5 * 3600.0,
    metavar="SECONDS",
    help="How long a window is; 5 hours by default.",
)
@click.option(
    "--latency",
    type=click.FloatRange(0),
    default=0.0,
    metavar="SECONDS",
    help="How long a served request takes; 0 by default.",
)
@click.option(
    "--accounts-file",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Where to write the accounts file, which must not exist; a temporary one by default. Removed at the end.",
)
@click.option(
    "--script",
    "script_name",
    metavar="FILE|NAME",
    help="What the model says and what happens when: a YAML or JSON file, or one that --list-scripts lists.",
)
@click.option(
    "--list-scripts",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=list_scripts,
    help="List the ready scripts.",
)
@click.option(
    "--without-rule",
    "without_rules",
    multiple=True,
    metavar="NAME",
    help="A rule of upstream's that is not to hold, such as claude-last-turn; may be repeated. See docs/simulator.md.",
)
def simulate(
    port: int,
    accounts: int,
    quota: int | None,
    window: float,
    latency: float,
    accounts_file: Path | None,
    script_name: str | None,
    without_rules: tuple[str, ...],
) -> None:
    """Run a stand-in for Google for your own tests.

    It prints the variables that point this package at it, and a line for every request, until Ctrl-C. With a script it
    plays an agent's counterpart: tool calls, thoughts, limits, bans. It is steered over HTTP while it runs.
    """
    from litellm_antigravity.simulator import Simulator
    from litellm_antigravity.simulator.rules import known_rules
    from litellm_antigravity.simulator.serving import how_to_steer, how_to_use

    script = None if script_name is None else script_named(script_name)
    if script is not None and script.accounts is not None and not is_given("accounts"):
        accounts = script.accounts

    if accounts_file is not None and accounts_file.exists():
        msg = f"{accounts_file} exists already, and may hold real accounts. Choose another path, or remove it first."
        raise click.ClickException(msg)
    try:
        known_rules(without_rules)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--without-rule") from error
    happenings: SimpleQueue[LoggedRequest | str] = SimpleQueue()  # so that only this thread prints
    with contextlib.ExitStack() as stack:
        stack.enter_context(stopped_by_signals())
        folder = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="litellm-antigravity-simulate-", ignore_cleanup_errors=True)
            )
        )
        simulator = Simulator(
            accounts,
            quota=quota,
            quota_window_seconds=window,
            latency_seconds=latency,
            port=port,
            on_request=happenings.put,
            without_rules=without_rules,
        )
        play(simulator, script, on_note=happenings.put)
        try:
            stack.enter_context(simulator)
        except OSError as error:
            raise click.ClickException(_no_port(port, error)) from error
        target = (accounts_file or folder / "antigravity-accounts.json").absolute()
        try:
            simulator.write_accounts_file(target)
        except OSError as error:
            msg = f"{target} cannot be written: {error.strerror}. Choose another path with --accounts-file."
            raise click.ClickException(msg) from error
        stack.callback(target.unlink, missing_ok=True)  # its tokens are worth nothing once this ends
        click.echo(how_to_use(simulator, simulator.environment(target, folder / "state")) + "\n")
        click.echo(how_to_steer(simulator) + "\n")
        seen: Counter[str] = Counter()
        try:
            while True:
                with contextlib.suppress(Empty):
                    # With a time-out, because a wait without one hides Ctrl-C on Windows.
                    happened = happenings.get(timeout=0.5)
                    if isinstance(happened, str):
                        click.echo(f"--- {happened}")
                        continue
                    seen[happened.kind] += 1
                    seen["429"] += happened.status == 429
                    seen["all"] += 1
                    click.echo(_line(happened))
        except KeyboardInterrupt:
            click.echo("\n" + _summary(seen))


def _no_port(port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use. Choose another one with --port, or --port 0 for any that is free."
    return f"port {port} cannot be used: {error.strerror or error}. Choose another one with --port."


def _line(request: LoggedRequest) -> str:
    at = time.strftime("%H:%M:%S", time.localtime(request.at))
    status = str(request.status) if request.status else "---"  # no answer at all
    who = request.email or "(nobody)"
    return "  ".join(
        filter(None, (at, status, f"{request.kind:<16}", f"{who:<20}", request.path, request.model, request.rule))
    )


def _summary(seen: Counter[str]) -> str:
    limited, tokens = seen["429"], seen["token"]
    return f"{seen['all']} request(s): {seen['served']} served, {limited} x 429, {tokens} access token(s) issued."
