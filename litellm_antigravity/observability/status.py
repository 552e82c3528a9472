"""The status as plain values: what there is to know of accounts, deployments and processes, for a machine or a page.

E-mails are masked, and no address that somebody has to open is in it: `litellm-antigravity status` shows that to
whoever owns the machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from litellm_antigravity.accounts import Account, AccountsSnapshot
from litellm_antigravity.cooldowns import WHOLE_ACCOUNT, Cooldown, model_pool
from litellm_antigravity.masking import mask_emails, shown
from litellm_antigravity.models import FAMILIES, canonical_model, family_of
from litellm_antigravity.observability.collecting import state_of
from litellm_antigravity.observability.known import KnownAccounts
from litellm_antigravity.observability.last_hour import Strip
from litellm_antigravity.refusals.kinds import RefusalKind
from litellm_antigravity.selection.availability import Availability, active_cooldowns
from litellm_antigravity.selection.vitals import Vitals, VitalsRules
from litellm_antigravity.state.backend import StoreStatus
from litellm_antigravity.state.rows import Presence
from litellm_antigravity.state.view import StateView

FORMAT: Final = 1
"""It rises when something is taken away or changes its meaning; what is added leaves it as it is."""

_LONGEST_MESSAGE: Final = 300


@dataclass(frozen=True, slots=True)
class Target:
    """A deployment of LiteLLM's that draws on accounts of ours.

    Attributes:
        deployment_id: LiteLLM's.
        group: the name that callers ask for.
        model: what it asks for, without the provider.
        account_id: the one account that it names; ``None`` for any.
        snapshot: the accounts that it draws on.
    """

    deployment_id: str
    group: str
    model: str
    account_id: str | None
    snapshot: AccountsSnapshot


@dataclass(frozen=True, slots=True)
class Moment:
    """What is known at one moment.

    Attributes:
        now: epoch seconds.
        view: of the shared state.
        rules: of health and bucket.
        known: the accounts.
        in_flight: requests under way, by account.
        last_hour: of accounts; ``None`` when nobody asks for it.
    """

    now: float
    view: StateView
    rules: VitalsRules
    known: KnownAccounts
    in_flight: Mapping[str, int]
    last_hour: Mapping[str, Strip] | None = None

    @property
    def accounts(self) -> dict[str, Account]:
        """All accounts by id."""
        return {account.id: account for account in self.known.all}


def accounts_of(moment: Moment) -> list[dict[str, Any]]:
    """Return what is known of each account."""
    in_file = {account.id for account in moment.known.own}
    return [{**_account(one, moment), "in_file": one.id in in_file} for one in moment.accounts.values()]


def _account(account: Account, moment: Moment) -> dict[str, Any]:
    now, rules = moment.now, moment.rules
    vitals = moment.view.vitals.get(account.id, Vitals.fresh(rules))
    active = active_cooldowns(account, moment.view, now)
    families = {}
    for family in FAMILIES:
        own = _longest((one for one in active if one.pool in (family, WHOLE_ACCOUNT)), now)
        failures = vitals.failures_now(family, now, rules)
        families[family] = {
            "state": state_of(account, active, family, now),
            **_cooled(own, now),
            "failures": failures,
            "quota_left": 0.0 if own is not None and own.fact and own.reason == RefusalKind.QUOTA.value else None,
        }
    models = [one for one in active if one.pool not in (*FAMILIES, WHOLE_ACCOUNT)]
    return {
        "id": account.id,
        "account": _label(account),
        "enabled": account.enabled,
        "health": round(vitals.health_now(now, rules), 2),
        "bucket": round(vitals.tokens_now(now, rules), 2),
        "last_used": vitals.last_used,
        "in_flight": moment.in_flight.get(account.id, 0),
        "families": families,
        "models": [{"model": shown(one.pool.partition(":")[2], 100), **_cooled(one, now)} for one in models],
        **_strip_of(account, moment),
    }


def _strip_of(account: Account, moment: Moment) -> dict[str, Any]:
    if moment.last_hour is None:
        return {}
    strip = moment.last_hour.get(account.id) or Strip.empty(moment.now)
    strip.follow(moment.view.cooldowns.get(account.id, {}).values(), moment.now)
    return {"last_hour": strip.as_json()}


def _label(account: Account) -> str:
    return mask_emails(shown(account.label))


def _longest(cooldowns: Iterable[Cooldown], now: float) -> Cooldown | None:
    return max(cooldowns, key=lambda one: one.remaining(now), default=None)


def _cooled(cooldown: Cooldown | None, now: float) -> dict[str, Any]:
    """Return what a cooldown says; an end that does not come by itself is ``None``."""
    if cooldown is None:
        return {"since": None, "until": None, "seconds": 0.0, "reason": None, "fact": False, "message": None}
    left = cooldown.remaining(now)
    message = cooldown.message
    return {
        "since": cooldown.since,
        "until": None if math.isinf(left) else now + left,
        "seconds": None if math.isinf(left) else round(left, 3),
        "reason": shown(cooldown.reason, 100),
        "fact": cooldown.fact,
        "message": None if message is None else mask_emails(shown(message, _LONGEST_MESSAGE)),
    }


def families_of(moment: Moment) -> list[dict[str, Any]]:
    """Return how many accounts are free for each family, and when the next one is; names nobody."""
    found = []
    accounts = moment.known.own
    for family in FAMILIES:
        waits: list[float] = []
        for account in accounts:
            active = active_cooldowns(account, moment.view, moment.now)
            own = [one for one in active if one.pool in (family, WHOLE_ACCOUNT)]
            wait = max((one.remaining(moment.now) for one in own), default=0.0)
            waits.append(wait if account.enabled and family not in account.disabled_families else math.inf)
        back = min((wait for wait in waits if 0 < wait < math.inf), default=None)
        found.append(
            {
                "family": family,
                "free": waits.count(0.0),
                "accounts": len(waits),
                "next_back_seconds": None if back is None else round(back, 3),
            }
        )
    return found


def deployments_of(targets: Iterable[Target], moment: Moment) -> list[dict[str, Any]]:
    """Return the state of each deployment: that of its account, or of all accounts where it names none."""
    return [_deployment(target, moment) for target in targets]


def _deployment(target: Target, moment: Moment) -> dict[str, Any]:
    now, model = moment.now, canonical_model(target.model)
    family = family_of(model)
    account = None if target.account_id is None else target.snapshot.by_id.get(target.account_id)
    failures = 0
    cooldown: Cooldown | None = None
    if account is not None:
        pools = (family, WHOLE_ACCOUNT, model_pool(model))
        cooldown = _longest((one for one in active_cooldowns(account, moment.view, now) if one.pool in pools), now)
        vitals = moment.view.vitals.get(account.id)
        failures = 0 if vitals is None else vitals.failures_now(family, now, moment.rules)
    else:
        availability = Availability.of(model, target.snapshot, moment.view, now)
        if not availability.free and availability.benched:
            longest = [_longest(cooldowns, now) for cooldowns in availability.benched.values()]
            first = [one for one in longest if one is not None]
            cooldown = min(first, key=lambda one: one.remaining(now), default=None)
    if account is not None:
        enabled = account.enabled and family not in account.disabled_families
    else:
        enabled = any(family not in one.disabled_families for one in target.snapshot.enabled)
    state = "disabled" if not enabled else "ready"
    if enabled and cooldown is not None:
        state = "out" if math.isinf(cooldown.remaining(now)) else "cooling_down"
    return {
        "deployment": target.deployment_id,
        "model_group": target.group,
        "model": model,
        "family": family,
        "account": None if account is None else _label(account),
        "state": state,
        **_cooled(cooldown, now),
        "failures": failures,
    }


def processes_of(present: Iterable[Presence], moment: Moment) -> list[dict[str, Any]]:
    """Return the living processes, and which account each is on."""
    accounts = moment.accounts
    return [
        {
            "pid": one.pid,
            "strategy": one.strategy,
            "slot": one.slot,
            "seen_at": one.seen_at,
            "current": {
                family: _label(accounts[account_id])
                for family, account_id in one.current.items()
                if account_id in accounts
            },
        }
        for one in present
    ]


def status_of(
    moment: Moment, *, strategy: str, targets: Iterable[Target], present: Iterable[Presence], store: StoreStatus
) -> dict[str, Any]:
    """Return the whole status, as docs/metrics.md describes it."""
    held = {model: one.remaining(moment.now) for model, one in sorted(moment.view.capacity.items())}
    return {
        "format": FORMAT,
        "now": moment.now,
        "strategy": strategy,
        "families": families_of(moment),
        "accounts": accounts_of(moment),
        "deployments": deployments_of(targets, moment),
        "models_without_capacity": {shown(model, 100): round(left, 3) for model, left in held.items() if left > 0},
        "processes": processes_of(present, moment),
        "shared_state": {"shared": store.shared, "problem": None if store.problem is None else shown(store.problem)},
    }


__all__ = ["FORMAT", "Moment", "Target", "accounts_of", "deployments_of", "families_of", "status_of"]
