"""Accounts, and a list of them at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from litellm_antigravity.accounts.client import OAuthClient
from litellm_antigravity.accounts.credential import Credential, digest16
from litellm_antigravity.masking import mask_email, printable
from litellm_antigravity.models import ModelFamily

_LONGEST_LABEL = 330  # characters; an e-mail address has 320 at the very most


def account_id_for(email: str | None, credential: Credential) -> str:
    """Return the stable id of an account: ``acct-`` and 16 hex digits.

    It comes from the e-mail, whatever its case, so that it survives a new sign-in; without an e-mail from the source
    of the credential. Never from a position in a list (docs/upstream.md, "Lessons of other pools").
    """
    name = (email or "").strip().lower()
    return f"acct-{digest16('email', name) if name else digest16('credential', credential.lineage)}"


@dataclass(frozen=True, slots=True)
class FileCooldown:
    """A cooldown that the accounts file tells of. It is honoured, and never written by this package.

    Attributes:
        pool: a model family, ``model:<name>``, or ``*`` for the whole account.
        until: epoch seconds; ``math.inf`` until the user acts. It may lie in the past.
        reason: why, for people.
        url: what the account's owner has to open; for nobody else.
    """

    pool: str
    until: float
    reason: str
    url: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, repr=False)
class Account:
    """One identity that upstream meters. `Account.create` makes one from what is known of it.

    Attributes:
        id: stable, see `account_id_for`.
        email: as the file has it, without surrounding blanks; only the command line shows it.
        label: what logs and errors call the account; distinct within a snapshot.
        credential: where its access tokens come from.
        project_id: the Google Cloud project that the user chose.
        managed_project_id: the project that Google made for the account.
        enabled: whether it may be chosen.
        added_at: epoch seconds; ``None`` when not known.
        last_used: epoch seconds, as the accounts file has it; ``None`` when never or not known.
        cooldowns: what the accounts file says; at most one per pool.
        position: place among the accounts that were kept, in file order. No identity.
        oauth_client: the client that its refresh token was issued to; ``None`` for the settings' own.
        client_problem: why the client that its entry names cannot be had.
        disabled_families: the families that it may not serve, by the user's wish.
    """

    id: str
    email: str | None
    label: str
    credential: Credential
    project_id: str | None = None
    managed_project_id: str | None = None
    enabled: bool = True
    added_at: float | None = None
    last_used: float | None = None
    cooldowns: tuple[FileCooldown, ...] = ()
    position: int = 0
    oauth_client: OAuthClient | None = None
    client_problem: str | None = None
    disabled_families: frozenset[ModelFamily] = frozenset()

    def __post_init__(self) -> None:
        # Names of other providers' accounts come from model lists, whatever they hold.
        object.__setattr__(self, "label", printable(self.label)[:_LONGEST_LABEL])

    @classmethod
    def create(
        cls,
        email: str | None,
        credential: Credential,
        *,
        project_id: str | None = None,
        managed_project_id: str | None = None,
        enabled: bool = True,
        added_at: float | None = None,
        last_used: float | None = None,
        cooldowns: tuple[FileCooldown, ...] = (),
        label: str | None = None,
        oauth_client: OAuthClient | None = None,
        client_problem: str | None = None,
        disabled_families: frozenset[ModelFamily] = frozenset(),
    ) -> Account:
        """Return an account with the id, and without a label of its own also the label, that follow from the rest."""
        account_id = account_id_for(email, credential)
        email = (email or "").strip() or None
        return cls(
            id=account_id,
            email=email,
            label=label or (mask_email(email) if email else account_id[:13]),
            credential=credential,
            project_id=project_id,
            managed_project_id=managed_project_id,
            enabled=enabled,
            added_at=added_at,
            last_used=last_used,
            cooldowns=cooldowns,
            oauth_client=oauth_client,
            client_problem=client_problem,
            disabled_families=disabled_families,
        )

    @property
    def project(self) -> str | None:
        """The project that requests are booked on: the user's choice, else the managed one; ``None`` to look it up."""
        return self.project_id or self.managed_project_id

    def __repr__(self) -> str:
        return f"Account({self.label!r}, id={self.id!r}, {self.credential.kind}, enabled={self.enabled})"


@dataclass(frozen=True, slots=True, eq=False)
class AccountsSnapshot:
    """All accounts at one moment. The same object for as long as nothing changed: compare with ``is``.

    Attributes:
        path: where they come from.
        version: of the file's format, 1 to 4.
        accounts: all, in file order.
        base_index: where a process starts in the list, per family; never negative, not bounded by the list.
        warnings: one line for everything in the file that was passed over; without secrets.
        loaded_at: epoch seconds.
        enabled: those that may be chosen, in file order.
        by_id: all, by id.
    """

    path: Path
    version: int
    accounts: tuple[Account, ...]
    base_index: Mapping[ModelFamily, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    loaded_at: float = 0.0
    enabled: tuple[Account, ...] = field(init=False, repr=False)
    by_id: Mapping[str, Account] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "enabled", tuple(account for account in self.accounts if account.enabled))
        object.__setattr__(self, "by_id", {account.id: account for account in self.accounts})


class AccountSource(Protocol):
    """Where accounts come from."""

    def current(self) -> AccountsSnapshot:
        """Return the accounts as they are now; cheap enough to be called for every request.

        Raises:
            AccountsFileError: when there are none to be had.
        """
        ...


class _StaticAccounts:
    __slots__ = ("_snapshot",)

    def __init__(self, snapshot: AccountsSnapshot) -> None:
        self._snapshot = snapshot

    def current(self) -> AccountsSnapshot:
        return self._snapshot


def static_accounts(*accounts: Account, base_index: Mapping[ModelFamily, int] | None = None) -> AccountSource:
    """Return a source of accounts that never change. Of several with one id, the first is kept.

    Args:
        accounts: in the order in which strategies see them.
        base_index: where a process starts, per family; 0 when absent.
    """
    kept: dict[str, Account] = {}
    for account in accounts:
        kept.setdefault(account.id, account)
    return _StaticAccounts(
        AccountsSnapshot(Path("accounts given in code"), 4, arranged(kept.values()), dict(base_index or {}))
    )


def arranged(accounts: Iterable[Account]) -> tuple[Account, ...]:
    """Return the accounts with their positions, and with a number on every label that an earlier one has too."""
    taken: set[str] = set()
    numbers: dict[str, int] = {}
    result = []
    for position, account in enumerate(accounts):
        label = account.label
        while label in taken:
            numbers[account.label] = numbers.get(account.label, 1) + 1
            label = f"{account.label} (#{numbers[account.label]})"
        taken.add(label)
        result.append(replace(account, position=position, label=label))
    return tuple(result)
