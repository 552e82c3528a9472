"""``status`` as text: a line that sums it up, then a block for each account."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rich.text import Text

from litellm_antigravity.cli.consoles import printable
from litellm_antigravity.cli.durations import about, listed
from litellm_antigravity.cli.layout import beside, flow, joined, rows
from litellm_antigravity.cli.status_facts import AccountReport, Holder, PoolReport, SharedStateReport, StatusReport
from litellm_antigravity.cli.status_hour import Strips, legend, most_served, strip_line
from litellm_antigravity.cli.status_summary import summed_up
from litellm_antigravity.cooldowns import WHOLE_ACCOUNT
from litellm_antigravity.logs import spell_duration

_STYLES = {
    "ready": "green",
    "cooling down": "yellow",
    "out": "red",
    "disabled": "dim",
    "needs an OAuth client": "red",
}
_ALL = "all models"
_INDENT = 3


def status_lines(
    report: StatusReport, width: int, hours: Strips | None = None, *, unicode: bool = True
) -> Iterator[Text]:
    """Yield the lines of the report, for a screen of ``width`` columns; no word in them is broken.

    Args:
        report: what there is to show.
        width: of the screen, in columns.
        hours: the last hour of each account, to be drawn as a strip.
        unicode: whether the screen can show blocks.
    """
    most = 0 if hours is None else most_served(list(hours.values()))
    yield from flow(Text(summed_up(report), _style_of(report)), width)
    shown = [(account, _rows(account)) for account in report.accounts]
    laid_out = rows([cells for _, table in shown for cells in table], width, indent=_INDENT)
    for account, table in shown:
        yield Text()
        yield from beside(_head(account), _vitals(account, report.now), width, indent=_INDENT)
        if hours is not None and account.id in hours:
            yield strip_line(hours[account.id], most, width, indent=_INDENT, unicode=unicode)
        for _ in table:
            yield from next(laid_out)
        for line in _remedies(account):
            yield from flow(line, width, indent=_INDENT)
    yield Text()
    if hours:
        counted = "" if most else " Requests are counted where the setting `statistics` says so."
        yield from flow(Text(f"Last hour: {legend(unicode=unicode)}.{counted}", "dim"), width)
    for line in _footer(report):
        yield from flow(line, width)


def _style_of(report: StatusReport) -> str:
    if any(one.free == 0 for one in report.summary):
        return "bold red"
    return "bold green" if all(one.free == one.accounts for one in report.summary) else "bold yellow"


def _head(account: AccountReport) -> Text:
    return Text(f"{account.number}. {account.name}", "bold")


def _vitals(account: AccountReport, now: float) -> Text:
    used = "never used" if account.last_used is None else f"used {about(max(0.0, now - account.last_used))} ago"
    flying = f"{account.in_flight} in flight   " if account.in_flight else ""
    return Text(f"{flying}health {account.health:.0f}   tokens {account.tokens:.0f}   {used}", "dim")


def _rows(account: AccountReport) -> list[list[Text]]:
    """Return a row for each pool: one for all where all are the same."""
    families = [pool for pool in account.pools if pool.pool != WHOLE_ACCOUNT and not pool.pool.startswith("model:")]
    models = [pool for pool in account.pools if pool.pool.startswith("model:")]
    if len(families) > 1 and len({(pool.state, pool.reason, pool.remaining_seconds) for pool in families}) == 1:
        talks = _conversations(families)
        return [
            _row(_ALL, families[0], joined((talks, _holders(families)))),
            *(_row(_name(one), one, Text()) for one in models),
        ]
    return [_row(_name(one), one, joined((_conversations([one]), _holders([one])))) for one in (*families, *models)]


def _row(name: str, pool: PoolReport, holders: Text) -> list[Text]:
    return [Text(name), Text(_state(pool), _STYLES[pool.state]), joined((Text(printable(pool.reason or "")), holders))]


def _state(pool: PoolReport) -> str:
    if pool.state == "out":
        return "out until you act"
    return pool.state if pool.remaining_seconds is None else f"{pool.state}, {time_left(pool.remaining_seconds)}"


def time_left(seconds: float) -> str:
    """Return what is left of a cooldown, to the second: people watch it."""
    return "until you act" if math.isinf(seconds) else f"{spell_duration(math.ceil(seconds))} left"


def _name(pool: PoolReport) -> str:
    return printable(pool.pool.removeprefix("model:"))


def _conversations(pools: Sequence[PoolReport]) -> Text:
    """Return how many conversations an account serves, and how many of them only for a while."""
    count, detours = sum(pool.conversations for pool in pools), sum(pool.detours for pool in pools)
    if not count:
        return Text()
    detour = f" ({detours} on a detour)" if detours else ""
    return Text(f"{count} conversation{'s' if count > 1 else ''}{detour}", "cyan")


def _holders(pools: Sequence[PoolReport]) -> Text:
    """Return which processes are on an account, and for what if that is not the same for all pools."""
    if len({pool.processes for pool in pools}) == 1:
        return _processes(pools[0].processes)
    return joined((_processes(pool.processes, f" for {_name(pool)}") for pool in pools), gap=", ")


def _processes(holders: Sequence[Holder], what: str = "") -> Text:
    if not holders:
        return Text()
    kinds = {(one.strategy, one.slot) for one in holders}
    if len(kinds) == 1:
        pids, tail = [str(one.pid) for one in holders], f" ({_kind(holders[0])})"
    else:
        pids, tail = [f"{one.pid} ({_kind(one)})" for one in holders], ""
    return Text(f"process{'es' if len(pids) > 1 else ''} {listed(pids)}{tail}{what}", "cyan")


def _kind(holder: Holder) -> str:
    return printable(holder.strategy) + ("" if holder.slot is None else f", slot {holder.slot}")


def _remedies(account: AccountReport) -> Iterator[Text]:
    """Yield what the account's owner has to know or to do, each thing once."""
    told: set[str] = set()
    for pool in account.pools:
        if pool.message is not None and (pool.state == "out" or pool.url is not None) and pool.message not in told:
            told.add(pool.message)
            yield Text(f"Upstream said: {printable(pool.message)}")
        if pool.url is not None and pool.url not in told:
            told.add(pool.url)
            yield Text(f"Open {printable(pool.url)}", "bold")
    out = next((pool for pool in account.pools if pool.state == "out"), None)
    if out is not None:
        yield Text(_what_to_do(out.reason).format(printable(account.email or account.id)))


def _what_to_do(reason: str | None) -> str:
    if reason == "revoked":
        return "Sign in again: `litellm-antigravity auth login`"
    when = {"verification": "Once you have verified it", "banned": "Once an appeal was granted"}
    return f"{when.get(reason or '', 'Once that is settled')}, run `litellm-antigravity auth retry {{}}`"


def _footer(report: StatusReport) -> Iterator[Text]:
    if report.problem is not None:
        yield Text(printable(report.problem), "red")
    for model, left in report.models_without_capacity.items():
        said = f"Upstream has no capacity for {printable(model)}; requests fail fast for {about(left)} more."
        yield Text(said, "yellow")
    yield Text(f"Strategy: {report.strategy}. Accounts: {printable(report.accounts_file)}", "dim")
    yield _shared_state(report.shared_state)


def _shared_state(state: SharedStateReport) -> Text:
    if not state.exists:
        said = f"No shared state yet: no process on this machine has used the accounts ({state.place} is empty)."
        return Text(said, "dim")
    if state.problem is not None:
        return Text(f"Shared state: not in use: {printable(state.problem)}", "yellow")
    dropped = f"; {state.dropped_rows} row(s) ignored that this package did not write" if state.dropped_rows else ""
    return Text(f"Shared state: {state.place}{dropped}", "dim")
