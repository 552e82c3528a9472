"""What a ban means for the requests that come after it: who serves them, if anybody does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from litellm_antigravity.errors import AntigravityError, PoolStoppedError
from litellm_antigravity.refusals import Refusal, RefusalKind
from litellm_antigravity.selection.bans import STOPPED, stopping_bans

if TYPE_CHECKING:
    from litellm_antigravity.accounts import Account
    from litellm_antigravity.cooldowns import Cooldown
    from litellm_antigravity.lease import Lease
    from litellm_antigravity.pool import AccountPool

STOPPED_BY_BANS: Final = (
    "The whole pool has stopped: two accounts were banned within an hour, so it is the way of use that is refused, and "
    "the next account would be banned as well. Stop what uses them that way; then `litellm-antigravity auth retry "
    "EMAIL` for one of the banned accounts starts the pool again."
)
"""What a stopped pool says, and the ban that stops it."""


def aftermath(pool: AccountPool | None, lease: Lease, refusal: Refusal) -> str | None:
    """Return what a refusal that is on record means for the next request; ``None`` for all but a ban.

    A ban is no reason to go on as somebody else. Whoever does not want another account to serve the next request
    either has to know that it will.

    Args:
        pool: that serves the next request; asked, not changed. ``None`` when it is for the same account alone.
        lease: the account that was banned, and the model.
        refusal: what upstream said.
    """
    if refusal.kind is not RefusalKind.BANNED or pool is None:
        return None
    try:
        snapshot, view = pool.accounts.current(), pool.store.refresh()
        if stopping_bans(snapshot, view, pool.clock.time()):
            return STOPPED_BY_BANS
        next_one = snapshot.by_id.get(pool.choose(lease.model) or "")
    except AntigravityError:
        return None  # the accounts file has just become unreadable, which the next request says
    if next_one is None:
        return "This request is not tried as anybody else, and no other account is free now."
    return f"This request is not tried as anybody else. The next one will be served by {next_one.label}."


def stopped(accounts: Sequence[Account], benched: Mapping[str, tuple[Cooldown, ...]]) -> PoolStoppedError:
    """Return the error that says why nobody serves, with what else is known of each account.

    Args:
        accounts: the pool's.
        benched: what keeps each of them from serving.
    """
    reasons = {one.id: [known.reason for known in benched[one.id] if known.reason != STOPPED] for one in accounts}
    lines = tuple(f"{one.label}: {', '.join(reasons[one.id]) or STOPPED}" for one in accounts)
    return PoolStoppedError(f"{STOPPED_BY_BANS} [{'; '.join(lines)}]", retry_after=None, accounts=lines)


__all__ = ["STOPPED_BY_BANS", "aftermath", "stopped"]
