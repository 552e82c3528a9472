"""The cooldowns that an entry of the accounts file tells of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from litellm_antigravity.accounts.account import FileCooldown
from litellm_antigravity.cooldowns import MAX_COOLDOWN_SECONDS, WHOLE_ACCOUNT, model_pool
from litellm_antigravity.models import FAMILIES, ModelFamily, canonical_model
from litellm_antigravity.refusals.messages import https_url

_RATE_LIMITED = "rate-limited (accounts file)"
_COOLING_DOWN = "cooling down (accounts file)"

VERIFICATION = "verification"
"""The reason of an account that its owner has to verify with Google."""

# Keys of rateLimitResetTimes. "gemini-cli" is another product's quota, which this package does not use.
_RESET_FAMILIES: Mapping[str, ModelFamily] = {"claude": "claude", "gemini": "gemini", "gemini-antigravity": "gemini"}


def file_cooldowns(fields: Mapping[str, Any], version: int, now: float) -> tuple[FileCooldown, ...]:
    """Return an entry's cooldowns, at most one per pool.

    Args:
        fields: the entry.
        version: of the file's format.
        now: epoch seconds; none ends absurdly long after it.
    """
    found: dict[str, FileCooldown] = {}

    def add(pool: str, milliseconds: object, reason: str) -> None:
        until = seconds_in(milliseconds)
        if until is None:
            return
        until = min(until, now + MAX_COOLDOWN_SECONDS)
        if pool not in found or found[pool].until < until:
            found[pool] = FileCooldown(pool, until, reason)

    resets = fields.get("rateLimitResetTimes")
    for key, value in resets.items() if isinstance(resets, dict) else ():
        kind, colon, model = key.partition(":")
        family = _RESET_FAMILIES.get(kind)
        model = canonical_model(model)
        if family is not None and (model or not colon):
            add(model_pool(model) if colon else family, value, _RATE_LIMITED)
    if version == 1 and fields.get("isRateLimited") is True:
        for family in FAMILIES:
            add(family, fields.get("rateLimitResetTime"), _RATE_LIMITED)
    reason = fields.get("cooldownReason")
    clean = isinstance(reason, str) and reason.isprintable() and 0 < len(reason) <= 100
    add(WHOLE_ACCOUNT, fields.get("coolingDownUntil"), str(reason) if clean else _COOLING_DOWN)
    if fields.get("verificationRequired") is True:
        url = https_url(fields.get("verificationUrl"))
        found[WHOLE_ACCOUNT] = FileCooldown(WHOLE_ACCOUNT, math.inf, VERIFICATION, url)
    return tuple(found.values())


def seconds_in(milliseconds: object) -> float | None:
    """Return a time of the file in epoch seconds; ``None`` for what is no time, and for 0, which means never."""
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, (int, float)):
        return None
    try:
        seconds = milliseconds / 1000
    except OverflowError:
        return None
    return seconds if 0 < seconds < math.inf else None
