"""Binding conversations to accounts where every process sees it: when one is chosen, and when it has answered."""

from __future__ import annotations

from typing import Final

from litellm_antigravity.clock import Clock
from litellm_antigravity.lease import Lease, LeaseRequest
from litellm_antigravity.selection.bindings import BindingRules, claimed, is_settled, living, settled, told
from litellm_antigravity.selection.strategy import Chosen
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.view import StateView

MOST_TRIES: Final = 16
"""So often a request chooses again because others have placed conversations meanwhile; then it goes where it is."""


class Binder:
    """Binds conversations. One for each pool.

    Args:
        store: the shared state.
        clock: the source of time.
        rules: of bindings.
    """

    def __init__(self, store: Ledger, clock: Clock, rules: BindingRules) -> None:
        self._store = store
        self._clock = clock
        self._rules = rules
        store.know_conversations(rules.limit)

    def placed(self, view: StateView, tries: int) -> int | None:
        """Return how many conversations have been placed, for `claim`; ``None`` when a request has tried enough."""
        return view.bindings.placed if tries < MOST_TRIES else None

    def claim(self, asked: LeaseRequest, choice: Chosen, view: StateView, placed: int | None) -> bool:
        """Give a request's conversation the account that was chosen for it; False when that has to be done anew.

        Args:
            asked: by the request.
            choice: the account.
            view: that it was chosen by.
            placed: see `Ledger.place`.
        """
        now, key = self._clock.time(), asked.conversation or ""
        known = living(view.bindings.get(key), now)
        binding = claimed(asked, choice, known, now, self._rules)
        return self._store.place(key, binding, now, known=known, placed=placed)

    def why(self, conversation: str | None, account_id: str) -> str:
        """Return why an account serves a request that somebody else has chosen it for; empty without a conversation."""
        if conversation is None:
            return ""
        return told(living(self._store.known().bindings.get(conversation), self._clock.time()), account_id)

    def changes_anything(self, lease: Lease) -> bool:
        """Return whether there is something to write, now that the first content has come; touches nothing."""
        if lease.conversation is None:
            return False
        bindings = self._store.known().bindings
        known = bindings.get(lease.conversation)
        placed, now = bindings.placed, lease.since
        if known is not None and is_settled(known, lease.account.id, placed, now, self._rules):  # as for most requests
            return False
        return settled(known, lease, placed, now, self._rules) is not None

    def answered(self, lease: Lease) -> None:
        """Note that the first content has come from the account of a lease; may touch the disk."""
        if lease.conversation is None or not self.changes_anything(lease):
            return
        now, placed = self._clock.time(), self._store.known().bindings.placed
        self._store.settle(lease.conversation, lambda known: settled(known, lease, placed, now, self._rules))


__all__ = ["MOST_TRIES", "Binder"]
