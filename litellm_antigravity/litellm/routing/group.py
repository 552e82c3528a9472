"""A group of pinned deployments: who is in it, and the pool that chooses among its accounts."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from litellm_antigravity.accounts import Account, AccountsSnapshot
from litellm_antigravity.accounts.account import arranged
from litellm_antigravity.dispatch import Dispatcher
from litellm_antigravity.errors import AllAccountsLimitedError
from litellm_antigravity.litellm.routing.member import Member, find_account
from litellm_antigravity.models import PROVIDER, canonical_model
from litellm_antigravity.pool import AccountPool
from litellm_antigravity.wording import all_limited


def accounts_of(members: Iterable[Member], in_file: AccountsSnapshot | None) -> tuple[AccountsSnapshot, dict[str, str]]:
    """Return the accounts of a group's members, and by deployment the id of its account, if it has one.

    Args:
        members: in the order of the model list.
        in_file: the accounts of the accounts file; ``None`` when there is none.
    """
    accounts: dict[str, Account] = {}
    account_ids: dict[str, str] = {}
    for member in members:
        if member.provider == PROVIDER:
            account = find_account(in_file.accounts if in_file else (), member.name)
        else:
            account = member.foreign_account
        if account is not None:
            account_ids[member.deployment_id] = account.id
            accounts.setdefault(account.id, account)
    path = in_file.path if in_file is not None else Path("the model list")
    return AccountsSnapshot(path, 4, arranged(accounts.values())), account_ids


class Group:
    """One group: who is in it, and the pool that chooses.

    Args:
        members: in the order of the model list.
        dispatcher: for settings, state and the accounts file.
    """

    def __init__(self, members: Sequence[Member], dispatcher: Dispatcher) -> None:
        self.members: Mapping[str, Member] = {}
        self._lock = threading.Lock()
        self._file = dispatcher.pool.accounts
        self._in_file: AccountsSnapshot | None = None
        self._snapshot: AccountsSnapshot | None = None
        self._account_ids: dict[str, str] = {}
        self.change(members)
        self.pool = AccountPool(
            dispatcher.settings,
            accounts=self,
            store=dispatcher.pool.store,
            clock=dispatcher.clock,
            identity=lambda: dispatcher.pool.identity,
        )

    def change(self, members: Sequence[Member]) -> None:
        """Have these members from now on; the pool goes on with its cursor and its current account."""
        with self._lock:
            self.members = {member.deployment_id: member for member in members}
            self._snapshot = None

    def current(self) -> AccountsSnapshot:
        """Return the group's accounts; see `AccountSource`."""
        ours = any(member.provider == PROVIDER for member in self.members.values())
        in_file = self._file.current() if ours else None
        with self._lock:
            if self._snapshot is None or in_file is not self._in_file:
                self._in_file = in_file
                self._snapshot, self._account_ids = accounts_of(self.members.values(), in_file)
            return self._snapshot

    def limited_error(
        self, model: str | None = None, among: Collection[str] | None = None, *, besides: Collection[str] = ()
    ) -> AllAccountsLimitedError | None:
        """Return the error that says why none of these accounts is free for ``model``; ``None`` if one is.

        Args:
            model: that of the first member when absent.
            among: account ids; the whole group's when absent.
            besides: account ids that may not be used now for a reason of somebody else's: the error tells of them as
                well where they are limited, since they may be the first to be back.
        """
        name = next((member.model for member in self.members.values()), "") if model is None else model
        available = self.pool.availability(name)
        enabled, benched = available.snapshot.enabled, available.benched
        accounts = [account for account in enabled if among is None or account.id in among]
        if not accounts or any(account.id not in benched for account in accounts):
            return None
        told = [one for one in enabled if one in accounts or (one.id in besides and one.id in benched)]
        return all_limited(told, benched, canonical_model(name), self.pool.clock.time())

    def account_id(self, deployment_id: str) -> str | None:
        """Return the id of a deployment's account; ``None`` when the accounts file does not have it."""
        self.current()
        return self._account_ids.get(deployment_id)


__all__ = ["Group", "accounts_of"]
