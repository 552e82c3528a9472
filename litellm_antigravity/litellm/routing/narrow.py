"""Narrows a group of pinned deployments to those of one account."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

from litellm_antigravity.dispatch import Dispatcher
from litellm_antigravity.errors import AllAccountsLimitedError
from litellm_antigravity.litellm.routing.group import Group
from litellm_antigravity.litellm.routing.member import Member
from litellm_antigravity.litellm.seams.requests import EXCLUDED, TARGET_ORDER, Deployment, info_of, params_of
from litellm_antigravity.pool import AccountPool, Lease

_MINUTE: Final = 60.0  # for which a model list's rpm and tpm are counted, by the clock
_TOLD_AGAIN: Final = 3600.0  # seconds after which a cooldown that goes on is news


class NewCooldown(NamedTuple):
    """A deployment whose account has begun to cool down.

    Attributes:
        deployment_id: its ``model_info.id``.
        seconds: until it is back; ``None`` when nobody knows.
    """

    deployment_id: str
    seconds: float | None


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
        self._full_until: dict[str, float] = {}  # by deployments, which the model list has
        self._told_until: dict[str, float] = {}

    def forget(self) -> None:
        """Make every group anew: the settings have changed."""
        with self._lock:
            self._groups, self._by_deployment = {}, {}
            self._full_until, self._told_until = {}, {}

    def groups(self) -> Mapping[str, Group]:
        """Return the groups that have been asked for, by name."""
        with self._lock:
            return dict(self._groups)

    def narrow(
        self,
        requested: str,
        deployments: Sequence[Deployment],
        request_kwargs: Mapping[str, Any] | None,
        *,
        unfit: Sequence[Deployment] = (),
        conversation: str | None = None,
    ) -> Sequence[Deployment]:
        """Return the deployments that LiteLLM may choose from.

        Looks only: nothing is sent, no cursor moves and no token is taken; but a new conversation is placed.

        Args:
            requested: the model that the caller asked for.
            deployments: those that LiteLLM's own filters have left.
            request_kwargs: the request as the Router has it; empty when it only asks.
            unfit: deployments of the group that will never do for this request.
            conversation: the key of the conversation that is to stay on its account.

        Raises:
            AllAccountsLimitedError: when every account of the group is limited.
        """
        pinned = [(deployment, member) for deployment in deployments if (member := Member.of(deployment)) is not None]
        if not pinned:
            return deployments
        kept = _not_excluded(pinned, request_kwargs)
        group = self._group_of(pinned)
        model, asked = requested, set[str]()
        not_full = self._not_full(kept)
        tries = [not_full] if len(not_full) == len(kept) else [not_full, kept]  # LiteLLM says what those have reached
        for level in chain.from_iterable(_by_order(one, request_kwargs) for one in tries):
            of_account: dict[str, list[Deployment]] = {}
            for deployment, member in level:
                account_id = group.account_id(member.deployment_id)
                if account_id is not None:
                    of_account.setdefault(account_id, []).append(deployment)
            model = level[0][1].model_for(model)
            chosen = group.pool.choose(model, among=of_account, conversation=conversation)
            if chosen is not None:
                mine = {id(deployment) for deployment in of_account[chosen]}
                return [one for one in deployments if id(one) in mine or Member.of(one) is None]
            asked.update(of_account)
        others = [deployment for deployment in deployments if Member.of(deployment) is None]
        if others:
            return others
        # LiteLLM leaves out those that it benches for a time of its own; they may be back before the others.
        never = {group.account_id(member.deployment_id) for one in unfit if (member := Member.of(one)) is not None}
        benched = [one.id for one in group.current().accounts if one.id not in never]
        error = group.limited_error(model, asked, besides=benched)
        if error is None:
            return deployments  # LiteLLM's own filters will say why none of them will do
        raise error

    def free(
        self, requested: str, deployments: Sequence[Deployment], request_kwargs: Mapping[str, Any] | None
    ) -> Sequence[Deployment]:
        """Return the deployments whose accounts are free, and those that name none, in their order.

        That is what LiteLLM's other filters are to choose from, as it is with cooldowns of its own.

        Args:
            requested: the model that the caller asked for.
            deployments: of one group.
            request_kwargs: the request as the Router has it.
        """
        pinned = [(deployment, member) for deployment in deployments if (member := Member.of(deployment)) is not None]
        if not pinned:
            return deployments
        group = self._group_of(pinned)
        models = {member.model_for(requested) for _, member in pinned}
        of_model = {model: group.pool.availability(model) for model in models}

        def is_free(member: Member) -> bool:
            account_id = group.account_id(member.deployment_id)
            return account_id is not None and of_model[member.model_for(requested)].is_free(account_id)

        free = [(deployment, member) for deployment, member in pinned if is_free(member)]
        may = {id(deployment) for deployment, _ in self._not_full(_not_excluded(free, request_kwargs))}
        return [one for one in deployments if id(one) in may or Member.of(one) is None]

    def pool_of(self, deployments: Sequence[Deployment]) -> AccountPool | None:
        """Return the pool of the group that these deployments belong to; ``None`` when they name no account."""
        pinned = [(deployment, member) for deployment in deployments if (member := Member.of(deployment)) is not None]
        return self._group_of(pinned).pool if pinned else None

    def may_be_limited(self, request_kwargs: Mapping[str, Any] | None) -> bool:
        """Return whether it is worth asking `free` who is; by what this process knows, which touches no disk."""
        failed = any((request_kwargs or {}).get(key) for key in EXCLUDED)
        return bool(failed or self._full_until or self._dispatcher().pool.store.known().cooldowns)

    def note_full(self, deployment_id: str) -> None:
        """Note that a deployment has reached a limit of its own: others come first until the minute of the clock ends.

        Args:
            deployment_id: its ``model_info.id``.
        """
        now = self._dispatcher().clock.time()
        self._full_until[deployment_id] = now + _MINUTE - now % _MINUTE

    def has_room(self, group: Group, model: str) -> bool:
        """Return whether a group has a free account with a deployment that is not at a limit of its own."""
        available, now = group.pool.availability(model), self._dispatcher().clock.time()
        return any(
            available.is_free(group.account_id(deployment_id) or "") and self._full_until.get(deployment_id, 0.0) <= now
            for deployment_id in group.members
        )

    def new_cooldown(self, group: Group, member: Member, model: str) -> NewCooldown | None:
        """Return the cooldown of a member's account for a model, if it has one that was not asked for yet."""
        limited = group.limited_error(model, [group.account_id(member.deployment_id) or ""])
        now = self._dispatcher().clock.time()
        if limited is None or now < self._told_until.get(member.deployment_id, 0.0):
            return None
        self._told_until[member.deployment_id] = now + min(limited.retry_after or _TOLD_AGAIN, _TOLD_AGAIN)
        return NewCooldown(member.deployment_id, limited.retry_after)

    def _not_full(self, pinned: Sequence[tuple[Deployment, Member]]) -> Sequence[tuple[Deployment, Member]]:
        """Leave out deployments that have reached limits of their own, as long as something is left."""
        if not self._full_until:
            return pinned
        now = self._dispatcher().clock.time()
        return [one for one in pinned if self._full_until.get(one[1].deployment_id, 0.0) <= now] or pinned

    def limited_error_of(self, requested: str) -> AllAccountsLimitedError | None:
        """Return the error that says why a group has nobody, when LiteLLM has left none of its deployments.

        LiteLLM benches a deployment after a failure for a time of its own; what we know of the accounts says more.

        Args:
            requested: the model that the caller asked for.
        """
        group = self._groups.get(requested)
        if group is None or self._is_mixed(requested, group):
            return None
        return group.limited_error()

    def limited_error_after(self, model_info: object) -> AllAccountsLimitedError | None:
        """Return the error that says why a group has nobody left, after a request to one of its members has failed.

        Args:
            model_info: of the deployment that failed.
        """
        found = self.member_of(model_info)
        if found is None:
            return None
        group, member = found
        name = next((name for name, known in self._groups.items() if known is group), None)
        if name is None or self._is_mixed(name, group):
            return None
        return group.limited_error(member.model)

    def _is_mixed(self, name: str, group: Group) -> bool:
        """Return whether a group has deployments that name no account, in a model list that has its members, too."""
        for model_list in self._model_lists():
            members = [Member.of(deployment) for deployment in model_list if deployment.get("model_name") == name]
            if None in members and any(member and member.deployment_id in group.members for member in members):
                return True
        return False

    def member_of(self, model_info: object) -> tuple[Group, Member] | None:
        """Return the group and the member that a request goes to; ``None`` when its deployment names no account."""
        deployment_id = model_info.get("id") if isinstance(model_info, Mapping) else None
        if not isinstance(deployment_id, str):
            return None
        group = self._by_deployment.get(deployment_id)
        member = None if group is None else group.members.get(deployment_id)
        return None if group is None or member is None else (group, member)

    def take(self, group: Group, member: Member, model: str, conversation: str | None = None) -> Lease | None:
        """Count a request to another provider as sent; its deployment has been chosen."""
        account_id = group.account_id(member.deployment_id)
        if account_id is None:
            return None
        return group.pool.take(model, account_id, conversation)

    def _group_of(self, pinned: Sequence[tuple[Deployment, Member]]) -> Group:
        return self._group(str(pinned[0][0].get("model_name")), [member for _, member in pinned])

    def _group(self, name: str, seen: Sequence[Member]) -> Group:
        """Return the group of these deployments; one that changes stays the same group."""
        with self._lock:
            group = next((known for one in seen if (known := self._by_deployment.get(one.deployment_id))), None)
            if group is not None and all(group.members.get(one.deployment_id) == one for one in seen):
                return group
            members = self._members(name, seen if group is None else _joined(group.members.values(), seen))
            if group is None and (earlier := self._groups.get(name)) is not None and not self._is_alive(earlier):
                group = earlier  # every deployment has been replaced
            if group is None:
                group = Group(members, self._dispatcher())
            else:
                group.change(members)
            self._groups[name] = group
            self._by_deployment.update(dict.fromkeys(group.members, group))
            return group

    def _is_alive(self, group: Group) -> bool:
        """Return whether some model list still has a deployment of this group."""
        return any(
            info_of(deployment).get("id") in group.members
            for model_list in self._model_lists()
            for deployment in model_list
        )

    def _members(self, name: str, seen: Sequence[Member]) -> Sequence[Member]:
        """Return the whole group in order: from the model list that has it, else what was seen."""
        wanted = {member.deployment_id for member in seen}
        found: Sequence[Member] = ()
        for model_list in self._model_lists():
            members = [
                member
                for deployment in model_list
                if deployment.get("model_name") == name and (member := Member.of(deployment)) is not None
            ]
            if wanted <= {member.deployment_id for member in members}:
                return members
            if not found and not wanted.isdisjoint(member.deployment_id for member in members):
                found = members  # some that were known have been removed
        return found or seen


def _joined(known: Iterable[Member], seen: Sequence[Member]) -> Sequence[Member]:
    """Return the members that are known, as they are now, and the new ones behind them."""
    joined = {member.deployment_id: member for member in known}
    joined.update({member.deployment_id: member for member in seen})
    return list(joined.values())


def _not_excluded(
    pinned: Sequence[tuple[Deployment, Member]], request_kwargs: Mapping[str, Any] | None
) -> Sequence[tuple[Deployment, Member]]:
    """Leave out what LiteLLM excludes after a failure, as long as something is left."""
    kept = pinned
    for key in EXCLUDED:
        excluded = set((request_kwargs or {}).get(key) or ())
        kept = [one for one in kept if one[1].deployment_id not in excluded] or kept
    return kept


def _by_order(
    pinned: Sequence[tuple[Deployment, Member]], request_kwargs: Mapping[str, Any] | None
) -> Iterable[Sequence[tuple[Deployment, Member]]]:
    """Yield the deployments of each ``order``, lowest first, or of the one that LiteLLM asks for.

    As in LiteLLM, deployments without an ``order`` are left out where others have one. There a deployment that cools
    down leaves its turn to the next order, so a limited account does too.
    """
    orders = [params_of(deployment).get("order") for deployment, _ in pinned]
    known = sorted({order for order in orders if isinstance(order, int)})
    if not known:
        return [pinned] if pinned else []
    target = (request_kwargs or {}).get(TARGET_ORDER)
    if isinstance(target, int):
        known = [target] if target in known else []
    return [[one for one, order in zip(pinned, orders, strict=True) if order == wanted] for wanted in known]


__all__ = ["NewCooldown", "PinnedRouting"]
