"""The accounts that there is something to see of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from litellm_antigravity.accounts import Account


@dataclass(frozen=True, slots=True)
class KnownAccounts:
    """Accounts, each once.

    Attributes:
        own: of the accounts file, which alone have the two quota families.
        others: of other providers, that pinned groups name.
    """

    own: tuple[Account, ...]
    others: tuple[Account, ...] = ()

    @classmethod
    def of(cls, own: Iterable[Account], groups: Iterable[Account]) -> KnownAccounts:
        """Return those of the accounts file, and those of groups that are not among them."""
        known = tuple(own)
        ids = {account.id for account in known}
        others = {account.id: account for account in groups if account.id not in ids}
        return cls(known, tuple(others.values()))

    @property
    def all(self) -> tuple[Account, ...]:
        """All of them."""
        return (*self.own, *self.others)


__all__ = ["KnownAccounts"]
