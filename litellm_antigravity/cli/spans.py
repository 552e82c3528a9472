"""Spans of time as people type them."""

from __future__ import annotations

import re
from typing import Final

import click

_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_PART: Final = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)\s*([smhd])\s*")
_SPAN: Final = re.compile(rf"(?:{_PART.pattern})+")


def seconds_of(ctx: click.Context, param: click.Parameter, value: str) -> float:
    """Return the seconds of a span that is typed as ``24h``, ``90m``, ``2d`` or ``1h30m``; a callback of an option."""
    text = value.strip().lower()
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    if not _SPAN.fullmatch(text) or seconds <= 0.0:
        msg = f"{value!r} is no span of time for --{param.name}; write 24h, 90m, 2d or 1h30m."
        raise click.UsageError(msg, ctx)
    return seconds


__all__ = ["seconds_of"]
