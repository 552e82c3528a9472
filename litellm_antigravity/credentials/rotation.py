"""Refresh tokens that the token endpoint replaced: kept with the shared state, beside the accounts file.

The accounts file cannot always be written: mounted as a single file it cannot be replaced (EBUSY), and it may be
read-only, or come back as it was with the next start of a container. The token in it is used up then.

Each token is encrypted with a key made of the one that it replaced, so that the state alone gives nobody an account,
and a token replaces the one that it descends from and no other: a new sign-in always wins.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import SecretStr

from litellm_antigravity.accounts import Account, RefreshToken
from litellm_antigravity.accounts.credential import may_be_token
from litellm_antigravity.state.ledger import Ledger

_LONGEST_CHAIN = 8


class RotatedTokens:
    """Which refresh token is the newest: the accounts file's, or one that descends from it.

    Takes the package ``cryptography``; without it they are kept in this process's memory.

    Args:
        store: where they are kept.
    """

    def __init__(self, store: Ledger) -> None:
        self._store = store
        self._memory: dict[str, dict[str, RefreshToken]] = {}  # successors: by account, by fingerprint

    @property
    def lasts(self) -> bool:
        """Whether what is kept outlives this process."""
        return importlib.util.find_spec("cryptography") is not None

    def newest(self, account: Account) -> Account:
        """Return the account with the newest refresh token; the very same object if that is the accounts file's.

        Raises:
            StateUnavailableError: when the store cannot be read.
        """
        if not isinstance(account.credential, RefreshToken):
            return account
        known, credential = self._known(account), account.credential
        remembered = self._memory.get(account.id, {})
        for _ in range(_LONGEST_CHAIN):
            kept = _opened(known.get(credential.fingerprint), credential)
            successor = kept or remembered.get(credential.fingerprint)
            if successor is None:
                break
            credential = successor
        return account if credential is account.credential else replace(account, credential=credential)

    def keep(self, account: Account, used: RefreshToken, token: SecretStr) -> None:
        """Remember a token that replaced another.

        Args:
            account: as the accounts file has it.
            used: the credential that the token was given for.
            token: the new one.

        Raises:
            StateUnavailableError: when the store cannot be written.
        """
        known = dict(self._known(account))
        for replaced in (used, account.credential):  # from the file's own, one step is always enough
            if not isinstance(replaced, RefreshToken):
                continue
            self._memory.setdefault(account.id, {})[replaced.fingerprint] = RefreshToken(token)
            cipher = _cipher(replaced)
            if cipher is not None:
                known.pop(replaced.fingerprint, None)
                known[replaced.fingerprint] = cipher.encrypt(token.get_secret_value().encode()).decode()
        if known:
            self._store.write_note(_name(account), dict(list(known.items())[-_LONGEST_CHAIN:]))

    def forget(self, account: Account) -> None:
        """Go back to what the accounts file has."""
        self._memory.pop(account.id, None)
        self._store.write_note(_name(account), {})

    def _known(self, account: Account) -> Mapping[str, object]:
        return self._store.read_note(_name(account)) or {}


def _opened(text: object, credential: RefreshToken) -> RefreshToken | None:
    cipher = _cipher(credential) if isinstance(text, str) else None
    if cipher is None or not isinstance(text, str):
        return None
    from cryptography.fernet import InvalidToken

    try:
        token = cipher.decrypt(text.encode("ascii", "replace")).decode("ascii", "replace")
    except InvalidToken:  # somebody else's words
        return None
    return RefreshToken(SecretStr(token)) if may_be_token(token) else None


def _cipher(credential: RefreshToken) -> Any:
    """Return what encrypts the successor of a token; ``None`` when that cannot be had."""
    try:
        from cryptography.fernet import Fernet
    except ImportError:
        return None
    secret = credential.token.get_secret_value().encode("utf-8", "surrogatepass")
    key = hashlib.blake2b(secret, digest_size=32, person=b"rotated token").digest()
    return Fernet(base64.urlsafe_b64encode(key))


def _name(account: Account) -> str:
    return f"rotated/{account.id}"
