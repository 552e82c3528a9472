"""The state store: what processes share. Every compound change is one atomic method.

`StateStore` is what the engine sees. `RowStore` writes it once, over four primitives that a backend supplies: an
atomic section, reading a row, writing a row, and catching up with what others wrote. Nothing here waits for an
event loop, and nothing may be awaited inside an atomic section.
"""

from __future__ import annotations

import abc
import itertools
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from litellm_antigravity.models import ModelFamily
from litellm_antigravity.selection.vitals import Penalty, Vitals, VitalsRules
from litellm_antigravity.state.drift import VitalsDrift
from litellm_antigravity.state.rows import (
    CLOCK_TOLERANCE_SECONDS,
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
    split_cooldown_key,
    vitals_key,
)

PROBE_INTERVAL_SECONDS = 3600.0
"""A cooldown longer than this may be probed by one request on the whole host once in this time (DESIGN, section 7)."""

PROBE_LEASE_SECONDS = 300.0
"""A prober that was killed keeps others from probing for this long at most."""

ENDED = "ended"
"""The reason on record when a cooldown was ended before its time."""

_JOURNAL_LIMIT = 4096
_VIEW_SPAN = 2**40
_view_numbers = itertools.count()


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


class StateView:
    """What a process knows of the shared state: read by selection, kept current by the store.

    Cooldowns and capacity are replaced as a whole when one changes, so a reader may hold on to what it got. Vitals
    change with every request and are updated in place; ``changed_vitals`` says which ones.

    Positions and versions of one view never occur in another, so that a reader who is handed another view (memory for
    disk) notices.
    """

    __slots__ = ("_journal", "capacity", "cooldown_version", "cooldowns", "vitals")

    def __init__(self) -> None:
        self.cooldowns: Mapping[str, Mapping[str, Cooldown]] = {}
        self.capacity: Mapping[str, Capacity] = {}
        start = next(_view_numbers) * _VIEW_SPAN
        self.cooldown_version = start
        self.vitals: dict[str, Vitals] = {}
        self._journal: tuple[int, list[str]] = (start, [])  # replaced as a whole: readers hold no lock

    @property
    def position(self) -> int:
        """The journal's end; hand it to `changed_vitals` next time."""
        start, changed = self._journal
        return start + len(changed)

    def changed_vitals(self, since: int) -> list[str] | None:
        """Return the accounts whose vitals changed after position ``since``.

        ``None`` if that is too long ago, or no position of this view: then everything may have changed.
        """
        start, changed = self._journal
        if not start <= since <= start + len(changed):
            return None
        return changed[since - start :]

    def cooldown(self, account_id: str, pool: str) -> Cooldown | None:
        """Return the cooldown on record for an account's pool, whether or not it is over."""
        return self.cooldowns.get(account_id, {}).get(pool)

    def apply(self, key: str, text: str) -> bool:
        """Take over one row; return whether it was understood."""
        kind, _, rest = key.partition("/")
        if kind == "vitals":
            vitals = decode_vitals(text)
            if vitals is not None:
                self.set_vitals(rest, vitals)
            return vitals is not None
        if kind == "cooldown":
            account_id, pool = split_cooldown_key(rest)
            cooldown = decode_cooldown(account_id, pool, text)
            if cooldown is not None:
                self.cooldowns = {**self.cooldowns, account_id: {**self.cooldowns.get(account_id, {}), pool: cooldown}}
                self.cooldown_version += 1
            return cooldown is not None
        if kind == "capacity":
            capacity = decode_capacity(rest, text)
            if capacity is not None:
                self.capacity = {**self.capacity, rest: capacity}
            return capacity is not None
        return False

    def set_vitals(self, account_id: str, vitals: Vitals) -> None:
        """Take over one account's vitals and note that they changed."""
        self.vitals[account_id] = vitals
        start, changed = self._journal
        if len(changed) >= _JOURNAL_LIMIT:
            self._journal = (start + len(changed), [account_id])
        else:
            changed.append(account_id)


class StateStore(Protocol):
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

    def processes(self) -> list[Presence]:
        """Return the living processes that have announced themselves."""
        ...

    def status(self) -> StoreStatus:
        """Return how the store is doing."""
        ...

    def close(self) -> None:
        """Let go of every handle; the next call opens them again."""
        ...


class RowStore(abc.ABC):
    """`StateStore` written over a backend's rows."""

    @abc.abstractmethod
    def known(self) -> StateView:
        """Return the view as it was last caught up with."""

    @abc.abstractmethod
    def refresh(self) -> StateView:
        """Return the view, caught up with every change that any process has committed."""

    @abc.abstractmethod
    def _atomic(self) -> AbstractContextManager[None]:
        """Return a section in which no other process and no other thread writes; all of it happens or nothing."""

    @abc.abstractmethod
    def _get(self, key: str) -> str | None:
        """Return a row's text as committed, or as written within this section."""

    @abc.abstractmethod
    def _put(self, key: str, text: str, *, watched: bool) -> None:
        """Write a row; a watched one reaches every process's view."""

    @abc.abstractmethod
    def _rows(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Return the rows whose keys begin with ``prefix``."""

    @abc.abstractmethod
    def _delete(self, key: str) -> None:
        """Delete a row that is not watched."""

    @abc.abstractmethod
    def _is_alive(self, owner: str) -> bool:
        """Return whether the process behind ``owner`` still lives; True when that cannot be known."""

    @abc.abstractmethod
    def _stay_alive(self, owner: str) -> None:
        """Make this process's life visible to the others as ``owner``."""

    def _vitals(self, account_id: str, rules: VitalsRules) -> Vitals:
        return decode_vitals(self._get(vitals_key(account_id))) or Vitals.fresh(rules)

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

    def processes(self) -> list[Presence]:
        """Return the living processes that have announced themselves, and forget the dead ones."""
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
        if gone:  # an owner is one life of one process: the dead do not come back
            with self._atomic():
                for key in gone:
                    self._delete(key)
        return sorted(living, key=lambda presence: (presence.pid, presence.owner))
