"""Which OAuth client an account's refresh token goes with: its entry's, else the settings'; and who has none.

None is built in: a client names the program that asks, and this package does not pose as another program.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from litellm_antigravity.accounts import Account, AccountsSnapshot, FileCooldown, OAuthClient, RefreshToken
from litellm_antigravity.cooldowns import WHOLE_ACCOUNT
from litellm_antigravity.errors import CredentialError
from litellm_antigravity.models import FAMILIES
from litellm_antigravity.settings import Settings

NEEDS_CLIENT: Final = "needs an OAuth client"
"""The reason of an account that is out because nothing names a client for its refresh token."""

SWITCHED_OFF: Final = "disabled"
"""The reason of an account that the user has disabled for one family of models."""

_REMEDY: Final = (
    "set `oauth_client_id` and `oauth_client_secret` (in the environment LITELLM_ANTIGRAVITY_OAUTH_CLIENT_ID and "
    "LITELLM_ANTIGRAVITY_OAUTH_CLIENT_SECRET), or sign in with `litellm-antigravity auth login --client-secrets FILE`"
)
_NONE_BUILT_IN: Final = (
    "None is built in: a client names the program that asks, and this package does not pose as another program."
)


def client_for(account: Account, settings: Settings) -> OAuthClient | None:
    """Return the OAuth client for an account's refresh token: of its entry, else of the settings.

    Args:
        account: whose.
        settings: for the client of those that have none of their own.

    Returns:
        ``None`` when there is none, or when the entry names one that cannot be had: another one would not do.
    """
    if account.oauth_client is not None or account.client_problem is not None:
        return account.oauth_client
    if not settings.oauth_client_id:
        return None
    return OAuthClient(settings.oauth_client_id, settings.oauth_client_secret, "settings")


def needs_client(account: Account, settings: Settings) -> bool:
    """Return whether an account has a bare refresh token, and there is no client that it goes with."""
    return isinstance(account.credential, RefreshToken) and client_for(account, settings) is None


def clients_missing(accounts: Iterable[Account], settings: Settings) -> str | None:
    """Return one sentence about the accounts that need an OAuth client; ``None`` when none does.

    Args:
        accounts: all that are to be used.
        settings: for the client of those that have none of their own.
    """
    missing = [account for account in accounts if needs_client(account, settings)]
    if not missing:
        return None
    count, broken = len(missing), [account.client_problem for account in missing if account.client_problem]
    needs = f"{count} account{' needs' if count == 1 else 's need'} an OAuth client"
    if len(broken) == count:
        return f"{needs}, and the one that {'it names' if count == 1 else 'they name'} cannot be had: {broken[0]}."
    return f"{needs}; none is set: {_REMEDY}."


def why_and_how(account: Account) -> str:
    """Return why a refresh token needs a client, and how to give it one."""
    if account.client_problem is not None:
        return f"Its entry in the accounts file names one that cannot be had: {account.client_problem}."
    return f"A refresh token works only with the client that it was issued to: {_REMEDY}. {_NONE_BUILT_IN}"


class Readiness:
    """Which accounts may be chosen, as far as the accounts file and the settings say: the others are benched.

    Args:
        settings: for the OAuth client.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._last: tuple[AccountsSnapshot, AccountsSnapshot, str | None] | None = None

    def checked(self, snapshot: AccountsSnapshot) -> AccountsSnapshot:
        """Return the snapshot with a cooldown for every family that an account may not serve.

        The very same object if there is none, and always the same one for the same snapshot.
        """
        return self._look(snapshot)[1]

    def check_clients(self, snapshot: AccountsSnapshot) -> None:
        """Make sure that not every enabled account needs an OAuth client.

        Args:
            snapshot: as the source of the accounts has it.

        Raises:
            CredentialError: when all do; one sentence that says so.
        """
        problem = self._look(snapshot)[2]
        if problem is not None:
            raise CredentialError(f"{problem} {_NONE_BUILT_IN}", retryable=False)

    def _look(self, snapshot: AccountsSnapshot) -> tuple[AccountsSnapshot, AccountsSnapshot, str | None]:
        last = self._last
        if last is not None and last[0] is snapshot:
            return last
        accounts = tuple(self._benched(account) for account in snapshot.accounts)
        unchanged = all(new is old for new, old in zip(accounts, snapshot.accounts, strict=True))
        stuck = bool(snapshot.enabled) and all(needs_client(account, self._settings) for account in snapshot.enabled)
        self._last = looked = (
            snapshot,
            snapshot if unchanged else replace(snapshot, accounts=accounts),
            clients_missing(snapshot.enabled, self._settings) if stuck else None,
        )
        return looked

    def _benched(self, account: Account) -> Account:
        ours = [
            FileCooldown(family, math.inf, f"{SWITCHED_OFF} for {family}")
            for family in FAMILIES
            if family in account.disabled_families
        ]
        if needs_client(account, self._settings):
            ours.append(FileCooldown(WHOLE_ACCOUNT, math.inf, NEEDS_CLIENT))
        if not ours:
            return account
        pools = {one.pool for one in ours}
        others = (one for one in account.cooldowns if one.pool not in pools)
        return replace(account, cooldowns=(*others, *ours))
