"""What the end of an attempt means: what is recorded of it, and what the caller is told when it was the last one."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from litellm_antigravity.errors import (
    AllAccountsLimitedError,
    AntigravityError,
    CredentialError,
    GrantRevokedError,
    NoAccountLeftError,
    RequestRefusedError,
)
from litellm_antigravity.lease import Lease
from litellm_antigravity.refusals import Fault, GiveUp, NextStep, Refusal, RefusalKind, Then, timeout_refusal

UNSIGNED: Final = "UNSIGNED"
"""The reason of a refusal that is none of upstream's: there was no token to sign the request with."""


def to_be_recorded(refusal: Refusal, step: NextStep, *, spent: bool) -> Refusal:
    """Return what is recorded of a refusal.

    Args:
        refusal: what upstream said.
        step: what follows. A request that a second account refuses, too, is at fault itself.
        spent: whether the retry budget kept it from another try. Then a lack of capacity has not been shown to last,
            and must not hold up other requests for the model.
    """
    fault = refusal.kind.meaning.fault
    is_requests_own = fault is Fault.UNCLEAR and isinstance(step, GiveUp)
    is_unproven = fault is Fault.UPSTREAM and spent
    return replace(refusal, kind=RefusalKind.CALLER) if is_requests_own or is_unproven else refusal


def no_token(error: CredentialError, lease: Lease, *, rejected: bool, late: bool) -> Refusal:
    """Return the refusal that stands for a token that could not be had.

    Args:
        error: why not.
        lease: whose.
        rejected: whether upstream refused the last one.
        late: whether all the time was used up that the request could give for it.
    """
    if late and error.retryable and not rejected:
        return timeout_refusal(str(error))
    kind = RefusalKind.AUTH if rejected else RefusalKind.TRANSPORT
    if isinstance(error, GrantRevokedError):
        kind = RefusalKind.REVOKED
    status = 503 if kind is RefusalKind.TRANSPORT else 401
    return Refusal(kind, status, str(error), reason=UNSIGNED, retry_after=error.retry_after, model=lease.model)


def final(error: NoAccountLeftError | AllAccountsLimitedError, refused: RequestRefusedError | None) -> AntigravityError:
    """Return what the caller is told when no account is left.

    What upstream said last says more than that everybody has been asked. A refused request is no limit of the
    account, so its cooldown of seconds must not be reported as one.
    """
    if refused is None:
        return error
    then = refused.refusal.kind.meaning.then
    if then is Then.ONE_MORE_ACCOUNT or not isinstance(error, AllAccountsLimitedError):
        return refused
    return refused if then is Then.TOKEN_THEN_ANOTHER and len(error.accounts) == 1 else error
