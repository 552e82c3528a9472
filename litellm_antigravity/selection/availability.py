"""Who is free for a model: what the cooldowns of the shared state and of the accounts file leave of the accounts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from litellm_antigravity.accounts import Account, AccountsSnapshot
from litellm_antigravity.cooldowns import WHOLE_ACCOUNT, Cooldown, model_pool
from litellm_antigravity.models import ModelFamily
from litellm_antigravity.refusals import RefusalKind
from litellm_antigravity.state.view import StateView

NOBODYS_FAULT = frozenset({RefusalKind.TRANSPORT.value, RefusalKind.BROKEN_REPLY.value})


@dataclass(frozen=True, slots=True)
class Availability:
    """Who is free for one model, as long as no cooldown begins or ends."""

    roster: AccountsSnapshot
    cooldown_version: int
    computed_at: float
    valid_until: float
    free: tuple[str, ...]
    benched: Mapping[str, tuple[Cooldown, ...]]

    def holds(self, roster: AccountsSnapshot, view: StateView, now: float) -> bool:
        """Return whether nothing has happened that this does not know of."""
        return (
            self.roster is roster
            and self.cooldown_version == view.cooldown_version
            and self.computed_at <= now < self.valid_until
        )


def availability(
    roster: AccountsSnapshot, view: StateView, model: str, family: ModelFamily, now: float
) -> Availability:
    """Return who is free for ``model`` now, and until when that holds if nothing happens."""
    version = view.cooldown_version  # before the look: another thread may be adding a cooldown
    benched = _benched(roster, view, model, family, now)
    if len(benched) == len(roster.enabled):
        # Transport is inference, and when it has benched everybody it is not the accounts that are at fault.
        benched = {
            account_id: cooldowns
            for account_id, cooldowns in benched.items()
            if not all(one.reason in NOBODYS_FAULT for one in cooldowns)
        }
    ends = [
        now + cooldown.remaining(now)
        for cooldowns in benched.values()
        for cooldown in cooldowns
        if not math.isinf(cooldown.until)
    ]
    free = tuple(account.id for account in roster.enabled if account.id not in benched)
    return Availability(roster, version, now, min(ends, default=math.inf), free, benched)


def active_cooldowns(account: Account, view: StateView, now: float) -> list[Cooldown]:
    """Return the cooldowns of an account that are not over, from the shared state and from the accounts file."""
    found = [
        cooldown
        for pool, cooldown in view.cooldowns.get(account.id, {}).items()
        if cooldown.remaining(now) > 0
        and (pool != WHOLE_ACCOUNT or cooldown.credential in (None, account.credential.fingerprint))
    ]
    in_file = (known for known in account.cooldowns if known.until > now)
    found.extend(Cooldown(account.id, known.pool, known.until, known.reason, now, fact=True) for known in in_file)
    return found


def _benched(
    roster: AccountsSnapshot, view: StateView, model: str, family: ModelFamily, now: float
) -> dict[str, tuple[Cooldown, ...]]:
    """Return the enabled accounts that may not serve ``model`` now, with the cooldowns that say so."""
    pools = (WHOLE_ACCOUNT, family, model_pool(model))
    benched: dict[str, tuple[Cooldown, ...]] = {}
    suspects = {*view.cooldowns, *(account.id for account in roster.enabled if account.cooldowns)}
    for account_id in suspects:
        account = roster.by_id.get(account_id)
        if account is None or not account.enabled:
            continue
        active = tuple(cooldown for cooldown in active_cooldowns(account, view, now) if cooldown.pool in pools)
        if active:
            benched[account_id] = active
    return benched
