"""What a token endpoint, or a command in its place, answers: read leniently, and never shown."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pydantic import SecretStr

from litellm_antigravity.accounts.credential import may_be_token

DEFAULT_LIFETIME_SECONDS = 900.0
"""How long a token is used whose source does not say when it expires: well within the hour that Google gives."""


def json_object(body: bytes) -> dict[str, object]:
    """Return the JSON object in a body; an empty one when there is none."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def token_in(fields: Mapping[str, object]) -> tuple[SecretStr | None, float]:
    """Return the access token, ``None`` when there is none, and the seconds until it expires (RFC 6749, 5.1)."""
    token, expires_in = fields.get("access_token"), fields.get("expires_in")
    if not isinstance(token, str) or not may_be_token(token):
        return None, 0.0
    try:
        lifetime = float(expires_in) if isinstance(expires_in, (int, float, str)) else DEFAULT_LIFETIME_SECONDS
    except (ValueError, OverflowError):
        lifetime = DEFAULT_LIFETIME_SECONDS
    if not 0 < lifetime <= 7 * 86_400:  # also False for NaN
        lifetime = DEFAULT_LIFETIME_SECONDS
    return SecretStr(token), lifetime


def error_code(fields: Mapping[str, object]) -> object:
    """Return the code of a refusal: RFC 6749, section 5.2, or the status of Google's own error object."""
    error = fields.get("error")
    return error.get("status") if isinstance(error, dict) else error
