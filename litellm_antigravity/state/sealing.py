"""Access tokens and signed thoughts on their way through Redis: encrypted, and bound to what they belong to.

Takes the package ``cryptography``. The key is made of a secret that all hosts have (``LITELLM_SALT_KEY``, or a
setting). Whoever has Redis alone can read none, move none to another account, and give an older one for a newer one
only to a host that has neither.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from typing import Any

from pydantic import SecretStr

from litellm_antigravity.state.rows import TokenRow, decode, decode_token, encode, encode_token, number_in


class Seal:
    """Encrypts texts, each of which has a name that it is bound to.

    Args:
        secret: that all hosts have.
        namespace: of the pool: what is sealed for one opens in no other.
    """

    def __init__(self, secret: SecretStr, namespace: str) -> None:
        self._secret = secret
        self._namespace = namespace

    @functools.cached_property
    def _cipher(self) -> Any:
        from cryptography.fernet import Fernet

        # scrypt, since a secret may be a word that somebody made up [RFC 7914; 50 ms, once in a process].
        salt = f"litellm-antigravity tokens {self._namespace}".encode()
        key = hashlib.scrypt(self._secret.get_secret_value().encode(), salt=salt, n=2**14, r=8, p=1, dklen=32)
        return Fernet(base64.urlsafe_b64encode(key))

    def prepare(self) -> None:
        """Make the key, for which Redis's 50 ms would be too short."""
        _ = self._cipher

    def sealed_text(self, name: str, text: str) -> str:
        """Return a text for Redis."""
        content = json.dumps([name, text]).encode()
        return str(self._cipher.encrypt(content).decode("ascii"))

    def opened_text(self, name: str, sealed: object) -> str | None:
        """Return the text; ``None`` where it is none of ours, or of another name."""
        from cryptography.fernet import InvalidToken

        if not isinstance(sealed, str):
            return None
        try:
            content = json.loads(self._cipher.decrypt(sealed.encode("ascii", "replace")))
        except (InvalidToken, ValueError):
            return None
        if not isinstance(content, list) or len(content) != 2 or content[0] != name or not isinstance(content[1], str):
            return None
        return content[1]


class TokenSeal(Seal):
    """Encrypts the rows of tokens."""

    def sealed(self, account_id: str, row: TokenRow) -> str:
        """Return the text of a row for Redis."""
        return encode({"gen": row.generation, "sealed": self.sealed_text(account_id, encode_token(row))})

    def opened(self, account_id: str, text: str | None) -> TokenRow | None:
        """Return the row in a text of Redis's; ``None`` where it is none of ours, or of another account."""
        row = decode_token(self.opened_text(account_id, (decode(text) or {}).get("sealed")))
        return row if row is not None and row.generation == sealed_generation(text) else None


def sealed_generation(text: str | None) -> int:
    """Return the generation that a row says; 0 for none."""
    return int(min(max(number_in(decode(text), "gen") or 0.0, 0.0), 2**53))


__all__ = ["Seal", "TokenSeal", "sealed_generation"]
