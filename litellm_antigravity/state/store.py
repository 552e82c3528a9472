"""The state store: what processes share. Every compound change is one atomic method.

`StateStore` is what the engine sees. `RowStore` writes it once, over four primitives that a backend supplies: an
atomic section, reading a row, writing a row, and catching up with what others wrote. Nothing here waits for an
event loop, and nothing may be awaited inside an atomic section.
"""

from __future__ import annotations

import abc
import itertools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from litellm_antigravity.models import ModelFamily
from litellm_antigravity.selection.vitals import Penalty, Vitals, VitalsRules
from litellm_antigravity.state.crowd import CrowdStore, Rows
from litellm_antigravity.state.drift import VitalsDrift
from litellm_antigravity.state.expiry import is_over
from litellm_antigravity.state.rows import (
    CLOCK_TOLERANCE_SECONDS,
    ENDED,
    Capacity,
    Cooldown,
    Presence,
    TokenRow,
    capacity_key,
    cooldown_key,
    decode,
    decode_capacity,
    decode_cooldown,
    decode_presence,
    decode_token,
    decode_vitals,
    encode,
    encode_capacity,
    encode_cooldown,
    encode_presence,
    encode_token,
    encode_vitals,
    vitals_key,
)
from litellm_antigravity.state.view import StateView

PROBE_INTERVAL_SECONDS = 3600.0
"""A longer cooldown may be probed by one request of the host once in this time (docs/design.md, "Selection")."""

PROBE_LEASE_SECONDS = 300.0
"""A prober that was killed keeps others from probing for this long at most."""

SWEPT_AT_ONCE = 16
"""So many rows are looked at with every write that may make one: more than one, so that the rows that are over go."""


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """How the store is doing, for people.

    Attributes:
        description: where the state is kept.
        shared: whether other processes see it.
        dropped_rows: rows that were refused because they were not what this package writes.
        problem: why the state is not shared, if it is not though it should be.
    """

    description: str
    shared: bool
    dropped_rows: int = 0
    problem: str | None = None


class StateStore(CrowdStore, Protocol):
    """What the engine needs of shared state.

    Times are epoch seconds. Every method may raise `StateUnavailableError`.
    """

    def refresh(self) -> StateView:
        """Return the view, caught up with every change that any process has committed."""
        ...

    def known(self) -> StateView:
        """Return the view as it was last caught up with; touches nothing."""
        ...

    def guess(self) -> StateView | None:
        """Return the view if it is probably current still; ``None`` if it is better to `refresh`. Touches nothing."""
        ...

    def begin_if_current(self, account_id: str, now: float, rules: VitalsRules, *, require_token: bool) -> bool:
        """Do what `begin_request` does if the view is current; if not, or if that is not certain, return False."""
        ...

    def extend_cooldown(self, cooldown: Cooldown) -> Cooldown:
        """Record a cooldown; a later end that is on record already stays (``until = max(old, new)``)."""
        ...

    def end_cooldown(self, account_id: str, pool: str, now: float) -> None:
        """End a cooldown: a probe went through, or the user says so."""
        ...

    def begin_request(self, account_id: str, now: float, rules: VitalsRules, *, require_token: bool) -> bool:
        """Take a token and set the last use; with ``require_token``, return False instead of overdrawing."""
        ...

    def record_success(self, account_id: str, family: ModelFamily, now: float, rules: VitalsRules) -> None:
        """Reward the account's health and forget the family's failures in a row."""
        ...

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
        ...

    def refund_token(self, account_id: str, now: float, rules: VitalsRules) -> None:
        """Give a token back."""
        ...

    def merge_vitals(self, account_id: str, drift: VitalsDrift, now: float, rules: VitalsRules) -> None:
        """Add to an account's vitals what happened where this store could not be reached."""
        ...

    def hold_capacity(self, model: str, now: float, seconds: float) -> None:
        """Let requests for a model fail fast until ``now + seconds``."""
        ...

    def claim_probe(self, cooldown: Cooldown, now: float) -> bool:
        """Return whether the caller is the one request on this host that may probe a long cooldown now."""
        ...

    def finish_probe(self, account_id: str, pool: str, now: float) -> None:
        """Note that a probe was answered: the next one may come in an hour."""
        ...

    def claim_slot(self, owner: str) -> int:
        """Return the owner's slot: the lowest number that no living process on this host holds."""
        ...

    def next_cursor_start(self) -> int:
        """Return the next number of the host-wide counter: 0, 1, 2, ..."""
        ...

    def claims_version(self) -> int:
        """Return what changes when slots and numbers must be claimed anew: they came from no shared state."""
        ...

    def read_token(self, account_id: str) -> TokenRow | None:
        """Return the cached access token of an account."""
        ...

    def write_token(self, account_id: str, token: str, expires_at: float | None, credential: str) -> TokenRow:
        """Cache an access token; its generation is one above the last one's."""
        ...

    def read_note(self, name: str) -> Mapping[str, object] | None:
        """Return a small record by name, such as a discovered project."""
        ...

    def write_note(self, name: str, fields: Mapping[str, object]) -> None:
        """Keep a small record by name."""
        ...

    def exclusive(self, name: str, timeout: float) -> AbstractContextManager[bool]:
        """Hold a lock by name across processes; yields False when it was not to be had within ``timeout`` seconds.

        The kernel frees it when its holder dies. It may be held for long: it does not block the store.
        """
        ...

    def announce(self, presence: Presence) -> None:
        """Say which account this process is on."""
        ...

    def processes(self, *, forget: bool = True) -> list[Presence]:
        """Return the living processes that have announced themselves; ``forget`` the dead ones, or change nothing."""
        ...

    def status(self) -> StoreStatus:
        """Return how the store is doing."""
        ...

    def close(self) -> None:
        """Let go of every handle; the next call opens them again."""
        ...


class RowStore(Rows):
    """`StateStore` written over a backend's rows."""

    @abc.abstractmethod
    def known(self) -> StateView:
        """Return the view as it was last caught up with."""

    @abc.abstractmethod
    def refresh(self) -> StateView:
        """Return the view, caught up with every change that any process has committed."""

    @abc.abstractmethod
    def _rows(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Return the rows whose keys begin with ``prefix``."""

    @abc.abstractmethod
    def _next_rows(self, count: int) -> Iterable[tuple[str, str]]:
        """Return some rows, each time the next ones and after the last ones the first; none that is not in the view."""

    @abc.abstractmethod
    def _delete(self, key: str) -> None:
        """Delete a row. The views do not hear of it."""

    @abc.abstractmethod
    def _is_alive(self, owner: str) -> bool:
        """Return whether the process behind ``owner`` still lives; True when that cannot be known."""

    @abc.abstractmethod
    def _stay_alive(self, owner: str) -> None:
        """Make this process's life visible to the others as ``owner``."""

    def _vitals(self, account_id: str, rules: VitalsRules) -> Vitals:
        return decode_vitals(self._get(vitals_key(account_id))) or Vitals.fresh(rules)

    def _sweep(self, now: float) -> None:
        """Delete those of the next few rows that are over; within an atomic section."""
        view = self.known()
        for key, text in self._next_rows(SWEPT_AT_ONCE):
            if is_over(key, text, now, view, self._is_alive):
                self._delete(key)

    def _put_vitals(self, account_id: str, vitals: Vitals) -> None:
        self._put(vitals_key(account_id), encode_vitals(vitals), watched=True)

    def extend_cooldown(self, cooldown: Cooldown) -> Cooldown:
        """Record a cooldown; see `StateStore.extend_cooldown`."""
        with self._atomic():
            known = decode_cooldown(cooldown.account_id, cooldown.pool, self._get(cooldown.key))
            same_credential = known is not None and known.credential in (None, cooldown.credential)
            if (
                known is not None
                and same_credential
                and known.remaining(cooldown.since) >= cooldown.remaining(cooldown.since)
            ):
                return known
            self._put(cooldown.key, encode_cooldown(cooldown), watched=True)
            self._sweep(cooldown.since)
            return cooldown

    def end_cooldown(self, account_id: str, pool: str, now: float) -> None:
        """End a cooldown; see `StateStore.end_cooldown`."""
        with self._atomic():
            key = cooldown_key(account_id, pool)
            known = decode_cooldown(account_id, pool, self._get(key))
            if known is not None and known.remaining(now) > 0:
                ended = Cooldown(account_id, pool, now, ENDED, now)
                self._put(key, encode_cooldown(ended), watched=True)

    def guess(self) -> StateView | None:
        """Return ``None``: a backend that can tell cheaply says more."""
        return None

    def begin_if_current(self, account_id: str, now: float, rules: VitalsRules, *, require_token: bool) -> bool:  # noqa: ARG002 - the protocol's signature
        """Return False: it is not certain."""
        return False

    def begin_request(self, account_id: str, now: float, rules: VitalsRules, *, require_token: bool) -> bool:
        """Take a token and set the last use; see `StateStore.begin_request`."""
        with self._atomic():
            vitals = self._vitals(account_id, rules)
            if require_token and vitals.tokens_now(now, rules) < 1.0:
                return False
            self._put_vitals(account_id, vitals.sent(now, rules))
            return True

    def record_success(self, account_id: str, family: ModelFamily, now: float, rules: VitalsRules) -> None:
        """Reward the account; see `StateStore.record_success`."""
        with self._atomic():
            vitals = self._vitals(account_id, rules)
            rewarded = vitals.succeeded(family, now, rules)
            if rewarded is not vitals:
                self._put_vitals(account_id, rewarded)

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
        with self._atomic():
            vitals = self._vitals(account_id, rules)
            changed = vitals.failed(family, now, rules, penalty)
            if refund:
                changed = changed.refunded(now, rules)
            if changed is not vitals:
                self._put_vitals(account_id, changed)
            return changed.failures_now(family, now, rules)

    def refund_token(self, account_id: str, now: float, rules: VitalsRules) -> None:
        """Give a token back."""
        with self._atomic():
            self._put_vitals(account_id, self._vitals(account_id, rules).refunded(now, rules))

    def merge_vitals(self, account_id: str, drift: VitalsDrift, now: float, rules: VitalsRules) -> None:
        """Add what happened elsewhere; see `StateStore.merge_vitals`."""
        with self._atomic():
            self._put_vitals(account_id, drift.added_to(self._vitals(account_id, rules), now, rules))

    def hold_capacity(self, model: str, now: float, seconds: float) -> None:
        """Let requests for a model fail fast; see `StateStore.hold_capacity`."""
        with self._atomic():
            known = decode_capacity(model, self._get(capacity_key(model)))
            if known is None or known.remaining(now) < seconds:
                row = encode_capacity(Capacity(model, now + seconds, now))
                self._put(capacity_key(model), row, watched=True)
                self._sweep(now)

    def claim_probe(self, cooldown: Cooldown, now: float) -> bool:
        """Claim the probe of a long cooldown; see `StateStore.claim_probe`."""
        key = f"probe/{cooldown.account_id}/{cooldown.pool}"
        with self._atomic():
            known = decode(self._get(key)) or {}
            at, done = known.get("at"), known.get("done") is True
            # A claim a moment ahead of our clock is a claim: whoever made it read the clock after we did.
            if not isinstance(at, (int, float)) or isinstance(at, bool) or at - now > CLOCK_TOLERANCE_SECONDS:
                at, done = cooldown.since, True  # never probed: an hour after it began is soon enough
            if done and now - max(at, cooldown.since) < PROBE_INTERVAL_SECONDS:
                return False
            if not done and now - at < PROBE_LEASE_SECONDS:
                return False
            self._put(key, encode({"at": now, "done": False}), watched=False)
            return True

    def finish_probe(self, account_id: str, pool: str, now: float) -> None:
        """Note that a probe was answered."""
        with self._atomic():
            self._put(f"probe/{account_id}/{pool}", encode({"at": now, "done": True}), watched=False)

    def claim_slot(self, owner: str) -> int:
        """Claim the lowest free slot; see `StateStore.claim_slot`."""
        self._stay_alive(owner)
        with self._atomic():
            owners = {key: (decode(text) or {}).get("owner") for key, text in self._rows("slot/")}
            for key, known in owners.items():
                if known == owner and (digits := key.removeprefix("slot/")).isascii() and digits.isdecimal():
                    return int(digits)
            for number in itertools.count():
                known = owners.get(f"slot/{number}")
                if not isinstance(known, str) or not self._is_alive(known):
                    self._put(f"slot/{number}", encode({"owner": owner}), watched=False)
                    return number
        raise AssertionError  # pragma: no cover - the numbers do not end

    def next_cursor_start(self) -> int:
        """Return the next number of the host-wide counter."""
        with self._atomic():
            value = (decode(self._get("cursor")) or {}).get("next", 0)
            number = value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else 0
            self._put("cursor", encode({"next": number + 1}), watched=False)
            return number

    def claims_version(self) -> int:
        """Return 0: what is claimed here stays claimed."""
        return 0

    def read_token(self, account_id: str) -> TokenRow | None:
        """Return the cached access token of an account."""
        return decode_token(self._get(f"token/{account_id}"))

    def write_token(self, account_id: str, token: str, expires_at: float | None, credential: str) -> TokenRow:
        """Cache an access token; see `StateStore.write_token`."""
        with self._atomic():
            known = self.read_token(account_id)
            row = TokenRow(token, expires_at, credential, 1 if known is None else known.generation + 1)
            self._put(f"token/{account_id}", encode_token(row), watched=False)
            return row

    def read_note(self, name: str) -> Mapping[str, object] | None:
        """Return a small record by name."""
        return decode(self._get(f"note/{name}"))

    def write_note(self, name: str, fields: Mapping[str, object]) -> None:
        """Keep a small record by name."""
        with self._atomic():
            self._put(f"note/{name}", encode(fields), watched=False)

    def announce(self, presence: Presence) -> None:
        """Say which account this process is on."""
        self._stay_alive(presence.owner)
        with self._atomic():
            self._put(f"process/{presence.owner}", encode_presence(presence), watched=False)
            self._sweep(presence.seen_at)

    def processes(self, *, forget: bool = True) -> list[Presence]:
        """Return the living processes that have announced themselves; see `StateStore.processes`."""
        living: list[Presence] = []
        gone: list[str] = []
        with self._atomic():
            rows = list(self._rows("process/"))
        # Looking for life takes a lock file per process: nobody is to wait for that with what they have to write.
        for key, text in rows:
            presence = decode_presence(text)
            if presence is not None and self._is_alive(presence.owner):
                living.append(presence)
            else:
                gone.append(key)
        if gone and forget:  # an owner is one life of one process: the dead do not come back
            with self._atomic():
                for key in gone:
                    self._delete(key)
        return sorted(living, key=lambda presence: (presence.pid, presence.owner))


__all__ = [
    "ENDED",
    "PROBE_INTERVAL_SECONDS",
    "PROBE_LEASE_SECONDS",
    "SWEPT_AT_ONCE",
    "RowStore",
    "StateStore",
    "StateView",
    "StoreStatus",
]
