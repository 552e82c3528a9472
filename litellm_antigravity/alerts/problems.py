"""What there is to tell of accounts at a moment: pure policy over the shared state."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from litellm_antigravity.accounts import Account
from litellm_antigravity.cooldowns import WHOLE_ACCOUNT, Cooldown
from litellm_antigravity.models import FAMILIES
from litellm_antigravity.observability.known import KnownAccounts
from litellm_antigravity.refusals.kinds import RefusalKind
from litellm_antigravity.selection.availability import active_cooldowns
from litellm_antigravity.settings.alert_names import BANNED, POOL_SPENT, QUOTA_SPENT, REVOKED, VERIFICATION
from litellm_antigravity.state.rows import cooldown_name
from litellm_antigravity.state.view import StateView

EVERYBODY: Final = "*"
"""In the place of an account's id: what is told is about all of them."""

LEAST_SECONDS: Final = 60.0
"""Nobody is told of a pool whose first account is out for less."""

_EVENTS: Final[Mapping[str, str]] = {
    RefusalKind.BANNED.value: BANNED,
    RefusalKind.VERIFICATION.value: VERIFICATION,
    RefusalKind.REVOKED.value: REVOKED,
    RefusalKind.QUOTA.value: QUOTA_SPENT,
}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something to tell.

    Attributes:
        event: what it is.
        since: when it began, in epoch seconds.
        until: when it ends by itself; ``None`` where that takes somebody to act.
    """

    event: str
    since: float
    until: float | None


def problems_of(known: KnownAccounts, view: StateView, now: float) -> dict[str, Problem]:
    """Return what is wrong with accounts and with the pool, each by the name of its row.

    Args:
        known: the accounts; those that are disabled are nobody's problem.
        view: of the shared state.
        now: epoch seconds.
    """
    found: dict[str, Problem] = {}
    active = {one.id: active_cooldowns(one, view, now) for one in known.all if one.enabled}
    for account_id, cooldowns in active.items():
        for one in sorted(cooldowns, key=lambda one: one.remaining(now)):
            if one.reason in _EVENTS:
                found[cooldown_name(account_id, one.pool)] = _problem(_EVENTS[one.reason], [one], now)
    for family in FAMILIES:
        benching = _all_benched([one for one in known.own if one.enabled], active, family, now)
        if benching:
            found[cooldown_name(EVERYBODY, family)] = _problem(POOL_SPENT, benching, now)
    return found


def _problem(event: str, cooldowns: list[Cooldown], now: float) -> Problem:
    left = min(one.remaining(now) for one in cooldowns)
    return Problem(event, max(one.since for one in cooldowns), None if math.isinf(left) else now + left)


def _all_benched(
    accounts: Iterable[Account], active: Mapping[str, list[Cooldown]], family: str, now: float
) -> list[Cooldown]:
    """Return what keeps each account from serving a family longest; nothing if one serves, or is out for a moment."""
    benching: list[Cooldown] = []
    for account in accounts:
        own = [one for one in active[account.id] if one.pool in (family, WHOLE_ACCOUNT)]
        longest = max(own, key=lambda one: one.remaining(now), default=None)
        if longest is None or longest.remaining(now) <= 0:
            return []
        benching.append(longest)
    if not any(one.reason in _EVENTS for one in benching):
        return []  # upstream is in trouble, or a client is missing: nothing is spent
    first = min(benching, key=lambda one: one.remaining(now))
    return benching if first.until - first.since >= LEAST_SECONDS else []


__all__ = ["EVERYBODY", "LEAST_SECONDS", "Problem", "problems_of"]
