"""The words of a report, for the table and the page."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Final

from litellm_antigravity.cli.durations import about, counted
from litellm_antigravity.observability.reporting import Report, Served, Waits

WAITS: Final[Mapping[str, str]] = {
    "nobody": "every account was limited",
    "named": "the one account was limited",
    "held": "for the current account",
    "turn": "for a turn",
    "busy": "all had enough in flight",
    "share": "its caller had more than its share",
}


def span_of(told: Report) -> str:
    """Return how far back a report goes, in a sentence."""
    asked = about(told.now - told.since)
    if told.first is None:
        return f"Nothing is remembered of the last {asked}. `statistics` says where decisions are."
    if told.complete_since > told.since:
        kept = about(told.now - told.complete_since)
        return f"Of the last {asked}, the last {kept} are kept whole; of what was before, the oldest is written over."
    return f"The last {asked}; the first decision that is kept is of {spelled(told.first)}."


def spelled(moment: float) -> str:
    """Return a moment, in epoch seconds, as people read it."""
    return f"{dt.datetime.fromtimestamp(moment, tz=dt.timezone.utc):%Y-%m-%d %H:%M} UTC"


def summed_up(told: Report) -> str:
    """Return the report in a line."""
    requests = sum(one.requests for one in told.served)
    refused = sum(told.refusals.values())
    parts = [counted(requests, "request"), f"{sum(one.answered for one in told.served)} answered"]
    parts += [f"{refused} refused", counted(told.switches, "switch").replace("switchs", "switches")]
    return f"{', '.join(parts)}. {cached_share(told.served)}. {cost_in_words(told)}"


def cached_share(served: tuple[Served, ...]) -> str:
    """Return how much of what was sent came out of the prompt cache."""
    sent = sum(one.input_tokens for one in served)
    return f"{share(sum(one.cached_tokens for one in served), sent)} of the input was cached" if sent else "No input"


def share(part: int, whole: int) -> str:
    """Return a part as a percentage; never 100 % of what is not all."""
    return f"{part * 100 // whole} %" if whole else "-"


def tokens(number: int) -> str:
    """Return a number of tokens as people read it."""
    for size, unit in ((1_000_000, "M"), (1000, "k")):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return str(number)


def refused(one: Served) -> str:
    """Return how often an account was refused, by class."""
    return ", ".join(f"{number} {kind}" for kind, number in sorted(one.refused.items(), key=lambda one: -one[1]))


def cost(one: Served) -> str:
    """Return what an account's answers cost."""
    if not one.answered:
        return "-"
    return "unknown" if one.cost is None else dollars(one.cost)


def dollars(number: float) -> str:
    """Return an amount."""
    return f"${number:.2f}" if number >= 1 or number == 0 else f"${number:.4f}"


def cost_in_words(told: Report) -> str:
    """Return what is known of the cost."""
    known, missing = told.cost, told.without_price
    if known is None:
        return "The cost is unknown: `model_costs` has no price for what was used." if missing else "Nothing was used."
    tail = f", without {', '.join(missing)}, of which no price is known" if missing else ""
    return f"By the prices of `model_costs` that is {dollars(known)}{tail}."


def reason(one: Waits) -> str:
    """Return why requests waited; `events.WaitsFor` has all there are."""
    return WAITS.get(one.why, one.why)


def waited(one: Waits) -> str:
    """Return how long requests waited."""
    return f"{counted(one.count, 'time')}, {one.seconds:.1f} s in all, {one.longest:.1f} s at most"
