"""The line that ``status`` begins with."""

from __future__ import annotations

from litellm_antigravity.cli.durations import about, counted
from litellm_antigravity.cli.status_facts import StatusReport, Summary


def summed_up(report: StatusReport) -> str:
    """Return how things stand in one line: 3 of 4 accounts free for claude; next back in 12 m."""
    first, *others = report.summary
    if others and all(_standing(one) == _standing(first) for one in others):
        return f"{_accounts(first)} free{_back(first)}."
    sentences = [f"{_accounts(first)} free for {first.subject}{_back(first)}."]
    sentences += [f"{_number(one)} free for {one.subject}{_back(one)}." for one in others]
    return " ".join(sentences)


def _standing(one: Summary) -> tuple[int, str]:
    return one.free, _back(one)


def _accounts(one: Summary) -> str:
    if not one.free:
        return "No account is" if one.accounts != 1 else "The one account is not"
    return f"{one.free} of {counted(one.accounts, 'account')}"


def _number(one: Summary) -> str:
    return f"{one.free} of {one.accounts}" if one.free else "None"


def _back(one: Summary) -> str:
    if one.next_back_seconds is not None:
        return f"; next back in {about(one.next_back_seconds)}"
    return "" if one.free else "; none comes back by itself"
