"""Sticky selection: stay; where a process starts; who comes next (docs/design.md, "Selection")."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def pid_offset(pid: int, count: int) -> int:
    """Return the PID offset of a process among ``count`` accounts: ``pid % count``.

    Raises:
        ValueError: if there is no account.
    """
    if count < 1:
        msg = "a PID offset needs at least one account"
        raise ValueError(msg)
    return pid % count


def start_index(base: int, offset: int, count: int) -> int:
    """Return where a process starts in the list of enabled accounts: ``(base + offset) % count``.

    Raises:
        ValueError: if there is no account.
    """
    if count < 1:
        msg = "a start index needs at least one account"
        raise ValueError(msg)
    return (base + offset) % count


def first_available(order: Sequence[str], start: int, available: Callable[[str], bool]) -> str | None:
    """Return the first available account id at or after ``start``, going round once; ``None`` if there is none."""
    count = len(order)
    for step in range(count):
        account_id = order[(start + step) % count]
        if available(account_id):
            return account_id
    return None
