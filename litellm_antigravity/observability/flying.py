"""The requests under way: where whoever shows them asks for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from litellm_antigravity.state.ledger import Ledger


def in_flight(store: Ledger, account_ids: Iterable[str]) -> Mapping[str, int]:
    """Return how many requests are under way for each of these accounts, of all processes of the host."""
    store.in_flight.know(account_ids)
    return store.in_flight.counts()


__all__ = ["in_flight"]
