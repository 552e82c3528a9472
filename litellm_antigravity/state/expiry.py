"""Which rows of the shared state are over and may go: pure policy; `Replica.sweep` deletes them.

A view that never hears of a deletion must come to no harm, so a row goes only when what a view may still hold under
its key counts for nothing: it ends by itself, or is worth as much as an absent one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from litellm_antigravity.cooldowns import ENDED, MAX_COOLDOWN_SECONDS
from litellm_antigravity.settings.alert_names import BACK
from litellm_antigravity.state.rows import (
    decode,
    decode_binding,
    decode_capacity,
    decode_cooldown,
    decode_incident,
    decode_presence,
    decode_token,
    decode_vitals,
    split_cooldown_name,
)
from litellm_antigravity.state.view import StateView

KEPT_SECONDS: Final = MAX_COOLDOWN_SECONDS
"""How long after its end a row is kept that belongs to an account: one that is in use renews it before."""

PROCESS_SECONDS: Final = 3600.0
"""A process that has not been heard of for so long may be dead; whether it is, is looked at."""


def is_over(key: str, text: str, now: float, view: StateView, is_alive: Callable[[str], bool]) -> bool:
    """Return whether a row may be deleted; never for kinds of rows that are not known here.

    Args:
        key: of the row.
        text: of the row.
        now: in epoch seconds.
        view: one that has taken the row over, if it is watched.
        is_alive: whether the process of this name lives.
    """
    kind, _, rest = key.partition("/")
    if kind == "cooldown":
        return _is_cooldown_over(rest, text, now, view)
    if kind == "capacity":
        capacity = decode_capacity(rest, text)
        return capacity is not None and (capacity.remaining(now) <= 0 or rest not in view.capacity)
    if kind == "binding" and rest:  # the other one counts them
        binding = decode_binding(text)
        return binding is not None and (binding.remaining(now) <= 0 or rest not in view.bindings)
    if kind == "process":
        presence = decode_presence(text)
        return presence is not None and now - presence.seen_at > PROCESS_SECONDS and not is_alive(presence.owner)
    if kind == "alert":  # what goes on is not told again, however long it does
        incident = decode_incident(text)
        return incident is not None and incident.event == BACK and now - incident.at > KEPT_SECONDS
    last = _last_used(kind, text)
    return last is not None and now - last > KEPT_SECONDS


def _is_cooldown_over(rest: str, text: str, now: float, view: StateView) -> bool:
    account_id, pool = split_cooldown_name(rest)
    cooldown = decode_cooldown(account_id, pool, text)
    # That somebody ended a cooldown is told for ever: a view may know it from before, and without an end.
    if cooldown is None or cooldown.reason == ENDED:
        return False
    if cooldown.is_by_name:
        return cooldown.remaining(now) <= 0 or view.cooldown(account_id, pool) is None
    return now - cooldown.until > KEPT_SECONDS


def _last_used(kind: str, text: str) -> float | None:
    """Return when a row that belongs to an account was last worth something; ``None`` when nobody knows."""
    if kind == "vitals":  # rested for a month: health and bucket are as good as new
        vitals = decode_vitals(text)
        return None if vitals is None else max(vitals.health_at, vitals.tokens_at, vitals.last_used or -math.inf)
    if kind == "token":
        token = decode_token(text)
        return None if token is None else token.expires_at
    if kind in ("note", "probe", "start"):
        at = (decode(text) or {}).get("at")
        return float(at) if isinstance(at, (int, float)) and not isinstance(at, bool) else None
    return None


__all__ = ["KEPT_SECONDS", "PROCESS_SECONDS", "is_over"]
