"""PKCE: a code that somebody else gets hold of is worth nothing without the verifier (RFC 7636)."""

from __future__ import annotations

import base64
import hashlib
import secrets

METHOD = "S256"


def new_verifier() -> str:
    """Return 86 random characters; 43 to 128 are allowed (RFC 7636, section 4.1)."""
    return secrets.token_urlsafe(64)


def challenge_of(verifier: str) -> str:
    """Return the challenge for a verifier by the method S256 (RFC 7636, section 4.2)."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
