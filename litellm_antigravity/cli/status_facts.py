"""What ``status`` shows, before it is a table or JSON. No token is ever read for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

from litellm_antigravity.clock import Clock, SystemClock
from litellm_antigravity.cooldowns import WHOLE_ACCOUNT, Cooldown
from litellm_antigravity.masking import shown
from litellm_antigravity.models import FAMILIES, canonical_model, family_of
from litellm_antigravity.pool import AccountPool
from litellm_antigravity.redaction import SECRETS
from litellm_antigravity.settings import Settings
from litellm_antigravity.standing import AccountState
from litellm_antigravity.state.memory import MemoryStore
from litellm_antigravity.state.rows import Presence

State: TypeAlias = Literal["ready", "cooling down", "out", "disabled"]
"""``out`` is a cooldown that does not end by itself."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A process whose current account this is."""

    pid: int
    strategy: str
    slot: int | None


@dataclass(frozen=True, slots=True)
class PoolReport:
    """An account's standing in one quota pool.

    Attributes:
        pool: a family, ``model:<name>``, or ``*`` for the whole account (only when that is benched).
        state: of the pool; a family is not ready either while the whole account is not.
        reason: why it is not ready.
        remaining_seconds: until it is ready again; ``None`` when it is, or when that takes somebody to act.
        fact: whether upstream said so; false for what this package infers.
        message: upstream's words.
        url: what the account's owner has to open.
        processes: which processes are on the account for this family.
    """

    pool: str
    state: State
    reason: str | None = None
    remaining_seconds: float | None = None
    fact: bool = False
    message: str | None = None
    url: str | None = field(default=None, repr=False)
    processes: tuple[Holder, ...] = ()


@dataclass(frozen=True, slots=True)
class AccountReport:
    """One account. ``last_used`` is in epoch seconds, ``None`` when no process on this machine has used it."""

    email: str | None
    id: str
    enabled: bool
    health: float
    tokens: float
    last_used: float | None
    pools: tuple[PoolReport, ...]


@dataclass(frozen=True, slots=True)
class SharedStateReport:
    """How the shared state is doing; ``exists`` is false when no process has used it yet."""

    place: str
    exists: bool
    shared: bool
    dropped_rows: int
    problem: str | None


@dataclass(frozen=True, slots=True)
class StatusReport:
    """Everything that ``status`` shows.

    Attributes:
        now: epoch seconds.
        accounts_file: where the accounts come from.
        strategy: of the settings that hold here; each process may have its own.
        model: what the report is limited to.
        accounts: in file order.
        models_without_capacity: name and seconds left of models that upstream has no capacity for.
        shared_state: how the shared state is doing.
    """

    now: float
    accounts_file: str
    strategy: str
    model: str | None
    accounts: tuple[AccountReport, ...]
    models_without_capacity: dict[str, float]
    shared_state: SharedStateReport

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def gather_status(
    model: str | None = None, *, settings: Settings | None = None, clock: Clock | None = None
) -> StatusReport:
    """Return what is known. Makes no state folder.

    Args:
        model: only what concerns this model.
        settings: read from environment and files when absent.
        clock: the source of time.

    Raises:
        SettingsError: when a setting is wrong.
        AccountsFileError: when there are no accounts to be had.
    """
    settings, clock = settings or Settings(), clock or SystemClock()
    name = None if model is None else canonical_model(model)
    exists = _has_state(settings)
    pool = AccountPool(settings, store=None if exists else MemoryStore(), clock=clock)
    try:
        states = pool.states(name)
        present = pool.store.processes()
        capacity = pool.store.known().capacity
        store = pool.store.status()
    finally:
        pool.store.close()
    now = clock.time()
    return StatusReport(
        now=now,
        accounts_file=str(settings.accounts_file),
        strategy=settings.account_selection_strategy,
        model=name,
        accounts=tuple(_account(state, name, present, now) for state in states),
        models_without_capacity={
            each: held.remaining(now)
            for each, held in sorted(capacity.items())
            if held.remaining(now) > 0 and name in (None, each)
        },
        shared_state=SharedStateReport(
            str(settings.state_dir), exists, exists and store.shared, store.dropped_rows, store.problem
        ),
    )


def _has_state(settings: Settings) -> bool:
    try:
        return any(settings.state_dir.iterdir())
    except FileNotFoundError:
        return False
    except OSError:
        return True  # it is there, but not as it should be: the store says what is wrong


def _account(state: AccountState, model: str | None, present: Sequence[Presence], now: float) -> AccountReport:
    account = state.account
    whole = _longest([one for one in state.cooldowns if one.pool == WHOLE_ACCOUNT], now)
    pools = [] if whole is None else [_cooled(whole, now)]
    for family in FAMILIES if model is None else (family_of(model),):
        holders = tuple(
            Holder(each.pid, each.strategy, each.slot) for each in present if each.current.get(family) == account.id
        )
        own = _longest([one for one in state.cooldowns if one.pool in (family, WHOLE_ACCOUNT)], now)
        if not account.enabled:
            pools.append(PoolReport(family, "disabled", processes=holders))
        elif own is None:
            pools.append(PoolReport(family, "ready", processes=holders))
        else:
            pools.append(_cooled(own, now, pool=family, processes=holders))
    models = sorted({one.pool for one in state.cooldowns} - {WHOLE_ACCOUNT, *FAMILIES})
    for pool in models:
        longest = _longest([one for one in state.cooldowns if one.pool == pool], now)
        if longest is not None:
            pools.append(_cooled(longest, now))
    return AccountReport(
        account.email, account.id, account.enabled, state.health, state.tokens, state.last_used, tuple(pools)
    )


def _longest(cooldowns: Sequence[Cooldown], now: float) -> Cooldown | None:
    return max(cooldowns, key=lambda one: one.remaining(now), default=None)


def _cooled(
    cooldown: Cooldown, now: float, *, pool: str | None = None, processes: tuple[Holder, ...] = ()
) -> PoolReport:
    remaining = cooldown.remaining(now)
    endless = math.isinf(remaining)
    inherited = pool is not None and pool != cooldown.pool
    return PoolReport(
        pool or cooldown.pool,
        "out" if endless else "cooling down",
        shown(cooldown.reason),
        None if endless else remaining,
        cooldown.fact,
        None if inherited or cooldown.message is None else shown(cooldown.message),
        None if inherited or SECRETS.holds(cooldown.url or "") else cooldown.url,
        processes,
    )
