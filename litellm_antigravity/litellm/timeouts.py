"""The time-outs that callers give, checked before anybody computes with them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import httpx

from litellm_antigravity.dispatch import DEFAULT_TIMEOUT_SECONDS
from litellm_antigravity.litellm.errors import bad_request

LONGEST_SECONDS: Final = 7 * 86_400.0
"""What is longer is cut to this: no request takes a week, and timers of some platforms end not far beyond."""

NAMES: Final = ("timeout", "request_timeout", "stream_timeout")
"""What LiteLLM calls them; the first that is given counts, for streams its Router prefers the last."""

_PHASES: Final = ("connect", "read", "write", "pool")


def check_timeouts(given: Mapping[str, Any], model: str) -> None:
    """Turn a request away whose time-outs are no time-outs. LiteLLM would fail on most of them with a 500.

    Args:
        given: the request's parameters.
        model: that was asked for.

    Raises:
        litellm.BadRequestError: when there is one that is neither absent nor a number of seconds above 0.
    """
    for name in NAMES:
        if not _is_timeout(value := given.get(name)):
            what = f"{value!r:.60}" if isinstance(value, (str, int, float)) else f"a {type(value).__name__}"
            msg = f"{name} must be a number of seconds above 0 (or absent), not {what}."
            raise bad_request(msg, model)


def timeout_of(given: object, model: str) -> float | httpx.Timeout:
    """Return a call's time-out, in seconds until the first content unless it is an `httpx.Timeout`.

    Args:
        given: what LiteLLM hands to the provider.
        model: that was asked for.

    Raises:
        litellm.BadRequestError: see `check_timeouts`.
    """
    check_timeouts({NAMES[0]: given}, model)
    if given is None:
        return DEFAULT_TIMEOUT_SECONDS
    if isinstance(given, (int, float, str)):
        return min(float(given), LONGEST_SECONDS)
    limits = {phase: getattr(given, phase) for phase in _PHASES}
    return httpx.Timeout(**{phase: None if one is None else min(one, LONGEST_SECONDS) for phase, one in limits.items()})


def _is_timeout(value: object) -> bool:
    """Return whether a value is one: absent, a number, a text of a number, or an `httpx.Timeout` of such numbers."""
    if value is None:
        return True
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        return _is_positive(value)
    # OpenAI's client has a class of its own in some releases.
    limits = [getattr(value, phase, math.nan) for phase in _PHASES]
    return all(one is None or (isinstance(one, (int, float)) and _is_positive(one)) for one in limits)


def _is_positive(value: float | str) -> bool:
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return False
    return 0 < seconds < math.inf


__all__ = ["LONGEST_SECONDS", "NAMES", "check_timeouts", "timeout_of"]
