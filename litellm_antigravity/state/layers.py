"""The state of a host, joined with that of other hosts through Redis.

The host's own state is its truth: requests read and write that, and nothing else. A thread in one process of the host
carries what changes to Redis and back. Only what must be given out once among all hosts (slots, numbers of the cursor,
probes of long cooldowns) asks Redis itself, which is rare; each such question has 50 ms, and none is asked while Redis
is known to be away. A host that is cut off goes on as if it were alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from litellm_antigravity.clock import Clock
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.selection.vitals import VitalsRules
from litellm_antigravity.state import kinds
from litellm_antigravity.state.backend import StoreStatus
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.questions import QUESTION_SECONDS, Breaker, answer_of
from litellm_antigravity.state.redis_backend import RedisStore
from litellm_antigravity.state.redis_link import RedisPlace
from litellm_antigravity.state.replica import Replica
from litellm_antigravity.state.resilient import ResilientStore
from litellm_antigravity.state.rounds import Rounds
from litellm_antigravity.state.rows import Incident

_T = TypeVar("_T")


class JoinedStore(ResilientStore):
    """A ledger of one host that learns from other hosts, and tells them.

    Args:
        primary: the state of the host.
        place: where the hosts meet.
        clock: the source of time.
        rules: by which vitals change.
        patience: seconds that a request waits for Redis at most, in the rare case that it asks it anything.
    """

    spans_hosts = True

    def __init__(
        self,
        primary: Ledger,
        place: RedisPlace,
        clock: Clock,
        *,
        rules: VitalsRules | None = None,
        patience: float = QUESTION_SECONDS,
    ) -> None:
        self.meeting = place
        self._patience = patience
        self.breaker = Breaker(clock)
        self._outages_of_claims = 0
        self._alone = False  # something was claimed of this host alone
        super().__init__(primary, clock, rules=rules, background=True)

    def _after_fork_in_child(self) -> None:
        super()._after_fork_in_child()
        self._claims: Ledger | None = None
        self._round: Rounds | None = None
        self._starting = threading.Lock()

    def _do(self, operation: Callable[[Replica], _T]) -> _T:
        if self._round is None:
            self._begin()
        return super()._do(operation)

    def _begin(self) -> None:
        with self._starting:
            if self._round is None:
                self._round = Rounds(self)

    def on_host(self, operation: Callable[[Replica], _T]) -> _T:
        """Run an operation on the host's rows."""
        return super()._do(operation)

    @property
    def rules(self) -> VitalsRules:
        """The rules by which vitals change."""
        return self._rules

    @property
    def clock(self) -> Clock:
        """The source of time."""
        return self._clock

    # What is given out once among all hosts

    def _ask(self, question: Callable[[Ledger], _T]) -> _T | None:
        """Return Redis's answer; ``None`` if there is none within the time that there is."""
        if self.breaker.is_open:
            return None
        if self._claims is None:
            self._claims = RedisStore(self.meeting)
        claims = self._claims
        return answer_of(lambda: question(claims), self.breaker, self._patience, self.meeting.description)

    def _tell(self, change: Callable[[Ledger], object]) -> bool:
        """Return whether Redis has been told something, or has answered at all."""

        def done(ledger: Ledger) -> bool:
            change(ledger)
            return True

        return self._ask(done) is True

    def claim_slot(self, owner: str) -> int:
        """Return the lowest number that no living process on any host holds."""
        slot = self._ask(lambda ledger: ledger.claim_slot(owner))
        if slot is None:
            self._alone = True
            return super().claim_slot(owner)
        self._do(lambda replica: replica.backend.stay_alive(owner))
        for number, holder in self.slot_owners().items():
            if holder == owner and number != slot:
                super().free_slot(number)  # it was claimed of this host alone
        self._update(kinds.SLOT, str(slot), lambda _: owner)  # for the time when Redis is away
        return slot

    def next_cursor_start(self) -> int:
        """Return the next number of the counter of all hosts."""
        number = self._ask(lambda ledger: ledger.next_cursor_start())
        if number is None:
            self._alone = True
            return super().next_cursor_start()
        return number

    def claim_probes(self, cooldowns: Sequence[Cooldown], now: float) -> bool:
        """Claim probes among all hosts."""
        if not super().claim_probes(cooldowns, now):
            return False
        claimed = self._ask(lambda ledger: ledger.claim_probes(cooldowns, now))
        return claimed is not False

    def finish_probe(self, account_id: str, pool: str, now: float) -> None:
        """Note on all hosts that a probe was answered."""
        super().finish_probe(account_id, pool, now)
        self._tell(lambda ledger: ledger.finish_probe(account_id, pool, now))

    def claim_incident(self, name: str, wanted: Incident) -> Incident:
        """Mean to tell something that no other host tells."""
        ours = super().claim_incident(name, wanted)
        if ours.done or (ours.event, ours.owner) != (wanted.event, wanted.owner):
            return ours
        theirs = self._ask(lambda ledger: ledger.claim_incident(name, ours))
        if theirs is not None and theirs.done:
            super().finish_incident(name, ours)  # another host has
        return theirs or ours

    def finish_incident(self, name: str, told: Incident) -> None:
        """Note on all hosts that something was told."""
        super().finish_incident(name, told)
        self._tell(lambda ledger: ledger.finish_incident(name, told))

    @property
    def is_alone(self) -> bool:
        """Whether this process has something that other hosts may have given out as well."""
        return self._alone

    def claims_version(self) -> int:
        """See `Ledger.claims_version`."""
        return super().claims_version() + self._outages_of_claims

    def look_for_others(self) -> None:
        """Have claimed anew what was claimed of this host alone, if Redis answers."""
        if self._alone and self._tell(lambda ledger: ledger.replica.backend.read("cursor")):
            self._alone = False
            self._outages_of_claims += 1

    def free_slot(self, number: int) -> None:
        """Let the next process of any host have a slot."""
        super().free_slot(number)
        self._tell(lambda ledger: ledger.free_slot(number))

    # For people

    def status(self) -> StoreStatus:
        """Return how the state is doing, and whether the host is alone though it should not be."""
        status = super().status()
        status = replace(status, description=f"{status.description}, with Redis at {self.meeting.description}")
        problem = self.breaker.problem
        return status if problem is None or status.problem else replace(status, problem=f"{problem}; the host is alone")

    def close(self) -> None:
        """Let go of every handle, and leave it to another process to carry."""
        rounds, self._round = self._round, None
        if rounds is not None:
            rounds.stop()
        if self._claims is not None:
            self._claims.close()
        super().close()


__all__ = ["QUESTION_SECONDS", "Breaker", "JoinedStore"]
