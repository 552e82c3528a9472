"""``why`` as text."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.text import Text

from litellm_antigravity.cli.consoles import printable
from litellm_antigravity.cli.durations import about
from litellm_antigravity.cli.layout import flow, rows
from litellm_antigravity.cli.why_facts import Reason
from litellm_antigravity.observability.explaining import RULES, Candidate

_STYLES: Final = {"chosen": "bold green", "free": "", "limited": "yellow", "disabled": "dim"}


def next_lines(reason: Reason, width: int) -> Iterator[Text]:
    """Yield the lines for what the next request would meet."""
    told = reason.explanation
    who = "a process that begins" if reason.pid is None else f"process {reason.pid}"
    chosen = next((one.account for one in told.candidates if one.state == "chosen"), "")
    said = {
        "serve": f"{chosen} would serve {told.model}: {RULES.get(told.why, told.why)}.",
        "probe": f"{chosen} would be probed for {told.model}: {told.why}.",
        "wait": f"A request for {told.model} would wait {about(told.seconds)}: {told.why}.",
        "fail": f"A request for {told.model} would fail: {told.why}",
    }[told.outcome]
    style = {"serve": "bold green", "probe": "bold yellow", "wait": "bold yellow", "fail": "bold red"}[told.outcome]
    yield from flow(Text(printable(said), style), width)
    yield Text()
    for lines in rows([_row(one) for one in told.candidates], width, indent=3):
        yield from lines
    yield Text()
    yield from flow(Text(f"Strategy: {told.strategy}, as of {who}.", "dim"), width)


def _row(one: Candidate) -> list[Text]:
    used = "never used" if one.idle_seconds is None else f"used {about(one.idle_seconds)} ago"
    score = "" if one.score is None else f"score {one.score:.0f}"
    cells = [one.account, f"health {one.health:.0f}", f"tokens {one.tokens:.0f}", used, score, one.said]
    return [Text(printable(cell), _STYLES[one.state]) for cell in cells]


def decision_lines(found: Sequence[Mapping[str, Any]], width: int) -> Iterator[Text]:
    """Yield the lines for decisions, one after the other."""
    if not found:
        yield from flow(Text("Nothing is remembered. `statistics` says where decisions are.", "dim"), width)
    for one in found:
        at = dt.datetime.fromtimestamp(one["at"]).astimezone().strftime("%H:%M:%S")
        yield from flow(Text(printable(f"{at}  {_said(one)}")), width, hang=10)
        for numbers in one.get("inputs", ()):
            yield from flow(Text(printable(_numbers(numbers)), "dim"), width, indent=10, hang=12)


def _said(one: Mapping[str, Any]) -> str:
    account, model = one.get("account", "?"), one.get("model", "?")
    what = one.get("what")
    if what == "chosen":
        rule = RULES.get(str(one.get("why")), one.get("why")) or one.get("strategy")
        tried = f", {one['tried']} tried before" if one.get("tried") else ""
        said = f"{account} serves {model}: {rule} ({one.get('free')} of {one.get('accounts')} free{tried})"
        return said + (f"  {one['request_id']}" if "request_id" in one else "")
    if what == "benched":
        left = "until somebody acts" if one.get("seconds") is None else f"for {about(one['seconds'])}"
        return f"{account} is out of {one.get('why')} {left}: {one.get('class')}"
    if what == "waited":
        return f"a request for {model} waits {one.get('seconds')} s"
    words = {
        "refused": f"{account} was refused {model}: {one.get('class')}",
        "switched": f"the request leaves {account}: {one.get('class')}",
        "outofretries": f"no further try after {account}: {one.get('class')}; the retry budget is spent",
        "probed": f"{account} is probed for {model}",
        "back": f"an account is back: {one.get('why')}",
        "refreshed": f"{account} has a new access token",
        "outofcapacity": f"{model} has no capacity",
    }
    return words.get(str(what), str(what))


def _numbers(numbers: Mapping[str, Any]) -> str:
    idle = numbers.get("idle_seconds")
    used = "never used" if idle is None else f"used {about(idle)} ago"
    said = f"{numbers.get('account')}: health {numbers.get('health')}, tokens {numbers.get('tokens')}, {used}"
    if "limited_by" not in numbers:
        return said
    left = numbers.get("seconds")
    return f"{said}, {numbers['limited_by']} {'until somebody acts' if left is None else f'for {about(left)}'}"


__all__ = ["decision_lines", "next_lines"]
