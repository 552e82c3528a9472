"""Recording how leased requests ended, where every process sees it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from litellm_antigravity import events
from litellm_antigravity.clock import Clock
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.lease import Lease, Outcome
from litellm_antigravity.logs import LOGGER
from litellm_antigravity.models import ModelFamily
from litellm_antigravity.refusals import Cooling, Refusal, cooldown_for, penalty_for, refunds_token
from litellm_antigravity.refusals.kinds import NOBODYS_FAULT
from litellm_antigravity.selection.vitals import VitalsRules
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.uses import Uses
from litellm_antigravity.wording import account_is_out

JUST_NOW_SECONDS: Final = 20.0
"""A failure that is no older speaks of the present: as long as failures in a row bench an account."""

_LONGEST_MESSAGE: Final = 300  # characters of upstream's words in a row


class Recorder:
    """Records outcomes. One for each pool, whose accounts it compares with each other.

    Args:
        store: the shared state.
        clock: the source of time.
        rules: of health and bucket.
        uses: the requests that are not written yet.
    """

    def __init__(self, store: Ledger, clock: Clock, rules: VitalsRules, uses: Uses) -> None:
        self._store = store
        self._clock = clock
        self._rules = rules
        self._uses = uses
        self._answers: dict[tuple[str, ModelFamily], float] = {}

    def answered(self, lease: Lease) -> None:
        """Note that upstream has begun to answer as the account; in this process's memory only."""
        self._answers[lease.account.id, lease.family] = self._clock.time()

    def failed_just_now(self, family: ModelFamily) -> set[str]:
        """Return the accounts whose last request for the family failed a moment ago."""
        now = self._clock.time()
        known = {account_id: one.failures.get(family) for account_id, one in dict(self._store.known().vitals).items()}
        return {
            account_id
            for account_id, failures in known.items()
            if failures is not None and abs(now - failures.at) <= JUST_NOW_SECONDS
        }

    def half_open(self, lease: Lease, seconds: float) -> Lease:
        """Return the lease of a probe if the account was benched for failing in transit and has not answered since.

        Others keep away from it meanwhile, for ``seconds`` at most: only one request at a time is to find out whether
        it is silent still. Does nothing for any other account, or where nobody else could serve.
        """
        if not lease.others or math.isinf(seconds) or lease.probes:
            return lease
        view, now = self._store.known(), self._clock.time()
        vitals, last = view.vitals.get(lease.account.id), view.cooldown(lease.account.id, lease.family)
        if vitals is None or last is None or last.reason not in NOBODYS_FAULT or last.remaining(now) > 0:
            return lease
        if not vitals.failures_now(lease.family, now, self._rules):
            return lease
        probe = replace(last, since=now, until=now + seconds)
        return replace(lease, probes=(self._store.extend_cooldown(probe),))

    def changes_anything(self, lease: Lease, outcome: Outcome) -> bool:
        """Return whether there is something to record; see `Vitals.gains`."""
        if isinstance(outcome, Refusal) or lease.probes:
            return True
        vitals = self._store.known().vitals.get(lease.account.id)
        return vitals is None or vitals.gains(lease.family, self._clock.time(), self._rules)

    def tell(self, lease: Lease, outcome: Outcome) -> None:
        """Tell whoever listens how a leased request ended; once, however often `record` has to try."""
        if not events.wanted():
            return
        if isinstance(outcome, Refusal):
            events.emit(events.Refused(about=lease.about, kind=outcome.kind.value, status=outcome.status))
        else:
            events.emit(events.Served(about=lease.about))

    def record(self, lease: Lease, outcome: Outcome) -> None:
        """Record how a leased request ended.

        Args:
            lease: of the request.
            outcome: `SERVED`, or the refusal.
        """
        if not self.changes_anything(lease, outcome):
            return
        now = self._clock.time()
        for probe in lease.probes:
            is_trial = probe.reason in NOBODYS_FAULT  # of `half_open`: of seconds, not of hours
            if is_trial or not isinstance(outcome, Refusal):
                self._store.end_cooldown(probe.account_id, probe.pool, now)
                if not isinstance(outcome, Refusal) and events.wanted():
                    events.emit(events.Back(account_id=probe.account_id, pool=probe.pool, how="probe"))
            if not is_trial:
                self._store.finish_probe(probe.account_id, probe.pool, now)
        if isinstance(outcome, Refusal):
            self._refused(lease, outcome, now)
        else:
            self._store.record_success(lease.account.id, lease.family, now, self._rules)

    def give_back(self, lease: Lease) -> None:
        """Count a leased request no longer: it was not sent.

        Args:
            lease: of the request.
        """
        if not self._uses.take_back(lease.account.id):
            self._store.refund_token(lease.account.id, self._clock.time(), self._rules)

    def _refused(self, lease: Lease, refusal: Refusal, now: float) -> None:
        cooling = cooldown_for(refusal, family=lease.family, model=lease.model)
        if cooling is not None and cooling.fact:  # others are to know it first, and no count of failures changes it
            self._cool_down(lease, refusal, cooling, now)
            self._failures(lease, refusal, now)
            return
        vitals = self._store.known().vitals.get(lease.account.id)
        before = None if vitals is None else vitals.failures.get(lease.family)
        cooling = cooldown_for(
            refusal,
            family=lease.family,
            model=lease.model,
            failures=self._failures(lease, refusal, now),
            others_answered=before is not None and self._others_answered(lease, before.at),
        )
        if cooling is not None:
            self._cool_down(lease, refusal, cooling, now)

    def _cool_down(self, lease: Lease, refusal: Refusal, cooling: Cooling, now: float) -> None:
        if cooling.pool is None:
            self._store.hold_capacity(lease.model, now, cooling.seconds)
            if events.wanted():
                model, family, seconds = lease.model, lease.family, cooling.seconds
                events.emit(events.OutOfCapacity(model=model, family=family, seconds=seconds))
            return
        cooldown = self._store.extend_cooldown(_cooldown(lease, cooling.pool, cooling, refusal, now))
        if refusal.kind.meaning.until_somebody_acts:
            LOGGER.warning("%s", account_is_out(lease.account, refusal))
        if events.wanted():
            pool, kind, left = cooldown.pool, refusal.kind.value, cooldown.remaining(now)
            events.emit(events.Benched(about=lease.about, pool=pool, kind=kind, seconds=left, fact=cooldown.fact))

    def _failures(self, lease: Lease, refusal: Refusal, now: float) -> int:
        """Record what a refusal says of the account itself; return its failures in a row."""
        account_id, penalty = lease.account.id, penalty_for(refusal)
        refund = refunds_token(refusal) and not self._uses.take_back(account_id)
        if penalty is not None:
            return self._store.record_failure(
                account_id, lease.family, now, self._rules, penalty=penalty, refund=refund
            )
        if refund:
            self._store.refund_token(account_id, now, self._rules)
        return 0

    def _others_answered(self, lease: Lease, since: float) -> bool:
        return any(
            at >= since and family == lease.family and account_id != lease.account.id
            for (account_id, family), at in tuple(self._answers.items())
        )


def _cooldown(lease: Lease, pool: str, cooling: Cooling, refusal: Refusal, now: float) -> Cooldown:
    return Cooldown(
        lease.account.id,
        pool,
        now + cooling.seconds,
        refusal.kind.value,
        now,
        fact=cooling.fact,
        credential=lease.account.credential.fingerprint if cooling.of_credential else None,
        url=refusal.url,
        message=refusal.message[:_LONGEST_MESSAGE],
    )
