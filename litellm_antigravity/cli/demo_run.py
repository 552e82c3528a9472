"""The demo from start to end: simulator, workers, rounds, and what to do next."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from litellm_antigravity.cli.demo_crew import Crew
from litellm_antigravity.cli.demo_facts import RoundFacts, facts_of, user_agent_of
from litellm_antigravity.cli.demo_progress import ShownProgress, shown_progress
from litellm_antigravity.cli.demo_view import show_heading, show_round, show_starts
from litellm_antigravity.cli.stopping import stopped_by_signals
from litellm_antigravity.errors import SettingsError
from litellm_antigravity.selection.strategies import strategy_named
from litellm_antigravity.settings import user_config_dir
from litellm_antigravity.simulator import Simulator

ACCOUNTS = 4
WORKERS = 4
MODEL = "antigravity/claude-sonnet-4-6"

_LATENCY_SECONDS = 0.1
_RESET_SECONDS = 600.0


def run_demo(console: Console, strategies: Sequence[str], requests: int) -> int:
    """Run a round per strategy and print what happened.

    Args:
        console: where to.
        strategies: their names.
        requests: how many each worker sends per round.

    Returns:
        How many requests failed.

    Raises:
        click.ClickException: when a worker dies, or when nothing moves any more.
    """
    failed = 0
    with contextlib.ExitStack() as stack:
        stack.enter_context(stopped_by_signals())
        temporary = tempfile.TemporaryDirectory(prefix="litellm-antigravity-demo-", ignore_cleanup_errors=True)
        folder = Path(stack.enter_context(temporary))
        simulator = stack.enter_context(Simulator(ACCOUNTS, latency_seconds=_LATENCY_SECONDS))
        accounts_file = simulator.write_accounts_file(folder / "antigravity-accounts.json")
        crew = Crew(WORKERS, folder, simulator.environment(accounts_file, folder / "state"))
        console.print(f"A stand-in for Google runs at {simulator.url} with {ACCOUNTS} accounts.")
        console.print(_limits(simulator, requests))
        console.print(f"{WORKERS} processes, the workers, each call litellm.completion {requests} times, for {MODEL}.")
        stack.enter_context(crew)
        with shown_progress(console, "Starting the workers", WORKERS) as progress:
            crew.wait_ready(progress.advance, progress.waits)
        for number, strategy in enumerate(strategies, 1):
            title = f"Strategy {number} of {len(strategies)}"
            kind = strategy_named(strategy)
            show_heading(console, title, kind)
            with shown_progress(console, title, WORKERS * requests) as progress:
                facts, failures = _round(simulator, crew, folder / f"round-{number}", strategy, requests, progress)
            emails = [account.email for account in simulator.accounts]
            if kind.keeps_account:
                show_starts(console, crew.pids, ACCOUNTS, facts)
            show_round(console, emails, WORKERS, facts)
            failed += len(failures)
            console.print(
                f"{facts.served.total()} requests served, {facts.refused.total()} x 429 from upstream, "
                f"{len(failures)} failures, {facts.seconds:.1f} s."
            )
            for failure in failures:
                console.print(Text(f"    {failure}", "red"))
    console.print()
    console.print(Text(_next_steps()), soft_wrap=True)
    return failed


def _round(
    simulator: Simulator, crew: Crew, folder: Path, strategy: str, requests: int, progress: ShownProgress
) -> tuple[RoundFacts, list[str]]:
    """Let the workers send their requests under one strategy, with fresh accounts and fresh state."""
    accounts_file = simulator.write_accounts_file(folder / "antigravity-accounts.json")
    _limits(simulator, requests)
    simulator.clear_log()
    orders = [
        {
            "settings": {
                "account_selection_strategy": strategy,
                "pid_offset_enabled": strategy_named(strategy).keeps_account,
                "accounts_file": str(accounts_file),
                "state_dir": str(folder / "state"),
                "redis": "off",  # a rehearsal is nobody else's business
                "user_agent": user_agent_of(worker),
            },
            "model": MODEL,
            "requests": requests,
        }
        for worker in range(1, WORKERS + 1)
    ]
    failures = crew.run(orders, progress.advance, progress.waits)
    return facts_of(simulator.log), failures


def _limits(simulator: Simulator, requests: int) -> str:
    """Give the first two accounts small quotas, afresh; return a sentence that says so."""
    first, second, *_ = simulator.accounts
    small, middle = max(1, requests // 2), requests
    simulator.set_quota(first.email, "claude", small, _RESET_SECONDS)
    simulator.set_quota(second.email, "claude", middle, _RESET_SECONDS)
    return (
        f"Quotas per {_RESET_SECONDS / 60:.0f} minutes: {first.email} {small} requests, {second.email} {middle}, "
        "the others without limit."
    )


def _next_steps() -> str:
    try:
        place = str(user_config_dir() / "antigravity-accounts.json")
    except SettingsError:  # no home directory
        place = "the accounts file (setting accounts_file)"
    return (
        "Google's Antigravity terms forbid third-party clients; accounts have been suspended for using them.\n"
        "To use your own accounts, type `litellm-antigravity auth login` (those of opencode-antigravity-auth are found "
        f'in {place}); README.md tells the way, "From nothing to the first answer".'
    )
