"""Pinned deployments: groups of the model list whose deployments name an account are routed by our strategies.

A group is all deployments of one ``model_name`` that name an account in ``model_info.account``. Each group has an
`AccountPool` of its own over the shared state: its accounts, in the order of the model list. Groups that name no
account are not looked at.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import SecretStr

from litellm_antigravity.accounts import Account, AccountsSnapshot, StaticToken
from litellm_antigravity.accounts.account import account_id_for, arranged, mask_email
from litellm_antigravity.dispatch import Dispatcher
from litellm_antigravity.models import PROVIDER
from litellm_antigravity.pool import AccountPool, Lease

Deployment: TypeAlias = Mapping[str, Any]

# What LiteLLM's Router leaves in a request for its own filters, which run after ours.
_TARGET_ORDER = "_target_order"
_EXCLUDED = ("_excluded_deployment_ids", "_retry_skipped_deployment_ids")


@dataclass(frozen=True, slots=True)
class Member:
    """A deployment that names an account.

    Attributes:
        deployment_id: ``model_info.id``.
        name: the account as the model list names it.
        provider: LiteLLM's name of the provider.
        model: the model without the provider; ``*`` for a wildcard.
        api_key: whose change makes it another credential; not shown.
    """

    deployment_id: str
    name: str
    provider: str
    model: str
    api_key: SecretStr | None = None

    @classmethod
    def of(cls, deployment: Deployment) -> Member | None:
        """Return what a deployment says about its account; ``None`` when it names none."""
        info = deployment.get("model_info") or {}
        name, deployment_id = info.get("account"), info.get("id")
        if not isinstance(name, str) or not name.strip() or not isinstance(deployment_id, str):
            return None
        params = deployment.get("litellm_params") or {}
        provider, _, model = str(params.get("model", "")).partition("/")
        given = params.get("custom_llm_provider")
        if not model or (isinstance(given, str) and given and given != provider):
            provider, model = str(given or "openai"), str(params.get("model", ""))
        key = params.get("api_key")
        return cls(deployment_id, name.strip(), provider, model, SecretStr(key) if isinstance(key, str) else None)

    @property
    def foreign_account(self) -> Account:
        """The account of another provider: it is known by provider and name, and its credential is the API key."""
        account_id = account_id_for(f"{self.provider}/{self.name}", StaticToken(SecretStr("")))
        label = mask_email(self.name) if "@" in self.name else self.name
        return Account(account_id, None, label, StaticToken(self.api_key or SecretStr("")))


class Group:
    """One group: who is in it, and the pool that chooses.

    Args:
        members: in the order of the model list.
        dispatcher: for settings, state and the accounts file.
    """

    def __init__(self, members: Sequence[Member], dispatcher: Dispatcher) -> None:
        self.members = {member.deployment_id: member for member in members}
        self._file = dispatcher.pool.accounts
        self._in_file: AccountsSnapshot | None = None
        self._snapshot: AccountsSnapshot | None = None
        self._account_ids: dict[str, str] = {}
        self._lock = threading.Lock()
        self.pool = AccountPool(
            dispatcher.settings,
            accounts=self,
            store=dispatcher.pool.store,
            clock=dispatcher.clock,
            identity=lambda: dispatcher.pool.identity,
        )

    def current(self) -> AccountsSnapshot:
        """Return the group's accounts; see `AccountSource`."""
        ours = any(member.provider == PROVIDER for member in self.members.values())
        in_file = self._file.current() if ours else None
        with self._lock:
            if self._snapshot is None or in_file is not self._in_file:
                self._in_file = in_file
                self._snapshot = self._taken(in_file)
            return self._snapshot

    def _taken(self, in_file: AccountsSnapshot | None) -> AccountsSnapshot:
        accounts: dict[str, Account] = {}
        self._account_ids = {}
        for member in self.members.values():
            if member.provider == PROVIDER:
                account = find_account(in_file.accounts if in_file else (), member.name)
            else:
                account = member.foreign_account
            if account is not None:
                self._account_ids[member.deployment_id] = account.id
                accounts.setdefault(account.id, account)
        path = in_file.path if in_file is not None else Path("the model list")
        return AccountsSnapshot(path, 4, arranged(accounts.values()))

    def account_id(self, deployment_id: str) -> str | None:
        """Return the id of a deployment's account; ``None`` when the accounts file does not have it."""
        self.current()
        return self._account_ids.get(deployment_id)


def find_account(accounts: Iterable[Account], name: str) -> Account | None:
    """Return the account with this e-mail, in any case, or this id."""
    folded = name.strip().casefold()
    return next(
        (one for one in accounts if one.id == name or (one.email is not None and one.email.casefold() == folded)), None
    )


class PinnedRouting:
    """Narrows a group's deployments to those of the account that the strategy chooses.

    Args:
        dispatcher: gives the dispatcher; asked when there is something to route.
        model_lists: gives the model lists there are, to know groups whole and in order.
    """

    def __init__(
        self, dispatcher: Callable[[], Dispatcher], model_lists: Callable[[], Iterable[Sequence[Deployment]]]
    ) -> None:
        self._dispatcher = dispatcher
        self._model_lists = model_lists
        self._lock = threading.Lock()
        self._groups: dict[str, Group] = {}
        self._by_deployment: dict[str, Group] = {}

    def forget(self) -> None:
        """Make every group anew: the settings have changed."""
        with self._lock:
            self._groups, self._by_deployment = {}, {}

    def narrow(
        self, requested: str, deployments: Sequence[Deployment], request_kwargs: Mapping[str, Any] | None
    ) -> Sequence[Deployment]:
        """Return the deployments that LiteLLM may choose from.

        Looks only: nothing is sent, no cursor moves and no token is taken.

        Args:
            requested: the model that the caller asked for.
            deployments: those that LiteLLM's own filters have left.
            request_kwargs: the request as the Router has it; empty when it only asks.

        Raises:
            AllAccountsLimitedError: when every account of the group is limited.
        """
        pinned = [(deployment, member) for deployment in deployments if (member := Member.of(deployment)) is not None]
        if not pinned:
            return deployments
        eligible = _first_in_order(_not_excluded(pinned, request_kwargs), request_kwargs)
        if not eligible:
            return deployments  # LiteLLM's filters will say why
        group = self._group(deployments, [member for _, member in pinned])
        of_account: dict[str, list[Deployment]] = {}
        for deployment, member in eligible:
            account_id = group.account_id(member.deployment_id)
            if account_id is not None:
                of_account.setdefault(account_id, []).append(deployment)
        model = eligible[0][1].model
        if "*" in model:
            model = requested
        chosen = group.pool.choose(model, among=of_account)
        if chosen is not None:
            return of_account[chosen]
        others = [deployment for deployment in deployments if Member.of(deployment) is None]
        error = group.pool.limits(model, of_account)
        if others or error is None:
            return others
        raise error

    def member_of(self, model_info: object) -> tuple[Group, Member] | None:
        """Return the group and the member that a request goes to; ``None`` when its deployment names no account."""
        deployment_id = model_info.get("id") if isinstance(model_info, Mapping) else None
        group = self._by_deployment.get(deployment_id) if isinstance(deployment_id, str) else None
        return None if group is None else (group, group.members[str(deployment_id)])

    def take(self, group: Group, member: Member, model: str) -> Lease | None:
        """Count a request to another provider as sent; its deployment has been chosen."""
        account_id = group.account_id(member.deployment_id)
        if account_id is None:
            return None
        return group.pool.take(model, account_id)

    def _group(self, deployments: Sequence[Deployment], seen: Sequence[Member]) -> Group:
        name = str(deployments[0].get("model_name"))
        with self._lock:
            group = self._groups.get(name)
            if group is not None and all(group.members.get(one.deployment_id) == one for one in seen):
                return group
            members = self._members(name, seen)
            group = self._groups[name] = Group(members, self._dispatcher())
            self._by_deployment.update(dict.fromkeys(group.members, group))
            return group

    def _members(self, name: str, seen: Sequence[Member]) -> Sequence[Member]:
        """Return the whole group in order: from the model list that has it, else what was seen."""
        wanted = {member.deployment_id for member in seen}
        for model_list in self._model_lists():
            members = [
                member
                for deployment in model_list
                if deployment.get("model_name") == name and (member := Member.of(deployment)) is not None
            ]
            if wanted <= {member.deployment_id for member in members}:
                return members
        return seen


def _not_excluded(
    pinned: Sequence[tuple[Deployment, Member]], request_kwargs: Mapping[str, Any] | None
) -> Sequence[tuple[Deployment, Member]]:
    """Leave out what LiteLLM excludes after a failure, as long as something is left."""
    kept = pinned
    for key in _EXCLUDED:
        excluded = set((request_kwargs or {}).get(key) or ())
        kept = [one for one in kept if one[1].deployment_id not in excluded] or kept
    return kept


def _first_in_order(
    pinned: Sequence[tuple[Deployment, Member]], request_kwargs: Mapping[str, Any] | None
) -> Sequence[tuple[Deployment, Member]]:
    """Keep the lowest ``order``, or the one that LiteLLM asks for; deployments without one count as they do there."""
    orders = [deployment.get("litellm_params", {}).get("order") for deployment, _ in pinned]
    known = [order for order in orders if isinstance(order, int)]
    if not known:
        return pinned
    target = (request_kwargs or {}).get(_TARGET_ORDER)
    wanted = target if isinstance(target, int) else min(known)
    return [one for one, order in zip(pinned, orders, strict=True) if order == wanted]


__all__ = ["Deployment", "Group", "Member", "PinnedRouting", "find_account"]
