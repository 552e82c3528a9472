"""Who tells people of an incident: one host of those that share it, and another one if that one dies.

A row is the last thing that was told, or is being told, of a quota pool of an account. Where several hosts share the
rows through Redis, each asks there as well before it tells anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from litellm_antigravity.settings.alert_names import BACK
from litellm_antigravity.state import kinds
from litellm_antigravity.state.replica import Changed, Replica
from litellm_antigravity.state.rows import Incident

LEASE_SECONDS: Final = 180.0
"""A host that has not tried for so long to tell what it meant to is gone."""

_SAME_SECONDS: Final = 2.0
_LATE_SECONDS: Final = 5.0


def claimed(known: Incident | None, wanted: Incident) -> Incident | None:
    """Return what is to be written when a host wants to tell something; ``None`` if it is not to.

    Args:
        known: what is on record.
        wanted: what the host sees.
    """
    if known is None:
        return wanted
    mine = known.owner == wanted.owner or wanted.at - known.at > LEASE_SECONDS
    if known.event == wanted.event:
        return replace(known, owner=wanted.owner, at=wanted.at) if mine and not known.done else None
    if not known.done or (known.event == BACK and _is_over(known, wanted)):
        return None  # one after the other; and what is over is not told by who sees it late
    return wanted


def _is_over(known: Incident, wanted: Incident) -> bool:
    return abs(wanted.since - known.since) <= _SAME_SECONDS or wanted.since < known.begun - _LATE_SECONDS


class Incidents:
    """What a ledger knows of incidents."""

    def _do(self, operation: Callable[[Replica], Any]) -> Any:
        raise NotImplementedError

    def _update(self, kind: kinds.Kind[Any], name: str, change: Callable[[Any], Any]) -> Changed[Any]:
        raise NotImplementedError

    def incidents(self) -> dict[str, Incident]:
        """Return all incidents on record, by name."""
        prefix = f"{kinds.INCIDENT.word}/"
        rows = self._do(lambda replica: replica.rows(prefix))
        found = {row.key.removeprefix(prefix): kinds.INCIDENT.decode("", row.text) for row in rows}
        return {name: incident for name, incident in found.items() if incident is not None}

    def claim_incident(self, name: str, wanted: Incident) -> Incident:
        """Mean to tell something; return what is on record then: the caller tells it if it is its own and not done."""
        changed = self._update(kinds.INCIDENT, name, lambda known: claimed(known, wanted))
        on_record: Incident | None = changed.after or changed.before
        return wanted if on_record is None else on_record

    def finish_incident(self, name: str, told: Incident) -> None:
        """Note that something was told, or is given up."""
        self._update(kinds.INCIDENT, name, lambda _: replace(told, done=True))


__all__ = ["LEASE_SECONDS", "Incidents", "claimed"]
