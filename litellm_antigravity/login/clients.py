"""Which OAuth client asks: the user's own, from a file, the settings, or an account that has one already."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from litellm_antigravity.accounts import Account, OAuthClient, read_client_secrets
from litellm_antigravity.settings import Settings

NO_CLIENT: Final = """\
Signing in takes an OAuth client of your own, since none is built in. To make one:
1. In a project of yours, create a client of type "Desktop app": https://console.cloud.google.com/auth/clients
2. Under "Audience" there, publish the app, or add test users, whose sign-ins end after 7 days.
3. Download the client's JSON, and run: litellm-antigravity auth login --client-secrets FILE
Asked for are openid and userinfo.email (who signs in) and cloud-platform (requests in their name), nothing else."""
"""The five lines for whoever has no client yet. Test users' seven days: "Using OAuth 2.0 to Access Google APIs"."""


def client_to_ask_with(file: Path | None, settings: Settings, accounts: Sequence[Account]) -> OAuthClient | None:
    """Return the OAuth client to sign in with; ``None`` when there is none.

    Args:
        file: Google's JSON of a client, chosen by the user; it goes before all others.
        settings: for ``oauth_client_id`` and ``oauth_client_secret``.
        accounts: those that are saved; the client of the one that was added last is taken when nothing else is there.

    Raises:
        AccountsFileError: when ``file`` is not what it should be.
    """
    if file is not None:
        return read_client_secrets(file)
    if settings.oauth_client_id:
        return OAuthClient(settings.oauth_client_id, settings.oauth_client_secret, "settings")
    with_client = [account for account in accounts if account.oauth_client is not None]
    return max(with_client, key=lambda one: one.added_at or 0.0).oauth_client if with_client else None
