"""Delays as upstream writes them. No hint is ``None``, never a number (docs/upstream.md, "Lessons of other pools")."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Final

from litellm_antigravity.state.rows import MAX_COOLDOWN_SECONDS

MIN_DELAY_SECONDS: Final = 1.0
"""Shorter hints are rounded up to this: with no floor clients loop on "available in 0 s", with one of 2 s their
retries cascade (docs/upstream.md, "Error bodies")."""

_MAX_TEXT: Final = 100
_SECONDS: Final = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_NUMBER: Final = r"[0-9]{1,15}(?:\.[0-9]{1,15})?"
_UNIT: Final = r"ms|us|µs|ns|d|h|m|s"  # "ms" before "m": 290ms is not 290 minutes (docs/upstream.md, "Error bodies")
_PART: Final = re.compile(rf"({_NUMBER})({_UNIT})")
_DURATION: Final = re.compile(rf"(?:{_NUMBER}(?:{_UNIT}))+")
_RESET_TEXT: Final = re.compile(rf"\bresets? (?:after|in) ((?:{_NUMBER}(?:{_UNIT}) ?)+)", re.IGNORECASE)
_PLAIN: Final = re.compile(_NUMBER)
_RFC_3339: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}):([0-9]{2})(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def parse_duration(value: object) -> float | None:
    """Return a duration in seconds; ``None`` for what is none, a negative one included.

    Args:
        value: text as ``google.protobuf.Duration`` has it in JSON (``3.957525076s``) or as Go prints it
            (``1h16m0.667s``, ``290.979975ms``), or the message itself: ``{"seconds": "3", "nanos": 5}``.
    """
    if isinstance(value, Mapping):
        return _from_message(value)
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        return None
    text = value.strip()
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def _from_message(fields: Mapping[object, object]) -> float | None:
    if not fields.keys() & {"seconds", "nanos"}:
        return None
    seconds, nanos = _whole(fields.get("seconds", 0)), _whole(fields.get("nanos", 0))
    return None if seconds is None or nanos is None else seconds + nanos / 1e9


def _whole(value: object) -> int | None:
    """Return a count as JSON has it: 64-bit integers come as text (protobuf's JSON mapping)."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.isdigit():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**15:
        return value
    return None


def first_delay(
    *,
    retry_delays: Iterable[object],
    reset_delays: Iterable[object],
    reset_times: Iterable[object],
    headers: Mapping[str, str],
    message: str,
    now: float,
) -> float | None:
    """Return the first usable hint in the order of docs/design.md, "Refusals", in seconds; ``None`` when there is none.

    A hint that cannot be (negative, not a number, longer than a month) is passed over for the next one.

    Args:
        retry_delays: every ``RetryInfo.retryDelay``.
        reset_delays: every ``ErrorInfo.metadata.quotaResetDelay``.
        reset_times: every ``ErrorInfo.metadata.quotaResetTimeStamp``.
        headers: the response's, with lower-case names.
        message: upstream's words.
        now: the wall time in epoch seconds.
    """
    found = [
        *map(parse_duration, retry_delays),
        *map(parse_duration, reset_delays),
        *(_until(timestamp(value), now) for value in reset_times),
        _retry_after(headers.get("retry-after", ""), now),
        _milliseconds(headers.get("retry-after-ms", "")),
        text_delay(message),
    ]
    return next((delay for hint in found if (delay := _usable(hint)) is not None), None)


def text_delay(message: str) -> float | None:
    """Return the seconds of "Your quota will reset after 2h10m5s" or "Resets in 71h15m27s" in a message."""
    found = _RESET_TEXT.search(message)
    return None if found is None else parse_duration(found.group(1).replace(" ", "").lower())


def timestamp(value: object) -> float | None:
    """Return an RFC 3339 time in epoch seconds; ``None`` for what is none."""
    found = _RFC_3339.fullmatch(value.strip()) if isinstance(value, str) and len(value) <= _MAX_TEXT else None
    if found is None:
        return None
    day, minute, second, fraction, offset = found.groups()
    leap = second == "60"  # allowed by RFC 3339, unknown to datetime
    try:
        whole = datetime.fromisoformat(
            f"{day}T{minute}:{'59' if leap else second}{offset.upper().replace('Z', '+00:00')}"
        )
        return whole.timestamp() + leap + float(fraction or 0)
    except (ValueError, OverflowError):
        return None


def _retry_after(value: str, now: float) -> float | None:
    """Return the seconds of a ``Retry-After`` header: a number of them, or an HTTP date (RFC 9110, section 10.2.3)."""
    text = value.strip()
    if len(text) > _MAX_TEXT:
        return None
    if _PLAIN.fullmatch(text):
        return float(text)
    try:
        date = parsedate_to_datetime(text)
        if date.tzinfo is None:
            date = date.replace(tzinfo=timezone.utc)
        return _until(date.timestamp(), now)
    except (ValueError, TypeError, IndexError, OverflowError):  # what the parser of old date formats lets through
        return None


def _milliseconds(value: str) -> float | None:
    text = value.strip()
    return float(text) / 1000 if _PLAIN.fullmatch(text) else None


def _until(moment: float | None, now: float) -> float | None:
    """Return the seconds until a moment. One that is just over means "now"; one long over means a broken clock."""
    if moment is None:
        return None
    seconds = moment - now
    return max(0.0, seconds) if seconds >= -MAX_COOLDOWN_SECONDS else None


def _usable(seconds: float | None) -> float | None:
    if seconds is None or not math.isfinite(seconds) or not 0 <= seconds <= MAX_COOLDOWN_SECONDS:
        return None
    return max(MIN_DELAY_SECONDS, seconds)
