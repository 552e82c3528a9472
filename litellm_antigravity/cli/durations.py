"""Numbers and durations as people read them."""

from __future__ import annotations

import math


def about(seconds: float) -> str:
    """Return a duration in its two largest units at most, rounded up: ``45 s``, ``12 m``, ``2 h 10 m``, ``3 d 4 h``."""
    whole = max(0, math.ceil(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes = math.ceil(whole / 60)
    if minutes < 60:
        return f"{minutes} m"
    if minutes < 24 * 60:
        return _two(minutes, 60, "h", "m")
    return _two(math.ceil(minutes / 60), 24, "d", "h")


def _two(count: int, each: int, large: str, small: str) -> str:
    whole, rest = divmod(count, each)
    return f"{whole} {large} {rest} {small}" if rest else f"{whole} {large}"


def counted(count: int, what: str) -> str:
    """Return a number with its noun: ``1 account``, ``4 accounts``; for nouns that take an ``s``."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def listed(things: list[str], most: int = 4) -> str:
    """Return the first few of many: ``a, b, c, d and 7 more``."""
    shown = ", ".join(things[:most])
    return shown if len(things) <= most else f"{shown} and {len(things) - most} more"
