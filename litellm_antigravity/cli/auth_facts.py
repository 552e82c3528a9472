"""What the ``auth`` commands show of accounts, before it is text or JSON. No token is ever read for it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from litellm_antigravity.accounts import Account, AccountsFile, AccountsSnapshot, RefreshToken
from litellm_antigravity.clock import Clock, SystemClock
from litellm_antigravity.cooldowns import WHOLE_ACCOUNT, Cooldown
from litellm_antigravity.credentials.clients import NEEDS_CLIENT, SWITCHED_OFF, client_for
from litellm_antigravity.logs import spell_duration
from litellm_antigravity.masking import shown
from litellm_antigravity.models import FAMILIES
from litellm_antigravity.pool import AccountPool
from litellm_antigravity.redaction import SECRETS
from litellm_antigravity.settings import Settings
from litellm_antigravity.standing import AccountState
from litellm_antigravity.state.memory import MemoryStore


@dataclass(frozen=True, slots=True)
class Limit:
    """Why an account does not serve.

    Attributes:
        pool: a family, ``model:<name>``, or ``*`` for the whole account.
        reason: in a word or two.
        remaining_seconds: until it is over; ``None`` when that takes somebody to act.
        url: what the account's owner has to open.
    """

    pool: str
    reason: str
    remaining_seconds: float | None
    url: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Saved:
    """One account.

    Attributes:
        number: its place in the list, from 1.
        email: as the file has it.
        label: what logs call it.
        id: stable.
        credential: the kind of it.
        client: where its OAuth client comes from; ``None`` when it needs none, or has none.
        project: that its requests are booked on; ``None`` when it is looked up.
        enabled: whether it may be chosen.
        disabled_families: for which it may not.
        state: "ready", "limited", "out", "disabled", or "needs an OAuth client".
        limits: why it is not ready.
    """

    number: int
    email: str | None
    label: str
    id: str
    credential: str
    client: str | None
    project: str | None
    enabled: bool
    disabled_families: tuple[str, ...]
    state: str
    limits: tuple[Limit, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)

    @property
    def out(self) -> str | None:
        """Why it is out until somebody acts, other than by a switch or for want of a client."""
        found = [one for one in self.limits if one.remaining_seconds is None and not _is_ours(one)]
        return _said(found[0]) if found else None

    @property
    def remark(self) -> str:
        """What is to be said of it beside its name; empty when there is nothing."""
        if not self.enabled:
            return "disabled"
        return "; ".join(dict.fromkeys(map(_said, self.limits)))


def saved_accounts(
    source: AccountsFile, settings: Settings, *, clock: Clock | None = None
) -> tuple[AccountsSnapshot, tuple[Saved, ...]]:
    """Return all accounts, and what is known of them on this machine. Makes no state folder.

    Args:
        source: where they are.
        settings: for the shared state and the OAuth client.
        clock: the source of time.

    Raises:
        AccountsFileError: when there are none to be had.
    """
    clock, snapshot = clock or SystemClock(), source.load()
    pool = AccountPool(settings, accounts=source, store=None if _has_state(settings) else MemoryStore(), clock=clock)
    try:
        states = pool.states()
    finally:
        pool.store.close()
    now = clock.time()
    return snapshot, tuple(_saved(number, state, settings, now) for number, state in enumerate(states, 1))


def _has_state(settings: Settings) -> bool:
    try:
        return any(settings.state_dir.iterdir())
    except FileNotFoundError:
        return False
    except OSError:
        return True  # it is there, but not as it should be: the store says what is wrong


def _saved(number: int, state: AccountState, settings: Settings, now: float) -> Saved:
    account = state.account
    limits = tuple(_limit(one, now) for one in state.cooldowns)
    client = client_for(account, settings) if isinstance(account.credential, RefreshToken) else None
    return Saved(
        number=number,
        email=account.email,
        label=account.label,
        id=account.id,
        credential=account.credential.kind,
        client=None if client is None else client.source,
        project=account.project,
        enabled=account.enabled,
        disabled_families=tuple(family for family in FAMILIES if family in account.disabled_families),
        state=_state(account, limits),
        limits=limits,
    )


def _state(account: Account, limits: tuple[Limit, ...]) -> str:
    if not account.enabled:
        return "disabled"
    if any(one.reason == NEEDS_CLIENT for one in limits):
        return NEEDS_CLIENT
    if any(one.pool == WHOLE_ACCOUNT and one.remaining_seconds is None for one in limits):
        return "out"
    # A family that the user has disabled leaves the account ready for the other one.
    return "limited" if any(not one.reason.startswith(SWITCHED_OFF) for one in limits) else "ready"


def _limit(cooldown: Cooldown, now: float) -> Limit:
    remaining = cooldown.remaining(now)
    return Limit(
        cooldown.pool,
        shown(cooldown.reason),
        None if math.isinf(remaining) else remaining,
        None if SECRETS.holds(cooldown.url or "") else cooldown.url,
    )


def _said(limit: Limit) -> str:
    pool = limit.pool.removeprefix("model:")
    about = "" if limit.pool == WHOLE_ACCOUNT or limit.reason.startswith(SWITCHED_OFF) else f" for {pool}"
    if limit.remaining_seconds is not None:
        return f"{limit.reason}{about}, {spell_duration(math.ceil(limit.remaining_seconds))} left"
    return limit.reason if _is_ours(limit) else f"out{about}: {limit.reason}"


def _is_ours(limit: Limit) -> bool:
    """Return whether it is the user's own switch, or the want of an OAuth client."""
    return limit.reason == NEEDS_CLIENT or limit.reason.startswith(SWITCHED_OFF)
