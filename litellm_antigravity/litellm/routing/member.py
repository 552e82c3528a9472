"""A deployment that names an account, and the account that it names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pydantic import SecretStr

from litellm_antigravity.accounts import Account, StaticToken
from litellm_antigravity.accounts.account import account_id_for
from litellm_antigravity.litellm.seams.requests import Deployment, account_named, info_of, meant, model_of, params_of
from litellm_antigravity.masking import mask_email


@dataclass(frozen=True, slots=True)
class Member:
    """A deployment that names an account.

    Attributes:
        deployment_id: ``model_info.id``.
        name: the account as the model list names it.
        provider: LiteLLM's name of the provider.
        model: the model without the provider. Of a wildcard deployment it is a pattern in the model list and the
            model asked for in a request, so it does not count in comparisons.
        api_key: whose change makes it another credential; not shown.
    """

    deployment_id: str
    name: str
    provider: str
    model: str = field(compare=False)
    api_key: SecretStr | None = None

    @classmethod
    def of(cls, deployment: Deployment) -> Member | None:
        """Return what a deployment says about its account; ``None`` when it names none."""
        info = info_of(deployment)
        name, deployment_id = account_named(info), info.get("id")
        if name is None or not isinstance(deployment_id, str):
            return None
        params, asked = params_of(deployment), model_of(deployment)
        provider, _, model = asked.partition("/")
        given = params.get("custom_llm_provider")
        if not model or (isinstance(given, str) and given and given != provider):
            provider, model = str(given or "openai"), asked
        key = params.get("api_key")
        return cls(deployment_id, name.strip(), provider, model, SecretStr(key) if isinstance(key, str) else None)

    def model_for(self, requested: str) -> str:
        """Return the model that a request for ``requested`` asks of it."""
        return meant(self.model, requested)

    @property
    def foreign_account(self) -> Account:
        """The account of another provider: it is known by provider and name, and its credential is the API key."""
        account_id = account_id_for(f"{self.provider}/{self.name}", StaticToken(SecretStr("")))
        label = mask_email(self.name) if "@" in self.name else self.name
        return Account(account_id, None, label, StaticToken(self.api_key or SecretStr("")))


def find_account(accounts: Iterable[Account], name: str) -> Account | None:
    """Return the account with this e-mail, in any case, or this id; or else the only one with this label.

    A label, also the masked e-mail that an account has without one, keeps e-mails out of the model list.
    """
    folded, known = name.strip().casefold(), list(accounts)
    for one in known:
        if one.id == name or (one.email is not None and one.email.casefold() == folded):
            return one
    labelled = [one for one in known if one.label.casefold() == folded]
    return labelled[0] if len(labelled) == 1 else None


__all__ = ["Member", "find_account"]
