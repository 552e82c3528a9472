"""How the rows of two hosts become one: pure policy.

Most of the time only one side has changed a row since both agreed, and its row holds. Where both have, or nobody knows
what they agreed on, a kind's own rule decides. A rule gives one of the two rows back wherever it can, whoever asks, so
that hosts which exchange rows come to rest.

Rows hold times of the clock of the host that wrote them. `shifted` turns them into those of another clock.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, TypeVar

from litellm_antigravity.cooldowns import ENDED, Capacity, Cooldown
from litellm_antigravity.selection.binding import Binding
from litellm_antigravity.selection.vitals import Failures, Vitals, VitalsRules
from litellm_antigravity.state.drift import VitalsDrift
from litellm_antigravity.state.kinds import BINDING, CAPACITY, COOLDOWN, VITALS, Kind

_T = TypeVar("_T")

_LEAST_TIME: Final = 1e8
"""Numbers above it are times, in epoch seconds."""

_SAME_TIME_SECONDS: Final = 1.0


def _as_it_is(row: _T) -> _T:
    return row


Rule = Callable[["_T | None", _T, _T, float, VitalsRules], _T]
"""From the row that both sides agreed on, that of the host, that of the others, and the time to the row that holds."""


@dataclass(frozen=True)  # no slots, as `Kind`
class Joined(Generic[_T]):
    """A kind of row that hosts share.

    Attributes:
        kind: of the row.
        rule: for rows that both sides have changed.
        shifted: the same row by a clock that is so many seconds ahead.
        urgent: whether others are to know at once; else within a moment, since every request changes it.
        accepted: what is taken over of a row that came from somewhere else.
        fresh: what a row was before it was first written.
    """

    kind: Kind[_T]
    rule: Rule[_T]
    shifted: Callable[[_T, float], _T]
    urgent: bool = True
    accepted: Callable[[_T], _T] = _as_it_is
    fresh: Callable[[VitalsRules], _T] | None = None


def _later_end(_: Cooldown | None, ours: Cooldown, theirs: Cooldown, __: float, ___: VitalsRules) -> Cooldown:
    first, second = sorted((ours, theirs), key=lambda one: (one.since, one.until))
    if ENDED in (ours.reason, theirs.reason):
        # An end that somebody gave it holds for what it ended, and not for what was recorded later; whoever cannot
        # know which came first goes by the clocks.
        return second
    if first.credential not in (None, second.credential):
        return second  # somebody has signed in anew
    return ours if (ours.until, ours.since) > (theirs.until, theirs.since) else theirs


def _shifted_cooldown(row: Cooldown, seconds: float) -> Cooldown:
    until = row.until if math.isinf(row.until) else _moved(row.until, seconds)
    return replace(row, until=until, since=_moved(row.since, seconds))


def _joined_vitals(before: Vitals | None, ours: Vitals, theirs: Vitals, now: float, rules: VitalsRules) -> Vitals:
    if before is None:
        return ours if _last_change(ours) > _last_change(theirs) else theirs
    spent = before.tokens_now(ours.tokens_at, rules) - ours.tokens
    return VitalsDrift.between(before, ours, spent, now, rules).added_to(theirs, now, rules)


def _last_change(vitals: Vitals) -> float:
    failed = [known.at for known in vitals.failures.values()]
    return max(vitals.health_at, vitals.tokens_at, vitals.last_used or 0.0, *failed)


def _shifted_vitals(row: Vitals, seconds: float) -> Vitals:
    return replace(
        row,
        health_at=_moved(row.health_at, seconds),
        tokens_at=_moved(row.tokens_at, seconds),
        last_used=None if row.last_used is None else _moved(row.last_used, seconds),
        failures={family: Failures(one.count, _moved(one.at, seconds)) for family, one in row.failures.items()},
    )


def _longer(_: Capacity | None, ours: Capacity, theirs: Capacity, __: float, ___: VitalsRules) -> Capacity:
    return ours if ours.until > theirs.until else theirs


def _shifted_capacity(row: Capacity, seconds: float) -> Capacity:
    return Capacity(row.model, _moved(row.until, seconds), _moved(row.since, seconds))


def _used_later(_: Binding | None, ours: Binding, theirs: Binding, __: float, ___: VitalsRules) -> Binding:
    # Two hosts may have placed a conversation at the same moment: one of the two holds, whoever asks.
    return ours if (ours.used_at, ours.account_id) > (theirs.used_at, theirs.account_id) else theirs


def _shifted_binding(row: Binding, seconds: float) -> Binding:
    return replace(row, used_at=_moved(row.used_at, seconds))


def _moved(at: float, seconds: float) -> float:
    return at if seconds == 0.0 or at < _LEAST_TIME else round(at + seconds, 3)


JOINED: Final[dict[str, Joined[Any]]] = {
    # An address to open comes from upstream, and only by this host's own requests.
    "cooldown": Joined(COOLDOWN, _later_end, _shifted_cooldown, accepted=lambda row: replace(row, url=None)),
    "vitals": Joined(VITALS, _joined_vitals, _shifted_vitals, urgent=False, fresh=Vitals.fresh),
    "binding": Joined(BINDING, _used_later, _shifted_binding),
    "capacity": Joined(CAPACITY, _longer, _shifted_capacity),
}
"""The kinds of rows that hosts share, by the first part of their keys. The others are a host's own, or are claimed."""


def joined_kind(key: str) -> tuple[Joined[Any], str] | None:
    """Return how rows of a key's kind are joined, and the row's name; ``None`` for those that are not."""
    word, _, name = key.partition("/")
    kind = JOINED.get(word)
    return None if kind is None or not name else (kind, name)


def say_the_same(one: str, other: str) -> bool:
    """Return whether two texts of rows differ by no more than their clocks."""
    return one == other or _are_alike(json.loads(one), json.loads(other))


def _are_alike(one: object, other: object) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_are_alike(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_are_alike, one, other))
    if isinstance(one, float | int) and isinstance(other, float | int) and min(one, other) > _LEAST_TIME:
        return abs(one - other) <= _SAME_TIME_SECONDS
    return one == other


__all__ = ["JOINED", "Joined", "joined_kind", "say_the_same"]
