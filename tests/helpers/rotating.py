"""Processes that refresh tokens one after the other, at a token endpoint that gives a new refresh token each time."""

from __future__ import annotations

from typing import Any

from litellm_antigravity import Settings
from litellm_antigravity.accounts import AccountsFile
from litellm_antigravity.clock import SystemClock
from litellm_antigravity.credentials.shared import SharedTokens
from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.wire.http import HttpClients


def start(fields: dict[str, Any]) -> tuple[SharedTokens, AccountsFile]:
    """Return what a process has that has just been started: nothing but the two folders."""
    settings = Settings(**fields)
    accounts = AccountsFile(settings.accounts_file)
    return SharedTokens(settings, accounts, DiskStore(settings.state_dir), HttpClients(), SystemClock()), accounts


def new_token(fields: dict[str, Any]) -> str:
    """Start a process that has to refresh: the access token of the one before is refused."""
    tokens, accounts = start(fields)
    account = accounts.current().accounts[0]
    before = tokens.token(account)
    return tokens.token(account, rejected=before).get_secret_value()
