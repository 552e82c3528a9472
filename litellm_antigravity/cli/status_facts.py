"""What ``status`` shows, before it is text or JSON. No token is ever read for it, and nothing is written."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, TypeAlias

from litellm_antigravity.cli.choosing import chosen, name_of
from litellm_antigravity.clock import Clock, SystemClock
from litellm_antigravity.cooldowns import WHOLE_ACCOUNT, Cooldown, model_pool
from litellm_antigravity.credentials.clients import NEEDS_CLIENT, SWITCHED_OFF, clients_missing
from litellm_antigravity.errors import AntigravityError
from litellm_antigravity.masking import shown
from litellm_antigravity.models import BUILT_IN_MODELS, FAMILIES, ModelFamily, canonical_model, family_of
from litellm_antigravity.pool import AccountPool
from litellm_antigravity.redaction import SECRETS
from litellm_antigravity.settings import Settings
from litellm_antigravity.standing import AccountState
from litellm_antigravity.state.memory import MemoryStore
from litellm_antigravity.state.rows import Presence
from litellm_antigravity.state.view import StateView

FORMAT = 1
"""Of the JSON. It rises when something is taken away or changes its meaning; what is added leaves it as it is."""

State: TypeAlias = Literal["ready", "cooling down", "out", "disabled", "needs an OAuth client"]
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
        conversations: how many it serves of those that are going on; 0 for what is no family.
        detours: how many of them are there only until their own account is back.
    """

    pool: str
    state: State
    reason: str | None = None
    remaining_seconds: float | None = None
    fact: bool = False
    message: str | None = None
    url: str | None = field(default=None, repr=False)
    processes: tuple[Holder, ...] = ()
    conversations: int = 0
    detours: int = 0


@dataclass(frozen=True, slots=True)
class AccountReport:
    """One account.

    Attributes:
        number: its place in the accounts file, from 1.
        name: what the command line calls it: the e-mail, with the label that the user gave it.
        email: as the file has it.
        id: stable.
        enabled: whether it may be chosen.
        health: points.
        tokens: requests left in its bucket.
        last_used: in epoch seconds, ``None`` when no process on this machine has used it.
        pools: the whole account if that is benched, the families, and models that are limited by themselves.
        in_flight: its requests that are under way, of every process on this machine.
    """

    number: int
    name: str
    email: str | None
    id: str
    enabled: bool
    health: float
    tokens: float
    last_used: float | None
    pools: tuple[PoolReport, ...]
    in_flight: int = 0

    def back_in(self, family: ModelFamily, model: str | None) -> float | None:
        """Return the seconds until the account is free, 0 when it is, ``None`` when that takes somebody to act."""
        about = (family,) if model is None else (family, model_pool(model))
        waits = [_wait(pool) for pool in self.pools if pool.pool in about]
        return max((one for one in waits if one is not None), default=0.0) if None not in waits else None


def _wait(pool: PoolReport) -> float | None:
    return 0.0 if pool.state == "ready" else pool.remaining_seconds


@dataclass(frozen=True, slots=True)
class Summary:
    """How things stand for one family, or for the one model that was asked about.

    Attributes:
        subject: the family or the model.
        free: how many accounts could serve a request now.
        accounts: how many there are.
        next_back_seconds: until one more is free; ``None`` when none comes back by itself.
    """

    subject: str
    free: int
    accounts: int
    next_back_seconds: float | None


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
        summary: one per family, or one for the model.
        accounts: in file order.
        models_without_capacity: name and seconds left of models that upstream has no capacity for.
        problem: one sentence when accounts need an OAuth client, and what helps.
        shared_state: how the shared state is doing.
    """

    now: float
    accounts_file: str
    strategy: str
    model: str | None
    summary: tuple[Summary, ...]
    accounts: tuple[AccountReport, ...]
    models_without_capacity: dict[str, float]
    problem: str | None
    shared_state: SharedStateReport

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values; docs/command-line.md describes them."""
        return {"format": FORMAT, **asdict(self)}


class StatusReader:
    """Reads what is known, as often as wanted. Makes no state folder, and changes nothing in one.

    Args:
        model: only what concerns this model.
        accounts: only these, each by number, e-mail, label or a beginning of one; all when empty.
        settings: read from environment and files when absent.
        clock: the source of time.

    Raises:
        SettingsError: when a setting is wrong.
    """

    def __init__(
        self,
        model: str | None = None,
        accounts: Sequence[str] = (),
        *,
        settings: Settings | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._settings = settings or Settings()
        self._clock = clock or SystemClock()
        self._model = None if model is None else canonical_model(model)
        self._wanted = tuple(accounts)
        self._exists = _has_state(self._settings)
        self._pool = self._new_pool()

    def _new_pool(self) -> AccountPool:
        return pool_to_look_at(self._settings, self._clock)

    def read(self) -> StatusReport:
        """Return what is known now.

        Raises:
            AccountsFileError: when there are no accounts to be had.
            click.ClickException: when a word means no account, or more than one.
            AntigravityError: when nobody knows the model.
        """
        if not self._exists and _has_state(self._settings):
            self._exists = True
            self._pool = self._new_pool()
        pool, model = self._pool, self._model
        snapshot = pool.accounts.current()
        wanted = {account.id for account in chosen(snapshot, self._wanted)} if self._wanted else snapshot.by_id.keys()
        states = [(number, state) for number, state in enumerate(pool.states(model), 1) if state.account.id in wanted]
        view = pool.store.known()
        if model is not None:
            check_known(model, view, self._settings)
        present = pool.store.processes(forget=False)
        store, now = pool.store.status(), self._clock.time()
        talks = _Talks(view, now)
        flying = pool.store.in_flight.counts_of(wanted)
        accounts = tuple(
            replace(talks.told(_account(number, state, model, present, now)), in_flight=flying.get(state.account.id, 0))
            for number, state in states
        )
        return StatusReport(
            now=now,
            accounts_file=str(self._settings.accounts_file),
            strategy=self._settings.account_selection_strategy,
            model=model,
            summary=_summaries(accounts, model),
            accounts=accounts,
            models_without_capacity={
                each: held.remaining(now)
                for each, held in sorted(view.capacity.items())
                if held.remaining(now) > 0 and model in (None, each)
            },
            problem=clients_missing([state.account for _, state in states if state.account.enabled], self._settings),
            shared_state=SharedStateReport(
                str(self._settings.state_dir),
                self._exists,
                self._exists and store.shared,
                store.dropped_rows,
                store.problem,
            ),
        )

    @property
    def pool(self) -> AccountPool:
        """What it reads of."""
        return self._pool

    def close(self) -> None:
        """Let go of the shared state."""
        self._pool.store.close()


def pool_to_look_at(settings: Settings, clock: Clock | None = None) -> AccountPool:
    """Return a pool that makes no state folder: where there is none, it has nothing to read.

    Args:
        settings: say which accounts and which state.
        clock: the source of time.
    """
    store = None if _has_state(settings) else MemoryStore()
    return AccountPool(settings, store=store, clock=clock)


def gather_status(
    model: str | None = None,
    accounts: Sequence[str] = (),
    *,
    settings: Settings | None = None,
    clock: Clock | None = None,
) -> StatusReport:
    """Return what is known, once; see `StatusReader`."""
    reader = StatusReader(model, accounts, settings=settings, clock=clock)
    try:
        return reader.read()
    finally:
        reader.close()


class _Talks:
    """How many conversations there are on each account, by family."""

    def __init__(self, view: StateView, now: float) -> None:
        living = [binding for _, binding in view.bindings.items() if binding.remaining(now) > 0]
        self._all: Mapping[tuple[str, str], int] = Counter((one.serving, one.family) for one in living)
        self._detours = Counter((one.detour or "", one.family) for one in living)

    def told(self, account: AccountReport) -> AccountReport:
        """Return the report of an account with the conversations that it serves."""
        pools = [
            replace(one, conversations=self._all.get(key, 0), detours=self._detours[key])
            if (key := (account.id, one.pool)) in self._all
            else one
            for one in account.pools
        ]
        return replace(account, pools=tuple(pools))


def _has_state(settings: Settings) -> bool:
    try:
        return any(settings.state_dir.iterdir())
    except FileNotFoundError:
        return False
    except OSError:
        return True  # it is there, but not as it should be: the store says what is wrong


def check_known(model: str, view: StateView, settings: Settings) -> None:
    """Turn a name away that is not built in, has no price, and that no process on this machine has met.

    Upstream's own list is not asked: that takes an account and the network.
    """
    from litellm_antigravity.settings.costs import model_costs
    from litellm_antigravity.settings.names import nearest

    pool = model_pool(model)
    known = {*BUILT_IN_MODELS, *view.capacity, *model_costs(settings.model_costs)}
    if model in known or any(pool in pools for pools in view.cooldowns.values()):
        return
    meant = nearest(model, known)
    hint = f"Did you mean {meant}? " if meant else ""
    msg = (
        f"Nobody here knows the model {shown(model, 80)}: it is not built in, and no process on this machine has met "
        f"it. {hint}`litellm-antigravity models` lists those that upstream has."
    )
    raise AntigravityError(msg)


def _summaries(accounts: Sequence[AccountReport], model: str | None) -> tuple[Summary, ...]:
    families = FAMILIES if model is None else (family_of(model),)
    found = []
    for family in families:
        waits = [account.back_in(family, model) for account in accounts]
        back = [wait for wait in waits if wait is not None and wait > 0]
        found.append(Summary(model or family, waits.count(0.0), len(accounts), min(back, default=None)))
    return tuple(found)


def _account(
    number: int, state: AccountState, model: str | None, present: Sequence[Presence], now: float
) -> AccountReport:
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
        number,
        name_of(account),
        account.email,
        account.id,
        account.enabled,
        state.health,
        state.tokens,
        state.last_used,
        tuple(pools),
    )


def _longest(cooldowns: Sequence[Cooldown], now: float) -> Cooldown | None:
    return max(cooldowns, key=lambda one: one.remaining(now), default=None)


def _cooled(
    cooldown: Cooldown, now: float, *, pool: str | None = None, processes: tuple[Holder, ...] = ()
) -> PoolReport:
    remaining = cooldown.remaining(now)
    endless = math.isinf(remaining)
    inherited = pool is not None and pool != cooldown.pool
    switched_off = endless and cooldown.reason.startswith(SWITCHED_OFF)
    if endless and (switched_off or cooldown.reason == NEEDS_CLIENT):  # a state of its own, and no upstream in it
        return PoolReport(pool or cooldown.pool, "disabled" if switched_off else NEEDS_CLIENT, processes=processes)
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
