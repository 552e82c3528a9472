"""What the flow of a request consists of: what belongs to the request, and the steps that a driver takes for it."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from litellm_antigravity import events
from litellm_antigravity.lease import Lease, LeaseRequest
from litellm_antigravity.models import family_of
from litellm_antigravity.pool import AccountPool
from litellm_antigravity.refusals import Failover, GiveUp, NextStep, Refusal
from litellm_antigravity.reports import Reports
from litellm_antigravity.request import GeminiRequest
from litellm_antigravity.retries import Retries
from litellm_antigravity.selection.patience import RequestKind
from litellm_antigravity.time_budget import Budget
from litellm_antigravity.wire.exchange import Call
from litellm_antigravity.wire.limits import Limits

_MOMENT_SECONDS: Final = 0.01  # what was known before may be no longer so


@dataclass(slots=True)
class Flow:
    """What belongs to one request, from its start to its end."""

    request: GeminiRequest
    reports: Reports
    failover: Failover
    budget: Budget
    retries: Retries
    kind: RequestKind
    waited: float = 0.0
    turn: str | None = None
    is_served: bool = False

    @property
    def pool(self) -> AccountPool:
        """Whose accounts serve it, and where their outcomes are recorded."""
        return self.reports.pool

    @property
    def asked(self) -> LeaseRequest:
        """What it asks of the pool now."""
        tried = self.failover.tried
        if self.failover.may_be_an_outage:  # then not of those either that have just failed
            tried = tried | self.pool.recorder.failed_just_now(family_of(self.request.model))
        request, limited, patience = self.request, self.failover.limited, max(0.0, self.budget.left)
        return LeaseRequest(
            request.model,
            tried,
            limited,
            self.waited,
            patience,
            request.account_id,
            turn=self.turn,
            conversation=request.conversation,
            request_id=request.request_id,
            caller=request.caller,
        )

    def has_fallen_out(self, lease: Lease, now: float) -> bool:
        """Return whether an account was benched while its token was fetched, or whatever else took its time.

        Args:
            lease: on the account; nothing has been sent yet.
            now: epoch seconds.
        """
        if lease.probes or now - lease.since < _MOMENT_SECONDS:
            return False
        return not self.pool.availability(lease.model).is_free(lease.account.id)

    def after(self, refusal: Refusal, lease: Lease) -> tuple[NextStep, bool]:
        """Return what comes after a refusal, and whether that is the end because the retry budget is spent."""
        step = self.failover.next_step(lease.account.id, refusal)
        if isinstance(step, GiveUp) or self.retries.allow(refusal):
            return step, False
        if events.wanted():
            events.emit(events.OutOfRetries(about=lease.about, kind=refusal.kind.value))
        return GiveUp(), True


@dataclass(frozen=True, slots=True)
class Send:
    """Ask upstream, as an account."""

    lease: Lease
    call: Call
    limits: Limits
    flow: Flow


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait, before the same account is asked again or because none is free."""

    seconds: float


@dataclass(frozen=True, slots=True)
class MayBlock:
    """What comes next may take seconds: a refresh, or waiting for another process's refresh."""


Step: TypeAlias = "Send | Pause | MayBlock"
Steps: TypeAlias = Generator[Step, "Refusal | None", None]


@contextlib.contextmanager
def let_go(steps: Steps) -> Iterator[None]:
    """Let go of the steps in the end, and with them of what they hold."""
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # a thread is still in them, after the request was cancelled
            steps.close()
