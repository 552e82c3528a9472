"""Sign-ins: the authorization endpoint, codes and their redemption, and the userinfo endpoint.

Stricter than Google: PKCE with S256 and a state have to be there. A redirect goes to loopback only, as for desktop
clients; a refresh token is given for ``access_type=offline``, and to who has agreed before only with
``prompt=consent``. Sources: developers.google.com/identity/protocols/oauth2/native-app, RFC 6749
(4.1), RFC 7636 (4.6), RFC 8252 (7.3).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from litellm_antigravity.simulator import bodies
from litellm_antigravity.simulator.answers import Answer
from litellm_antigravity.simulator.consent_page import CLOUD_PLATFORM, consent_page, error_page, redirect
from litellm_antigravity.simulator.incoming import Facts, Incoming
from litellm_antigravity.simulator.logins import Logins

AUTH_PATH: Final = "/o/oauth2/v2/auth"
USERINFO_PATH: Final = "/v1/userinfo"

_CODE_SECONDS: Final = 600.0  # "a maximum ... of 10 minutes is RECOMMENDED" (RFC 6749, 4.1.2)
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_KNOWN_SCOPES: Final = frozenset(
    {
        "openid",
        "email",
        "profile",
        "https://www.googleapis.com/auth/userinfo.email",
        "https://www.googleapis.com/auth/userinfo.profile",
        CLOUD_PLATFORM,
    }
)


@dataclass(frozen=True, slots=True)
class _Grant:
    """What stands behind a code."""

    email: str
    scope: str
    challenge: str
    redirect_uri: str
    expires: float
    offline: bool


class SignIns:
    """The codes that were given; safe for any thread.

    Args:
        logins: who may sign in, and which client may ask.
    """

    def __init__(self, logins: Logins) -> None:
        self._logins = logins
        self._lock = threading.Lock()
        self._codes: dict[str, _Grant] = {}
        self._agreed: set[str] = set()

    def receive(self, incoming: Incoming, facts: Facts, now: float) -> Answer:
        """Answer a request to either endpoint."""
        if incoming.path == USERINFO_PATH:
            facts.email = self._logins.signed_by(incoming, now)
            if facts.email is None:
                return Answer.of_json("unauthenticated", 401, bodies.unauthenticated())
            fields = {"sub": facts.email.encode().hex(), "email": facts.email, "email_verified": True}
            return Answer.of_json("userinfo", 200, fields)
        if incoming.method not in ("GET", "POST"):
            return error_page(405, "method_not_allowed", f"{incoming.method} is not allowed here.")
        wrong = self._wrong(incoming.query)
        if wrong is not None:
            return wrong
        if incoming.method == "GET":
            emails = [account.email for account in self._logins.accounts()]
            return consent_page(emails, incoming.query["client_id"], incoming.query["scope"].split())
        return self._answered(incoming, facts, now)

    def _wrong(self, query: Mapping[str, str]) -> Answer | None:
        """Return what is wrong with a question, if anything."""
        if not self._logins.knows_client(query.get("client_id", "")):
            return error_page(401, "invalid_client", "The OAuth client was not found.")
        if not _is_loopback(query.get("redirect_uri", "")):
            return error_page(400, "redirect_uri_mismatch", "A desktop client is sent back to loopback, over http.")
        scopes = query.get("scope", "").split()
        if not scopes or not _KNOWN_SCOPES.issuperset(scopes):
            return error_page(400, "invalid_scope", "Some requested scopes were invalid, or there are none.")
        wanted = {
            "response_type": query.get("response_type") == "code",
            "code_challenge_method": query.get("code_challenge_method") == "S256",
            "code_challenge": _CHALLENGE.fullmatch(query.get("code_challenge", "")) is not None,
            "state": len(query.get("state", "")) >= 16,
            "access_type": query.get("access_type") in ("offline", "online"),
        }
        missing = [name for name, is_there in wanted.items() if not is_there]
        if missing:
            return error_page(400, "invalid_request", f"Missing or wrong: {', '.join(missing)}.")
        return None

    def _answered(self, incoming: Incoming, facts: Facts, now: float) -> Answer:
        """Send the browser back with what the user has said."""
        pressed = parse_qsl(incoming.body.decode("utf-8", "replace"), keep_blank_values=True)
        query, form = incoming.query, dict(pressed)
        back = {"state": query["state"]}
        if "deny" in form:
            return redirect("denied", _with(query["redirect_uri"], {"error": "access_denied", **back}))
        email = form.get("account", "")
        if email not in {account.email for account in self._logins.accounts()}:
            return error_page(400, "invalid_request", "There is no such account.")
        facts.email = email
        ticked = {value for name, value in pressed if name == "scope"}
        scope = " ".join(one for one in query["scope"].split() if one != CLOUD_PLATFORM or one in ticked)
        code = f"4/sim-{secrets.token_urlsafe(32)}"
        with self._lock:
            again = email in self._agreed and "consent" not in query.get("prompt", "").split()
            offline = query["access_type"] == "offline" and not again
            self._agreed.add(email)
            self._codes[code] = _Grant(
                email, scope, query["code_challenge"], query["redirect_uri"], now + _CODE_SECONDS, offline
            )
        return redirect("consented", _with(query["redirect_uri"], {"code": code, "scope": scope, **back}))

    def owner(self, code: str) -> str | None:
        """Return who gave a code: for the log."""
        with self._lock:
            grant = self._codes.get(code)
        return None if grant is None else grant.email

    def redeem(self, form: Mapping[str, str], now: float) -> Answer:
        """Return what the token endpoint answers to a code. Each is good once, whatever comes of it."""
        if not self._logins.knows_client(form.get("client_id", ""), form.get("client_secret", "")):
            return bodies.oauth_error("invalid_client", "The OAuth client is not known, or its secret is wrong.")
        with self._lock:
            grant = self._codes.pop(form.get("code", ""), None)
        if grant is None or grant.expires <= now:
            return bodies.oauth_error("invalid_grant", "Malformed auth code, or it has expired or was used.")
        if form.get("redirect_uri") != grant.redirect_uri:
            return bodies.oauth_error("redirect_uri_mismatch", "Bad Request")
        verifier = form.get("code_verifier", "")
        if not _VERIFIER.fullmatch(verifier):
            return bodies.oauth_error("invalid_grant", "Missing code verifier.")
        digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
        if not hmac.compare_digest(digest, grant.challenge.encode()):
            return bodies.oauth_error("invalid_grant", "Invalid code verifier.")
        return self._logins.signed_in(grant.email, now, scope=grant.scope, offline=grant.offline)


def _is_loopback(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme == "http" and parts.hostname in _LOOPBACK and parts.port is not None and not parts.fragment
    except ValueError:
        return False


def _with(address: str, fields: Mapping[str, str]) -> str:
    return f"{address}{'&' if urlsplit(address).query else '?'}{urlencode(fields)}"
