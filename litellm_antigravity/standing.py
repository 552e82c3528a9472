"""What is known of each account: for error messages and ``status``."""

from __future__ import annotations

from dataclasses import dataclass

from litellm_antigravity.accounts import Account, AccountsSnapshot
from litellm_antigravity.cooldowns import WHOLE_ACCOUNT, Cooldown, model_pool
from litellm_antigravity.models import canonical_model, family_of
from litellm_antigravity.selection.availability import active_cooldowns
from litellm_antigravity.selection.vitals import Vitals, VitalsRules
from litellm_antigravity.state.view import StateView


@dataclass(frozen=True, slots=True)
class AccountState:
    """What is known of one account, for one model or for all of them."""

    account: Account
    cooldowns: tuple[Cooldown, ...]
    health: float
    tokens: float
    last_used: float | None

    def remaining(self, now: float) -> float:
        """Return the seconds until the account is free; 0 when it is."""
        return max((cooldown.remaining(now) for cooldown in self.cooldowns), default=0.0)


def states_of(
    snapshot: AccountsSnapshot, view: StateView, rules: VitalsRules, now: float, model: str | None = None
) -> list[AccountState]:
    """Return what is known of every account, enabled or not; with ``model``, only what concerns it."""
    pools = None
    if model is not None:
        name = canonical_model(model)
        pools = (WHOLE_ACCOUNT, family_of(name), model_pool(name))
    fresh, states = Vitals.fresh(rules), []
    for account in snapshot.accounts:
        vitals = view.vitals.get(account.id, fresh)
        cooldowns = [one for one in active_cooldowns(account, view, now) if pools is None or one.pool in pools]
        health, tokens = vitals.health_now(now, rules), vitals.tokens_now(now, rules)
        states.append(AccountState(account, tuple(cooldowns), health, tokens, vitals.last_used))
    return states
