"""One look at what there is to tell, and the telling: by the one process of a host that has the lock."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from litellm_antigravity.alerts.channels import Channel, NotToldError
from litellm_antigravity.alerts.message import alert_of
from litellm_antigravity.alerts.problems import EVERYBODY, Problem, problems_of
from litellm_antigravity.clock import Clock
from litellm_antigravity.cooldowns import WHOLE_ACCOUNT
from litellm_antigravity.logs import LOGGER
from litellm_antigravity.observability.known import KnownAccounts
from litellm_antigravity.settings.alert_names import BACK
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.rows import Incident, cooldown_name, split_cooldown_name

GIVEN_UP_SECONDS: Final = 3600.0
"""An alert that nobody has taken for so long is given up."""

MOST_AT_ONCE: Final = 20
"""So many alerts go out between two looks at the state."""

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_ASK_AGAIN_SECONDS: Final = 5.0
_NOTE: Final = "alerts"


@dataclass(frozen=True, slots=True)
class Telling:
    """What a teller works with.

    Attributes:
        ledger: the shared state.
        known: gives the accounts.
        channels: where alerts go.
        events: which ones are told.
        clock: the source of time.
    """

    ledger: Ledger
    known: Callable[[], KnownAccounts]
    channels: Sequence[Channel]
    events: Collection[str]
    clock: Clock


class Teller:
    """Tells what is not told yet, in the order in which it began, each thing once.

    For one thread, while it holds the lock of those who tell: what is on record is read once, and known from then on.

    Args:
        telling: what it works with.
    """

    def __init__(self, telling: Telling) -> None:
        self._told = telling
        self._rows = telling.ledger.incidents()
        self._later: dict[str, float] = {}
        self._taken: set[tuple[str, Channel]] = set()
        self._pause = 0.0
        self._quiet_until = 0.0
        self._warned = False
        self._owner = self._host()

    def _host(self) -> str:
        """Return what this host is called among those that share the state: drawn once, since names may be shared."""
        ledger = self._told.ledger
        note = ledger.read_note(_NOTE) or {}
        if not isinstance(note.get("host"), str):
            note = {"host": secrets.token_hex(8)}
            ledger.write_note(_NOTE, note)
        return str(note["host"])

    def look(self) -> bool:
        """Tell what is to be told now; return whether something is left that was not taken.

        Raises:
            StateUnavailableError: when the state cannot be used.
        """
        told = self._told
        now = told.clock.time()
        known = told.known()
        problems = problems_of(known, told.ledger.refresh(), now)
        problems = {name: one for name, one in problems.items() if one.event in told.events}
        wanted = self._wanted(known, problems, now)
        if not wanted or told.clock.monotonic() < self._quiet_until:
            return bool(wanted)
        labels = {account.id: account.label for account in known.all}
        for name, incident in sorted(wanted.items(), key=lambda one: one[1].since)[:MOST_AT_ONCE]:
            if not self._tell(name, incident, labels):
                return True
        return len(wanted) > MOST_AT_ONCE

    def _wanted(self, known: KnownAccounts, problems: dict[str, Problem], now: float) -> dict[str, Incident]:
        """Return what is to be told, by name: one thing at a time of each pool."""
        wanted: dict[str, Incident] = {}
        for name, problem in problems.items():
            row = self._rows.get(name)
            if row is None or (row.done and row.event != problem.event):
                wanted[name] = Incident(problem.event, problem.since, problem.until, now, now, self._owner)
        ids = {account.id for account in known.all}
        for name, row in self._rows.items():
            if not row.done:
                wanted[name] = row
            elif row.event != BACK and name not in problems and _is_of(name, ids):
                wanted[name] = Incident(BACK, row.since, None, now, now, self._owner)
        later, moment = self._later, self._told.clock.monotonic()
        return {name: one for name, one in wanted.items() if later.get(name, 0.0) <= moment}

    def _tell(self, name: str, incident: Incident, labels: dict[str, str]) -> bool:
        """Tell something if that falls to this host; return whether there is any use in telling more now."""
        told, now = self._told, self._told.clock.time()
        self._later.pop(name, None)
        standing = told.ledger.claim_incident(name, replace(incident, owner=self._owner, at=now))
        if standing.done or (standing.event, standing.owner) != (incident.event, self._owner):
            if standing.event == incident.event:
                self._rows[name] = standing
            if not (standing.done and standing.event == incident.event):
                self._later[name] = told.clock.monotonic() + _ASK_AGAIN_SECONDS  # another host is at it
            return True
        self._rows[name] = standing
        if not self._is_silent(name, standing) and not self._handed_over(name, standing, labels, now):
            return False
        told.ledger.finish_incident(name, standing)
        self._rows[name] = replace(standing, done=True)
        return True

    def _is_silent(self, name: str, incident: Incident) -> bool:
        """Return whether something is only noted: nobody asked for it, or the whole account is out meanwhile."""
        if incident.event not in self._told.events:
            return True
        account_id, _ = split_cooldown_name(name)
        whole = self._rows.get(cooldown_name(account_id, WHOLE_ACCOUNT))
        return incident.event == BACK and whole is not None and whole.event != BACK

    def _handed_over(self, name: str, incident: Incident, labels: dict[str, str], now: float) -> bool:
        """Return whether an alert was taken, or is given up."""
        alert = alert_of(name, incident, labels, now)
        why, asked = "", 0.0
        for channel in self._told.channels:
            if channel.is_open() and (name, channel) not in self._taken:
                try:
                    channel.tell(alert)
                    self._taken.add((name, channel))
                except NotToldError as error:
                    why, asked = str(error), max(asked, error.retry_after)
        if not why or now - incident.begun >= GIVEN_UP_SECONDS:
            self._taken = {one for one in self._taken if one[0] != name}
        if not why:
            self._pause, self._quiet_until, self._warned = 0.0, 0.0, False
            return True
        if now - incident.begun >= GIVEN_UP_SECONDS:
            self._warn(why)
            return True
        LOGGER.debug("An alert was not taken (%s); it is tried again.", why)
        self._pause = min(max(2 * self._pause, _FIRST_PAUSE), _LONGEST_PAUSE)
        self._quiet_until = self._told.clock.monotonic() + min(max(self._pause, asked), GIVEN_UP_SECONDS)
        return False

    def _warn(self, why: str) -> None:
        if not self._warned:
            self._warned = True
            minutes = GIVEN_UP_SECONDS / 60
            LOGGER.warning("Alerts are given up: nobody has taken them for %.0f minutes (%s).", minutes, why)


def _is_of(name: str, ids: Collection[str]) -> bool:
    """Return whether an incident is about somebody who is there still, or about everybody."""
    account_id, _ = split_cooldown_name(name)
    return account_id == EVERYBODY or account_id in ids


__all__ = ["GIVEN_UP_SECONDS", "MOST_AT_ONCE", "Teller", "Telling"]
