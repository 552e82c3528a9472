"""``status`` as a table for each account, whose columns stand one below the other."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from litellm_antigravity.cli.consoles import printable
from litellm_antigravity.cli.status_facts import AccountReport, PoolReport, SharedStateReport, StatusReport
from litellm_antigravity.cooldowns import WHOLE_ACCOUNT
from litellm_antigravity.logs import spell_duration

_STYLES = {"ready": "green", "cooling down": "yellow", "out": "red", "disabled": "dim"}


def show_status(console: Console, report: StatusReport) -> None:
    """Print the report."""
    about = "" if report.model is None else f" for {report.model}"
    console.print(f"{len(report.accounts)} account(s){about}, strategy {report.strategy}, from {report.accounts_file}")
    widths = _widths(report)
    for number, account in enumerate(report.accounts, 1):
        console.print()
        console.print(Text.assemble((f"{number}. {_name(account)}", "bold"), f"   {_vitals(account, report.now)}"))
        console.print(_pools(account, widths))
        for line in _processes(account):
            console.print(f"   {line}")
    console.print()
    for line in _remedies(report):
        console.print(Text(line), soft_wrap=True)  # an address must stay in one piece
    for model, left in report.models_without_capacity.items():
        console.print(f"Upstream has no capacity for {printable(model)}; requests fail fast for {_spell(left)} more.")
    console.print(Text(_shared_state(report.shared_state)), soft_wrap=True)


def _pools(account: AccountReport, widths: tuple[int, ...]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=1)  # sets the rows off from the account above them
    for width in widths:
        table.add_column(width=width, overflow="fold")
    table.add_column(overflow="fold")
    for pool in account.pools:
        name, state, reason = _cells(pool)
        table.add_row("", name, Text(state, _STYLES[pool.state]), reason)
    return table


def _cells(pool: PoolReport) -> tuple[str, str, str]:
    name = "whole account" if pool.pool == WHOLE_ACCOUNT else printable(pool.pool.removeprefix("model:"))
    if pool.state == "out":
        return name, "out until you act", printable(pool.reason or "")
    left = "" if pool.remaining_seconds is None else f", {_spell(pool.remaining_seconds)} left"
    return name, pool.state + left, printable(pool.reason or "")


def _widths(report: StatusReport) -> tuple[int, ...]:
    """Return the widths of name and state that let all accounts' pools stand one below the other."""
    rows = [_cells(pool) for account in report.accounts for pool in account.pools]
    return tuple(max(cell_len(cell) for cell in column) for column in list(zip(*rows, strict=True))[:2])


def _name(account: AccountReport) -> str:
    return printable(account.email or account.id)


def _vitals(account: AccountReport, now: float) -> str:
    used = "never used" if account.last_used is None else f"used {spell_duration(now - account.last_used)} ago"
    return f"health {account.health:.0f}   tokens {account.tokens:.0f}   {used}"


def _processes(account: AccountReport) -> Iterator[str]:
    for pool in account.pools:
        for holder in pool.processes:
            slot = "" if holder.slot is None else f", slot {holder.slot}"
            yield f"process {holder.pid} is on it for {_cells(pool)[0]} ({printable(holder.strategy)}{slot})"


def _remedies(report: StatusReport) -> Iterator[str]:
    """Return a line for everything that the accounts' owner has to do."""
    for account in report.accounts:
        for pool in account.pools:
            if pool.url is not None:
                yield f"{_name(account)}, {printable(pool.reason or '')}: open {printable(pool.url)}"
                yield f"{_name(account)}: afterwards, litellm-antigravity auth retry {_name(account)}"
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
