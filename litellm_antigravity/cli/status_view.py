"""``status`` as a table."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from litellm_antigravity.cli.consoles import printable
from litellm_antigravity.cli.status_facts import AccountReport, PoolReport, SharedStateReport, StatusReport
from litellm_antigravity.logs import spell_duration
from litellm_antigravity.state.rows import WHOLE_ACCOUNT

_STYLES = {"ready": "green", "cooling down": "yellow", "out": "red", "disabled": "dim"}


def show_status(console: Console, report: StatusReport) -> None:
    """Print the report."""
    about = "" if report.model is None else f" for {report.model}"
    console.print(f"{len(report.accounts)} account(s){about}, strategy {report.strategy}, from {report.accounts_file}")
    console.print(_table(report))
    for line in _remedies(report):
        console.print(Text(line), soft_wrap=True)  # an address must stay in one piece
    for model, left in report.models_without_capacity.items():
        console.print(f"Upstream has no capacity for {printable(model)}; requests fail fast for {_spell(left)} more.")
    console.print(Text(_shared_state(report.shared_state)), soft_wrap=True)


def _table(report: StatusReport) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("Account", "Pool", "State", "Left", "Reason"):
        table.add_column(name, overflow="fold")
    table.add_column("Health", justify="right")
    table.add_column("Tokens", justify="right")
    table.add_column("Last used")
    table.add_column("Processes", overflow="fold")
    for number, account in enumerate(report.accounts, 1):
        for first, pool in zip((True, *[False] * len(account.pools)), account.pools, strict=False):
            table.add_row(
                Text(f"{number}. {_name(account)}" if first else ""),
                Text(_pool_name(pool)),
                Text(pool.state, _STYLES[pool.state]),
                Text(_left(pool)),
                Text(printable(pool.reason or "")),
                *(_vitals(account, report.now) if first else ("", "", "")),
                Text(_processes(pool)),
            )
    return table


def _name(account: AccountReport) -> str:
    return printable(account.email or account.id)


def _pool_name(pool: PoolReport) -> str:
    return "whole account" if pool.pool == WHOLE_ACCOUNT else printable(pool.pool.removeprefix("model:"))


def _left(pool: PoolReport) -> str:
    if pool.state == "out":
        return "until you act"
    return "" if pool.remaining_seconds is None else _spell(pool.remaining_seconds)


def _vitals(account: AccountReport, now: float) -> tuple[str, str, str]:
    used = "never" if account.last_used is None else f"{spell_duration(now - account.last_used)} ago"
    return f"{account.health:.0f}", f"{account.tokens:.0f}", used


def _processes(pool: PoolReport) -> str:
    return ", ".join(
        f"{holder.pid} ({holder.strategy}{'' if holder.slot is None else f', slot {holder.slot}'})"
        for holder in pool.processes
    )


def _remedies(report: StatusReport) -> Iterator[str]:
    """Return a line for everything that the accounts' owner has to do."""
    for account in report.accounts:
        for pool in account.pools:
            if pool.url is not None:
                yield f"{_name(account)}, {printable(pool.reason or '')}: open {printable(pool.url)}"
            if pool.message is not None and (pool.state == "out" or pool.url is not None):
                yield f"{_name(account)}: upstream said: {printable(pool.message)}"


def _shared_state(state: SharedStateReport) -> str:
    if not state.exists:
        return f"No shared state yet: no process on this machine has used the accounts ({state.place} is empty)."
    if state.problem is not None:
        return f"Shared state: not in use. {printable(state.problem)}"
    dropped = f"; {state.dropped_rows} row(s) ignored that this package did not write" if state.dropped_rows else ""
    return f"Shared state: {state.place}{dropped}"


def _spell(seconds: float) -> str:
    return spell_duration(math.ceil(seconds))
