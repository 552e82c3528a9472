"""When no account takes a request now: how long it waits, whether it probes a long cooldown, or which error it gets."""

from __future__ import annotations

import math

from litellm_antigravity.admission import Busy
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.errors import NoAccountLeftError, RequestRefusedError
from litellm_antigravity.lease import Lease, LeaseRequest, Wait
from litellm_antigravity.logs import LOGGER, decision, decisions_are_visible
from litellm_antigravity.selection.availability import Availability
from litellm_antigravity.selection.named import named_account
from litellm_antigravity.selection.strategy import earliest_return
from litellm_antigravity.selection.vitals import VitalsRules
from litellm_antigravity.settings import Settings
from litellm_antigravity.state.in_flight import busy_pause
from litellm_antigravity.state.ledger import PROBE_INTERVAL_SECONDS, Ledger
from litellm_antigravity.wording import all_busy, all_limited, nowhere_available, refused_by_all


class Waiting:
    """Decides that; one for each pool.

    Args:
        settings: say how long a request may wait.
        store: the shared state.
        rules: of health and bucket.
    """

    def __init__(self, settings: Settings, store: Ledger, rules: VitalsRules) -> None:
        self._longest = settings.max_rate_limit_wait_seconds
        self._store = store
        self._rules = rules

    def wait_or_probe(self, asked: LeaseRequest, availability: Availability, now: float) -> Lease | Wait:
        """Return how long to wait for the account that is back first, or a lease that probes a long cooldown.

        Raises:
            AllAccountsLimitedError: when every account cools down for longer than the request may wait.
            RequestRefusedError: when no account has the model.
            NoAccountLeftError: when every account that is free has been tried already.
            AccountsFileError: when the account that a deployment names is not there.
        """
        named = None if asked.account_id is None else named_account(asked, availability.snapshot)
        at_most = self._at_most(asked)
        earliest = earliest_return(asked, availability, now)
        if earliest <= at_most:
            if decisions_are_visible() and named is None:
                decision("[accounts] every account is limited for %s; waiting %.1f s", asked.model, earliest)
            return self.in_turn(asked, earliest, now, at_most)
        if named is not None:
            raise all_limited([named], availability.benched, asked.model, now)
        if any(account_id in asked.limited for account_id in availability.free):
            raise refused_by_all(asked.model, earliest)
        if availability.free:
            msg = f"each of the {len(availability.free)} free account(s) has been tried for this request"
            raise NoAccountLeftError(msg)
        snapshot, benched = availability.snapshot, availability.benched
        for account in snapshot.enabled:
            if account.id not in asked.tried and (probes := self._claim_probes(benched[account.id], now)):
                self._store.begin_request(account.id, now, self._rules, require_token=False)
                LOGGER.info("Probing %s for %s, whose cooldown is long.", account.label, asked.model)
                flight = self._store.in_flight.begin(account.id)
                return Lease(account, asked.model, asked.family, now, probes, flight=flight)
        if (refusal := nowhere_available(snapshot.enabled, benched, asked.model, now)) is not None:
            raise RequestRefusedError(refusal)
        raise all_limited(snapshot.enabled, benched, asked.model, now)

    def in_turn(self, asked: LeaseRequest, seconds: float, now: float, at_most: float) -> Wait:
        """Return how long to wait for an account that is back in ``seconds``: one request after the other wakes up."""
        return Wait(self._store.claim_turn(asked.family, now + seconds, now + at_most) - now)

    def while_busy(self, asked: LeaseRequest, busy: Busy) -> Wait:
        """Return how long to wait before another look at accounts that have enough in flight.

        Raises:
            AllAccountsLimitedError: when the request has waited for as long as it may.
        """
        if (pause := busy_pause(asked.waited)) <= self._at_most(asked):
            return Wait(pause)
        seconds = self._store.in_flight.seconds_to_an_end(busy.account_ids)
        raise all_busy(len(busy.account_ids), asked.model, seconds)

    def _at_most(self, asked: LeaseRequest) -> float:
        return min(self._longest - asked.waited, asked.patience)

    def _claim_probes(self, cooldowns: tuple[Cooldown, ...], now: float) -> tuple[Cooldown, ...]:
        """Return the cooldowns that this request may probe: all that bench the account, or none."""
        if not all(PROBE_INTERVAL_SECONDS < one.until - one.since < math.inf for one in cooldowns):
            return ()
        return cooldowns if self._store.claim_probes(cooldowns, now) else ()


__all__ = ["Waiting"]
