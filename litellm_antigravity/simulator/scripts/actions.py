"""What a script or the control endpoint has happen, done to the simulated Google."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from litellm_antigravity.models import FAMILIES
from litellm_antigravity.simulator.accounts import SimulatedAccount
from litellm_antigravity.simulator.faults import new_fault
from litellm_antigravity.simulator.scripts.document import SERVING, AccountName, Action
from litellm_antigravity.simulator.upstream import Upstream


def check_accounts(actions: Iterable[Action], accounts: Sequence[SimulatedAccount], *, serving: bool = True) -> None:
    """Check that there are the accounts that actions name.

    Args:
        actions: that may happen.
        accounts: that there are.
        serving: whether the account that serves may be named.

    Raises:
        ValueError: when there is no such account.
    """
    for action in actions:
        if action.account == SERVING and not serving:
            msg = f"no request is being answered, so that no account is {SERVING!r}; name one"
            raise ValueError(msg)
        if action.account is not None:
            email_of(action.account, accounts, accounts[0].email)


def email_of(name: AccountName, accounts: Sequence[SimulatedAccount], serving: str | None) -> str:
    """Return the e-mail of an account that a script names by e-mail, by its number from 1, or as the one that serves.

    Args:
        name: of the account.
        accounts: that there are.
        serving: whose request is being answered.

    Raises:
        ValueError: when there is no such account.
    """
    if name == SERVING and serving is not None:
        return serving
    emails = [account.email for account in accounts]
    if isinstance(name, int):
        if name <= len(emails):
            return emails[name - 1]
    elif name in emails:
        return name
    msg = f"there is no account {name!r}; there are {len(emails)}: {', '.join(emails[:10])}"
    raise ValueError(msg)


def perform(action: Action, upstream: Upstream, serving: str | None = None) -> None:
    """Have something happen; a note is for people and does nothing.

    Args:
        action: what.
        upstream: to whom.
        serving: the account whose request is being answered.

    Raises:
        ValueError: when there is no such account.
    """
    accounts = upstream.logins.accounts()

    def email(name: AccountName | None) -> Any:
        return None if name is None else email_of(name, accounts, serving)

    if action.refuse is not None:
        about = action.refuse
        fault = new_fault(
            about.kind,
            target=about.target,
            email=email(about.account),
            model=about.model,
            family=about.family,
            times=about.times,
            options=about.options,
        )
        upstream.add_fault(fault)
    elif action.drain is not None:
        upstream.quotas.drain(email(action.drain.account), action.drain.family, action.drain.seconds)
    elif action.quota is not None:
        quota = action.quota
        whose = [one.email for one in accounts] if quota.account is None else [email(quota.account)]
        for one, family in itertools.product(whose, FAMILIES if quota.family is None else (quota.family,)):
            upstream.quotas.set(one, family, quota.requests, quota.window_seconds)
    elif action.pace is not None:
        latency, pace = upstream.latency, action.pace
        latency.served, latency.per_chunk = pace.seconds, pace.per_chunk
        latency.refused, latency.token = pace.refused, pace.token
    elif action.revoke is not None:
        upstream.logins.revoke(email(action.revoke))
    elif action.heal:
        upstream.heal()


__all__ = ["check_accounts", "email_of", "perform"]
