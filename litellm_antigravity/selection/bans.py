"""Bans: one is an account's, two within an hour tell of the way of use. Then the whole pool stops until somebody acts.

Nothing of its own is on record: the pool is stopped as long as two such bans are. `litellm-antigravity auth retry` of
one of the accounts ends its ban, and with it the stop, in every process.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Final

from litellm_antigravity.accounts import AccountsSnapshot
from litellm_antigravity.cooldowns import WHOLE_ACCOUNT, Cooldown
from litellm_antigravity.refusals.kinds import RefusalKind
from litellm_antigravity.state.view import StateView

BANS_WITHIN_SECONDS: Final = 3600.0
"""Two bans that are no further apart stop the pool."""

STOPPED: Final = "stopped"
"""The reason of what keeps every account from serving while the pool is stopped."""


def stopping_bans(snapshot: AccountsSnapshot, view: StateView, now: float) -> tuple[Cooldown, ...]:
    """Return the bans that stop a pool, in the order in which they came; none when it is not stopped.

    Accounts that are disabled count: to take a banned one out changes nothing about the way of use. One that is gone
    from the accounts file does not, since nobody could retry it.

    Args:
        snapshot: the pool's accounts.
        view: the shared state.
        now: epoch seconds.
    """
    known = (view.cooldown(account_id, WHOLE_ACCOUNT) for account_id in view.cooldowns if account_id in snapshot.by_id)
    bans = sorted(
        (one for one in known if one is not None and one.reason == RefusalKind.BANNED.value and one.remaining(now) > 0),
        key=lambda one: (one.since, one.account_id),
    )
    close = [pair for pair in itertools.pairwise(bans) if pair[1].since - pair[0].since <= BANS_WITHIN_SECONDS]
    stopping = {one.account_id for pair in close for one in pair}
    return tuple(one for one in bans if one.account_id in stopping)


def all_stopped(
    snapshot: AccountsSnapshot, view: StateView, benched: Mapping[str, tuple[Cooldown, ...]], now: float
) -> Mapping[str, tuple[Cooldown, ...]]:
    """Return what keeps each account from serving: what is known of it, and the stop if the pool is stopped."""
    bans = stopping_bans(snapshot, view, now)
    if not bans:
        return benched
    return {
        account.id: (
            *benched.get(account.id, ()),
            Cooldown(account.id, WHOLE_ACCOUNT, math.inf, STOPPED, bans[-1].since, fact=True),
        )
        for account in snapshot.enabled
    }


def is_stopped(benched: Mapping[str, tuple[Cooldown, ...]]) -> bool:
    """Return whether it is the stop that keeps everybody from serving."""
    return bool(benched) and all(any(one.reason == STOPPED for one in known) for known in benched.values())


__all__ = ["BANS_WITHIN_SECONDS", "STOPPED", "all_stopped", "is_stopped", "stopping_bans"]
