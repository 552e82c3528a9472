"""What ``reset`` would change, before it asks, and the change itself; of cooldowns see `upkeep`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import click

from litellm_antigravity.accounts import Account
from litellm_antigravity.cli.choosing import chosen
from litellm_antigravity.cooldowns import WHOLE_ACCOUNT, model_pool
from litellm_antigravity.models import FAMILIES, canonical_model
from litellm_antigravity.pool import AccountPool
from litellm_antigravity.selection.vitals import Vitals
from litellm_antigravity.state.drift import VitalsDrift
from litellm_antigravity.state.rows import Presence

WHOLE_ACCOUNT_NAME = "account"
"""What ``--pool`` calls the whole account."""


@dataclass(frozen=True, slots=True)
class ScoreChange:
    """What becomes of an account's scores."""

    account: Account
    before: Vitals
    health: tuple[float, float]
    tokens: tuple[float, float]


@dataclass(frozen=True, slots=True)
class SlotPlan:
    """A slot, who claimed it, and that process if it lives and has announced itself."""

    number: int
    owner: str
    process: Presence | None

    @property
    def pid(self) -> str:
        """The claimant's process id, as its name says it: host, process id, start."""
        parts = self.owner.rsplit(":", 3)
        return parts[1] if len(parts) == 4 else "unknown"


def pool_named(name: str | None) -> str | None:
    """Return the quota pool that ``--pool`` means: a family, a model, or the whole account; ``None`` for all."""
    if name is None:
        return None
    plain = canonical_model(name)
    if plain == WHOLE_ACCOUNT_NAME:
        return WHOLE_ACCOUNT
    return plain if plain in FAMILIES else model_pool(plain)


def plan_scores(pool: AccountPool, words: Sequence[str]) -> tuple[ScoreChange, ...]:
    """Return what would become of scores: those of an account that nobody has used yet.

    Args:
        pool: of the accounts.
        words: the accounts that are meant; all when empty.

    Raises:
        click.ClickException: when a word means no account, or more than one.
    """
    view, now = pool.store.refresh(), pool.clock.time()
    fresh = Vitals.fresh(pool.rules)
    changes = []
    for account in meant(pool, words):
        known = view.vitals.get(account.id)
        if known is None:
            continue
        health = (known.health_now(now, pool.rules), fresh.health_now(now, pool.rules))
        tokens = (known.tokens_now(now, pool.rules), fresh.tokens_now(now, pool.rules))
        if health[0] != health[1] or tokens[0] != tokens[1] or known.failures:
            changes.append(ScoreChange(account, known, health, tokens))
    return tuple(changes)


def reset_scores(pool: AccountPool, changes: Collection[ScoreChange]) -> None:
    """Reset scores, for every process on this machine; what is counted meanwhile stays counted."""
    now = pool.clock.time()
    for change in changes:
        drift = VitalsDrift(
            spent=change.tokens[0] - change.tokens[1],
            health=change.health[1] - change.health[0],
            failures={family: (known, None) for family, known in change.before.failures.items()},
        )
        pool.store.merge_vitals(change.account.id, drift, now, pool.rules)


def plan_slot(pool: AccountPool, number: int) -> SlotPlan:
    """Return who has a slot.

    Args:
        pool: of the accounts.
        number: of the slot.

    Raises:
        click.ClickException: when nobody has claimed it; says which are claimed.
    """
    owners = pool.store.slot_owners()
    if number not in owners:
        claimed = f"Claimed: {', '.join(map(str, owners))}." if owners else "No slot is."
        msg = f"Nobody has claimed slot {number}. {claimed}"
        raise click.ClickException(msg)
    owner = owners[number]
    process = next((one for one in pool.store.processes(forget=False) if one.owner == owner), None)
    return SlotPlan(number, owner, process)


def meant(pool: AccountPool, words: Sequence[str]) -> tuple[Account, ...]:
    """Return the accounts that are meant; all where nobody is named.

    Raises:
        click.ClickException: when a word means no account, or more than one.
    """
    snapshot = pool.accounts.current()
    return chosen(snapshot, words) if words else snapshot.accounts
