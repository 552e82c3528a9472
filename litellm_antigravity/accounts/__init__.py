"""Accounts, their credentials, and the accounts file that opencode-antigravity-auth writes."""

from __future__ import annotations

from litellm_antigravity.accounts.account import (
    Account,
    AccountSource,
    AccountsSnapshot,
    FileCooldown,
    account_id_for,
    static_accounts,
)
from litellm_antigravity.accounts.accounts_file import AccountsFile
from litellm_antigravity.accounts.client import OAuthClient, read_client_secrets
from litellm_antigravity.accounts.credential import (
    AuthorizedUser,
    Credential,
    RefreshToken,
    StaticToken,
    TokenCommand,
)

__all__ = [
    "Account",
    "AccountSource",
    "AccountsFile",
    "AccountsSnapshot",
    "AuthorizedUser",
    "Credential",
    "FileCooldown",
    "OAuthClient",
    "RefreshToken",
    "StaticToken",
    "TokenCommand",
    "account_id_for",
    "read_client_secrets",
    "static_accounts",
]
