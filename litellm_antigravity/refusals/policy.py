"""What follows from a refusal: what to record for others, and what this request does next (docs/failover.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from litellm_antigravity.cooldowns import WHOLE_ACCOUNT, model_pool
from litellm_antigravity.models import ModelFamily, canonical_model
from litellm_antigravity.refusals.failed import is_another_accounts_turn
from litellm_antigravity.refusals.kinds import (
    REPEATED_FAILURES,
    REPEATED_SILENCES,
    Cools,
    Fault,
    Hint,
    RefusalKind,
    Then,
)
from litellm_antigravity.refusals.refusal import Refusal
from litellm_antigravity.selection.retry_budget import RETRY_COST, TIMEOUT_COST
from litellm_antigravity.selection.vitals import Penalty

CAPACITY_RETRIES: Final = (1.0, 2.0, 4.0)
"""Seconds before each of the short retries; jitter comes to them."""

ACCOUNTS_IN_AN_OUTAGE: Final = 2
"""So many accounts a request asks when each of them fails and every other one has just failed as well."""

_JITTER: Final = 0.2
_SAME_ACCOUNT_SECONDS: Final = 1.0  # the pause before the same account is asked again, when there is no hint
_LONGEST_SAME_ACCOUNT_SECONDS: Final = 5.0  # a longer hint is not worth waiting for with another account free


def penalty_for(refusal: Refusal) -> Penalty | None:
    """Return what a refusal costs the account's health; ``None`` when it is no failure of the account's."""
    return refusal.kind.meaning.penalty


def refunds_token(refusal: Refusal) -> bool:
    """Return whether the account's bucket gets its token back: upstream has not served the request."""
    return refusal.kind.meaning.fault is not Fault.MODEL


@dataclass(frozen=True, slots=True)
class Cooling:
    """What is not to be used for a while.

    Attributes:
        pool: of the account: a family, account x model, or all of it; ``None`` for the model, whoever asks. That one
            is only to be recorded once the short retries are used up.
        seconds: how long; ``math.inf`` until somebody acts.
        fact: upstream said so, rather than this package inferring it.
        of_credential: whether it lapses when the account has another credential.
    """

    pool: str | None
    seconds: float
    fact: bool = False
    of_credential: bool = False


def cooldown_for(
    refusal: Refusal, *, family: ModelFamily, model: str, failures: int = 0, others_answered: bool = False
) -> Cooling | None:
    """Return what cools down after a refusal, and for how long; ``None`` for nothing.

    Args:
        refusal: what upstream said.
        family: the quota family of the model.
        model: the model that was asked for.
        failures: the account's failures in a row in the family, this one included.
        others_answered: whether another account was seen to answer since the failure before this one.
    """
    meaning, hint = refusal.kind.meaning, refusal.retry_after
    if meaning.cools is Cools.NOTHING:
        return None
    if refusal.silent and others_answered:
        failures += REPEATED_FAILURES - REPEATED_SILENCES
    seconds = meaning.seconds[min(max(failures, 1), len(meaning.seconds)) - 1]
    if hint is not None and meaning.hint is not Hint.IGNORED:
        seconds = hint if meaning.is_limit else min(hint, seconds)
    if seconds <= 0:
        return None
    fact = meaning.until_somebody_acts or (meaning.is_limit and hint is not None)
    return Cooling(_pool(meaning.cools, family, model), seconds, fact, meaning.cools is Cools.CREDENTIAL)


def _pool(cools: Cools, family: ModelFamily, model: str) -> str | None:
    if cools is Cools.FAMILY:
        return family
    if cools is Cools.ACCOUNT_MODEL:
        return model_pool(canonical_model(model))
    return None if cools is Cools.MODEL else WHOLE_ACCOUNT


def retry_cost(refusal: Refusal) -> float:
    """Return what another try after this refusal takes from the retry budget; 0 for what is not subject to it.

    Subject to it is what tells of an upstream in trouble: errors of connections and servers, broken replies, and a
    lack of capacity. Limits, quota and what is wrong with one account are not: to rotate is the answer to them.
    """
    if not refusal.kind.meaning.is_trouble_of_upstream:
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
        then = refusal.kind.meaning.then
        if then is Then.TELL_CALLER:
            return GiveUp()
        if then is Then.SHORT_RETRIES:
            return self._short_retry()
        if then is Then.ONE_MORE_REPLY:
            return self._one_more_reply(account_id, refusal)
        if then is Then.ONE_MORE_ACCOUNT:
            refused_before, self._refused_before = self._refused_before, True
            return GiveUp() if refused_before else self._next(account_id)
        if then is Then.TOKEN_THEN_ANOTHER and account_id not in self._refreshed:
            self._refreshed.add(account_id)
            return RetrySameAccount(0.0, refresh_token=True)
        if self._insists(account_id, refusal):
            self._insisted.add(account_id)
            return RetrySameAccount(_SAME_ACCOUNT_SECONDS if refusal.retry_after is None else refusal.retry_after)
        if self._is_waited_for(account_id, refusal):
            self._waited_for.add(account_id)
            return NextAccount()  # not tried for good: the pool waits for it rather than lose its prompt cache
        if refusal.is_limit:
            self.limited.add(account_id)
        if refusal.kind.meaning.fault is Fault.TRANSIT:
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
        limited = refusal.is_limit and refusal.retry_after is not None
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
