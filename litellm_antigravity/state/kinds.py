"""The kinds of rows: what each is called, how it is read and written, and how it is added to what others made of it.

A new kind of row is an entry here. If each process's view is to have it, it also belongs into `backend.is_watched` and
`StateView.apply`; if it may go some day, into `expiry`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, TypeVar

from litellm_antigravity.cooldowns import ENDED, Capacity, Cooldown
from litellm_antigravity.selection.binding import Binding
from litellm_antigravity.selection.retry_budget import RetryBudget
from litellm_antigravity.selection.vitals import Vitals
from litellm_antigravity.state import rows
from litellm_antigravity.state.rows import Incident, Presence, Probe, TokenRow
from litellm_antigravity.state.view import StateView

_T = TypeVar("_T")

Merge = Callable[["_T | None", _T, "_T | None", float], "_T | None"]
"""From a row as it was before an outage, as this process left it, as the others left it, and the time (epoch seconds)
to what is to be written over the others'; ``None`` for nothing."""


def _nothing(_before: object, _ours: object, _theirs: object, _now: float) -> None:
    """Tell nothing: it is claimed anew, or of no use any more."""


@dataclass(frozen=True)  # no slots: Python 3.11 cannot make `Kind[...]` of a frozen class that has some
class Kind(Generic[_T]):
    """A kind of row.

    Attributes:
        word: its key's first part; the rest is the row's name, if it has one.
        decode: from name and text to what is in the row; ``None`` for a malformed row, as for none.
        encode: from what is in the row to its text.
        merge: after an outage; see `Merge`.
        known: what a view has of it, for kinds that every request writes.
        learn: give a view what has been written.
    """

    word: str
    decode: Callable[[str, object], _T | None]
    encode: Callable[[_T], str]
    merge: Merge[_T] = _nothing
    known: Callable[[StateView, str], _T | None] | None = None
    learn: Callable[[StateView, str, _T], None] | None = None

    def key(self, name: str) -> str:
        """Return the key of a row."""
        return f"{self.word}/{name}" if name else self.word


def _merge_cooldowns(before: Cooldown | None, ours: Cooldown, theirs: Cooldown | None, now: float) -> Cooldown | None:
    if ours.remaining(now) > 0:
        other_credential = theirs is not None and theirs.credential not in (None, ours.credential)
        if theirs is not None and other_credential and theirs.since > ours.since:
            return None  # somebody has met a newer credential
        # As of now: ends are compared at the moment a cooldown was recorded.
        joined = replace(ours, since=min(now, ours.until)).over(theirs)
        return None if joined is theirs else joined
    if ours.reason == ENDED and theirs is not None and theirs == before:
        return theirs.ended(now)
    return None


def _merge_capacity(_: Capacity | None, ours: Capacity, theirs: Capacity | None, now: float) -> Capacity | None:
    left = ours.remaining(now)
    known = 0.0 if theirs is None else theirs.remaining(now)
    return Capacity(ours.model, now + left, now) if left > known else None


def _merge_tokens(_: TokenRow | None, ours: TokenRow, theirs: TokenRow | None, now: float) -> TokenRow | None:
    if theirs is None:
        return replace(ours, generation=1)
    newer = theirs.credential == ours.credential and _end(ours) > _end(theirs)
    return replace(ours, generation=theirs.generation + 1) if newer or _end(theirs) <= now else None


def _merge_bindings(_: Binding | None, ours: Binding, theirs: Binding | None, now: float) -> Binding | None:
    if ours.remaining(now) <= 0:
        return None
    if theirs is None:
        return ours
    return replace(ours, number=max(ours.number, theirs.number)) if ours.used_at > theirs.used_at else None


def _end(row: TokenRow) -> float:
    return math.inf if row.expires_at is None else row.expires_at


COOLDOWN: Final = Kind[Cooldown](
    "cooldown",
    lambda name, text: rows.decode_cooldown(*rows.split_cooldown_name(name), text),
    rows.encode_cooldown,
    _merge_cooldowns,
)
VITALS: Final = Kind[Vitals](
    "vitals",
    lambda _, text: rows.decode_vitals(text),
    rows.encode_vitals,  # `OutageReplica` merges them: by rules, and by what has been spent
    known=lambda view, name: view.vitals.get(name),
    learn=StateView.set_vitals,
)
CAPACITY: Final = Kind[Capacity]("capacity", rows.decode_capacity, rows.encode_capacity, _merge_capacity)
BINDING: Final = Kind[Binding](  # the one without a name is the last that was placed
    "binding",
    lambda _, text: rows.decode_binding(text),
    rows.encode_binding,
    _merge_bindings,
    known=lambda view, name: view.bindings.get(name),
    learn=lambda view, name, row: view.bindings.put(name, row),
)
BUDGET: Final = Kind[RetryBudget]("retries", lambda _, text: rows.decode_budget(text), rows.encode_budget)
TOKEN: Final = Kind[TokenRow]("token", lambda _, text: rows.decode_token(text), rows.encode_token, _merge_tokens)
NOTE: Final = Kind[Mapping[str, Any]](
    "note",
    lambda _, text: rows.decode(text),
    rows.encode,
    lambda _, ours, theirs, __: ours if theirs is None else None,
)
PROBE: Final = Kind[Probe](
    "probe",
    lambda _, text: rows.decode_probe(text),
    rows.encode_probe,
    lambda _, ours, __, ___: ours if ours.done else None,
)
INCIDENT: Final = Kind[Incident](
    "alert",
    lambda _, text: rows.decode_incident(text),
    rows.encode_incident,
    lambda _, ours, theirs, __: ours if theirs is None or (ours.done and ours.begun > theirs.begun) else None,
)
PRESENCE: Final = Kind[Presence](
    "process",
    lambda _, text: rows.decode_presence(text),
    rows.encode_presence,
    lambda _, ours, __, ___: replace(ours, slot=None),  # it is claimed anew
)
SLOT: Final = Kind[str](
    "slot",
    lambda _, text: rows.decode_owner(text),
    lambda owner: rows.encode({"owner": owner or None}),  # "" for nobody any more
)
CURSOR: Final = Kind[int](
    "cursor", lambda _, text: rows.decode_next(text), lambda number: rows.encode({"next": number})
)
START: Final = Kind[float](
    "start", lambda _, text: rows.number_in(rows.decode(text), "at"), lambda at: rows.encode({"at": at})
)
TURN: Final = Kind[float](
    "turn", lambda _, text: rows.number_in(rows.decode(text), "at"), lambda at: rows.encode({"at": at})
)
