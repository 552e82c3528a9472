"""What a proxy admin changes over HTTP; the command line has the same under ``auth`` and ``reset``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from litellm_antigravity.accounts import Account, AccountsFile
from litellm_antigravity.logs import LOGGER
from litellm_antigravity.masking import mask_emails, shown
from litellm_antigravity.models import FAMILIES
from litellm_antigravity.observability.known import KnownAccounts
from litellm_antigravity.pool import AccountPool
from litellm_antigravity.upkeep import (
    OPENCODE_DISABLES,
    OPENCODE_NOTES,
    end_cooldowns,
    needs_verification,
    plan_cooldowns,
    switch,
    use_again,
)


class UnclearError(Exception):
    """The caller has not said what is asked, or asks for what there is not."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is asked.

    Attributes:
        action: one of `ACTIONS`.
        account: the id of an account.
        family: for whose models, to enable and disable; ``None`` for all.
        force: whether a reset ends what upstream said, too.
    """

    action: str
    account: str
    family: str | None = None
    force: bool = False

    @classmethod
    def of(cls, body: object) -> Change:
        """Return what the body of a request asks.

        Raises:
            UnclearError: when it is no such request.
        """
        fields = body if isinstance(body, Mapping) else {}
        action, account, family = fields.get("action"), fields.get("account"), fields.get("family")
        force = fields.get("force", False)
        if not isinstance(action, str) or action not in ACTIONS or not isinstance(account, str):
            msg = f"send an object with an action ({', '.join(ACTIONS)}) and the id of an account"
            raise UnclearError(msg)
        if family is not None and (family not in FAMILIES or action not in ("enable", "disable")):
            msg = f"family goes with enable and disable, and is one of: {', '.join(FAMILIES)}"
            raise UnclearError(msg)
        if not isinstance(force, bool) or (force and action != "reset"):
            msg = "force is true or false, and goes with reset"
            raise UnclearError(msg)
        return cls(action, account, family, force)


def changed(pool: AccountPool, known: KnownAccounts, change: Change) -> str:
    """Do it, for every process that shares accounts and state; return a sentence that says what has become of it.

    Args:
        pool: whose state and accounts file it is.
        known: the accounts that there are.
        change: what is asked.

    Raises:
        UnclearError: when there is no such account, or it cannot be changed here.
        AntigravityError: when the accounts file or the shared state cannot be written.
    """
    account = next((one for one in known.all if one.id == change.account), None)
    if account is None:
        msg = "there is no such account; it may have been removed"
        raise UnclearError(msg)
    said = ACTIONS[change.action](pool, account, change)
    LOGGER.info("Asked over HTTP to %s: %s", change.action, said)
    return said


def _enable(pool: AccountPool, account: Account, change: Change) -> str:
    return _switched(pool, account, change.family, on=True)


def _disable(pool: AccountPool, account: Account, change: Change) -> str:
    return _switched(pool, account, change.family, on=False)


def _switched(pool: AccountPool, account: Account, family: str | None, *, on: bool) -> str:
    source = AccountsFile(pool.settings.accounts_file)
    now = next((one for one in source.load().accounts if one.id == account.id), None)
    if now is None:
        msg = "only accounts of the accounts file can be enabled and disabled; the others are in the model list"
        raise UnclearError(msg)
    word, for_family = "enabled" if on else "disabled", "" if family is None else f" for {family}"
    if not switch(source, now, family, on=on):
        return f"{_name(account)} was {word}{for_family} already."
    said = f"{_name(account)} is {word}{for_family}."
    return f"{said} {OPENCODE_DISABLES}" if on and not now.enabled else said


def _retry(pool: AccountPool, account: Account, _change: Change) -> str:
    [(_, ended)] = use_again(pool, [account])
    noted = needs_verification(account)
    reasons = sorted({one.reason for one in ended})
    if not reasons and not noted:
        return f"{_name(account)} was not out."
    said = f"{_name(account)} is used again" + (f" (it was out: {', '.join(reasons)})." if reasons else ".")
    return f"{said} {OPENCODE_NOTES}" if noted else said


def _reset(pool: AccountPool, account: Account, change: Change) -> str:
    plan = plan_cooldowns(pool, [account], force=change.force)
    end_cooldowns(pool, plan.ends)
    said = [
        f"{_name(account)}: {_counted(len(plan.ends))} lifted." if plan.ends else f"{_name(account)}: nothing to lift."
    ]
    if plan.facts:
        said.append(f"{_counted(len(plan.facts))} left, since upstream said so: force lifts them.")
    if plan.in_file:
        said.append("What the accounts file says stays.")
    return " ".join(said)


def _counted(number: int) -> str:
    return f"{number or 'no'} cooldown{'' if number == 1 else 's'}"


def _name(account: Account) -> str:
    return mask_emails(shown(account.label))


ACTIONS: Final[Mapping[str, Callable[[AccountPool, Account, Change], str]]] = {
    "enable": _enable,
    "disable": _disable,
    "retry": _retry,
    "reset": _reset,
}
"""By name."""

__all__ = ["ACTIONS", "Change", "UnclearError", "changed"]
