"""Who is free for a model: what the cooldowns of the shared state and of the accounts file leave of the accounts."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from litellm_antigravity.accounts import Account, AccountsSnapshot
from litellm_antigravity.cooldowns import WHOLE_ACCOUNT, Cooldown, model_pool
from litellm_antigravity.models import family_of
from litellm_antigravity.refusals.kinds import NOBODYS_FAULT
from litellm_antigravity.selection.bans import all_stopped
from litellm_antigravity.state.view import StateView

_KNOWN_MODELS: Final = 256  # names come from requests


@dataclass(frozen=True, slots=True)
class Availability:
    """Who is free for one model, as long as no cooldown begins or ends.

    Attributes:
        snapshot: the accounts it is about.
        cooldown_version: of the view that it was made from.
        computed_at: epoch seconds.
        valid_until: when the first cooldown ends, in epoch seconds.
        free: the ids of those that may be chosen, in file order.
        benched: the other enabled accounts, each with the cooldowns that say so.
    """

    snapshot: AccountsSnapshot
    cooldown_version: int
    computed_at: float
    valid_until: float
    free: tuple[str, ...]
    benched: Mapping[str, tuple[Cooldown, ...]]

    @classmethod
    def of(cls, model: str, snapshot: AccountsSnapshot, view: StateView, now: float) -> Availability:
        """Return who is free for ``model`` now, and until when that holds if nothing happens."""
        version = view.cooldown_version  # before the look: another thread may be adding a cooldown
        benched = _benched(model, snapshot, view, now)
        if len(benched) == len(snapshot.enabled):
            # Transport is inference, and when it has benched everybody it is not the accounts that are at fault.
            benched = {
                account_id: cooldowns
                for account_id, cooldowns in benched.items()
                if not all(one.reason in NOBODYS_FAULT for one in cooldowns)
            }
        benched = dict(all_stopped(snapshot, view, benched, now))
        ends = [
            now + cooldown.remaining(now)
            for cooldowns in benched.values()
            for cooldown in cooldowns
            if not math.isinf(cooldown.until)
        ]
        free = tuple(account.id for account in snapshot.enabled if account.id not in benched)
        return cls(snapshot, version, now, min(ends, default=math.inf), free, benched)

    def holds(self, snapshot: AccountsSnapshot, view: StateView, now: float) -> bool:
        """Return whether nothing has happened that this does not know of."""
        return (
            self.snapshot is snapshot
            and self.cooldown_version == view.cooldown_version
            and self.computed_at <= now < self.valid_until
        )

    def is_free(self, account_id: str) -> bool:
        """Return whether an account may be chosen."""
        account = self.snapshot.by_id.get(account_id)
        return account is not None and account.enabled and account_id not in self.benched

    def candidates(self, tried: Collection[str]) -> tuple[str, ...]:
        """Return the free accounts but those that a request has tried."""
        return tuple(one for one in self.free if one not in tried) if tried else self.free

    def remaining(self, account_id: str, now: float) -> float:
        """Return the seconds until an account is free; 0 when it is."""
        return max((one.remaining(now) for one in self.benched.get(account_id, ())), default=0.0)


class Availabilities:
    """The last `Availability` of each model: most requests find it still good."""

    def __init__(self) -> None:
        self._known: dict[str, Availability] = {}

    def of(self, model: str, snapshot: AccountsSnapshot, view: StateView, now: float) -> Availability:
        """Return who is free for ``model`` now, a canonical name."""
        known = self._known.get(model)
        if known is not None and known.holds(snapshot, view, now):
            return known
        if len(self._known) > _KNOWN_MODELS:
            self._known.clear()
        self._known[model] = fresh = Availability.of(model, snapshot, view, now)
        return fresh


def active_cooldowns(account: Account, view: StateView, now: float) -> list[Cooldown]:
    """Return the cooldowns of an account that are not over, from the shared state and from the accounts file."""
    found = [
        cooldown
        for pool, cooldown in view.cooldowns.get(account.id, {}).items()
        if cooldown.remaining(now) > 0
        and (pool != WHOLE_ACCOUNT or cooldown.credential in (None, account.credential.fingerprint))
    ]
    in_file = (known for known in account.cooldowns if known.until > now)
    found.extend(
        Cooldown(account.id, known.pool, known.until, known.reason, now, fact=True, url=known.url) for known in in_file
    )
    return found


def _benched(model: str, snapshot: AccountsSnapshot, view: StateView, now: float) -> dict[str, tuple[Cooldown, ...]]:
    """Return the enabled accounts that may not serve ``model`` now, with the cooldowns that say so."""
    pools = (WHOLE_ACCOUNT, family_of(model), model_pool(model))
    benched: dict[str, tuple[Cooldown, ...]] = {}
    suspects = {*view.cooldowns, *(account.id for account in snapshot.enabled if account.cooldowns)}
    for account_id in suspects:
        account = snapshot.by_id.get(account_id)
        if account is None or not account.enabled:
            continue
        active = tuple(cooldown for cooldown in active_cooldowns(account, view, now) if cooldown.pool in pools)
        if active:
            benched[account_id] = active
    return benched
