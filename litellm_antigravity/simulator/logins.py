"""Logins: accounts, refresh tokens, access tokens, and the token endpoint (RFC 6749, section 6)."""

from __future__ import annotations

import hmac
import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from litellm_antigravity.simulator import bodies
from litellm_antigravity.simulator.accounts import SimulatedAccount, new_refresh_token
from litellm_antigravity.simulator.answers import Answer
from litellm_antigravity.simulator.incoming import Incoming

_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"


class Logins:
    """Who may sign in, and with what; safe for any thread.

    Args:
        accounts: with distinct e-mails and refresh tokens.
        token_ttl_seconds: how long an access token is valid.

    Raises:
        ValueError: when accounts are missing or not distinct.
    """

    def __init__(self, accounts: Sequence[SimulatedAccount], token_ttl_seconds: float) -> None:
        self._accounts = {account.email: account for account in accounts}
        self._grants = {account.refresh_token: account.email for account in accounts}
        if not accounts or len(self._accounts) < len(accounts) or len(self._grants) < len(accounts):
            msg = "accounts must be at least one, with distinct e-mails and refresh tokens"
            raise ValueError(msg)
        self._keys = {account.api_key: account.email for account in accounts}
        self._token_ttl_seconds = token_ttl_seconds
        self._lock = threading.RLock()
        self._tokens: dict[str, tuple[str, float]] = {}
        self.client_id = f"sim-client-{secrets.token_hex(8)}"
        self.client_secret = f"sim-secret-{secrets.token_urlsafe(18)}"
        self.rotate_refresh_tokens = False
        self.keep_old_refresh_tokens = True

    def accounts(self) -> list[SimulatedAccount]:
        """Return the accounts, with the refresh tokens they have now."""
        with self._lock:
            return list(self._accounts.values())

    def account(self, email: str) -> SimulatedAccount:
        """Return one account.

        Raises:
            ValueError: when there is none of this name.
        """
        with self._lock:
            if email not in self._accounts:
                msg = f"no such account: {email!r}; there are {', '.join(self._accounts)}"
                raise ValueError(msg)
            return self._accounts[email]

    def heal(self) -> None:
        """End revocations."""
        with self._lock:
            for account in self._accounts.values():
                self._grants[account.refresh_token] = account.email

    def revoke(self, email: str) -> None:
        """End a login: its refresh tokens and its access tokens are no longer valid."""
        self.account(email)
        with self._lock:
            self._grants = {token: owner for token, owner in self._grants.items() if owner != email}
            self.expire_tokens(email)

    def sign_in(self, email: str) -> str:
        """Sign in again: return a new refresh token, which `accounts` has from now on too."""
        with self._lock:
            account = replace(self.account(email), refresh_token=new_refresh_token())
            self._accounts[email] = account
            self._grants[account.refresh_token] = email
            return account.refresh_token

    def expire_tokens(self, email: str | None) -> None:
        """Let the access tokens that were issued so far be refused, of one account or of all."""
        with self._lock:
            if email is not None:
                self.account(email)
            self._tokens = {
                token: grant for token, grant in self._tokens.items() if email is not None and grant[0] != email
            }

    # Requests

    def owner(self, refresh_token: str) -> str | None:
        """Return whose refresh token this is, or was before it was revoked: for the log."""
        with self._lock:
            former = (one.email for one in self._accounts.values() if one.refresh_token == refresh_token)
            return self._grants.get(refresh_token) or next(former, None)

    def key_owner(self, api_key: str) -> str | None:
        """Return whose API key this is."""
        return self._keys.get(api_key)

    def signed_by(self, incoming: Incoming, now: float) -> str | None:
        """Return who has signed a request; ``None`` when its access token is not valid."""
        scheme, _, token = incoming.headers.get("authorization", "").partition(" ")
        with self._lock:
            email, expires = self._tokens.get(token.strip(), (None, 0.0))
        return email if scheme.lower() == "bearer" and now < expires else None

    def knows_client(self, client_id: str, secret: str | None = None) -> bool:
        """Return whether this is the OAuth client, and, unless it is ``None``, its secret."""
        known = _same(client_id, self.client_id)
        return (secret is None or _same(secret, self.client_secret)) and known

    def signed_in(self, email: str, now: float, *, scope: str, offline: bool) -> Answer:
        """Return what the token endpoint answers to an account that has just signed in; a refresh token if offline."""
        with self._lock:
            fields = {**self._access(email, now), "scope": scope}
            if offline:
                fields["refresh_token"] = self.sign_in(email)
            return Answer.of_json("signed-in", 200, fields)

    def exchange(self, form: Mapping[str, str], now: float) -> Answer:
        """Return what the token endpoint answers to a form."""
        if form.get("grant_type") != "refresh_token":
            return bodies.oauth_error(
                "unsupported_grant_type", "Only authorization_code and refresh_token are supported."
            )
        if not self.knows_client(form.get("client_id", ""), form.get("client_secret", "")):
            return bodies.oauth_error("invalid_client", "The OAuth client is not known, or its secret is wrong.")
        refresh_token = form.get("refresh_token", "")
        if not refresh_token:
            return bodies.oauth_error("invalid_request", "Missing parameter: refresh_token.")
        with self._lock:
            email = self._grants.get(refresh_token)
            if email is None:
                return bodies.oauth_error("invalid_grant", "Token has been expired or revoked.")
            return self._grant(email, refresh_token, now)

    def _grant(self, email: str, refresh_token: str, now: float) -> Answer:
        fields = self._access(email, now)
        if self.rotate_refresh_tokens:
            if not self.keep_old_refresh_tokens:
                del self._grants[refresh_token]
            fields["refresh_token"] = self.sign_in(email)
        return Answer.of_json("token", 200, fields)

    def _access(self, email: str, now: float) -> dict[str, Any]:
        token = f"sim-{secrets.token_urlsafe(24)}"
        self._tokens[token] = (email, now + self._token_ttl_seconds)
        return {
            "access_token": token,
            "expires_in": int(self._token_ttl_seconds),
            "scope": _SCOPE,
            "token_type": "Bearer",
        }


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())
