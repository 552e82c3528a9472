"""What a process knows of the shared state: kept current from the rows that were written since it last looked.

Only what has as many entries as there are accounts is kept for good. What is recorded by model name is bounded, since
names come from requests: of the cooldowns that merely remember "this account does not have this model", and of the
models without capacity, the newest ones are known, and the others are learnt again if anybody asks. Conversations are
bounded as well: see `KnownBindings`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Final

from litellm_antigravity.cooldowns import Capacity, Cooldown
from litellm_antigravity.selection.retry_budget import RetryBudget
from litellm_antigravity.selection.vitals import Vitals
from litellm_antigravity.state.known_bindings import KnownBindings
from litellm_antigravity.state.rows import (
    decode_binding,
    decode_budget,
    decode_capacity,
    decode_cooldown,
    decode_vitals,
    split_cooldown_name,
)

KEPT_NAMES: Final = 32
"""So many inferred cooldowns of account x model are known, of each account; an honest host has a few."""

KEPT_CAPACITY: Final = 64
"""So many models without capacity are known."""

_JOURNAL_LIMIT: Final = 4096
_VIEW_SPAN: Final = 2**40
_view_numbers = itertools.count()


class StateView:
    """What a process knows of the shared state: read by selection, kept current by the store.

    Cooldowns and capacity are replaced as a whole when some change, so a reader may hold on to what it got. Vitals
    change with every request and are updated in place; ``changed_vitals`` says which ones.

    Positions and versions of one view never occur in another, so that a reader who is handed another view (memory for
    disk) notices.
    """

    __slots__ = ("_journal", "bindings", "capacity", "cooldown_version", "cooldowns", "retry_budget", "vitals")

    def __init__(self) -> None:
        self.cooldowns: Mapping[str, Mapping[str, Cooldown]] = {}
        self.capacity: Mapping[str, Capacity] = {}
        self.retry_budget = RetryBudget()
        self.bindings = KnownBindings()
        start = next(_view_numbers) * _VIEW_SPAN
        self.cooldown_version = start
        self.vitals: dict[str, Vitals] = {}
        self._journal: tuple[int, list[str]] = (start, [])  # replaced as a whole: readers hold no lock

    @property
    def position(self) -> int:
        """The journal's end; hand it to `changed_vitals` next time."""
        start, changed = self._journal
        return start + len(changed)

    def changed_vitals(self, since: int) -> list[str] | None:
        """Return the accounts whose vitals changed after position ``since``.

        ``None`` if that is too long ago, or no position of this view: then everything may have changed.
        """
        start, changed = self._journal
        if not start <= since <= start + len(changed):
            return None
        return changed[since - start :]

    def cooldown(self, account_id: str, pool: str) -> Cooldown | None:
        """Return the cooldown on record for an account's pool, whether or not it is over."""
        return self.cooldowns.get(account_id, {}).get(pool)

    def apply(self, rows: Iterable[tuple[str, str]]) -> int:
        """Take over rows, all at once; return how many were not understood.

        Args:
            rows: keys and texts, in the order in which they were written.
        """
        cooldowns: list[Cooldown] = []
        capacity: list[Capacity] = []
        refused = 0
        for key, text in rows:
            kind, _, rest = key.partition("/")
            if kind == "vitals" and (vitals := decode_vitals(text)) is not None:
                self.set_vitals(rest, vitals)
            elif kind == "cooldown" and (cooldown := decode_cooldown(*split_cooldown_name(rest), text)) is not None:
                cooldowns.append(cooldown)
            elif kind == "capacity" and (held := decode_capacity(rest, text)) is not None:
                capacity.append(held)
            elif key == "retries" and (budget := decode_budget(text)) is not None:
                self.retry_budget = budget
            elif kind == "binding" and (binding := decode_binding(text)) is not None:
                if rest:
                    self.bindings.put(rest, binding)
                else:
                    self.bindings.placed = binding.number
            else:
                refused += 1
        if cooldowns:
            self._set_cooldowns(cooldowns)
        if capacity:
            self._set_capacity(capacity)
        return refused

    def set_vitals(self, account_id: str, vitals: Vitals) -> None:
        """Take over one account's vitals and note that they changed."""
        self.vitals[account_id] = vitals
        start, changed = self._journal
        if len(changed) >= _JOURNAL_LIMIT:
            self._journal = (start + len(changed), [account_id])
        else:
            changed.append(account_id)

    def _set_cooldowns(self, written: list[Cooldown]) -> None:
        changed: dict[str, dict[str, Cooldown]] = {}
        for cooldown in written:
            pools = changed.get(cooldown.account_id)
            if pools is None:
                pools = changed[cooldown.account_id] = dict(self.cooldowns.get(cooldown.account_id, {}))
            pools.pop(cooldown.pool, None)  # the newest comes last
            pools[cooldown.pool] = cooldown
        for pools in changed.values():
            by_name = [pool for pool, cooldown in pools.items() if cooldown.is_by_name]
            for pool in by_name[:-KEPT_NAMES]:
                del pools[pool]
        self.cooldowns = {**self.cooldowns, **changed}
        self.cooldown_version += len(written)

    def _set_capacity(self, written: list[Capacity]) -> None:
        known = dict(self.capacity)
        for held in written:
            known.pop(held.model, None)
            known[held.model] = held
        for model in list(known)[:-KEPT_CAPACITY]:
            del known[model]
        self.capacity = known


__all__ = ["KEPT_CAPACITY", "KEPT_NAMES", "StateView"]
