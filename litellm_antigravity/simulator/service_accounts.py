"""Service accounts: a key file as the console hands it out, and the token endpoint's answer to what the key signs.

Source: developers.google.com/identity/protocols/oauth2/service-account, RFC 7523. Takes the package ``cryptography``.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Mapping
from typing import Any, Final

from litellm_antigravity.simulator import bodies
from litellm_antigravity.simulator.answers import Answer
from litellm_antigravity.simulator.consent_page import CLOUD_PLATFORM
from litellm_antigravity.simulator.log import TOKEN_PATH
from litellm_antigravity.simulator.logins import Logins

GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"

_LONGEST_SECONDS: Final = 3600  # "a maximum of 1 hour after the issued time"
_SKEW_SECONDS: Final = 60.0


class ServiceAccounts:
    """Keys of accounts that sign in without a person; safe for any thread.

    Args:
        logins: the accounts that they belong to.
    """

    def __init__(self, logins: Logins) -> None:
        self._logins = logins
        self._lock = threading.Lock()
        self._keys: dict[str, Any] = {}

    def new_key(self, email: str, token_url: str) -> dict[str, str]:
        """Return a key file for an account; it takes the place of the one before.

        Args:
            email: of an account of the simulator.
            token_url: for the file.

        Raises:
            ValueError: when there is no such account.
        """
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import rsa

        account = self._logins.account(email)
        key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
        with self._lock:
            self._keys[email] = key.public_key()
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return {
            "type": "service_account",
            "project_id": account.project or "",
            "private_key_id": f"sim-{account.label}",
            "private_key": pem.decode(),
            "client_email": email,
            "client_id": "100000000000000000000",
            "token_uri": token_url,
        }

    def owner(self, assertion: str) -> str | None:
        """Return whom an assertion names, whoever signed it: for the log."""
        try:
            email = str(json.loads(_decoded(assertion.split(".")[1]))["iss"])
        except (ValueError, KeyError, TypeError, IndexError):
            return None
        with self._lock:
            return email if email in self._keys else None

    def redeem(self, form: Mapping[str, str], now: float) -> Answer:
        """Return what the token endpoint answers to a signed assertion."""
        try:
            email = self._signer(form.get("assertion", ""), now)
        except (ValueError, KeyError, TypeError):
            return bodies.oauth_error("invalid_grant", "Invalid JWT.")
        if email is None:
            return bodies.oauth_error("invalid_grant", "Invalid JWT Signature.")
        return self._logins.signed_in(email, now, scope=CLOUD_PLATFORM, offline=False)

    def _signer(self, assertion: str, now: float) -> str | None:
        """Return who has signed; ``None`` when it is not who it says.

        Raises:
            ValueError, KeyError, TypeError: when it is no assertion that Google would take.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        head, claims, signature = assertion.split(".")
        if json.loads(_decoded(head))["alg"] != "RS256":
            raise ValueError
        said = json.loads(_decoded(claims))
        issued, expires = float(said["iat"]), float(said["exp"])
        in_time = issued <= now + _SKEW_SECONDS and now < expires <= issued + _LONGEST_SECONDS
        if not in_time or not said["aud"].endswith(TOKEN_PATH) or CLOUD_PLATFORM not in said["scope"].split():
            raise ValueError
        with self._lock:
            key = self._keys[said["iss"]]
        try:
            key.verify(_decoded(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return None
        return str(said["iss"])


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
