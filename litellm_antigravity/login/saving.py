"""What a sign-in leaves behind: an account in the accounts file, and in the shared state that it may be used again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import SecretStr

from litellm_antigravity.accounts import Account, OAuthClient, RefreshToken
from litellm_antigravity.clock import Clock
from litellm_antigravity.cooldowns import WHOLE_ACCOUNT
from litellm_antigravity.credentials.project import Projects
from litellm_antigravity.errors import CredentialError, RequestRefusedError, StateUnavailableError
from litellm_antigravity.login.exchange import TIMEOUT_SECONDS, SignedIn
from litellm_antigravity.refusals import RefusalKind
from litellm_antigravity.settings import Settings
from litellm_antigravity.state.memory import MemoryStore
from litellm_antigravity.wire.http import HttpClients

_CURED = frozenset({RefusalKind.REVOKED.value, RefusalKind.AUTH.value})
"""What a new sign-in is the remedy for; a ban, a verification or a quota goes with the account, not its token."""


def project_of(
    account: Account, token: SecretStr, settings: Settings, http: HttpClients, clock: Clock
) -> tuple[str | None, str | None]:
    """Return the account's project; else ``None`` and why upstream names none. The first request asks again.

    Args:
        account: whose.
        token: its access token.
        settings: for ``endpoint``.
        http: for the question.
        clock: for its time limit.
    """
    try:
        return Projects(settings, MemoryStore(), http, clock).project(account, token, TIMEOUT_SECONDS), None
    except (CredentialError, RequestRefusedError) as error:
        return None, str(error)


def entry_of(signed_in: SignedIn, oauth_client: OAuthClient, project: str | None) -> dict[str, Any]:
    """Return the entry of the accounts file; see `AccountsFile.add`.

    Args:
        signed_in: what the sign-in gave.
        oauth_client: that asked; kept with the account, since the refresh token is good with no other.
        project: that Google made for the account, if it is known.
    """
    return {
        "email": signed_in.email,
        "refreshToken": signed_in.refresh_token.get_secret_value(),
        **({"managedProjectId": project} if project else {}),
        "oauthClient": oauth_client.as_entry,
    }


def account_of(signed_in: SignedIn) -> Account:
    """Return the account as it is before it is saved."""
    return Account.create(signed_in.email, RefreshToken(signed_in.refresh_token))


def lift_revocation(account: Account, settings: Settings, clock: Clock) -> str | None:
    """End what a new credential cures, for every process on this machine; return the problem if that cannot be done.

    Cooldowns for a revoked grant lapse with the credential anyway; so nobody sees one that is over.
    """
    if not _exists(settings.state_dir):
        return None
    from litellm_antigravity.state.backends import host_ledger

    store = host_ledger(settings.state_backend, settings.state_dir, on_network=settings.state_dir_on_network)
    try:
        cooldown = store.refresh().cooldown(account.id, WHOLE_ACCOUNT)
        if cooldown is not None and cooldown.reason in _CURED:
            store.end_cooldown(account.id, WHOLE_ACCOUNT, clock.time())
    except StateUnavailableError as error:
        return str(error)
    finally:
        store.close()
    return None


def _exists(folder: Path) -> bool:
    try:
        return folder.is_dir()
    except OSError:
        return False
