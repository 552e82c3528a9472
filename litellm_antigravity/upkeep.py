"""What an operator does to accounts: enable and disable them, use them again, lift their cooldowns.

The command line and the page in the proxy are two ways to the same functions. They touch the disk.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from litellm_antigravity import events
from litellm_antigravity.accounts import Account, AccountsFile
from litellm_antigravity.accounts.file_cooldowns import VERIFICATION
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.errors import StateUnavailableError
from litellm_antigravity.models import FAMILIES
from litellm_antigravity.pool import AccountPool

OPENCODE_DISABLES: str = "An OpenCode that runs since before may disable it again: enable it there, too, or restart it."
OPENCODE_NOTES: str = "An OpenCode that runs since before may note it again: clear it there, too, or restart it."


@dataclass(frozen=True, slots=True)
class Lift:
    """A cooldown, and whose it is."""

    account: Account
    cooldown: Cooldown


@dataclass(frozen=True, slots=True)
class CooldownPlan:
    """Which cooldowns end, and which do not.

    Attributes:
        ends: those that end.
        facts: those that stay because upstream said so, and nobody insists.
        in_file: those of the accounts file, which is not changed here: account, pool and reason.
    """

    ends: tuple[Lift, ...]
    facts: tuple[Lift, ...]
    in_file: tuple[tuple[Account, str, str], ...]


def switch(source: AccountsFile, account: Account, family: str | None, *, on: bool) -> bool:
    """Enable or disable an account, for every process that reads the file; return whether it was not so already.

    Args:
        source: the accounts file that the account is in.
        account: as it is there.
        family: for whose models; ``None`` for all.
        on: enable it.

    Raises:
        AccountsFileError: when the file cannot be read or written.
    """
    off = {*FAMILIES} if not account.enabled else {*account.disabled_families}
    about = {*FAMILIES} if family is None else {family}
    after = off - about if on else off | about
    enabled = len(after) < len(FAMILIES)
    if sorted(after) == sorted(account.disabled_families) and account.enabled is enabled:
        return False
    source.update_entry(account.id, disabledFamilies=[*after], enabled=enabled)
    return True


def use_again(pool: AccountPool, accounts: Iterable[Account]) -> list[tuple[Account, list[Cooldown]]]:
    """Use accounts again whose owner has acted: end their cooldowns, and forget what is noted of a verification.

    Args:
        pool: whose shared state it is.
        accounts: of its accounts file, or of another provider.

    Returns:
        Each account with the cooldowns that were not over.

    Raises:
        AccountsFileError: when the file cannot be read or written.
        StateUnavailableError: when the shared state cannot be written; nothing has changed then.
    """
    ended = [(account, pool.release(account.id)) for account in accounts]
    check_written(pool)
    for account, _ in ended:
        if needs_verification(account):  # OpenCode disables it then, too
            source = AccountsFile(pool.settings.accounts_file)
            source.update_entry(account.id, verificationRequired=False, enabled=True)
    return ended


def needs_verification(account: Account) -> bool:
    """Return whether the accounts file says that its owner has to verify an account."""
    return any(one.reason == VERIFICATION for one in account.cooldowns)


def plan_cooldowns(
    pool: AccountPool, accounts: Sequence[Account], quota_pool: str | None = None, *, force: bool
) -> CooldownPlan:
    """Return which cooldowns would end.

    Args:
        pool: whose shared state it is.
        accounts: that are meant.
        quota_pool: the one pool that is meant; all when ``None``.
        force: whether what upstream said ends, too.
    """
    view, now = pool.store.refresh(), pool.clock.time()
    ends: list[Lift] = []
    facts: list[Lift] = []
    in_file: list[tuple[Account, str, str]] = []
    for account in accounts:
        for name, cooldown in view.cooldowns.get(account.id, {}).items():
            if quota_pool in (None, name) and cooldown.remaining(now) > 0:
                (facts if cooldown.fact and not force else ends).append(Lift(account, cooldown))
        in_file += [
            (account, one.pool, one.reason)
            for one in account.cooldowns
            if quota_pool in (None, one.pool) and one.until > now
        ]
    return CooldownPlan(tuple(ends), tuple(facts), tuple(in_file))


def end_cooldowns(pool: AccountPool, lifts: Collection[Lift]) -> None:
    """End cooldowns, for every process that shares the state.

    Raises:
        StateUnavailableError: when the shared state cannot be written; nothing has changed then.
    """
    now = pool.clock.time()
    for lift in lifts:
        pool.store.end_cooldown(lift.account.id, lift.cooldown.pool, now)
    check_written(pool)
    if events.wanted():
        for lift in lifts:
            events.emit(events.Back(account_id=lift.account.id, pool=lift.cooldown.pool, how="released"))


def check_written(pool: AccountPool) -> None:
    """Make sure that what was changed in the shared state is there.

    Raises:
        StateUnavailableError: when it cannot be written.
    """
    problem = pool.store.status().problem
    if problem is not None:
        msg = f"The shared state cannot be written, so nothing has changed: {problem}"
        raise StateUnavailableError(msg)


__all__ = [
    "OPENCODE_DISABLES",
    "OPENCODE_NOTES",
    "CooldownPlan",
    "Lift",
    "check_written",
    "end_cooldowns",
    "needs_verification",
    "plan_cooldowns",
    "switch",
    "use_again",
]
