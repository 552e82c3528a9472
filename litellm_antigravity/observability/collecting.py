"""Reads off the shared state and the counts what there is to see, for whoever scrapes: any process gives all of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, TypeAlias

from litellm_antigravity.accounts import Account
from litellm_antigravity.cooldowns import WHOLE_ACCOUNT, Cooldown
from litellm_antigravity.masking import mask_emails
from litellm_antigravity.models import FAMILIES
from litellm_antigravity.observability import series
from litellm_antigravity.observability.counting import counted
from litellm_antigravity.observability.counts import Counts
from litellm_antigravity.observability.exposition import Samples
from litellm_antigravity.observability.known import KnownAccounts
from litellm_antigravity.observability.series import Series
from litellm_antigravity.refusals import RefusalKind
from litellm_antigravity.selection.availability import active_cooldowns
from litellm_antigravity.selection.vitals import Vitals, VitalsRules
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.view import StateView

State: TypeAlias = Literal["ready", "cooling_down", "out", "disabled"]
STATES: Final[tuple[State, ...]] = ("ready", "cooling_down", "out", "disabled")
"""What an account can do for a family; ``out`` is until somebody acts."""

REMOVED: Final = "removed"
"""Stands for the accounts that were counted and have no name any more, when names are bounded."""

MOST_NAMES: Final = 2000
"""So many accounts have series of their own."""

_POOLS: Final = frozenset({*FAMILIES, WHOLE_ACCOUNT})
_REASONS: Final = frozenset(kind.value for kind in RefusalKind)  # the accounts file may hold others

Families: TypeAlias = "list[tuple[Series, Samples]]"


class Collector:
    """Collects all series.

    Args:
        known: gives the accounts.
        store: the shared state.
        counts: of all processes.
        rules: of health and bucket.
        now: the wall clock.
        tidy: whether the counts may be written together; see `Counts.totals`.
    """

    def __init__(
        self,
        known: Callable[[], KnownAccounts],
        store: Ledger,
        counts: Counts,
        rules: VitalsRules,
        now: Callable[[], float],
        *,
        tidy: bool = True,
    ) -> None:
        self._known = known
        self._store = store
        self._counts = counts
        self._rules = rules
        self._now = now
        self._tidy = tidy

    def collect(self) -> Families:
        """Return every series with its numbers; may touch the disk."""
        known = self._known()
        totals = counted(self._counts.totals(tidy=self._tidy))
        names = _names(known.all, totals)
        view, now = self._store.refresh(), self._now()
        families: Families = [(one, _named(one, samples, names)) for one, samples in totals.items()]
        families += _of_accounts(known, view, names, self._rules, now)
        flying = self._store.in_flight.counts_of(account.id for account in known.all)
        under_way = [((names.get(account_id, REMOVED),), float(number)) for account_id, number in flying.items()]
        families.append((series.IN_FLIGHT, _summed(under_way)))
        families.append((series.QUOTA_LEFT, {}))
        families.append((series.PROCESSES, {(): float(len(self._store.processes(forget=False)))}))
        families.append((series.SHARED, {(): float(self._store.status().shared)}))
        families.append((series.BUDGET, {(): view.retry_budget.tokens}))
        return families


def _names(accounts: Iterable[Account], totals: Mapping[Series, Samples]) -> dict[str, str]:
    """Return what each account is called, by id: its label, with a number where another one has it."""
    labels = {account.id: account.label for account in accounts}
    for one, samples in totals.items():
        if one.labels[:1] == ("account",):
            for account, *_ in samples:
                account_id, _, label = account.partition(" ")
                labels.setdefault(account_id, label)
    names: dict[str, str] = {}
    taken: dict[str, int] = {REMOVED: 1}
    for account_id, given in labels.items():
        if len(names) >= MOST_NAMES:
            break
        label = mask_emails(given)
        taken[label] = number = taken.get(label, 0) + 1
        names[account_id] = label if number == 1 else f"{label} [{number}]"
    return names


def _named(one: Series, samples: Samples, names: Mapping[str, str]) -> Samples:
    if one.labels[:1] != ("account",):
        return samples
    found: dict[tuple[str, ...], float] = {}
    for (account, *others), number in samples.items():
        labels = (names.get(account.partition(" ")[0], REMOVED), *others)
        found[labels] = found.get(labels, 0.0) + number
    return found


def _summed(numbers: Iterable[tuple[tuple[str, ...], float]]) -> Samples:
    sums: dict[tuple[str, ...], float] = {}
    for labels, number in numbers:
        sums[labels] = sums.get(labels, 0.0) + number
    return sums


def state_of(account: Account, cooldowns: Iterable[Cooldown], family: str, now: float) -> State:
    """Return what an account can do for a family, by the cooldowns that are not over."""
    if not account.enabled or family in account.disabled_families:
        return "disabled"
    left = [one.remaining(now) for one in cooldowns if one.pool in (family, WHOLE_ACCOUNT)]
    if not left:
        return "ready"
    return "out" if math.isinf(max(left)) else "cooling_down"


def _of_accounts(
    known: KnownAccounts, view: StateView, names: Mapping[str, str], rules: VitalsRules, now: float
) -> Families:
    available: dict[tuple[str, ...], float] = {}
    cooldowns: dict[tuple[str, ...], float] = {}
    health: dict[tuple[str, ...], float] = {}
    bucket: dict[tuple[str, ...], float] = {}
    last_used: dict[tuple[str, ...], float] = {}
    states: dict[tuple[str, ...], float] = {(family, state): 0.0 for family in FAMILIES for state in STATES}
    fresh, own = Vitals.fresh(rules), {account.id for account in known.own}
    for account in known.all:
        active = active_cooldowns(account, view, now)
        for family in FAMILIES:
            state = state_of(account, active, family, now)
            states[family, state] += account.id in own
            if (name := names.get(account.id)) is not None:
                available[name, family] = float(state == "ready")
        if (name := names.get(account.id)) is None:
            continue
        for one in active:
            pool = one.pool if one.pool in _POOLS else "model"
            labels = (name, pool, one.reason if one.reason in _REASONS else "other")
            cooldowns[labels] = max(cooldowns.get(labels, 0.0), one.remaining(now))
        vitals = view.vitals.get(account.id, fresh)
        health[name,], bucket[name,] = vitals.health_now(now, rules), vitals.tokens_now(now, rules)
        if vitals.last_used is not None:
            last_used[name,] = vitals.last_used
    return [
        (series.AVAILABLE, available),
        (series.COOLDOWN, cooldowns),
        (series.HEALTH, health),
        (series.BUCKET, bucket),
        (series.LAST_USED, last_used),
        (series.ACCOUNTS, states),
    ]


__all__ = ["REMOVED", "STATES", "Collector", "Families", "state_of"]
