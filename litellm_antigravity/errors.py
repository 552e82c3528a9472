"""Every exception this package raises, under one root, with fields instead of prose to parse."""

from __future__ import annotations


class AntigravityError(Exception):
    """Root of this package's exceptions.

    Attributes:
        retryable: whether the same call may succeed later without anybody changing anything.
        retry_after: seconds until it is worth trying again; ``None`` when nobody knows.
    """

    retryable: bool = False
    retry_after: float | None = None


class SettingsError(AntigravityError):
    """A setting has a value it cannot have. The message names setting, source, value and what is allowed."""


class AccountsFileError(AntigravityError):
    """The accounts file is missing or unreadable as a whole. The message names the file and the remedy."""


class CredentialError(AntigravityError):
    """No access token (or project) can be had for an account. Messages carry the masked account, never a token."""

    def __init__(self, message: str, *, retryable: bool = True, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after = retry_after


class GrantRevokedError(CredentialError):
    """The token endpoint answered ``invalid_grant``: the account is out until its credential changes."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=False)


class StateUnavailableError(AntigravityError):
    """The shared state cannot be read or written now; callers go on with this process's memory."""

    retryable = True
