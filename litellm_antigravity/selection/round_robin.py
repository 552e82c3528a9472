"""Round-robin: the next available account each time (docs/design.md, "Selection")."""

from __future__ import annotations

from collections.abc import Sequence


def pick(available: Sequence[str], cursor: int) -> str:
    """Return ``available[cursor % len(available)]``.

    Raises:
        ValueError: if no account is available.
    """
    if not available:
        msg = "round-robin needs at least one available account"
        raise ValueError(msg)
    return available[cursor % len(available)]
