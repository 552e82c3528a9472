"""Counts events: one listener, which turns each into numbers that all processes of the host share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from litellm_antigravity import events
from litellm_antigravity.lease import TOLD
from litellm_antigravity.observability import series
from litellm_antigravity.observability.counts import Counts
from litellm_antigravity.observability.series import COUNTERS, Series

_SEPARATOR: Final = "\t"  # labels are printable, see `Account`


class Counting:
    """Counts what it hears.

    Args:
        counts: of this process.
    """

    always = True

    def __init__(self, counts: Counts) -> None:
        self.counts = counts

    def wants(self) -> bool:
        """Return whether it counts: always."""
        return True

    def hear(self, event: events.Event) -> None:
        """Count an event, if it is one that is counted."""
        kind = type(event)
        of_account = _OF_ACCOUNTS.get(kind)
        if of_account is not None:  # as for most events; few calls, since every request comes by here
            what, field = of_account
            about = event.about  # type: ignore[attr-defined]  # `_OF_ACCOUNTS` has events of accounts only
            # An account is its id and its label: who reads the counts may have no list that it is in.
            name = f"{what}\t{about.account_id} {about.account}\t{about.family}"
            self.counts.add(name if field is None else f"{name}\t{getattr(event, field)}")
        elif (count := _OTHERS.get(kind)) is not None:
            count(self, event)

    def _add(self, what: Series, *labels: str, amount: float = 1.0) -> None:
        self.counts.add(_SEPARATOR.join((what.name, *labels)), amount)

    def _chosen(self, event: events.Chosen) -> None:
        self.counts.open()  # here alone: who chooses may touch the disk
        self._add(series.SELECTIONS, event.about.family, event.strategy, event.why)
        outcome = TOLD.get(event.why)
        if outcome is not None:
            self._add(series.BINDINGS, event.about.family, outcome)

    def _waited(self, event: events.Waited) -> None:
        self._add(series.WAITS, event.family, event.why)
        self._add(series.WAIT_SECONDS, event.family, event.why, amount=max(0.0, event.seconds))

    def _used(self, event: events.Used) -> None:
        about = event.about
        account = f"{about.account_id} {about.account}"
        for kind, number in (("input", event.sent), ("cached", event.cached), ("output", event.made)):
            if number:
                self._add(series.TOKENS, account, about.family, kind, amount=float(number))

    def _refreshed(self, event: events.Refreshed) -> None:
        self._add(series.REFRESHES, f"{event.account_id} {event.account}")


_OF_ACCOUNTS: Final[Mapping[type[events.Event], tuple[str, str | None]]] = {
    events.Sent: (series.REQUESTS.name, None),
    events.Served: (series.SERVED.name, None),
    events.Refused: (series.REFUSALS.name, "kind"),
    events.Switched: (series.SWITCHES.name, "kind"),
    events.Benched: (series.BENCHED.name, "kind"),
    events.Probed: (series.PROBES.name, None),
    events.OutOfRetries: (series.NO_RETRIES.name, None),
}
"""Events that are counted for an account and a family: the series, and the field of one more label, if it has one."""

_OTHERS: Final[Mapping[type[events.Event], Callable[[Counting, Any], None]]] = {
    events.Chosen: Counting._chosen,
    events.Waited: Counting._waited,
    events.Used: Counting._used,
    events.Refreshed: Counting._refreshed,
    events.OutOfCapacity: lambda counting, event: counting._add(series.NO_CAPACITY, event.family),
    events.Back: lambda counting, event: counting._add(series.BACK, event.how),
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
