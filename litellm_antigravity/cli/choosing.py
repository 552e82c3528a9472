"""Which accounts a command is about: by number, e-mail, label or id, or by an unambiguous beginning of one of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from litellm_antigravity.accounts import Account, AccountsSnapshot

_LONGEST_WORD = 330  # characters; an e-mail address has 320 at the very most


def name_of(account: Account) -> str:
    """Return what the command line calls an account: its e-mail in full, with the label that the user gave it."""
    from litellm_antigravity.masking import mask_email, shown

    name = account.email or f"(no e-mail) {account.id}"
    chosen = account.email is not None and account.label.partition(" (#")[0] != mask_email(account.email)
    return shown(f"{name} ({account.label})" if chosen else name)


def numbered(accounts: Iterable[Account]) -> list[str]:
    """Return a line per account, with the numbers by which `chosen` finds them."""
    return [f"  {number}. {name_of(account)}" for number, account in enumerate(accounts, 1)]


def chosen(snapshot: AccountsSnapshot, words: Sequence[str]) -> tuple[Account, ...]:
    """Return the accounts that the user means, in the order in which they were named, each once.

    Args:
        snapshot: of all accounts.
        words: what was typed: a number from 1 on, an e-mail, a label, an id, or the beginning of one, in any case.

    Raises:
        click.ClickException: when a word means no account, or more than one; says which there are.
    """
    found = dict.fromkeys(_meant(snapshot, word) for word in words)
    return tuple(snapshot.accounts[position] for position in found)


def _meant(snapshot: AccountsSnapshot, word: str) -> int:
    """Return the index of the account that a word means."""
    wanted = word.strip().casefold()
    exact, beginning = [], []
    for index, account in enumerate(snapshot.accounts):
        names = {name.casefold() for name in (account.email, account.label, account.id) if name}
        if wanted in names:
            exact.append(index)
        elif wanted and any(name.startswith(wanted) for name in names):
            beginning.append(index)
    found = exact or ([] if wanted.isdecimal() else beginning)
    if not found and wanted.isdecimal() and len(wanted) < 10:
        return _by_number(snapshot, word, beginning)
    if len(found) == 1:
        return found[0]
    candidates = [snapshot.accounts[index] for index in found] or snapshot.accounts
    from litellm_antigravity.masking import shown

    said = shown(word[:_LONGEST_WORD])
    problem = f"{said!r} means more than one account" if found else f"There is no account {said!r} in {snapshot.path}"
    raise _unclear(f"{problem}.", snapshot, candidates)


def _by_number(snapshot: AccountsSnapshot, word: str, beginning: Sequence[int]) -> int:
    number = int(word)
    if 1 <= number <= len(snapshot.accounts):
        return number - 1
    if len(beginning) == 1:  # an e-mail may begin with digits
        return beginning[0]
    raise _unclear(f"There is no account number {number}.", snapshot, snapshot.accounts)


def _unclear(problem: str, snapshot: AccountsSnapshot, candidates: Sequence[Account]) -> click.ClickException:
    numbers = {account.id: number for number, account in enumerate(snapshot.accounts, 1)}
    lines = [f"  {numbers[account.id]}. {name_of(account)}" for account in candidates]
    return click.ClickException("\n".join([f"{problem} Accounts:", *lines]))


__all__ = ["chosen", "name_of", "numbered"]
