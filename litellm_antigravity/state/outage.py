"""This process's memory for the time when the shared state cannot be used: it knows what to tell the others later."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from litellm_antigravity.errors import StateUnavailableError
from litellm_antigravity.models import ModelFamily
from litellm_antigravity.selection.vitals import Penalty, Vitals, VitalsRules
from litellm_antigravity.state.drift import VitalsDrift
from litellm_antigravity.state.memory import MemoryStore
from litellm_antigravity.state.rows import Capacity, Cooldown, Presence, TokenRow
from litellm_antigravity.state.store import ENDED, StateStore, StateView

_K = TypeVar("_K")
_V = TypeVar("_V")


class OutageMemory(MemoryStore):
    """Begins with what was known of the shared state, and notes what has been learnt since.

    Attributes:
        claimed: whether slots or numbers were given out here, which others may hold as well.
    """

    def __init__(self, known: StateView) -> None:
        super().__init__()
        self.adopt(known)
        self.claimed = False
        self._cooldowns: Mapping[str, Mapping[str, Cooldown]] = self._view.cooldowns
        self._capacity: Mapping[str, Capacity] = self._view.capacity
        self._vitals_told: dict[str, Vitals] = dict(self._view.vitals)
        self._spent: dict[str, float] = {}
        self._rules = VitalsRules()
        self._tokens: dict[str, TokenRow] = {}
        self._notes: dict[str, Mapping[str, object]] = {}
        self._probed: dict[tuple[str, str], float] = {}
        self._presences: dict[str, Presence] = {}

    # What is noted

    def begin_request(self, account_id: str, now: float, rules: VitalsRules, *, require_token: bool) -> bool:
        """Take a token; see `StateStore.begin_request`."""
        with self._lock:
            begun = super().begin_request(account_id, now, rules, require_token=require_token)
            self._count(account_id, 1.0 if begun else 0.0, rules)
            return begun

    def record_success(self, account_id: str, family: ModelFamily, now: float, rules: VitalsRules) -> None:
        """Reward the account; see `StateStore.record_success`."""
        with self._lock:
            super().record_success(account_id, family, now, rules)
            self._count(account_id, 0.0, rules)

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
        """Note a failure; see `StateStore.record_failure`."""
        with self._lock:
            self._count(account_id, -1.0 if refund else 0.0, rules)
            return super().record_failure(account_id, family, now, rules, penalty=penalty, refund=refund)

    def refund_token(self, account_id: str, now: float, rules: VitalsRules) -> None:
        """Give a token back."""
        with self._lock:
            self._count(account_id, -1.0, rules)
            super().refund_token(account_id, now, rules)

    def _count(self, account_id: str, tokens: float, rules: VitalsRules) -> None:
        self._rules = rules
        self._spent[account_id] = self._spent.get(account_id, 0.0) + tokens

    def finish_probe(self, account_id: str, pool: str, now: float) -> None:
        """Note that a probe was answered."""
        super().finish_probe(account_id, pool, now)
        self._probed[account_id, pool] = now

    def claim_slot(self, owner: str) -> int:
        """Claim the lowest slot that is free here; see `StateStore.claim_slot`."""
        self.claimed = True
        return super().claim_slot(owner)

    def next_cursor_start(self) -> int:
        """Return the next number of a counter of our own."""
        self.claimed = True
        return super().next_cursor_start()

    def write_token(self, account_id: str, token: str, expires_at: float | None, credential: str) -> TokenRow:
        """Cache an access token; see `StateStore.write_token`."""
        row = super().write_token(account_id, token, expires_at, credential)
        self._tokens[account_id] = row
        return row

    def write_note(self, name: str, fields: Mapping[str, object]) -> None:
        """Keep a small record by name."""
        super().write_note(name, fields)
        self._notes[name] = fields

    def announce(self, presence: Presence) -> None:
        """Say which account this process is on."""
        super().announce(presence)
        self._presences[presence.owner] = presence

    # What is told

    def hand_over(self, shared: StateStore, now: float) -> None:
        """Tell the shared state what has been learnt since the last time.

        Raises:
            StateUnavailableError: when it cannot be used again; nothing is told twice that would count twice.
        """
        view = shared.refresh()
        self._tell_cooldowns(shared, view, now)
        self._tell_capacity(shared, now)
        for account_id in list(self._spent):
            self._tell_vitals(shared, account_id, now)
        for (account_id, pool), at in _taken(self._probed):
            shared.finish_probe(account_id, pool, at)
        for account_id, row in _taken(self._tokens):
            if _is_newer(row, shared.read_token(account_id), now):
                shared.write_token(account_id, row.token, row.expires_at, row.credential)
        for name, fields in _taken(self._notes):
            if shared.read_note(name) is None:
                shared.write_note(name, fields)
        for _, presence in _taken(self._presences):
            shared.announce(replace(presence, slot=None))  # it is claimed anew

    def _tell_cooldowns(self, shared: StateStore, view: StateView, now: float) -> None:
        learnt = self._view.cooldowns
        for account_id, pools in learnt.items():
            for pool, cooldown in pools.items():
                before = self._cooldowns.get(account_id, {}).get(pool)
                if cooldown == before:
                    continue
                current = view.cooldown(account_id, pool)
                if cooldown.remaining(now) > 0:
                    other_credential = current is not None and current.credential not in (None, cooldown.credential)
                    if current is not None and other_credential and current.since > cooldown.since:
                        continue  # somebody has met a newer credential
                    # As of now: the store compares ends at the moment a cooldown was recorded.
                    shared.extend_cooldown(replace(cooldown, since=min(now, cooldown.until)))
                elif cooldown.reason == ENDED and current == before:
                    shared.end_cooldown(account_id, pool, now)
        self._cooldowns = learnt

    def _tell_capacity(self, shared: StateStore, now: float) -> None:
        learnt = self._view.capacity
        for model, capacity in learnt.items():
            if capacity != self._capacity.get(model) and (left := capacity.remaining(now)) > 0:
                shared.hold_capacity(model, now, left)
        self._capacity = learnt

    def _tell_vitals(self, shared: StateStore, account_id: str, now: float) -> None:
        with self._lock:
            spent, rules = self._spent.pop(account_id), self._rules
            before = self._vitals_told.get(account_id)
            after = self._vitals(account_id, rules)
            self._vitals_told[account_id] = after
        drift = VitalsDrift.between(before or Vitals.fresh(rules), after, spent, now, rules)
        try:
            shared.merge_vitals(account_id, drift, now, rules)
        except StateUnavailableError:
            with self._lock:
                self._spent[account_id] = self._spent.get(account_id, 0.0) + spent
                if before is None:
                    del self._vitals_told[account_id]
                else:
                    self._vitals_told[account_id] = before
            raise


def _taken(told: dict[_K, _V]) -> Iterator[tuple[_K, _V]]:
    """Return the entries; each is gone once it has been told, unless there is a newer one by then."""
    for key, value in list(told.items()):
        yield key, value
        if told.get(key) is value:
            del told[key]


def _is_newer(row: TokenRow, known: TokenRow | None, now: float) -> bool:
    if known is None or _end(known) <= now:
        return True
    return known.credential == row.credential and _end(row) > _end(known)


def _end(row: TokenRow) -> float:
    return math.inf if row.expires_at is None else row.expires_at
