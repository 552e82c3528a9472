"""The requests under way: where whoever shows them asks for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from litellm_antigravity.state.ledger import Ledger


def in_flight(store: Ledger, account_ids: Iterable[str]) -> Mapping[str, int]:  # noqa: ARG001 - nobody counts them yet
    """Return how many requests are under way for each of these accounts; empty where nobody counts them."""
    return {}


__all__ = ["in_flight"]
