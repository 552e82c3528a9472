"""Every exception this package raises, under one root, with fields instead of prose to parse."""

from __future__ import annotations

from typing import TYPE_CHECKING

from litellm_antigravity.masking import shown

if TYPE_CHECKING:
    from litellm_antigravity.refusals.refusal import Refusal


class AntigravityError(Exception):
    """Root of this package's exceptions. What they say is fit to be shown, whoever said it; see `shown`.

    Attributes:
        retryable: whether the same call may succeed later without anybody changing anything.
        retry_after: seconds until it is worth trying again; ``None`` when nobody knows.
    """

    retryable: bool = False
    retry_after: float | None = None
    _has_lines = False

    def __init__(self, *args: object) -> None:
        super().__init__(*(shown(one, lines=self._has_lines) if isinstance(one, str) else one for one in args))


class SettingsError(AntigravityError):
    """A setting has a value it cannot have. The message names setting, source, value and what is allowed."""

    _has_lines = True  # one for each of several problems


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


class AllAccountsLimitedError(AntigravityError):
    """Every enabled account is cooling down for the model asked for.

    Attributes:
        retry_after: the remaining seconds to the earliest one; ``None`` when none comes back by itself.
        accounts: one line per account: masked e-mail, reason, remaining time.
        forbidden: whether none comes back by itself because upstream wants their owners to act, rather than because
            none is signed in.
    """

    def __init__(
        self, message: str, *, retry_after: float | None, accounts: tuple[str, ...], forbidden: bool = False
    ) -> None:
        super().__init__(message)
        self.forbidden = forbidden
        self.retry_after = retry_after
        self.retryable = retry_after is not None
        self.accounts = tuple(map(shown, accounts))

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_limited, (str(self), self.retry_after, self.accounts, self.forbidden)


class PoolStoppedError(AllAccountsLimitedError):
    """Two accounts were banned within an hour: no account serves until the user acts."""

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_stopped, (str(self), self.accounts)


class NoAccountLeftError(AntigravityError):
    """Every account that is free has been tried for this request already."""


class RequestRefusedError(AntigravityError):
    """Upstream refused the request, and no other account is to be tried for it.

    Attributes:
        refusal: what upstream said, classified.
        account: the masked account that it was said to; ``None`` when no account was asked.
        retries_spent: whether it was not tried again because the host's retry budget is spent. Whoever called must not
            try again at once either.
        afterwards: what it means for the next request; ``None`` when nothing has changed.
    """

    def __init__(
        self,
        refusal: Refusal,
        *,
        account: str | None = None,
        retries_spent: bool = False,
        afterwards: str | None = None,
    ) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal
        self.account = account
        self.retries_spent = retries_spent
        self.afterwards = None if afterwards is None else shown(afterwards)
        self.retry_after = refusal.retry_after

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_refused, (self.refusal, self.account, self.retries_spent, self.afterwards)


def _rebuild_limited(
    message: str, retry_after: float | None, accounts: tuple[str, ...], forbidden: bool = False
) -> AllAccountsLimitedError:
    return AllAccountsLimitedError(message, retry_after=retry_after, accounts=accounts, forbidden=forbidden)


def _rebuild_stopped(message: str, accounts: tuple[str, ...]) -> PoolStoppedError:
    return PoolStoppedError(message, retry_after=None, accounts=accounts)


def _rebuild_refused(
    refusal: Refusal, account: str | None, retries_spent: bool = False, afterwards: str | None = None
) -> RequestRefusedError:
    return RequestRefusedError(refusal, account=account, retries_spent=retries_spent, afterwards=afterwards)
