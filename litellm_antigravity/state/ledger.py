"""The ledger: what processes share. Each operation is one pure change of a row, written once for every backend.

Times are epoch seconds. Every method may raise `StateUnavailableError`. Nothing here waits for an event loop.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, ClassVar, Final, TypeVar

from litellm_antigravity.cooldowns import CLOCK_TOLERANCE_SECONDS, Capacity, Cooldown
from litellm_antigravity.models import ModelFamily
from litellm_antigravity.selection.binding import Binding
from litellm_antigravity.selection.ramp import Start, next_start
from litellm_antigravity.selection.retry_budget import RetryBudget
from litellm_antigravity.selection.turns import next_turn
from litellm_antigravity.selection.vitals import Penalty, Vitals, VitalsRules, sending
from litellm_antigravity.state import kinds
from litellm_antigravity.state.backend import Row, StoreStatus
from litellm_antigravity.state.callers import Callers
from litellm_antigravity.state.drift import VitalsDrift
from litellm_antigravity.state.in_flight import InFlight
from litellm_antigravity.state.incidents import Incidents
from litellm_antigravity.state.replica import Changed, Replica
from litellm_antigravity.state.rows import Presence, Probe, TokenRow, cooldown_name
from litellm_antigravity.state.view import StateView

PROBE_INTERVAL_SECONDS: Final = 3600.0
"""A cooldown longer than this may be probed by one request on the whole host once in this time."""

PROBE_LEASE_SECONDS: Final = 300.0
"""A prober that was killed keeps others from probing for this long at most."""

_T = TypeVar("_T")


class Ledger(Incidents):
    """What the engine needs of shared state.

    Args:
        replica: the rows, and the view of them.
        in_flight: the requests in flight of all who share the rows; only this process's own when absent.
        callers: whose they are; likewise.

    Attributes:
        spans_hosts: whether other hosts write it, too.
    """

    spans_hosts: ClassVar[bool] = False

    def __init__(self, replica: Replica, in_flight: InFlight | None = None, callers: Callers | None = None) -> None:
        self.replica = replica
        self.in_flight = in_flight or InFlight()
        self.callers = callers or Callers()

    def _do(self, operation: Callable[[Replica], _T]) -> _T:
        """Run an operation on the rows that are to be used now."""
        return operation(self.replica)

    def _update(self, kind: kinds.Kind[_T], name: str, change: Callable[[_T | None], _T | None]) -> Changed[_T]:
        return self._do(lambda replica: replica.update(kind, name, change))

    # The view

    def refresh(self) -> StateView:
        """Return the view, caught up with every change that any process has committed."""
        return self._do(lambda replica: replica.refresh())

    def known(self) -> StateView:
        """Return the view as it was last caught up with; touches nothing."""
        return self.replica.known()

    def guess(self) -> StateView | None:
        """Return the view if it is probably current still; ``None`` if it is better to `refresh`. Touches nothing."""
        return self.replica.guess()

    # Cooldowns

    def extend_cooldown(self, cooldown: Cooldown) -> Cooldown:
        """Record a cooldown; a later end that is on record already stays (``until = max(old, new)``)."""
        changed = self._update(kinds.COOLDOWN, _name(cooldown), cooldown.over)
        if changed.after is None:
            return changed.before or cooldown
        self._sweep(cooldown.since)
        return changed.after

    def end_cooldown(self, account_id: str, pool: str, now: float) -> None:
        """End a cooldown: a probe went through, or the user says so."""
        name = cooldown_name(account_id, pool)
        self._update(kinds.COOLDOWN, name, lambda known: None if known is None else known.ended(now))

    def end_cooldowns(self, account_id: str, now: float) -> list[Cooldown]:
        """End all cooldowns of an account; return those that were not over."""
        known = self.refresh().cooldowns.get(account_id, {})
        ended = [cooldown for cooldown in known.values() if cooldown.remaining(now) > 0]
        for cooldown in ended:
            self.end_cooldown(account_id, cooldown.pool, now)
        return ended

    def hold_capacity(self, model: str, now: float, seconds: float) -> None:
        """Let requests for a model fail fast until ``now + seconds``."""

        def hold(known: Capacity | None) -> Capacity | None:
            longer = known is None or known.remaining(now) < seconds
            return Capacity(model, now + seconds, now) if longer else None

        if self._update(kinds.CAPACITY, model, hold).after is not None:
            self._sweep(now)

    def claim_probes(self, cooldowns: Sequence[Cooldown], now: float) -> bool:
        """Claim the probes of several long cooldowns: all of them, or none."""
        names = {_probe_name(cooldown.account_id, cooldown.pool): cooldown for cooldown in cooldowns}

        def claim(known: Mapping[str, Probe | None]) -> Mapping[str, Probe]:
            free = all(_may_probe(cooldown, known[name], now) for name, cooldown in names.items())
            return dict.fromkeys(names, Probe(now, done=False)) if free else {}

        return bool(self._do(lambda replica: replica.update_all(kinds.PROBE, [*names], claim)))

    def may_probe(self, cooldowns: Sequence[Cooldown], now: float) -> bool:
        """Return whether `claim_probes` would claim them now; claims nothing."""
        names = [_probe_name(one.account_id, one.pool) for one in cooldowns]
        last = self._do(lambda replica: [replica.read(kinds.PROBE, name) for name in names])
        return all(_may_probe(one, probe, now) for one, probe in zip(cooldowns, last, strict=True))

    def finish_probe(self, account_id: str, pool: str, now: float) -> None:
        """Note that a probe was answered: the next one may come in an hour."""
        self._update(kinds.PROBE, _probe_name(account_id, pool), lambda _: Probe(now, done=True))

    # Health, bucket, failures

    def _change_vitals(self, account_id: str, rules: VitalsRules, change: Callable[[Vitals], Vitals]) -> Vitals:
        fresh = Vitals.fresh(rules)

        def changed(known: Vitals | None) -> Vitals | None:
            after = change(known or fresh)
            return None if after is fresh else after

        done = self._update(kinds.VITALS, account_id, changed)
        return done.after or done.before or fresh

    def begin_request(
        self, account_id: str, now: float, rules: VitalsRules, *, require_token: bool, requests: int = 1
    ) -> bool:
        """Take a token and set the last use; with ``require_token``, return False instead of overdrawing.

        ``requests``, if there are more than this one, are those that were not written when they began.
        """
        send = sending(now, rules, require_token=require_token, requests=requests)
        return (
            self._update(kinds.VITALS, account_id, lambda known: send(known or Vitals.fresh(rules))).after is not None
        )

    def begin_if_current(self, account_id: str, now: float, rules: VitalsRules, *, require_token: bool) -> bool:
        """Do what `begin_request` does if the view is current; if not, or if that is not certain, return False."""
        send = sending(now, rules, require_token=require_token)
        return self._do(lambda replica: replica.update_if_current(kinds.VITALS, account_id, send))

    def record_success(self, account_id: str, family: ModelFamily, now: float, rules: VitalsRules) -> None:
        """Reward the account's health and forget the family's failures in a row."""
        self._change_vitals(account_id, rules, lambda vitals: vitals.succeeded(family, now, rules))

    def record_failure(
        self,
        account_id: str,
        family: ModelFamily,
        now: float,
        rules: VitalsRules,
        *,
        penalty: Penalty | None,
        refund: bool,
    ) -> int:
        """Note a failure (once within two seconds), perhaps give the token back; return the failures in a row."""

        def fail(vitals: Vitals) -> Vitals:
            failed = vitals.failed(family, now, rules, penalty)
            return failed.refunded(now, rules) if refund else failed

        return self._change_vitals(account_id, rules, fail).failures_now(family, now, rules)

    def refund_token(self, account_id: str, now: float, rules: VitalsRules) -> None:
        """Give a token back."""
        self._change_vitals(account_id, rules, lambda vitals: vitals.refunded(now, rules))

    def merge_vitals(self, account_id: str, drift: VitalsDrift, now: float, rules: VitalsRules) -> None:
        """Add to an account's vitals a change that was reckoned elsewhere; what others have counted meanwhile stays."""
        self._change_vitals(account_id, rules, lambda vitals: drift.added_to(vitals, now, rules))

    # What many requests share

    def take_retry(self, cost: float, now: float) -> bool:
        """Take tokens for a retry from the host's budget; return False, and take none, when there are too few."""
        return self._update(kinds.BUDGET, "", lambda known: (known or RetryBudget()).taken(cost, now)).after is not None

    def give_retry(self, gain: float, now: float) -> None:
        """Give tokens to the host's retry budget: something worked. A full one stays as it is."""
        self._update(kinds.BUDGET, "", lambda known: None if known is None else known.given(gain, now))

    def claim_turn(self, family: ModelFamily, earliest: float, latest: float) -> float:
        """Return when a request that waits for an account wakes up; see `next_turn`."""
        written = self._update(kinds.TURN, family, lambda last: next_turn(last, earliest, latest)).after
        return earliest if written is None else written

    def claim_start(
        self, account_ids: Sequence[str], family: ModelFamily, now: float, interval: float, latest: float
    ) -> Start | None:
        """Claim a newcomer's start at one of several accounts, the preferred one first; see `next_start`."""
        names = {_start_name(account_id, family): account_id for account_id in account_ids}
        found: Start | None = None

        def claim(last: Mapping[str, float | None]) -> Mapping[str, float]:
            nonlocal found
            found = next_start({names[name]: last[name] for name in names}, now, interval, latest)
            return {} if found is None else {_start_name(found.account_id, family): found.at}

        self._do(lambda replica: replica.update_all(kinds.START, [*names], claim))
        return found

    # Conversations

    def know_conversations(self, limit: int) -> None:
        """Have the view know so many conversations at most; which of them are kept in the shared state follows."""
        self.replica.known().bindings.limit = limit

    def place(self, key: str, binding: Binding, now: float, *, known: Binding | None, placed: int | None) -> bool:
        """Give a conversation an account, unless that has been done meanwhile.

        Args:
            key: of the conversation.
            binding: what is to be written.
            now: epoch seconds.
            known: what was known of it when the account was chosen.
            placed: how many conversations had been placed then: who has heard of all of them before it chooses spreads
                them evenly. ``None`` to write whatever the others do.

        Returns:
            Whether it was written; if not, there is something new to choose by.
        """

        def claim(rows: Mapping[str, Binding | None]) -> Mapping[str, Binding]:
            last, current = rows[""], rows[key]
            number = 0 if last is None else last.number
            taken = current is not None and current.remaining(now) > 0 and current != known
            if taken or placed not in (None, number):
                return {}
            numbered = replace(binding, number=number + 1)
            return {key: numbered, "": numbered}

        if not self._do(lambda replica: replica.update_all(kinds.BINDING, (key, ""), claim)):
            return False
        self._sweep(now)
        return True

    def settle(self, key: str, change: Callable[[Binding | None], Binding | None]) -> None:
        """Change a conversation's binding; see `Replica.update`."""
        self._update(kinds.BINDING, key, change)

    # Claims

    def claim_slot(self, owner: str) -> int:
        """Return the owner's slot: the lowest number that no living process on this host holds."""
        self._do(lambda replica: replica.backend.stay_alive(owner))
        holders = self.slot_owners()
        mine = next((number for number, holder in holders.items() if holder == owner), None)
        if mine is not None:
            return mine
        for slot in itertools.count():
            name = str(slot)
            holder = holders.get(slot)
            while holder is None or not self._is_alive(holder):  # else somebody else was faster
                changed = self._update(kinds.SLOT, name, functools.partial(_instead_of, holder, owner))
                if owner in (changed.after, changed.before):
                    return slot
                holder = changed.before
        raise AssertionError  # pragma: no cover - the numbers do not end

    def slot_owners(self) -> dict[int, str]:
        """Return the slots that somebody has claimed, whether or not the claimant lives still."""
        rows = self._do(lambda replica: replica.rows("slot/"))
        found = {row.key.removeprefix("slot/"): kinds.SLOT.decode("", row.text) for row in rows}
        return {int(name): owner for name, owner in found.items() if owner and name.isascii() and name.isdecimal()}

    def free_slot(self, number: int) -> None:
        """Let the next process that claims a slot have this one, though its owner may live."""
        self._update(kinds.SLOT, str(number), lambda owner: "" if owner else None)

    def _is_alive(self, owner: str) -> bool:
        return self._do(lambda replica: replica.backend.is_alive(owner))

    def next_cursor_start(self) -> int:
        """Return the next number of the host-wide counter: 0, 1, 2, ..."""
        following = self._update(kinds.CURSOR, "", lambda number: (number or 0) + 1).after
        return 0 if following is None else following - 1

    def claims_version(self) -> int:
        """Return what changes when slots and numbers must be claimed anew: they came from no shared state."""
        return 0

    # Tokens and notes

    def read_token(self, account_id: str) -> TokenRow | None:
        """Return the cached access token of an account."""
        return self._do(lambda replica: replica.read(kinds.TOKEN, account_id))

    def write_token(self, account_id: str, token: str, expires_at: float | None, credential: str) -> TokenRow:
        """Cache an access token; its generation is one above the last one's."""

        def next_one(known: TokenRow | None) -> TokenRow:
            return TokenRow(token, expires_at, credential, 1 if known is None else known.generation + 1)

        return self._update(kinds.TOKEN, account_id, next_one).after or next_one(None)

    def read_note(self, name: str) -> Mapping[str, Any] | None:
        """Return a small record by name, such as a discovered project."""
        return self._do(lambda replica: replica.read(kinds.NOTE, name))

    def write_note(self, name: str, fields: Mapping[str, object]) -> None:
        """Keep a small record by name."""
        self._update(kinds.NOTE, name, lambda _: fields)

    # Processes

    def announce(self, presence: Presence) -> None:
        """Say which account this process is on."""
        self._do(lambda replica: replica.backend.stay_alive(presence.owner))
        self._update(kinds.PRESENCE, presence.owner, lambda _: presence)
        self._sweep(presence.seen_at)

    def processes(self, *, forget: bool = True) -> list[Presence]:
        """Return the living processes that have announced themselves; ``forget`` the dead ones, or change nothing."""
        living: list[Presence] = []
        gone: list[Row] = []
        for row in self._do(lambda replica: replica.rows("process/")):
            presence = kinds.PRESENCE.decode("", row.text)
            if presence is not None and self._is_alive(presence.owner):
                living.append(presence)
            else:
                gone.append(row)
        if gone and forget:  # an owner is one life of one process: the dead do not come back
            self._do(lambda replica: replica.delete(gone))
        return sorted(living, key=lambda presence: (presence.pid, presence.owner))

    def exclusive(self, name: str, timeout: float) -> AbstractContextManager[bool]:
        """Hold a lock by name across processes; yields False when it was not to be had within ``timeout`` seconds.

        The kernel frees it when its holder dies. It may be held for long: it does not block the ledger.
        """
        return self.replica.backend.lock(name, timeout)

    def _sweep(self, now: float) -> None:
        self._do(lambda replica: replica.sweep(now))

    # For people

    def status(self) -> StoreStatus:
        """Return how the shared state is doing."""
        return self.replica.status()

    def close(self) -> None:
        """Let go of every handle; the next call opens them again."""
        self.in_flight.close()
        self.callers.close()
        self.replica.close()


def _name(cooldown: Cooldown) -> str:
    return cooldown_name(cooldown.account_id, cooldown.pool)


def _probe_name(account_id: str, pool: str) -> str:
    return f"{account_id}/{pool}"


def _start_name(account_id: str, family: ModelFamily) -> str:
    return f"{account_id}/{family}"


def _instead_of(holder: str | None, owner: str, known: str | None) -> str | None:
    return owner if known == holder else None


def _may_probe(cooldown: Cooldown, last: Probe | None, now: float) -> bool:
    # A claim a moment ahead of our clock is a claim: whoever made it read the clock after we did.
    if last is None or last.at - now > CLOCK_TOLERANCE_SECONDS:
        last = Probe(cooldown.since, done=True)  # never probed: an hour after it began is soon enough
    if last.done:
        return now - max(last.at, cooldown.since) >= PROBE_INTERVAL_SECONDS
    return now - last.at >= PROBE_LEASE_SECONDS


__all__ = ["PROBE_INTERVAL_SECONDS", "PROBE_LEASE_SECONDS", "Ledger"]
