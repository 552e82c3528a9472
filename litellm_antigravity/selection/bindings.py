"""Bindings: a conversation's account follows it through every process. Pure; time passed in (docs/bindings.md).

A strategy says which account a *new* conversation begins with, among those that have the fewest. From then on the
conversation stays, because the account has its prompt cached, and goes only when the account is lost to it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from litellm_antigravity.cooldowns import CLOCK_TOLERANCE_SECONDS, Cooldown
from litellm_antigravity.lease import BOUND, DETOUR, NEW, REBOUND, Lease, LeaseRequest
from litellm_antigravity.models import ModelFamily
from litellm_antigravity.refusals.kinds import NOBODYS_FAULT, RefusalKind
from litellm_antigravity.selection.availability import Availability
from litellm_antigravity.selection.binding import Binding
from litellm_antigravity.selection.sticky import first_available
from litellm_antigravity.selection.strategy import WAKE_MARGIN_SECONDS, Choice, Chosen, Condition, Hold, Strategy
from litellm_antigravity.settings import Settings
from litellm_antigravity.state.view import StateView

PLACED_SECONDS: Final = 120.0
"""So long an account counts as a new conversation's before its first content came: a killed process binds nothing."""

SHORT_SECONDS: Final = 300.0
"""What is limited for longer is left for good: prompt caches are forgotten after five minutes without use."""

_GOOD: Final = ("rested", "fit")
_SHORT: Final = NOBODYS_FAULT | {RefusalKind.RATE.value, RefusalKind.REFUSED_REQUEST.value}
_LASTING: Final = frozenset({kind.value for kind in RefusalKind} - _SHORT)


@dataclass(frozen=True, slots=True)
class BindingRules:
    """How long bindings last and how many there are; from the settings.

    Attributes:
        seconds: that a conversation keeps its account after its last request.
        limit: so many conversations are known at most; the least recently used go.
    """

    seconds: float
    limit: int

    @classmethod
    def of(cls, settings: Settings) -> BindingRules:
        """Return the rules that the settings say."""
        return cls(settings.conversation_ttl_seconds, settings.conversation_limit)


class Bound(Strategy):
    """Keeps conversations on their accounts; another strategy places the new ones.

    Args:
        usual: the pool's own strategy.
        rules: of bindings.
        patience: how many seconds a request may wait for its conversation's account though others are free.
        in_flight: gives the number of requests that each account has now, where that is known.
        number: gives what no other process of any host has, where several hosts place conversations and hear of each
            other's a moment later; ``None`` where there is one host.
    """

    def __init__(
        self,
        usual: Strategy,
        rules: BindingRules,
        patience: float,
        in_flight: Callable[[], Mapping[str, int]],
        number: Callable[[], int] | None = None,
    ) -> None:
        self._usual = usual
        self._rules = rules
        self._in_flight = in_flight
        self._number = number
        self.patience = patience

    @classmethod
    def of(
        cls,
        settings: Settings,
        usual: Strategy,
        in_flight: Callable[[], Mapping[str, int]],
        number: Callable[[], int] | None = None,
    ) -> Bound | None:
        """Return what the settings say; ``None`` where conversations keep no account."""
        if settings.sticky_scope == "process" or usual.takes_turns:
            return None
        return cls.always(settings, usual, in_flight, number)

    @classmethod
    def always(
        cls,
        settings: Settings,
        usual: Strategy,
        in_flight: Callable[[], Mapping[str, int]],
        number: Callable[[], int] | None = None,
    ) -> Bound:
        """Return what keeps conversations whatever the settings say of it."""
        has_order = usual.counts_requests or settings.pid_offset_enabled
        patience = settings.sticky_wait_seconds
        return cls(usual, BindingRules.of(settings), patience, in_flight, None if has_order else number)

    def choose(self, asked: LeaseRequest, view: StateView, availability: Availability, now: float) -> Choice:
        """Return the conversation's account, or the one that it gets now; see `Strategy.choose`."""
        binding = living(view.bindings.get(asked.conversation or ""), now)
        if binding is None:
            return self._placed(asked, view, availability, now, why=NEW)
        account_id = binding.account_id
        if account_id not in asked.tried:
            if availability.is_free(account_id):
                condition = self._usual.condition(account_id, view, now)
                better = condition not in _GOOD and self._better(condition, account_id, asked, view, availability, now)
                return better or Chosen(account_id, False, BOUND)
            at_most, wait = self.patience - asked.waited, availability.remaining(account_id, now) + WAKE_MARGIN_SECONDS
            if account_id in availability.benched and wait <= min(at_most, asked.patience):
                return Hold(wait, at_most)
        if binding.is_placed:  # no content came yet: there is nothing that it would lose
            return self._placed(asked, view, availability, now, why=NEW)
        account = availability.snapshot.by_id.get(account_id)
        is_gone = account is None or not account.enabled
        why = REBOUND if is_gone or is_lost(availability.benched.get(account_id, ()), now) else DETOUR
        other = binding.detour  # its prompt is there by now
        if other is not None and other not in asked.tried and availability.is_free(other):
            return Chosen(other, why=why, binds=why == REBOUND)
        return self._placed(asked, view, availability, now, why=why)

    def taken(self, account_id: str, family: ModelFamily) -> None:
        """Have the pool's own strategy remember it."""
        self._usual.taken(account_id, family)

    def _placed(
        self,
        asked: LeaseRequest,
        view: StateView,
        availability: Availability,
        now: float,
        *,
        why: str,
        among: Collection[str] | None = None,
    ) -> Chosen | None:
        """Return the account with the fewest conversations, then requests; among equals the strategy chooses.

        Processes of several hosts begin with different ones: all of them might place their first ones at once.
        """
        candidates = availability.candidates(asked.tried) if among is None else among
        if not candidates:
            return None
        fit = [one for one in candidates if self._usual.condition(one, view, now) in _GOOD] or candidates
        load, flying = view.bindings.load(asked.family, now), self._in_flight()
        keys = {one: (load.get(one, 0.0), flying.get(one, 0)) for one in fit}
        least = min(keys.values())
        equals = [one for one in fit if keys[one] == least]
        if self._number is not None:
            order = [one.id for one in availability.snapshot.enabled]
            first = first_available(order, self._number(), set(equals).__contains__)
            return Chosen(first or equals[0], why=why, binds=True)
        others = {one.id for one in availability.snapshot.enabled}.difference(equals)
        choice = self._usual.choose(LeaseRequest(asked.model, others), view, availability, now)
        return Chosen(choice.account_id if isinstance(choice, Chosen) else equals[0], why=why, binds=True)

    def _better(
        self,
        condition: Condition,
        account_id: str,
        asked: LeaseRequest,
        view: StateView,
        availability: Availability,
        now: float,
    ) -> Chosen | None:
        """Return another account for good, if the strategy thinks better of it than of the conversation's own.

        A tired account is left for a rested one that has none, or two conversations fewer: by one after the other, and
        not to and fro among accounts that all have much to do.
        """
        candidates = availability.candidates(asked.tried)
        conditions = {one: self._usual.condition(one, view, now) for one in candidates}
        fit = [one for one in candidates if conditions[one] in _GOOD]
        if condition == "tired" and fit:
            load = view.bindings.load(asked.family, now)
            most = max(0.0, load.get(account_id, 0.0) - 2.0)
            fit = [one for one in fit if conditions[one] == "rested" and load.get(one, 0.0) <= most]
        return self._placed(asked, view, availability, now, why=REBOUND, among=fit) if fit else None


def living(binding: Binding | None, now: float) -> Binding | None:
    """Return a binding if it is not over."""
    return binding if binding is not None and binding.remaining(now) > 0 else None


def is_lost(cooldowns: Sequence[Cooldown], now: float) -> bool:
    """Return whether what benches an account is reason enough for a conversation to leave it for good.

    A quota refusal is, and whatever lasts. A short limit and broken connections are not.
    """
    return any(one.reason in _LASTING or one.remaining(now) > SHORT_SECONDS for one in cooldowns)


def claimed(asked: LeaseRequest, choice: Chosen, known: Binding | None, now: float, rules: BindingRules) -> Binding:
    """Return what a conversation's binding becomes when a request takes an account for it."""
    if choice.why == DETOUR and known is not None:
        return replace(known, used_at=now, seconds=rules.seconds, detour=choice.account_id)
    life = min(PLACED_SECONDS, rules.seconds)
    return Binding(choice.account_id, asked.family, now, life, is_placed=True)


def told(known: Binding | None, account_id: str) -> str:
    """Return what an account is to a conversation that it serves."""
    if known is None or (known.is_placed and known.account_id == account_id):
        return NEW
    return BOUND if known.account_id == account_id else DETOUR


def is_settled(known: Binding, account_id: str, placed: int, now: float, rules: BindingRules) -> bool:
    """Return whether a request that its conversation's own account has answered changes nothing; see `settled`."""
    return (
        known.account_id == account_id
        and known.detour is None
        and not known.is_placed
        and not _is_due(known, placed, now, rules)
    )


def _is_due(known: Binding, placed: int, now: float, rules: BindingRules) -> bool:
    """Return whether it is time to write down that a conversation is used still."""
    age = now - known.used_at
    return not -CLOCK_TOLERANCE_SECONDS < age < rules.seconds / 2 or placed - known.number > rules.limit / 2


def settled(known: Binding | None, lease: Lease, placed: int, now: float, rules: BindingRules) -> Binding | None:
    """Return what a conversation's binding becomes when the first content of a request has come.

    Args:
        known: as it is.
        lease: of the request.
        placed: how many conversations the host has placed.
        now: epoch seconds.
        rules: of bindings.

    Returns:
        ``None`` when it may stay as it is: one is written when it changes, and now and then as long as it is used.
    """
    account_id = lease.account.id
    if known is not None and is_settled(known, account_id, placed, now, rules):
        return None
    known = living(known, now)
    if known is None or (known.is_placed and known.account_id != account_id):
        return Binding(account_id, lease.family, now, rules.seconds, placed)
    detour = None if account_id == known.account_id else account_id
    if known.detour != detour or detour is None or _is_due(known, placed, now, rules):
        return replace(known, used_at=now, seconds=rules.seconds, number=placed, detour=detour, is_placed=False)
    return None


__all__ = ["BindingRules", "Bound", "claimed", "is_lost", "is_settled", "living", "settled", "told"]
