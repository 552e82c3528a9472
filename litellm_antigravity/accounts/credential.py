"""What an account proves itself with. A credential says nothing of itself but its kind and a fingerprint."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, TypeAlias

from pydantic import SecretStr

from litellm_antigravity.redaction import SECRETS

_MAX_TOKEN_LENGTH = 16_384


def digest16(*parts: str) -> str:
    """Return 16 hex digits of the SHA-256 over ``parts``; none of them may contain NUL."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def may_be_token(text: str) -> bool:
    """Return whether ``text`` can be a token: visible ASCII only, as in an Authorization header (RFC 6750, 2.1)."""
    return 0 < len(text) <= _MAX_TOKEN_LENGTH and text.isascii() and text.isprintable() and " " not in text


class _Fingerprinted:
    """The two hashes that every credential has; the secret itself stays in its own field."""

    kind: ClassVar[str]

    def _material(self) -> tuple[str, ...]:
        raise NotImplementedError

    def _edition(self) -> tuple[str, ...]:
        """Return what changes when the same source gives another secret."""
        return ()

    @cached_property
    def lineage(self) -> str:
        """16 hex digits that stay the same as long as the credential comes from the same source."""
        return digest16(self.kind, *self._material())

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that change whenever the credential does; the secret cannot be had from them."""
        return digest16(self.kind, *self._material(), *self._edition())


@dataclass(frozen=True)
class RefreshToken(_Fingerprinted):
    """An OAuth refresh token, good with the user's own OAuth client only.

    Attributes:
        token: the bare token, without the projects that may be packed behind it in the file.
    """

    kind: ClassVar[str] = "refresh_token"
    token: SecretStr

    def __post_init__(self) -> None:
        SECRETS.remember(self.token.get_secret_value())

    def _material(self) -> tuple[str, ...]:
        return (self.token.get_secret_value(),)


@dataclass(frozen=True)
class CredentialFile(_Fingerprinted):
    """A file of Google's that holds a credential. It is read when a token is fetched, not before.

    An object stands for one edition of the file: `edition` is looked up once, when it is first asked for.

    Attributes:
        path: where the file is.
    """

    path: Path

    @cached_property
    def edition(self) -> tuple[int, int] | None:
        """Modification time (ns) and size (bytes) of the file; ``None`` if it is not there."""
        return file_edition(self.path)

    def _material(self) -> tuple[str, ...]:
        return (str(self.path),)

    def _edition(self) -> tuple[str, ...]:
        return () if self.edition is None else tuple(map(str, self.edition))


@dataclass(frozen=True)
class AuthorizedUser(CredentialFile):
    """A Google ``authorized_user`` JSON file, as gcloud writes it."""

    kind: ClassVar[str] = "authorized_user"


@dataclass(frozen=True)
class ServiceAccount(CredentialFile):
    """The key file of a Google service account."""

    kind: ClassVar[str] = "service_account"


@dataclass(frozen=True)
class TokenCommand(_Fingerprinted):
    """A command that prints an access token; run without a shell.

    Attributes:
        argv: program and arguments. Arguments may hold secrets, so they are not shown.
    """

    kind: ClassVar[str] = "token_command"
    argv: tuple[str, ...]

    def _material(self) -> tuple[str, ...]:
        return self.argv

    def __repr__(self) -> str:
        program = self.argv[0] if self.argv else ""
        return f"TokenCommand({program!r}, and {max(0, len(self.argv) - 1)} argument(s))"


@dataclass(frozen=True)
class StaticToken(_Fingerprinted):
    """An access token that is used as it is, until upstream refuses it.

    Attributes:
        token: the access token.
    """

    kind: ClassVar[str] = "static_token"
    token: SecretStr

    def __post_init__(self) -> None:
        SECRETS.remember(self.token.get_secret_value())

    def _material(self) -> tuple[str, ...]:
        return (self.token.get_secret_value(),)


Credential: TypeAlias = RefreshToken | AuthorizedUser | ServiceAccount | TokenCommand | StaticToken
"""Every kind of credential an account can have."""


def file_edition(path: Path) -> tuple[int, int] | None:
    """Return modification time (ns) and size (bytes) of a file; ``None`` if it cannot be looked at."""
    try:
        found = os.stat(path)  # noqa: PTH116 - called for every watched file; pathlib would only add to its cost
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size
