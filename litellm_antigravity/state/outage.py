"""This process's memory for the time when the shared state cannot be used: it knows what to tell the others later.

For each row that was changed it keeps how that was before. When the shared state is back, the row is merged three ways
(before, ours, theirs), by one pure change of the shared row.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from litellm_antigravity.errors import StateUnavailableError
from litellm_antigravity.selection.vitals import Vitals, VitalsRules
from litellm_antigravity.state.backend import Row
from litellm_antigravity.state.drift import VitalsDrift
from litellm_antigravity.state.kinds import BINDING, BUDGET, CAPACITY, COOLDOWN, CURSOR, SLOT, VITALS, Kind
from litellm_antigravity.state.memory import MemoryBackend
from litellm_antigravity.state.replica import Replica
from litellm_antigravity.state.rows import cooldown_name
from litellm_antigravity.state.view import StateView

_T = TypeVar("_T")


@dataclass(slots=True)
class _Changed:
    """A row that was changed here: what it was when it was told last, and of vitals the tokens spent since."""

    kind: Kind[Any]
    name: str
    before: Any
    spent: float = 0.0


class _OutageBackend(MemoryBackend):
    def __init__(self) -> None:
        super().__init__()
        self.owners: set[str] = set()

    def stay_alive(self, owner: str) -> None:
        self.owners.add(owner)


class OutageReplica(Replica):
    """Begins with what was known of the shared state, and notes what has been learnt since.

    Args:
        known: of the shared state.
        rules: by which vitals change.

    Attributes:
        claimed: whether slots or numbers were given out here, which others may hold as well.
    """

    def __init__(self, known: StateView, rules: VitalsRules) -> None:
        self._memory = _OutageBackend()
        super().__init__(self._memory)
        self.known().bindings.limit = known.bindings.limit
        self._memory.update((), lambda _: _texts_of(known))
        self.refresh()
        self.claimed = False
        self._rules = rules
        self._changed: dict[str, _Changed] = {}

    def _wrote(self, kind: Kind[_T], name: str, before: _T | None, after: _T) -> None:
        self.claimed = self.claimed or kind is SLOT or kind is CURSOR
        changed = self._changed.setdefault(kind.key(name), _Changed(kind, name, before))
        if isinstance(after, Vitals):
            # Counted, not read off: a bucket that is full again looks as if nothing had been taken.
            known = before if isinstance(before, Vitals) else Vitals.fresh(self._rules)
            changed.spent += known.tokens_now(after.tokens_at, self._rules) - after.tokens

    def delete(self, rows: Iterable[Row]) -> None:
        """Delete rows, and forget that they were changed."""
        with self._lock:
            rows = list(rows)
            super().delete(rows)
            for row in rows:
                if self._memory.read(row.key) is None:
                    self._changed.pop(row.key, None)

    def hand_over(self, shared: Replica, now: float) -> None:
        """Tell the shared state what has been learnt since the last time.

        Raises:
            StateUnavailableError: when it cannot be used again; nothing is told twice that would count twice.
        """
        for owner in list(self._memory.owners):
            shared.backend.stay_alive(owner)
        for key in list(self._changed):
            with self._lock:
                changed = self._changed.pop(key, None)
                ours = None if changed is None else changed.kind.decode(changed.name, self._memory.read(key))
            if changed is None or ours is None or ours == changed.before:
                continue
            try:
                shared.update(changed.kind, changed.name, functools.partial(self._merged, changed, ours, now))
            except StateUnavailableError:
                with self._lock:  # perhaps it was changed again meanwhile
                    again = self._changed.setdefault(key, changed)
                    if again is not changed:
                        again.before, again.spent = changed.before, again.spent + changed.spent
                raise

    def _merged(self, changed: _Changed, ours: Any, now: float, theirs: Any) -> Any:
        if not isinstance(ours, Vitals):
            return changed.kind.merge(changed.before, ours, theirs, now)
        fresh = Vitals.fresh(self._rules)
        drift = VitalsDrift.between(changed.before or fresh, ours, changed.spent, now, self._rules)
        return drift.added_to(theirs or fresh, now, self._rules)


def _texts_of(view: StateView) -> dict[str, str]:
    """Return the rows that make a view."""
    texts = {VITALS.key(name): VITALS.encode(row) for name, row in dict(view.vitals).items()}
    for pools in view.cooldowns.values():
        for row in pools.values():
            texts[COOLDOWN.key(cooldown_name(row.account_id, row.pool))] = COOLDOWN.encode(row)
    texts |= {BINDING.key(name): BINDING.encode(row) for name, row in view.bindings.items()}
    texts |= {CAPACITY.key(model): CAPACITY.encode(row) for model, row in view.capacity.items()}
    return texts | {BUDGET.key(""): BUDGET.encode(view.retry_budget)}


__all__ = ["OutageReplica"]
