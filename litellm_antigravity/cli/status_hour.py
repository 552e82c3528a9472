"""The last hour of an account as a strip: a character for a minute, or for a few where there is less room."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from rich.text import Text

from litellm_antigravity.cli.durations import about
from litellm_antigravity.cooldowns import WHOLE_ACCOUNT
from litellm_antigravity.models import FAMILIES
from litellm_antigravity.observability.last_hour import MINUTES, LastHour, Strip
from litellm_antigravity.pool import AccountPool

_LABEL: Final = "last hour  "
_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_ASCII_BLOCKS: Final = "123456789"
_MARKS: Final = {"refused": ("!", "!"), "benched": ("░", "-"), "nothing": ("·", ".")}
_STYLES: Final = {"served": "green", "both": "yellow", "refused": "red", "benched": "yellow", "nothing": "dim"}

Strips = Mapping[str, Strip]
"""By account id."""


def last_hour_of(pool: AccountPool, now: float) -> Strips:
    """Return the last hour of each account; touches the disk.

    Args:
        pool: whose accounts and state.
        now: epoch seconds.
    """
    strips = LastHour(pool.settings.state_dir).strips(now)
    view = pool.store.known()
    for account in pool.accounts.current().accounts:
        strips.setdefault(account.id, Strip.empty(now)).follow(view.cooldowns.get(account.id, {}).values(), now)
    return strips


def strip_line(strip: Strip, most: int, width: int, *, indent: int, unicode: bool) -> Text:
    """Return an account's strip, oldest first; beside it the numbers, where there is room for them.

    Args:
        strip: the account's.
        most: the most requests that any account had served in a minute: that is a full block.
        width: of the screen, in columns.
        indent: of the line.
        unicode: whether the screen can show blocks.
    """
    room = width - indent - len(_LABEL)
    each = next(one for one in (1, 2, 3, 4, 6) if one == 6 or MINUTES // one <= room)
    line = Text(" " * indent)
    line.append(_LABEL, "dim")
    for start in range(0, MINUTES, each):
        line.append_text(_cell(strip, range(start, start + each), most * each, unicode=unicode))
    said = f"  {_numbers(strip)}"
    if line.cell_len + len(said) <= width:
        line.append(said, "dim")
    return line


def _cell(strip: Strip, minutes: range, most: int, *, unicode: bool) -> Text:
    served = sum(strip.served[one] for one in minutes)
    refused = sum(strip.refused[one] for one in minutes)
    if served:
        blocks = _BLOCKS if unicode else _ASCII_BLOCKS
        height = math.ceil(min(1.0, served / max(1, most)) * len(blocks))
        return Text(blocks[height - 1], _STYLES["both" if refused else "served"])
    what = "refused" if refused else "benched" if any(map(strip_benched(strip).__getitem__, minutes)) else "nothing"
    return Text(_MARKS[what][0 if unicode else 1], _STYLES[what])


def strip_benched(strip: Strip) -> list[bool]:
    """Return for each minute whether the account was out of a family, or out altogether; models do not count."""
    pools = [minutes for pool, minutes in strip.benched.items() if pool in (*FAMILIES, WHOLE_ACCOUNT)]
    return [any(minutes[one] for minutes in pools) for one in range(MINUTES)]


def _numbers(strip: Strip) -> str:
    benched = sum(strip_benched(strip))
    parts = [f"{sum(strip.served)} served", f"{sum(strip.refused)} refused" if any(strip.refused) else ""]
    return ", ".join(filter(None, [*parts, f"cooling down {about(benched * 60)}" if benched else ""]))


def most_served(strips: Sequence[Strip]) -> int:
    """Return the most requests that any account had served in a minute."""
    return max((count for strip in strips for count in strip.served), default=0)


def legend(*, unicode: bool) -> str:
    """Return what the characters mean."""
    at = 0 if unicode else 1
    marks = {what: signs[at] for what, signs in _MARKS.items()}
    blocks = f"{_BLOCKS[0]}{_BLOCKS[-1]}" if unicode else f"{_ASCII_BLOCKS[0]}-{_ASCII_BLOCKS[-1]}"
    return f"{blocks} served, {marks['refused']} refused, {marks['benched']} cooling down, {marks['nothing']} not used"


__all__ = ["Strips", "last_hour_of", "legend", "most_served", "strip_line"]
