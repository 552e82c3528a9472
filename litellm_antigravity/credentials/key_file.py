"""The key file of a Google service account."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from litellm_antigravity.errors import CredentialError
from litellm_antigravity.redaction import SECRETS

_LONGEST_FILE = 64 * 1024  # bytes; Google's have about 2.4 KiB
_WANTED = ("client_email", "private_key", "private_key_id")


def read_service_account(path: Path) -> dict[str, Any]:
    """Return the fields of a service account's key file.

    Args:
        path: where it is.

    Raises:
        CredentialError: when it cannot be read or is another file; quotes nothing of it.
    """
    problem, fields = None, None
    try:
        with path.open("rb") as file:
            fields = json.loads(file.read(_LONGEST_FILE))
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    except (ValueError, RecursionError):
        problem = "is not JSON"
    if problem is None and (not isinstance(fields, dict) or fields.get("type") != "service_account"):
        problem = 'is not a service account\'s key file ("type": "service_account" is missing)'
    if problem is None and isinstance(fields, dict):
        missing = [name for name in _WANTED if not isinstance(fields.get(name), str) or not fields[name]]
        problem = f"lacks {', '.join(missing)}" if missing else None
    if problem is not None or not isinstance(fields, dict):
        msg = f"{path} {problem}. Make a new key in the console: IAM & Admin, Service Accounts, Keys."
        raise CredentialError(msg, retryable=False)
    SECRETS.remember(fields["private_key"])
    return fields
