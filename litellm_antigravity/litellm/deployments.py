"""The deployments that draw on accounts, read off the model lists: every worker knows all of them, served or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from litellm_antigravity.accounts import AccountsSnapshot
from litellm_antigravity.credentials.clients import Readiness
from litellm_antigravity.errors import AccountsFileError
from litellm_antigravity.litellm.routing.group import accounts_of
from litellm_antigravity.litellm.routing.member import Member
from litellm_antigravity.litellm.seams.requests import Deployment, info_of, meant, model_of
from litellm_antigravity.litellm.seams.router import model_lists
from litellm_antigravity.models import PROVIDER
from litellm_antigravity.observability.known import KnownAccounts
from litellm_antigravity.observability.status import Target
from litellm_antigravity.pool import AccountPool


def targets_of(pool: AccountPool) -> list[Target]:
    """Return the deployments of all Routers that draw on accounts of ours, in the order of the model lists.

    Args:
        pool: that has the accounts file.
    """
    in_file = _in_file(pool)
    found: dict[str, Target] = {}
    for model_list in model_lists():
        pinned = {one.deployment_id: one for one in _pinned(model_list, in_file)}
        for deployment in model_list:
            identifier = info_of(deployment).get("id")
            if isinstance(identifier, str):
                target = pinned.get(identifier) or _of_pool(identifier, deployment, in_file)
                if target is not None:
                    found.setdefault(identifier, target)
    return list(found.values())


def _pinned(model_list: Sequence[Deployment], in_file: AccountsSnapshot | None) -> Iterator[Target]:
    for name, members in _groups_of(model_list).items():
        snapshot, account_ids = accounts_of(members, in_file)
        for one in members:
            account_id = account_ids.get(one.deployment_id)
            yield Target(one.deployment_id, name, one.model, account_id, snapshot)


def _of_pool(identifier: str, deployment: Deployment, in_file: AccountsSnapshot | None) -> Target | None:
    model = _model_of_ours(deployment)
    if in_file is None or model is None:
        return None
    return Target(identifier, str(deployment.get("model_name")), model, None, in_file)


def _model_of_ours(deployment: Deployment) -> str | None:
    """Return the model of a deployment of this provider, without the provider; ``None`` when it is another's."""
    provider, slash, model = model_of(deployment).partition("/")
    return model if slash and provider == PROVIDER else None


def models_behind(name: str, deployments: Sequence[Deployment]) -> list[str]:
    """Return the models that accounts are chosen for when a name of the model list is asked for, each once.

    Args:
        name: that is asked for; through a wildcard it is the model itself.
        deployments: that LiteLLM would choose from.
    """
    pinned = [member.model for one in deployments if (member := Member.of(one)) is not None]
    ours = [model for one in deployments if (model := _model_of_ours(one)) is not None]
    return list(dict.fromkeys(meant(model, name) for model in pinned or ours))


def known_to(pool: AccountPool) -> KnownAccounts:
    """Return the accounts of the accounts file, and those of other providers that deployments name.

    Args:
        pool: that has the accounts file.
    """
    in_file = _in_file(pool)
    groups = [members for model_list in model_lists() for members in _groups_of(model_list).values()]
    named = [account for members in groups for account in accounts_of(members, in_file)[0].accounts]
    return KnownAccounts.of(() if in_file is None else in_file.accounts, named)


def _groups_of(model_list: Sequence[Deployment]) -> dict[str, list[Member]]:
    """Return the deployments that name an account, by group."""
    groups: dict[str, list[Member]] = {}
    for deployment in model_list:
        member = Member.of(deployment)
        if member is not None:
            groups.setdefault(str(deployment.get("model_name")), []).append(member)
    return groups


def _in_file(pool: AccountPool) -> AccountsSnapshot | None:
    """Return the accounts of the file, benched where the file or the settings say that they may not serve."""
    try:
        return Readiness(pool.settings).checked(pool.accounts.current())
    except AccountsFileError:
        return None  # a gateway of other providers' keys


__all__ = ["known_to", "models_behind", "targets_of"]
