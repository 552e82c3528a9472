"""What people are told of accounts that are out, limited, or without the model: the words, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from litellm_antigravity.accounts import Account
from litellm_antigravity.aftermath import stopped
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.errors import AllAccountsLimitedError
from litellm_antigravity.logs import spell_duration
from litellm_antigravity.refusals import Refusal, RefusalKind
from litellm_antigravity.refusals.kinds import MEANINGS
from litellm_antigravity.selection.bans import is_stopped

_FORBIDDEN: Final = frozenset(kind.value for kind, meaning in MEANINGS.items() if meaning.status == 403)


def all_disabled(path: Path) -> str:
    """Return what is wrong with an accounts file that has no enabled account."""
    return f'every account in {path} is disabled; `litellm-antigravity auth enable`, or set "enabled": true'


def account_is_out(account: Account, refusal: Refusal) -> str:
    """Return the warning for an account that is out until somebody acts."""
    remedy = {
        RefusalKind.BANNED: "upstream has disabled it; appeal",
        RefusalKind.VERIFICATION: "it is out until you verify it",
        RefusalKind.REVOKED: "its grant was revoked; sign in again",
    }[refusal.kind]
    where = " at the address that `litellm-antigravity status` shows" if refusal.url else ""
    back = "" if refusal.kind is RefusalKind.REVOKED else ", then type `litellm-antigravity auth retry EMAIL`"
    return f"Account {account.label} is out: {remedy}{where}{back}. Upstream said: {refusal.message}"


def no_capacity(model: str, left: float) -> Refusal:
    """Return the refusal for a model that had no capacity a moment ago, for another ``left`` seconds."""
    return Refusal(
        kind=RefusalKind.CAPACITY,
        status=503,
        message=f"No capacity available for model {model} (seen by another request a moment ago)",
        retry_after=left,
        model=model,
    )


def nowhere_available(
    accounts: Sequence[Account], benched: Mapping[str, tuple[Cooldown, ...]], model: str, now: float
) -> Refusal | None:
    """Return the refusal for a model that no account has, most likely a misspelt one; that is no rate limit."""
    longest = [max(benched[one.id], key=lambda cooldown: cooldown.remaining(now)) for one in accounts]
    if any(one.reason != RefusalKind.NOT_AVAILABLE.value for one in longest):
        return None
    earliest = spell_duration(math.ceil(min(one.remaining(now) for one in longest)))
    said = next((f" Upstream says: {one.message}" for one in longest if one.message), "")
    message = f"None of the {len(longest)} account(s) has the model {model}. Check its name.{said}"
    return Refusal(
        kind=RefusalKind.NOT_AVAILABLE,
        status=404,
        message=f"{message} (It is not asked for again within {earliest}.)",
        model=model,
    )


def spell_remaining(seconds: float) -> str:
    """Return what is left of a cooldown, in words."""
    return "good, until somebody acts" if math.isinf(seconds) else spell_duration(seconds)


def all_limited(
    accounts: Sequence[Account], benched: Mapping[str, tuple[Cooldown, ...]], model: str, now: float
) -> AllAccountsLimitedError:
    """Return the error that names every account with its reason and remaining time, and the first to be back."""
    if is_stopped(benched):
        return stopped(accounts, benched)
    lines, waits = [], []
    for account in accounts:
        longest = max(benched[account.id], key=lambda cooldown: cooldown.remaining(now))
        wait = longest.remaining(now)
        waits.append(wait)
        left = "until you act" if math.isinf(wait) else f"{spell_duration(math.ceil(wait))} left"
        lines.append(f"{account.label}: {longest.reason}, {left}")
    earliest = min(waits)
    retry_after = None if math.isinf(earliest) else earliest
    head = f"Every account ({len(lines)}) is limited for {model}"
    if retry_after is None:
        tail = "None comes back by itself: see `litellm-antigravity status`."
    else:
        tail = f"The first one is free again in {spell_duration(math.ceil(retry_after))}."
    forbidden = retry_after is None and any(one.reason in _FORBIDDEN for known in benched.values() for one in known)
    return AllAccountsLimitedError(
        f"{head}. {tail} [{'; '.join(lines)}]", retry_after=retry_after, accounts=tuple(lines), forbidden=forbidden
    )


def all_busy(count: int, model: str, retry_after: float) -> AllAccountsLimitedError:
    """Return the error for a request that meets accounts that all have as many requests as they may have."""
    return AllAccountsLimitedError(
        f"Every account ({count}) that is free has as many requests in flight for {model} as it may have "
        f"(max_in_flight_per_account).",
        retry_after=retry_after,
        accounts=(),
    )


def refused_by_all(model: str, retry_after: float) -> AllAccountsLimitedError:
    """Return the error for a request that met a limit of every account, when the first limit is over already."""
    return AllAccountsLimitedError(
        f"Every account has reached a limit for {model} while this request was tried. The first one is free again.",
        retry_after=retry_after,
        accounts=(),
    )
