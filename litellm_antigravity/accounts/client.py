"""The OAuth client that a refresh token was issued to: in an entry of the accounts file, or in Google's own JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from litellm_antigravity.accounts.credential import may_be_token
from litellm_antigravity.errors import AccountsFileError
from litellm_antigravity.masking import printable
from litellm_antigravity.redaction import SECRETS

_LONGEST_FILE = 64 * 1024  # bytes; Google's have less than one KiB
_KINDS = ("installed", "web")


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """A program that Google knows. A refresh token is good with the client alone that it was issued to.

    Attributes:
        client_id: public; names the program on the consent screen.
        client_secret: ``None`` for a client that has none.
        source: where it comes from, for people: "accounts file", "settings", or a file.
    """

    client_id: str
    client_secret: SecretStr | None = field(repr=False)
    source: str

    def __post_init__(self) -> None:
        if self.client_secret is not None:
            SECRETS.remember(self.client_secret.get_secret_value())

    @property
    def as_entry(self) -> dict[str, str]:
        """What ``oauthClient`` holds in the accounts file."""
        secret = {} if self.client_secret is None else {"clientSecret": self.client_secret.get_secret_value()}
        return {"clientId": self.client_id, **secret}


@dataclass(frozen=True, slots=True)
class ClientOfEntry:
    """What ``oauthClient`` of an entry says.

    Attributes:
        client: ``None`` when the entry names none, or one that cannot be had.
        problem: why it cannot be had; ``None`` when there is none or it is in order.
        file: Google's JSON that it comes from.
    """

    client: OAuthClient | None = None
    problem: str | None = None
    file: Path | None = None


def read_client_secrets(path: Path) -> OAuthClient:
    """Return the client in a JSON file as Google's console hands it out: ``{"installed": {...}}`` or ``{"web": ...}``.

    Args:
        path: where it is.

    Raises:
        AccountsFileError: when it cannot be read or is another file; quotes nothing of it.
    """
    problem, raw = None, b""
    try:
        with path.open("rb") as file:
            raw = file.read(_LONGEST_FILE + 1)
    except (OSError, ValueError) as error:
        problem = f"cannot be read: {getattr(error, 'strerror', None) or 'no file can have its name'}"
    if problem is None and len(raw) > _LONGEST_FILE:
        problem = "is too large to be one"
    if problem is not None:
        msg = f"OAuth client file {path} {problem}."
        raise AccountsFileError(msg)
    client = _in_google_json(raw, printable(str(path)))
    if client is None:
        msg = (
            f'OAuth client file {path} is not Google\'s JSON of a client ({{"installed": {{"client_id": ...}}}}). '
            "Download it from the console: APIs & Services, Credentials."
        )
        raise AccountsFileError(msg)
    return client


def client_of_entry(value: object, folder: Path) -> ClientOfEntry:
    """Return what an entry's ``oauthClient`` says: ``{"clientId", "clientSecret"}`` or ``{"file": PATH}``.

    Args:
        value: as the entry has it; ``None`` for none.
        folder: what a relative path is relative to.
    """
    if value is None:
        return ClientOfEntry()
    if not isinstance(value, dict):
        return ClientOfEntry(problem='"oauthClient" is not an object')
    if value.get("file") is not None:
        return _from_file(value["file"], folder)
    client = _made(value.get("clientId"), value.get("clientSecret"), "accounts file")
    if client is None:
        return ClientOfEntry(problem='"oauthClient" has neither a "clientId" nor a "file" that can be used')
    return ClientOfEntry(client)


def _from_file(name: object, folder: Path) -> ClientOfEntry:
    if not isinstance(name, str) or not name or not name.isprintable():
        return ClientOfEntry(problem='"file" of "oauthClient" is not a path')
    path = folder / os.path.expanduser(name)  # noqa: PTH111 - Path.expanduser raises for a user nobody knows
    try:
        return ClientOfEntry(read_client_secrets(path), file=path)
    except AccountsFileError as error:
        return ClientOfEntry(problem=str(error).rstrip("."), file=path)


def _in_google_json(raw: bytes, source: str) -> OAuthClient | None:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    fields = next((document[kind] for kind in _KINDS if isinstance(document.get(kind), dict)), None)
    if not isinstance(fields, Mapping):
        return None
    return _made(fields.get("client_id"), fields.get("client_secret"), source)


def _made(client_id: object, secret: object, source: str) -> OAuthClient | None:
    if not isinstance(client_id, str) or not may_be_token(client_id):
        return None
    if secret is None or secret == "":
        return OAuthClient(client_id, None, source)
    if not isinstance(secret, str) or not may_be_token(secret):
        return None
    return OAuthClient(client_id, SecretStr(secret), source)
