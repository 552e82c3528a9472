"""Whether the account that a strategy has chosen takes a request now: how much it has in flight, and the ramp.

Asked for every request, between the strategy and the pool. A full account (``max_in_flight_per_account``) leaves its
turn to the next one. So does one that takes newcomers one by one (`selection.ramp`); if all of them do, the request
waits for its turn, and is never failed by that. Those who are on an account already begin a moment after each other
meanwhile, so that its first refusal is known before many have met it. A newcomer is a request of a process, or of a
conversation, that was not on the account before; a process is no newcomer with as many requests at once as have had
their turn.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final, Literal, NamedTuple, TypeAlias

from litellm_antigravity.cooldowns import WHOLE_ACCOUNT, Cooldown, model_pool
from litellm_antigravity.errors import StateUnavailableError
from litellm_antigravity.lease import LeaseRequest
from litellm_antigravity.models import ModelFamily
from litellm_antigravity.refusals.kinds import MEANINGS, Fault
from litellm_antigravity.selection.availability import Availability
from litellm_antigravity.selection.ramp import SETTLED_SECONDS, Falls, Start, came_back, turn_of_host
from litellm_antigravity.selection.strategy import Choice, Chosen, Strategy
from litellm_antigravity.settings import Settings
from litellm_antigravity.state.in_flight import Flight
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.view import StateView

_REASONS: Final = frozenset(kind.value for kind, one in MEANINGS.items() if one.fault is Fault.ACCOUNT)
_MOST_TURNS: Final = 16  # accounts among which a newcomer has its turn
_MOST_PATIENCE: Final = 0.25  # the part of a request's time that it waits for its turn at most
_LINE: Final = 5.0  # so many requests begin where they are at home in the time of one newcomer
_KNOWN_MODELS: Final = 256  # names come from requests

_NOBODY: Final[frozenset[str]] = frozenset()

Standing: TypeAlias = Literal["free", "at home", "newcomer"]


class Turn(NamedTuple):
    """Each account that is free takes newcomers one by one; this one's turn comes in so many seconds."""

    account_id: str
    seconds: float


class Busy(NamedTuple):
    """Each account that is free has as many requests in flight as it may have."""

    account_ids: tuple[str, ...]


class Admitted(NamedTuple):
    """What was chosen; when it is an account, the request is in flight there."""

    choice: Choice | Turn | Busy
    flight: Flight | None = None


class Admission:
    """Decides who begins where; one for each pool, which calls it under its lock.

    Args:
        settings: say what an account takes.
        store: the shared state.
    """

    def __init__(self, settings: Settings, store: Ledger) -> None:
        self._at_most = settings.max_in_flight_per_account
        self._interval = settings.ramp_interval_seconds
        self._store = store
        self._ramps = _Ramps(settings.ramp_seconds, store)

    def choose(
        self, strategy: Strategy, asked: LeaseRequest, view: StateView, availability: Availability, now: float
    ) -> Choice:
        """Return what the strategy chooses among those that are not full; nobody begins."""
        full = self._full()
        return strategy.choose(_without(asked, full) if full else asked, view, availability, now)

    def admit(
        self,
        strategy: Strategy,
        asked: LeaseRequest,
        view: StateView,
        availability: Availability,
        now: float,
        *,
        guessed: bool = False,
    ) -> Admitted:
        """Have the strategy choose, and count the request as in flight; see `Strategy.choose`.

        Nobody is chosen where the view is a guess and the request has to claim its turn: that might be for nothing.
        """
        full = self._full() if self._at_most is not None else _NOBODY
        while True:
            now_asked = _without(asked, full) if full else asked
            is_ramped = self._ramps.may_matter(asked, view, availability, now)
            choice: Choice | Turn
            if asked.turn is not None and asked.turn not in now_asked.tried and availability.is_free(asked.turn):
                others = [one for one in availability.free if one != asked.turn]
                choice = strategy.choose(_without(now_asked, others), view, availability, now)
                if is_ramped:
                    self._ramps.take_turn(asked, asked.turn, view, now)
            elif is_ramped:
                choice = self._ramped(strategy, now_asked, view, availability, now, guessed=guessed)
            else:
                choice = strategy.choose(now_asked, view, availability, now)
                if isinstance(choice, Chosen):
                    self._ramps.settle(choice.account_id, asked.family, now)
            busy = full.intersection(availability.candidates(asked.tried)) if full and choice is None else ()
            if busy and asked.account_id in {None, *busy}:
                return Admitted(Busy(tuple(busy)))
            if not isinstance(choice, Chosen):
                return Admitted(choice)
            flight = self._store.in_flight.begin(choice.account_id, self._at_most)
            if flight is not None:
                return Admitted(choice, flight)
            full = full | {choice.account_id}  # others were faster

    def _full(self) -> frozenset[str]:
        if self._at_most is None:
            return _NOBODY
        counts = self._store.in_flight.counts()
        return frozenset(account_id for account_id, count in counts.items() if count >= self._at_most)

    def _ramped(
        self,
        strategy: Strategy,
        asked: LeaseRequest,
        view: StateView,
        availability: Availability,
        now: float,
        *,
        guessed: bool,
    ) -> Choice | Turn:
        choice = strategy.choose(asked, view, availability, now)
        arrivals: list[Chosen] = []
        elsewhere: Chosen | None = None
        standing: Standing = "free"
        while isinstance(choice, Chosen) and len(arrivals) < _MOST_TURNS:
            standing = self._ramps.standing(asked, choice, view, now)
            if standing != "newcomer":
                elsewhere = choice
                break
            arrivals.append(choice)
            if asked.conversation is not None and not choice.binds:
                break  # it rather waits for the account that has its prompt
            rest = replace(asked, tried={*asked.tried, *(one.account_id for one in arrivals)})
            choice = strategy.choose(rest, view, availability, now)
        if not arrivals and standing == "free":
            return choice
        if guessed:
            return None
        if arrivals and (arrived := self._arrive(arrivals, asked, now, waits=elsewhere is None)) is not None:
            return arrived
        if elsewhere is None:
            return arrivals[0]
        return elsewhere if standing == "free" else self._in_line(elsewhere, asked, now)

    def _arrive(
        self, arrivals: Sequence[Chosen], asked: LeaseRequest, now: float, *, waits: bool
    ) -> Chosen | Turn | None:
        """Return where a newcomer goes, the preferred account first, and when; ``None`` if no turn is soon enough."""
        start = self._claim([one.account_id for one in arrivals], asked, now, self._interval, waits=waits)
        if start is None or start.at > now:
            return start and Turn(start.account_id, start.at - now)
        self._ramps.had_turn(start.account_id, asked.family, now)
        return next(one for one in arrivals if one.account_id == start.account_id)

    def _in_line(self, choice: Chosen, asked: LeaseRequest, now: float) -> Chosen | Turn:
        """Return when a request begins at an account where it is at home: a little after the one before it."""
        start = self._claim([f"{choice.account_id}/line"], asked, now, self._interval / _LINE, waits=True)
        return choice if start is None or start.at <= now else Turn(choice.account_id, start.at - now)

    def _claim(
        self, names: Sequence[str], asked: LeaseRequest, now: float, interval: float, *, waits: bool
    ) -> Start | None:
        patience = min(asked.patience * _MOST_PATIENCE, self._ramps.seconds) if waits else 0.0
        hosts, before = self._store.in_flight.hosts()
        earliest = now if hosts == 1 else turn_of_host(now, interval, hosts, before)
        try:
            return self._store.claim_start(names, asked.family, earliest, interval * hosts, now + patience)
        except StateUnavailableError:
            return None


class _Known(NamedTuple):
    """What a look at the cooldowns said, as long as they are the same: who fell out, and when all ramps are over."""

    availability: Availability
    falls: Falls
    over_at: float


class _Ramps:
    """Which accounts take newcomers one by one now, and where this process is none.

    Args:
        seconds: how long a ramp takes.
        store: the shared state.
    """

    def __init__(self, seconds: float, store: Ledger) -> None:
        self.seconds = seconds
        self._store = store
        self._falls: dict[str, _Known] = {}
        self._settled: dict[tuple[str, ModelFamily], float] = {}
        self._turns: dict[tuple[str, ModelFamily], tuple[int, float]] = {}  # how many it had, and when the first

    def may_matter(self, asked: LeaseRequest, view: StateView, availability: Availability, now: float) -> bool:
        """Return whether there may be a ramp at all for a request: most of the time there is none."""
        known = self._falls.get(asked.model)
        if known is None or known.availability is not availability:
            known = self._look(asked, view, availability, now)
        return now < known.over_at and asked.account_id is None and len(availability.free) > 1

    def settle(self, account_id: str, family: ModelFamily, now: float) -> None:
        """Note that a request goes to an account while there is no ramp."""
        key = (account_id, family)
        self._settled[key] = now
        if self._turns:
            self._turns.pop(key, None)

    def standing(self, asked: LeaseRequest, choice: Chosen, view: StateView, now: float) -> Standing:
        """Return what a request is to an account, where `may_matter`: free to go there if it has no ramp."""
        key = (choice.account_id, asked.family)
        known = view.cooldowns.get(choice.account_id)
        own = () if not known else _of_model(known.values(), asked)
        back = came_back(own, _REASONS, now)
        began = back if now - back < self.seconds else self._falls[asked.model].falls.of_others(key[0])
        if not 0 <= now - began < self.seconds:
            self.settle(*key, now)
            return "free"
        if began != back:
            if asked.conversation is not None:
                return "newcomer" if choice.binds else "at home"
            settled = self._settled.get(key, -math.inf)
            if now - settled < SETTLED_SECONDS and all(one.since < settled for one in own if one.reason in _REASONS):
                return "at home"
        had, first = self._turns.get(key, (0, now))
        if first < back:
            self._turns.pop(key, None)
            had = 0
        return "newcomer" if self._store.in_flight.own(key[0]) >= had else "at home"

    def take_turn(self, asked: LeaseRequest, account_id: str, view: StateView, now: float) -> None:
        """Note that a request which has waited for its turn at an account has it."""
        if self.standing(asked, Chosen(account_id), view, now) == "newcomer":
            self.had_turn(account_id, asked.family, now)

    def had_turn(self, account_id: str, family: ModelFamily, at: float) -> None:
        """Note that a newcomer of this process has its turn."""
        had, first = self._turns.get((account_id, family), (0, at))
        self._turns[account_id, family] = (had + 1, first)

    def _look(self, asked: LeaseRequest, view: StateView, availability: Availability, now: float) -> _Known:
        accounts = availability.snapshot.by_id
        own = {one: _of_model(pools.values(), asked) for one, pools in view.cooldowns.items() if one in accounts}
        falls = Falls.of(own, _REASONS)
        back = max((came_back(cooldowns, _REASONS, now) for cooldowns in own.values()), default=-math.inf)
        if len(self._falls) > _KNOWN_MODELS:
            self._falls.clear()
        # An account that comes back later makes another availability.
        over_at = max(falls.last, back) + self.seconds if self.seconds > 0 else -math.inf
        self._falls[asked.model] = known = _Known(availability, falls, over_at)
        return known


def withdraw(flight: Flight | None) -> None:
    """Have a request that was admitted not begin."""
    if flight is not None:
        flight.end()


def _of_model(cooldowns: Collection[Cooldown], asked: LeaseRequest) -> list[Cooldown]:
    pools = (WHOLE_ACCOUNT, asked.family, model_pool(asked.model))
    return [one for one in cooldowns if one.pool in pools]


def _without(asked: LeaseRequest, account_ids: Collection[str]) -> LeaseRequest:
    return replace(asked, tried={*asked.tried, *account_ids})


__all__ = ["Admission", "Admitted", "Busy", "Turn", "withdraw"]
