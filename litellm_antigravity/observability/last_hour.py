"""The last hour of every account, minute by minute, of all processes of the host: served, refused, benched.

A listener adds to a page of its own process, in memory; after an hour comes another page. Whoever asks reads all pages:
`LastHour(state_dir).strips(time.time())`, in any process.
"""

from __future__ import annotations

import contextlib
import math
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from litellm_antigravity import events
from litellm_antigravity.cooldowns import ENDED, Cooldown
from litellm_antigravity.errors import StateUnavailableError
from litellm_antigravity.forking import AtRestInForks
from litellm_antigravity.observability.oldest import forget_oldest
from litellm_antigravity.observability.pages import Page, read_page
from litellm_antigravity.state.private_files import prepare_directory

MINUTES: Final = 60
"""So many are shown; the last one is not over yet."""

MOST_FILES: Final = 128
"""So many processes' pages are kept, those written last."""

_SUFFIX: Final = ".hour"
_PAGE_SECONDS: Final = 3600.0  # so long a process stays on a page
_KEPT_SECONDS: Final = 2 * _PAGE_SECONDS + 600.0  # since it was begun, or written to, as file systems have it
_REST_SECONDS: Final = 5.0  # between two looks whether the page is there and has room

_FOREVER: Final = 1e12  # epoch seconds; numbers of a page are finite
_SERVED, _REFUSED, _BENCHED, _UNTIL, _BACK = "served", "refused", "benched", "until", "back"


@dataclass(slots=True)
class Strip:
    """The last hour of one account, a number per minute, oldest first.

    Attributes:
        begins: the first minute, in minutes since the epoch.
        served: requests that were answered.
        refused: requests that upstream refused.
        benched: by quota pool (a family, ``model:NAME`` or ``*``) whether it was cooling down, some of the minute at
            least; pools that were not are left out.
    """

    begins: int
    served: list[int] = field(default_factory=lambda: [0] * MINUTES)
    refused: list[int] = field(default_factory=lambda: [0] * MINUTES)
    benched: dict[str, list[bool]] = field(default_factory=dict)

    @classmethod
    def empty(cls, now: float) -> Strip:
        """Return the strip of an account that has had nothing in the hour until a moment, in epoch seconds."""
        return cls(int(now // 60) - MINUTES + 1)

    def mark(self, pool: str, since: float, until: float) -> None:
        """Have a pool as cooling down between two moments, in epoch seconds."""
        first = max(0, int(since // 60) - self.begins)
        last = MINUTES - 1 if math.isinf(until) else min(MINUTES - 1, int(until // 60) - self.begins)
        if first <= last:
            minutes = self.benched.setdefault(pool, [False] * MINUTES)
            minutes[first : last + 1] = [True] * (last + 1 - first)

    def follow(self, cooldowns: Iterable[Cooldown], now: float) -> None:
        """Correct it by the state of its account: by what began before the hour, and what nobody told the end of.

        Args:
            cooldowns: that are on record, over or not.
            now: epoch seconds.
        """
        for one in cooldowns:
            if one.reason == ENDED:
                self._clear_after(one.pool, one.since)  # perhaps by the command line, which tells of no events
            elif one.remaining(now) > 0:
                self.mark(one.pool, one.since, now)

    def _clear_after(self, pool: str, moment: float) -> None:
        first = max(0, int(moment // 60) - self.begins + 1)
        if pool in self.benched and first < MINUTES:
            self.benched[pool][first:] = [False] * (MINUTES - first)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values; a minute that was benched is a 1."""
        benched = {pool: [int(one) for one in minutes] for pool, minutes in sorted(self.benched.items())}
        return {"begins": self.begins * 60, "served": self.served, "refused": self.refused, "benched": benched}


class LastHour(AtRestInForks):
    """Keeps what it hears, and tells what all processes have kept. Thread-safe; opens nothing before the first choice.

    Args:
        directory: the folder of the shared state; the pages are in a folder within it.
        now: the wall clock.
    """

    always = True
    _fork_rank = 20  # it calls nobody while it holds its lock

    def __init__(self, directory: Path, now: Callable[[], float] = time.time) -> None:
        self._state = directory
        self._directory = directory / "last-hour"
        self._now = now
        self._begin()

    def _start_over(self) -> None:
        self._page: Page | None = None
        self._begun = self._looked_at = -math.inf

    def wants(self) -> bool:
        """Return whether it counts: always."""
        return True

    def hear(self, event: events.Event) -> None:
        """Count an event, if it is one of those that are shown."""
        kind = type(event)
        if kind is events.Served:
            self._add(_SERVED, event.about.account_id)  # type: ignore[attr-defined]  # as its type says
        elif kind is events.Chosen:
            if not 0.0 <= self._now() - self._looked_at < _REST_SECONDS:
                self._open()  # here alone: who chooses may touch the disk
        elif kind is events.Refused:
            self._add(_REFUSED, event.about.account_id)  # type: ignore[attr-defined]
        elif isinstance(event, events.Benched):
            now = self._now()
            self._note(now, f"{event.about.account_id}\t%s\t{event.pool}", {_BENCHED: now, _UNTIL: now + event.seconds})
        elif isinstance(event, events.Back):
            now = self._now()
            self._note(now, f"{event.account_id}\t%s\t{event.pool}", {_BACK: now})

    def _add(self, what: str, account_id: str) -> None:
        with self._lock:
            if self._page is not None:
                self._page.add(f"{int(self._now() // 60)}\t{account_id}\t{what}", 1.0)

    def _note(self, now: float, name: str, moments: Mapping[str, float]) -> None:
        """Note moments; those of before in the same minute are written over, so that they are few."""
        with self._lock:
            if self._page is not None:
                for what, moment in moments.items():
                    self._page.put(f"{int(now // 60)}\t{name % what}", min(moment, _FOREVER))

    def _open(self) -> None:
        """Have a page, and room in it."""
        now = self._now()
        with self._lock, contextlib.suppress(OSError, StateUnavailableError):
            self._looked_at = now
            page = self._page
            if page is None or not 0.0 <= now - self._begun < _PAGE_SECONDS or not page.path.exists():
                self._page, self._begun = self._new_page(now), now
            elif page.is_nearly_full:
                page.grow()

    def _new_page(self, now: float) -> Page:
        prepare_directory(self._state)
        prepare_directory(self._directory)
        forget_oldest(self._directory, _SUFFIX, MOST_FILES, before=now - _KEPT_SECONDS)
        return Page(self._directory / f"{secrets.token_hex(16)}{_SUFFIX}", "")

    def strips(self, now: float) -> dict[str, Strip]:
        """Return the last hour of each account that has had something in it, by account id; touches the disk.

        What cools down longer than an hour is in the state of the accounts: see `Strip.follow`.

        Args:
            now: epoch seconds; the minute that it is in is the last one.
        """
        begins = int(now // 60) - MINUTES + 1
        strips: dict[str, Strip] = {}
        benches: dict[tuple[str, str], dict[int, dict[str, float]]] = {}
        for name, number in self._records():
            minute, account_id, what, *pool = name.split("\t")
            place = int(minute) - begins
            if not 0 <= place < MINUTES:
                continue
            strip = strips.setdefault(account_id, Strip.empty(now))
            if what == _SERVED:
                strip.served[place] += int(number)
            elif what == _REFUSED:
                strip.refused[place] += int(number)
            elif pool:
                at = benches.setdefault((account_id, pool[0]), {}).setdefault(place, {})
                at[what] = max(number, at.get(what, 0.0))
        for (account_id, name), by_minute in benches.items():
            for since, until in _stretches([by_minute[place] for place in sorted(by_minute)]):
                strips[account_id].mark(name, since, min(until, now))
        return strips

    def _records(self) -> Iterable[tuple[str, float]]:
        for path in self._directory.glob(f"*{_SUFFIX}"):
            with contextlib.suppress(OSError):
                _, numbers = read_page(path) or ("", {})
                for name, number in numbers.items():
                    if name.count("\t") in (2, 3) and name.partition("\t")[0].isdecimal():
                        yield name, number


def _stretches(minutes: Iterable[Mapping[str, float]]) -> Iterable[tuple[float, float]]:
    """Yield from when to when a pool was cooling down, by what was noted of it in each minute."""
    noted: list[tuple[float, float]] = []  # when, and until when from then on
    for one in minutes:
        if _BENCHED in one:
            noted.append((one[_BENCHED], one.get(_UNTIL, one[_BENCHED])))
        if _BACK in one:
            noted.append((one[_BACK], one[_BACK]))
    since = until = -math.inf
    for at, then in sorted(noted):
        if then == at:  # it is back
            until = min(until, at)
        elif at > until:
            if since > -math.inf:
                yield since, until
            since, until = at, then
        else:
            until = max(until, then)
    if since > -math.inf:
        yield since, until


__all__ = ["MINUTES", "MOST_FILES", "LastHour", "Strip"]
