"""`Refusal` -> what is recorded, and what the request does next (DESIGN, section 7, the table)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from litellm_antigravity.models import ModelFamily
from litellm_antigravity.refusals.refusal import Refusal, RefusalKind
from litellm_antigravity.selection.vitals import Penalty
from litellm_antigravity.state.rows import WHOLE_ACCOUNT, model_pool

QUOTA_LADDER_SECONDS: Final = (60.0, 300.0, 1800.0, 7200.0)
"""Quota without a hint, by consecutive failures."""

RATE_SECONDS: Final = 30.0
REFUSED_REQUEST_SECONDS: Final = 10.0
TRANSPORT_SECONDS: Final = 20.0
REPEATED_FAILURES: Final = 3
"""A connection that fails once is the network's fault; this many times in a row, perhaps the account's."""

AUTH_SECONDS: Final = 600.0
NOT_AVAILABLE_SECONDS: Final = 600.0
CAPACITY_SECONDS: Final = 10.0
CAPACITY_RETRIES_SECONDS: Final = (1.0, 2.0, 4.0)
_PATIENCE_SECONDS: Final = 5.0
_RETRY_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Record:
    """What a refusal leaves in the shared state.

    Attributes:
        pool: which pool of the account cools down: a family, a model's, or the whole account; ``None`` for none.
        until_delay: for how many seconds; ``math.inf`` until somebody acts; ``None`` for not at all.
        fact: upstream said so.
        counts_as_failure: which penalty the account's health suffers; ``None`` for none.
        refund_token: the account's token is given back, since nothing was served.
        capacity_delay: for how many seconds all requests for the model fail fast; ``None`` for none.
    """

    pool: str | None = None
    until_delay: float | None = None
    fact: bool = False
    counts_as_failure: Penalty | None = None
    refund_token: bool = True
    capacity_delay: float | None = None


def record_for(refusal: Refusal, *, family: ModelFamily, model: str, consecutive_failures: int = 0) -> Record:
    """Return what a refusal leaves in the shared state.

    Args:
        refusal: what upstream said.
        family: of the model.
        model: its canonical name.
        consecutive_failures: of the account in this family, this one included.
    """
    kind, hint = refusal.kind, refusal.retry_after
    if kind is RefusalKind.QUOTA:
        step = min(max(consecutive_failures, 1), len(QUOTA_LADDER_SECONDS)) - 1
        delay = QUOTA_LADDER_SECONDS[step] if hint is None else hint
        return Record(family, delay, fact=hint is not None, counts_as_failure="rate")
    if kind is RefusalKind.RATE:
        return Record(family, RATE_SECONDS if hint is None else hint, fact=hint is not None, counts_as_failure="rate")
    if kind is RefusalKind.REFUSED_REQUEST:
        return Record(family, REFUSED_REQUEST_SECONDS)
    if kind is RefusalKind.CAPACITY:
        return Record(capacity_delay=CAPACITY_SECONDS)
    if kind in (RefusalKind.TRANSPORT, RefusalKind.BROKEN_REPLY):
        delay_or_none = TRANSPORT_SECONDS if consecutive_failures >= REPEATED_FAILURES else None
        return Record(family, delay_or_none, counts_as_failure="failure")
    if kind is RefusalKind.AUTH:
        return Record(WHOLE_ACCOUNT, AUTH_SECONDS, counts_as_failure="failure")
    if kind is RefusalKind.NOT_AVAILABLE:
        return Record(model_pool(model), NOT_AVAILABLE_SECONDS)
    if kind in (RefusalKind.REVOKED, RefusalKind.VERIFICATION, RefusalKind.BANNED):
        return Record(WHOLE_ACCOUNT, math.inf, fact=True)
    return Record()


@dataclass(frozen=True, slots=True)
class NextAccount:
    """Try another account at once."""


@dataclass(frozen=True, slots=True)
class RetrySameAccount:
    """Try the same account again, after ``delay`` seconds, with a new token if ``refresh_token``."""

    delay: float = 0.0
    refresh_token: bool = False


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The refusal goes to the caller."""


Step: TypeAlias = "NextAccount | RetrySameAccount | GiveUp"


class Failover:
    """What one request does after each refusal; it remembers which accounts it has tried.

    Args:
        switch_on_first_rate_limit: False for one retry on the same account first.
        random: a source of numbers from 0 to 1, for jitter.
    """

    def __init__(self, *, switch_on_first_rate_limit: bool, random: Callable[[], float]) -> None:
        self.tried: set[str] = set()
        self._switch_at_once = switch_on_first_rate_limit
        self._random = random
        self._capacity_retries = 0
        self._refused_requests = 0
        self._retried: set[str] = set()
        self._refreshed: set[str] = set()

    def next_step(self, account_id: str, refusal: Refusal) -> Step:
        """Return what to do after ``account_id`` met ``refusal``."""
        kind = refusal.kind
        if kind is RefusalKind.CAPACITY and self._capacity_retries < len(CAPACITY_RETRIES_SECONDS):
            delay = CAPACITY_RETRIES_SECONDS[self._capacity_retries] * (0.8 + 0.4 * self._random())
            self._capacity_retries += 1
            return RetrySameAccount(delay)
        if kind is RefusalKind.AUTH and account_id not in self._refreshed:
            self._refreshed.add(account_id)
            return RetrySameAccount(refresh_token=True)
        if self._is_worth_a_retry(account_id, refusal):
            self._retried.add(account_id)
            return RetrySameAccount(min(refusal.retry_after or _RETRY_SECONDS, _PATIENCE_SECONDS))
        self.tried.add(account_id)
        if kind is RefusalKind.REFUSED_REQUEST:
            self._refused_requests += 1
            return GiveUp() if self._refused_requests > 1 else NextAccount()
        if kind in (RefusalKind.CAPACITY, RefusalKind.BANNED, RefusalKind.CALLER):
            return GiveUp()
        return NextAccount()

    def _is_worth_a_retry(self, account_id: str, refusal: Refusal) -> bool:
        if self._switch_at_once or account_id in self._retried:
            return False
        if refusal.kind not in (RefusalKind.RATE, RefusalKind.QUOTA):
            return False
        return refusal.retry_after is None or refusal.retry_after <= _PATIENCE_SECONDS
