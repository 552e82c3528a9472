"""How the demo shows a round."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from litellm_antigravity.cli.demo_facts import Refused, RoundFacts

_BAR_WIDTH = 14

_EXPLANATIONS = {
    "sticky": "Each worker keeps one account; its process id says which one it begins with (pid_offset_enabled)",
    "round-robin": "Each request goes to the next account; each worker begins with another one",
    "hybrid": "Each request goes to the account with the best mix of health, tokens left and rest",
}


def show_heading(console: Console, title: str, strategy: str) -> None:
    """Print what comes next.

    Args:
        console: where to.
        title: such as ``Strategy 1 of 3``.
        strategy: its name.
    """
    console.print()
    console.print(Text(f"{title}: {strategy}", "bold"))
    console.print(f"{_EXPLANATIONS[strategy]}.")


def show_starts(console: Console, pids: Mapping[int, int], accounts: int, facts: RoundFacts) -> None:
    """Print with which account each worker began, and how its process id led there (docs/design.md, "Selection").

    Args:
        console: where to.
        pids: the workers' process ids by their numbers.
        accounts: how many there are.
        facts: what happened.
    """
    for worker, pid in sorted(pids.items()):
        began = facts.first_asked.get(worker, "none")
        console.print(f"Worker {worker}: {pid} % {accounts} = {pid % accounts}, began with {began}")
    if len({pid % accounts for pid in pids.values()}) < min(accounts, len(pids)):
        console.print("Process ids may collide like this; with offset_source: slot the workers never do.")


def show_round(console: Console, emails: Sequence[str], workers: int, facts: RoundFacts) -> None:
    """Print who was served by which account, and every account's first 429 with what came of it.

    Args:
        console: where to.
        emails: of the accounts, in file order.
        workers: how many there were.
        facts: what happened.
    """
    console.print(_table(console, emails, workers, facts))
    for story in facts.stories:
        console.print(
            Text.assemble(
                ("429", "bold red"),
                f" from {story.email}, {story.after:.2f} s after the start, to worker {story.worker}.",
            )
        )
        for line in tell(story, workers):
            console.print(Text(f"    {line}"))
    if not facts.stories:
        console.print("No 429 in this round.")


def _table(console: Console, emails: Sequence[str], workers: int, facts: RoundFacts) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("Account", no_wrap=True)
    table.add_column("Requests served", no_wrap=True)
    for number in range(1, workers + 1):
        table.add_column(f"Worker\n{number}", justify="right", no_wrap=True)
    table.add_column("429s", justify="right", no_wrap=True)
    block = block_for(console.encoding)
    most = max((facts.served_by(email) for email in emails), default=0)
    for email in emails:
        count = facts.served_by(email)
        bar = Text.assemble((f"{bar_of(count, most, block):<{_BAR_WIDTH}}", "green"), f"{count:>4}")
        refused = facts.refused[email]
        each = [_number(facts.served[email, number]) for number in range(1, workers + 1)]
        table.add_row(Text(email), bar, *each, Text(_number(refused), "bold red" if refused else ""))
    return table


def block_for(encoding: str) -> str:
    """Return the character that bars are made of: a block, or ``#`` where the encoding has none."""
    try:
        "\u2588".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return "#"
    return "\u2588"


def bar_of(count: int, most: int, block: str) -> str:
    """Return a bar whose length is the share of ``count`` in ``most``; anything above 0 can be seen."""
    return "" if count == 0 else block * max(1, round(_BAR_WIDTH * count / most))


def _number(count: int) -> str:
    return str(count) if count else "-"


def tell(story: Refused, workers: int) -> Iterator[str]:
    """Return what the worker that got a 429 did then, and what the others did."""
    if story.served_by is not None and story.served_after is not None:
        yield f"Worker {story.worker} asked {story.served_by} {_spell(story.served_after)} later, and was served."
    else:
        yield f"Worker {story.worker} was not served by any other account."
    others = f"The other {workers - 1} workers" if workers > 2 else "The other worker"
    if story.stragglers:
        for worker, after, status in story.stragglers:
            came = "got a 429 too" if status == 429 else f"was answered with {status}"
            yield f"Worker {worker} asked it {_spell(after)} after that, and {came}."
        yield f"Then nobody did, with {story.asked_after} more requests sent."
    elif workers > 1 and story.others_asked:
        yield f"{others} never asked it again, with {story.others_asked} more requests sent."
    elif workers > 1:
        yield f"{others} had sent all their requests by then."


def _spell(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
