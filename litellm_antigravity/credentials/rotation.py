"""Refresh tokens that the token endpoint replaced: kept with the shared state, beside the accounts file.

The accounts file cannot always be written: mounted as a single file it cannot be replaced (EBUSY), and it may be
read-only, or come back as it was with the next start of a container. The token in it is used up then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pydantic import SecretStr

from litellm_antigravity.accounts import Account, RefreshToken
from litellm_antigravity.accounts.credential import may_be_token
from litellm_antigravity.state.store import StateStore

_CHAIN_LENGTH = 8


class RotatedTokens:
    """Which refresh token is the newest: the accounts file's, or one that replaced it.

    A token replaces the ones that it descends from and no other, so that a new sign-in always wins.

    Args:
        store: where they are kept.
    """

    def __init__(self, store: StateStore) -> None:
        self._store = store

    def newest(self, account: Account) -> Account:
        """Return the account with the newest refresh token; the very same object if that is the accounts file's.

        Raises:
            StateUnavailableError: when the store cannot be read.
        """
        if not isinstance(account.credential, RefreshToken):
            return account
        note = self._note(account)
        token = note.get("token")
        if not isinstance(token, str) or not may_be_token(token):
            return account
        if account.credential.fingerprint not in _replaced(note):
            return account
        return replace(account, credential=RefreshToken(SecretStr(token)))

    def keep(self, account: Account, used: RefreshToken, token: SecretStr) -> None:
        """Remember a token that replaced another.

        Args:
            account: as the accounts file has it.
            used: the credential that the token was given for.
            token: the new one.

        Raises:
            StateUnavailableError: when the store cannot be written.
        """
        chain = [*_replaced(self._note(account)), account.credential.fingerprint, used.fingerprint]
        replaced = list(dict.fromkeys(chain))[-_CHAIN_LENGTH:]
        self._store.write_note(_name(account), {"token": token.get_secret_value(), "replaces": replaced})

    def forget(self, account: Account) -> None:
        """Go back to what the accounts file has."""
        self._store.write_note(_name(account), {})

    def _note(self, account: Account) -> Mapping[str, object]:
        return self._store.read_note(_name(account)) or {}


def _replaced(note: Mapping[str, object]) -> list[str]:
    known = note.get("replaces")
    return [one for one in known if isinstance(one, str)] if isinstance(known, list) else []


def _name(account: Account) -> str:
    return f"rotated/{account.id}"
