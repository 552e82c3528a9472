"""Counts events: one listener, which turns each into numbers that all processes of the host share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from litellm_antigravity import events
from litellm_antigravity.observability import series
from litellm_antigravity.observability.counts import Counts
from litellm_antigravity.observability.series import COUNTERS, Series

_SEPARATOR: Final = "\t"  # labels are printable, see `Account`
_BINDINGS: Final = {"bound": "hit", "new": "new", "detour": "detour", "rebound": "rebound"}


class Counting:
    """Counts what it hears.

    Args:
        counts: of this process.
    """

    def __init__(self, counts: Counts) -> None:
        self.counts = counts

    def wants(self) -> bool:
        """Return whether it counts: always."""
        return True

    def hear(self, event: events.Event) -> None:
        """Count an event, if it is one that is counted."""
        count = _RULES.get(type(event))
        if count is not None:
            count(self, event)

    def _add(self, what: Series, *labels: str, amount: float = 1.0) -> None:
        self.counts.add(_SEPARATOR.join((what.name, *labels)), amount)

    # An account's place is its id and its label: who reads the counts may have no list that it is in.

    def _on_account(self, what: Series, event: events.AccountEvent, *labels: str) -> None:
        about = event.about
        self.counts.add(_SEPARATOR.join((what.name, _account(about), about.family, *labels)), 1.0)

    def _chosen(self, event: events.Chosen) -> None:
        self.counts.open()  # here alone: who chooses may touch the disk
        self._add(series.SELECTIONS, event.about.family, event.strategy, event.why)
        outcome = _BINDINGS.get(event.why)
        if outcome is not None:
            self._add(series.BINDINGS, event.about.family, outcome)

    def _waited(self, event: events.Waited) -> None:
        self._add(series.WAITS, event.family, event.why)
        self._add(series.WAIT_SECONDS, event.family, event.why, amount=max(0.0, event.seconds))

    def _used(self, event: events.Used) -> None:
        account, family = _account(event.about), event.about.family
        for kind, number in (("input", event.sent), ("cached", event.cached), ("output", event.made)):
            if number:
                self._add(series.TOKENS, account, family, kind, amount=float(number))

    def _refreshed(self, event: events.Refreshed) -> None:
        self._add(series.REFRESHES, f"{event.account_id} {event.account}")


def _account(about: events.About) -> str:
    return f"{about.account_id} {about.account}"


_RULES: Final[Mapping[type[events.Event], Callable[[Counting, Any], None]]] = {
    events.Chosen: Counting._chosen,
    events.Sent: lambda counting, event: counting._on_account(series.REQUESTS, event),
    events.Served: lambda counting, event: counting._on_account(series.SERVED, event),
    events.Refused: lambda counting, event: counting._on_account(series.REFUSALS, event, event.kind),
    events.Switched: lambda counting, event: counting._on_account(series.SWITCHES, event, event.kind),
    events.Benched: lambda counting, event: counting._on_account(series.BENCHED, event, event.kind),
    events.Probed: lambda counting, event: counting._on_account(series.PROBES, event),
    events.OutOfRetries: lambda counting, event: counting._on_account(series.NO_RETRIES, event),
    events.OutOfCapacity: lambda counting, event: counting._add(series.NO_CAPACITY, event.family),
    events.Back: lambda counting, event: counting._add(series.BACK, event.how),
    events.Waited: Counting._waited,
    events.Used: Counting._used,
    events.Refreshed: Counting._refreshed,
}


def counted(totals: Mapping[str, float]) -> dict[Series, dict[tuple[str, ...], float]]:
    """Return what was counted: of each series the number by labels; names that no series has are left out.

    An account is its id, a blank, and its label.

    Args:
        totals: of `Counts`.
    """
    found: dict[Series, dict[tuple[str, ...], float]] = {one: {} for one in COUNTERS.values()}
    for name, number in totals.items():
        what, *labels = name.split(_SEPARATOR)
        one = COUNTERS.get(what)
        if one is not None and len(labels) == len(one.labels):
            found[one][tuple(labels)] = number
    return found


__all__ = ["Counting", "counted"]
