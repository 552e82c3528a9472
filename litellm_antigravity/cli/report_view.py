"""A report as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.text import Text

from litellm_antigravity.cli import report_words as words
from litellm_antigravity.cli.consoles import printable
from litellm_antigravity.cli.durations import counted
from litellm_antigravity.cli.layout import fits, flow, joined, rows
from litellm_antigravity.observability.reporting import Report, Served


def report_lines(told: Report, width: int) -> Iterator[Text]:
    """Yield the lines of a report, for a screen of ``width`` columns; no word in them is broken."""
    yield from flow(Text(words.span_of(told), "dim"), width)
    if told.first is None:
        return
    yield from flow(Text(printable(words.summed_up(told)), "bold"), width)
    yield from _by_account(told.served, width)
    refusals = [[Text(kind), Text(str(number), "yellow")] for kind, number in told.refusals.items()]
    yield from _part("Refusals", refusals, width)
    waits = [[Text(words.reason(one)), Text(words.waited(one))] for one in told.waits]
    yield from _part("Waits", waits, width)
    yield from _part("By process", [_process(pid, accounts) for pid, accounts in told.processes.items()], width)


def _by_account(served: Sequence[Served], width: int) -> Iterator[Text]:
    """Yield a block for each account, in the order of their first models."""
    table = [_served(one) for one in served]
    if not fits(table, width, indent=3):
        table = [[model, joined(facts)] for model, *facts in table]
    laid_out = [*rows(table, width, indent=3, widest_first=width)]
    for account in dict.fromkeys(one.account for one in served):
        yield Text()
        yield from flow(Text(printable(account), "bold"), width)
        for one, lines in zip(served, laid_out, strict=True):
            if one.account == account:
                yield from lines


def _part(title: str, table: Sequence[Sequence[Text]], width: int) -> Iterator[Text]:
    if not table:
        return
    yield Text()
    yield Text(title, "bold")
    if not fits(table, width, indent=3):
        table = [[joined(cells[:1]), joined(cells[1:])] for cells in table]
    for lines in rows([[_printable(cell) for cell in cells] for cells in table], width, indent=3, widest_first=width):
        yield from lines


def _printable(cell: Text) -> Text:
    return cell if cell.plain.isprintable() else Text(printable(cell.plain))


def _served(one: Served) -> list[Text]:
    sent = f"{words.tokens(one.input_tokens)} in, {words.share(one.cached_tokens, one.input_tokens)} cached"
    facts: Iterable[tuple[str, str]] = (
        (one.model, ""),
        (counted(one.requests, "request"), ""),
        (f"{one.answered} answered", "green"),
        (f"{sent}, {words.tokens(one.output_tokens)} out" if one.answered else "", ""),
        (f"cost {words.cost(one)}" if one.answered else "", ""),
        (f"refused: {words.refused(one)}" if one.refused else "", "yellow"),
    )
    return [Text(printable(text), style) for text, style in facts]


def _process(pid: int, accounts: Mapping[str, int]) -> list[Text]:
    used = ", ".join(f"{account} {number}" for account, number in accounts.items())
    return [Text(f"process {pid}"), Text(counted(sum(accounts.values()), "request")), Text(printable(used))]


__all__ = ["report_lines"]
