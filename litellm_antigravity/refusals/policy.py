"""What follows from a refusal: what to record, and what this request does next (docs/design.md, "Refusals")."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from litellm_antigravity.models import ModelFamily, canonical_model
from litellm_antigravity.refusals.failed import is_another_accounts_turn
from litellm_antigravity.refusals.refusal import Refusal, RefusalKind
from litellm_antigravity.selection.retry_budget import RETRY_COST, TIMEOUT_COST
from litellm_antigravity.selection.vitals import Penalty
from litellm_antigravity.state.rows import WHOLE_ACCOUNT, model_pool

# Seconds, all from docs/design.md, "Refusals".
QUOTA_LADDER: Final = (60.0, 300.0, 1800.0, 7200.0)
RATE_SECONDS: Final = 30.0
REFUSED_REQUEST_SECONDS: Final = 10.0
TRANSPORT_SECONDS: Final = 20.0
OUT_SECONDS: Final = 600.0
CAPACITY_SECONDS: Final = 10.0
CAPACITY_RETRIES: Final = (1.0, 2.0, 4.0)

REPEATED_FAILURES: Final = 3
"""So many failures in a row make a transport problem one of the account."""

REPEATED_SILENCES: Final = 2
"""So many are enough when the last was silence that cost a request its time, and other accounts answered meanwhile."""

ACCOUNTS_IN_AN_OUTAGE: Final = 2
"""So many accounts a request asks when each of them fails and every other one has just failed as well."""

_JITTER: Final = 0.2
_SAME_ACCOUNT_SECONDS: Final = 1.0  # the pause before the same account is asked again, when there is no hint
_LONGEST_SAME_ACCOUNT_SECONDS: Final = 5.0  # a longer hint is not worth waiting for with another account free

_FAMILY_KINDS: Final = frozenset(
    {
        RefusalKind.QUOTA,
        RefusalKind.RATE,
        RefusalKind.REFUSED_REQUEST,
        RefusalKind.TRANSPORT,
        RefusalKind.BROKEN_REPLY,
    }
)
_ACCOUNT_KINDS: Final = frozenset({RefusalKind.AUTH, RefusalKind.REVOKED, RefusalKind.VERIFICATION, RefusalKind.BANNED})
_UNTIL_SOMEBODY_ACTS: Final = frozenset({RefusalKind.REVOKED, RefusalKind.VERIFICATION, RefusalKind.BANNED})
_TROUBLE_IN_TRANSIT: Final = frozenset({RefusalKind.TRANSPORT, RefusalKind.BROKEN_REPLY})
_UPSTREAM_IN_TROUBLE: Final = _TROUBLE_IN_TRANSIT | {RefusalKind.CAPACITY}
_LIMITS: Final = frozenset({RefusalKind.QUOTA, RefusalKind.RATE})
_PENALTIES: Final[dict[RefusalKind, Penalty]] = {
    RefusalKind.QUOTA: "rate",
    RefusalKind.RATE: "rate",
    RefusalKind.TRANSPORT: "failure",
    RefusalKind.BROKEN_REPLY: "failure",
    RefusalKind.AUTH: "failure",
}
"""Not what is a fact until somebody acts: health is inference, and would still be low when the account is back."""


@dataclass(frozen=True, slots=True)
class Record:
    """What a refusal leaves in the shared state.

    Attributes:
        pool: what cools down: a family, an account x model pool, or the whole account; ``None`` for nothing.
        until_delay: seconds that it cools down; ``math.inf`` until somebody acts; ``None`` for not at all.
        fact: upstream said so, rather than this package inferring it.
        counts_as_failure: what it costs the account's health; ``None`` when it is not the account's.
        refund_token: whether the account's bucket gets its token back: the request was not served.
        capacity_delay: seconds that every request for the model fails fast; only to be reported once the short
            retries are used up.
    """

    pool: str | None
    until_delay: float | None
    fact: bool
    counts_as_failure: Penalty | None
    refund_token: bool
    capacity_delay: float | None


def record_for(
    refusal: Refusal,
    *,
    family: ModelFamily,
    model: str,
    consecutive_failures: int = 0,
    others_answered: bool = False,
) -> Record:
    """Return what to record of a refusal (docs/design.md, "Refusals").

    Args:
        refusal: what upstream said.
        family: the quota family of the model.
        model: the model that was asked for.
        consecutive_failures: the account's failures in a row in the family, this one included.
        others_answered: whether another account was seen to answer since the failure before this one.
    """
    kind = refusal.kind
    return Record(
        pool=_pool(kind, family, model),
        until_delay=_cooldown_seconds(refusal, consecutive_failures, others_answered=others_answered),
        fact=kind in _UNTIL_SOMEBODY_ACTS or (_takes_hint(kind) and refusal.retry_after is not None),
        counts_as_failure=_PENALTIES.get(kind),
        # Upstream refused, or could not be reached; a failed reply it served, and counted.
        refund_token=kind is not RefusalKind.FAILED_REPLY,
        capacity_delay=CAPACITY_SECONDS if kind is RefusalKind.CAPACITY else None,
    )


def _pool(kind: RefusalKind, family: ModelFamily, model: str) -> str | None:
    if kind in _FAMILY_KINDS:
        return family
    if kind in _ACCOUNT_KINDS:
        return WHOLE_ACCOUNT
    return model_pool(canonical_model(model)) if kind is RefusalKind.NOT_AVAILABLE else None


def _takes_hint(kind: RefusalKind) -> bool:
    return kind in (RefusalKind.QUOTA, RefusalKind.RATE)


def _cooldown_seconds(refusal: Refusal, failures: int, *, others_answered: bool) -> float | None:
    kind, hint = refusal.kind, refusal.retry_after
    if kind in _UNTIL_SOMEBODY_ACTS:
        return math.inf
    if _takes_hint(kind) and hint is not None:
        return hint
    if kind is RefusalKind.QUOTA:
        return QUOTA_LADDER[min(max(failures, 1), len(QUOTA_LADDER)) - 1]
    if kind is RefusalKind.RATE:
        return RATE_SECONDS
    if kind is RefusalKind.REFUSED_REQUEST:
        return REFUSED_REQUEST_SECONDS if hint is None else min(hint, REFUSED_REQUEST_SECONDS)
    if kind in (RefusalKind.TRANSPORT, RefusalKind.BROKEN_REPLY):
        enough = REPEATED_SILENCES if refusal.silent and others_answered else REPEATED_FAILURES
        return TRANSPORT_SECONDS if failures >= enough else None
    return OUT_SECONDS if kind in (RefusalKind.AUTH, RefusalKind.NOT_AVAILABLE) else None


def retry_cost(refusal: Refusal) -> float:
    """Return what another try after this refusal takes from the retry budget; 0 for what is not subject to it.

    Subject to it is what tells of an upstream in trouble: errors of connections and servers, broken replies, and a
    lack of capacity. Limits, quota and what is wrong with one account are not: to rotate is the answer to them.
    """
    if refusal.kind not in _UPSTREAM_IN_TROUBLE:
        return 0.0
    return TIMEOUT_COST if refusal.status == 408 else RETRY_COST


@dataclass(frozen=True, slots=True)
class NextAccount:
    """Go on with another account at once."""


@dataclass(frozen=True, slots=True)
class RetrySameAccount:
    """Ask the same account again.

    Attributes:
        delay: seconds to wait before that.
        refresh_token: whether its access token has to be replaced first.
    """

    delay: float
    refresh_token: bool = False


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Tell the caller."""


NextStep: TypeAlias = NextAccount | RetrySameAccount | GiveUp


class Failover:
    """What one request does after each refusal. One object per request.

    Args:
        switch_on_first_rate_limit: False for one retry on the same account first.
        sticky_wait: an account that is limited for no longer than this may be waited for, once.
        random: a source of numbers from 0 to 1, for jitter.
        reply_failed: whether a reply to this request has failed already.

    Attributes:
        reply_failed: the same, now: a second one is the caller's to know of.
        tried: the accounts that the request is done with.
        limited: those of them that had reached a limit; once a limit is over, they may be asked again.
        silences: how many accounts it has left because they said nothing in their turn.
    """

    def __init__(
        self,
        *,
        switch_on_first_rate_limit: bool,
        random: Callable[[], float],
        sticky_wait: float = 0.0,
        reply_failed: bool = False,
    ) -> None:
        self.reply_failed = reply_failed
        self.tried: set[str] = set()
        self.limited: set[str] = set()
        self.silences = 0
        self._failures_in_transit = 0
        self._sticky_wait = sticky_wait
        self._waited_for: set[str] = set()
        self._switch_at_once = switch_on_first_rate_limit
        self._random = random
        self._refreshed: set[str] = set()
        self._insisted: set[str] = set()
        self._capacity_retries = 0
        self._refused_before = False

    def next_step(self, account_id: str, refusal: Refusal) -> NextStep:
        """Return what to do after a refusal.

        Args:
            account_id: the account that was refused.
            refusal: what upstream said.
        """
        kind = refusal.kind
        if kind in (RefusalKind.BANNED, RefusalKind.CALLER):
            return GiveUp()
        if kind is RefusalKind.CAPACITY:
            return self._short_retry()
        if kind is RefusalKind.FAILED_REPLY:
            return self._one_more_reply(account_id, refusal)
        if kind is RefusalKind.REFUSED_REQUEST:
            refused_before, self._refused_before = self._refused_before, True
            return GiveUp() if refused_before else self._next(account_id)
        if kind is RefusalKind.AUTH and account_id not in self._refreshed:
            self._refreshed.add(account_id)
            return RetrySameAccount(0.0, refresh_token=True)
        if self._insists(account_id, refusal):
            self._insisted.add(account_id)
            return RetrySameAccount(_SAME_ACCOUNT_SECONDS if refusal.retry_after is None else refusal.retry_after)
        if self._is_waited_for(account_id, refusal):
            self._waited_for.add(account_id)
            return NextAccount()  # not tried for good: the pool waits for it rather than lose its prompt cache
        if kind in _LIMITS:
            self.limited.add(account_id)
        if kind in _TROUBLE_IN_TRANSIT:
            self._failures_in_transit += 1
        self.silences += refusal.silent
        return self._next(account_id)

    @property
    def may_be_an_outage(self) -> bool:
        """Whether so many accounts have failed the same way that it need not be the accounts."""
        return self._failures_in_transit >= ACCOUNTS_IN_AN_OUTAGE

    def has_waited(self) -> None:
        """Note that the request has waited for an account: limits that it met before may be over."""
        self.tried -= self.limited
        self.limited.clear()

    def _is_waited_for(self, account_id: str, refusal: Refusal) -> bool:
        limited = refusal.kind in _LIMITS and refusal.retry_after is not None
        return limited and (refusal.retry_after or 0.0) <= self._sticky_wait and account_id not in self._waited_for

    def _next(self, account_id: str) -> NextAccount:
        self.tried.add(account_id)
        return NextAccount()

    def _one_more_reply(self, account_id: str, refusal: Refusal) -> NextStep:
        failed_before, self.reply_failed = self.reply_failed, True
        if failed_before:
            return GiveUp()
        return self._next(account_id) if is_another_accounts_turn(refusal) else RetrySameAccount(0.0)

    def _short_retry(self) -> RetrySameAccount | GiveUp:
        if self._capacity_retries >= len(CAPACITY_RETRIES):
            return GiveUp()
        delay = CAPACITY_RETRIES[self._capacity_retries]
        self._capacity_retries += 1
        return RetrySameAccount(delay * (1.0 - _JITTER + 2.0 * _JITTER * self._random()))

    def _insists(self, account_id: str, refusal: Refusal) -> bool:
        """Return whether the same account is worth one more try, at the price of a short wait."""
        if self._switch_at_once or account_id in self._insisted:
            return False
        if refusal.kind is RefusalKind.RATE:
            return refusal.retry_after is None or refusal.retry_after <= _LONGEST_SAME_ACCOUNT_SECONDS
        return refusal.kind is RefusalKind.QUOTA and refusal.retry_after is None
