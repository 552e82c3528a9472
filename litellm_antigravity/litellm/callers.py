"""Who sends a request, and with what weight: for fair share between callers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import litellm

from litellm_antigravity.litellm.seams.requests import caller_of, params_of, priority_of
from litellm_antigravity.selection.fairness import Caller

_DEFAULT_PRIORITY: Final = 0.25  # LiteLLM's, `PriorityReservationSettings`


def caller_in(call: Mapping[str, Any]) -> Caller | None:
    """Return who has sent a call to the proxy; ``None`` outside of it, and where nobody authenticates.

    Args:
        call: the keyword arguments of a provider.
    """
    params = params_of(call)
    name = caller_of(params)
    return Caller(name, _weight(priority_of(params))) if name else None


def _weight(priority: object) -> float:
    """Return what LiteLLM's ``priority_reservation`` says of a priority, or the number that it is itself."""
    table = getattr(litellm, "priority_reservation", None)
    table = table if isinstance(table, Mapping) else {}
    found = table.get(priority) if isinstance(priority, str) else priority
    if isinstance(found, Mapping):
        found = found.get("value") if found.get("type", "percent") == "percent" else None
    if isinstance(found, (int, float)) and not isinstance(found, bool) and math.isfinite(found) and found > 0:
        return float(found)
    if not table:
        return 1.0
    usual = getattr(getattr(litellm, "priority_reservation_settings", None), "default_priority", None)
    return usual if isinstance(usual, float) and usual > 0 else _DEFAULT_PRIORITY


__all__ = ["caller_in"]
