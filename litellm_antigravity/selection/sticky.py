"""Sticky: stay with the current account, for the sake of its prompt cache (docs/selection.md)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from litellm_antigravity.accounts import AccountsSnapshot
from litellm_antigravity.lease import LeaseRequest
from litellm_antigravity.models import ModelFamily
from litellm_antigravity.selection.availability import Availability
from litellm_antigravity.selection.starts import Starts
from litellm_antigravity.selection.strategy import WAKE_MARGIN_SECONDS, Choice, Chosen, Hold, Strategy
from litellm_antigravity.settings import Settings
from litellm_antigravity.state.view import StateView


def first_available(order: Sequence[str], start: int, available: Callable[[str], bool]) -> str | None:
    """Return the first available account id at or after ``start``, going round once; ``None`` if there is none."""
    count = len(order)
    for step in range(count):
        account_id = order[(start + step) % count]
        if available(account_id):
            return account_id
    return None


class OnCurrent(Strategy):
    """A strategy whose process is on one account in each family, and goes on to the one that comes after it."""

    def __init__(self, settings: Settings, starts: Starts) -> None:  # noqa: ARG002 - every strategy is made like this
        self._starts = starts
        self._current: dict[ModelFamily, str] = {}

    def current(self, family: ModelFamily) -> str | None:
        """Return the id of the account that the last request of the family went to."""
        return self._current.get(family)

    def taken(self, account_id: str, family: ModelFamily) -> None:
        """Stay with this account from now on."""
        self._current[family] = account_id

    def current_or_next(self, candidates: Collection[str], snapshot: AccountsSnapshot, family: ModelFamily) -> str:
        """Return the current account if it is a candidate; else the next one in file order."""
        current = self.current(family)
        if current is not None and current in candidates:
            return current
        last = None if current is None else snapshot.by_id.get(current)
        if last is None:
            start = self._starts.index(snapshot, family)
        else:  # perhaps disabled meanwhile: then the next one in the file
            start = sum(account.position <= last.position for account in snapshot.enabled)
        chosen = first_available([one.id for one in snapshot.enabled], start, set(candidates).__contains__)
        if chosen is None:  # pragma: no cover - there is at least one candidate
            raise AssertionError
        return chosen


class Sticky(OnCurrent):
    """Stays with one account until it is limited, and waits for it if it is back soon."""

    name = "sticky"
    summary = "Each worker keeps one account; its process id says which one it begins with (pid_offset_enabled)"
    keeps_account = True

    def __init__(self, settings: Settings, starts: Starts) -> None:
        super().__init__(settings, starts)
        self.patience = settings.sticky_wait_seconds

    def choose(self, asked: LeaseRequest, view: StateView, availability: Availability, now: float) -> Choice:  # noqa: ARG002 - the protocol's signature
        """Return the current account, or the next one in the file; see `Strategy.choose`."""
        current = self._current.get(asked.family)
        if current is not None and current not in asked.tried:
            if availability.is_free(current):
                return Chosen(current, False, "current")
            at_most = self.patience - asked.waited
            if current in availability.benched and at_most > 0:
                wait = availability.remaining(current, now) + WAKE_MARGIN_SECONDS
                if wait <= min(at_most, asked.patience):
                    return Hold(wait, at_most)
        candidates = availability.candidates(asked.tried)
        if not candidates:
            return None
        return Chosen(self.current_or_next(candidates, availability.snapshot, asked.family), why="next")
