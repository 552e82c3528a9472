"""How long upstream asks to wait: every spelling seen (UPSTREAM, F1). "No hint" is ``None``, never a number."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

MIN_DELAY_SECONDS = 1.0
"""No floor caused loops of "available in 0 s", a floor of 2 s cascades of switches (UPSTREAM, F1)."""

MAX_DELAY_SECONDS = 31 * 24 * 3600.0
"""No window upstream is longer than a week; a hint beyond a month is no hint."""

# "ms" before "m", else "290.979975ms" is read as minutes
_UNITS = {"d": 86_400.0, "h": 3600.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9, "m": 60.0, "s": 1.0}
_PART = r"\d+(?:\.\d+)?\s*(?:d|h|ms|us|µs|ns|m|s)"
_PARTS = re.compile(r"(\d+(?:\.\d+)?)\s*(d|h|ms|us|µs|ns|m|s)")
_DURATION = re.compile(rf"\s*(?:{_PART}\s*)+\Z")
_IN_TEXT = re.compile(rf"\b(?:resets?|try again|retry)\s+(?:after|in)\s+((?:{_PART}\s*)+)(?![A-Za-z])", re.IGNORECASE)


def parse_duration(value: object) -> float | None:
    """Return a duration in seconds: ``"1h16m0.667s"``, ``"290.979975ms"``, or ``{"seconds", "nanos"}``.

    The text is what Go's ``time.Duration`` and protobuf's JSON form print; the mapping is protobuf's other one.
    """
    if isinstance(value, Mapping):
        try:
            return _sane(float(value.get("seconds") or 0) + float(value.get("nanos") or 0) / 1e9)
        except (TypeError, ValueError, OverflowError):
            return None
    if not isinstance(value, str) or len(value) > 100 or not _DURATION.match(value):
        return None
    return _sane(sum(float(number) * _UNITS[unit] for number, unit in _PARTS.findall(value)))


def duration_in_text(text: str) -> float | None:
    """Return the duration in "reset after 2h10m5s" or "Resets in 71h15m27s"."""
    found = _IN_TEXT.search(text)
    return parse_duration(found.group(1).strip()) if found else None


def until_timestamp(value: object, now: float) -> float | None:
    """Return the seconds from ``now`` until an RFC 3339 time such as ``2026-05-27T16:32:54Z``."""
    if not isinstance(value, str):
        return None
    # Python 3.10 reads neither "Z" nor fractions of other lengths than 3 and 6.
    text = re.sub(r"(\.\d{1,6})\d*", lambda found: found.group(1).ljust(7, "0"), value.strip(), count=1)
    try:
        moment = datetime.fromisoformat(re.sub(r"[Zz]\Z", "+00:00", text))
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return _remaining(moment, now)


def retry_after_header(value: str, now: float) -> float | None:
    """Return the seconds of a ``Retry-After`` header: a number or an HTTP date (RFC 9110, section 10.2.3)."""
    number = _number(value)
    if number is not None:
        return _sane(number)
    try:
        moment = parsedate_to_datetime(value)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return _remaining(moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc), now)


def milliseconds_header(value: str) -> float | None:
    """Return the seconds of a ``retry-after-ms`` header."""
    number = _number(value)
    return None if number is None else _sane(number / 1000.0)


def floored(seconds: float) -> float:
    """Return a delay that is worth waiting for."""
    return max(MIN_DELAY_SECONDS, seconds)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _remaining(moment: datetime, now: float) -> float | None:
    try:
        return _sane(max(0.0, moment.timestamp() - now))
    except (OverflowError, OSError, ValueError):
        return None


def _sane(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) and 0.0 <= seconds <= MAX_DELAY_SECONDS else None
