"""The accounts file: read again when it changes. For how it is changed see `writer`."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from litellm_antigravity.accounts.account import Account, AccountsSnapshot
from litellm_antigravity.accounts.companion import additions_in, companion_of, joined
from litellm_antigravity.accounts.credential import CredentialFile, file_edition
from litellm_antigravity.accounts.parsing import (
    NoUsableAccountError,
    ParsedAccounts,
    decode_document,
    parse_document,
    refuse_all,
)
from litellm_antigravity.accounts.reading import FileContent, Signature, digest_of, read_file, signature_of
from litellm_antigravity.accounts.writer import AccountsWriter
from litellm_antigravity.clock import Clock, SystemClock
from litellm_antigravity.errors import AccountsFileError
from litellm_antigravity.forking import ForkAware
from litellm_antigravity.logs import LOGGER

_WATCH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Seen:
    """What `current` goes by.

    Attributes:
        signatures: of the file and of its companion as they were read last; ``None`` for one that is not there.
        settled: they were old enough then for the next change to have another signature.
        digest: of their content, good or not.
        snapshot: the last good one.
        watched: the other files that it depends on, and the editions of them that it stands for.
    """

    signatures: tuple[Signature | None, Signature | None]
    settled: bool
    digest: bytes
    snapshot: AccountsSnapshot
    watched: tuple[tuple[Path, tuple[int, int] | None], ...]

    @property
    def is_up_to_date(self) -> bool:
        """Whether none of the watched files has changed."""
        return all(file_edition(path) == edition for path, edition in self.watched)


@dataclass(frozen=True, slots=True)
class _Both:
    """The accounts file and its companion, as they were read; ``None`` for one that is not there."""

    main: FileContent | None
    companion: FileContent | None

    @property
    def present(self) -> tuple[FileContent, ...]:
        return tuple(one for one in (self.main, self.companion) if one is not None)

    @property
    def signatures(self) -> tuple[Signature | None, Signature | None]:
        main, companion = (None if one is None else one.signature for one in (self.main, self.companion))
        return main, companion

    @property
    def digest(self) -> bytes:
        return digest_of((self.main, self.companion))

    @property
    def settled(self) -> bool:
        return all(one.settled for one in self.present)


class AccountsFile(ForkAware):
    """The accounts in a file that opencode-antigravity-auth may write too. Thread-safe; opened when first needed.

    A file that becomes unreadable after it was good, such as one that another tool is just writing, is passed over with
    one warning, and the last good content stays in force. A file that disappears, or that is in order but holds no
    account, is an error at once. Its companion (see `companion`) is read with it.

    Args:
        path: where it is; ``~`` is expanded. It may be a symbolic link.
        clock: the source of time.
    """

    _fork_rank = 20  # nothing is called while its lock is held

    def __init__(self, path: Path | str, *, clock: Clock | None = None) -> None:
        self.path = Path(path).expanduser()
        self.companion = companion_of(self.path)
        self._names = os.fspath(self.path), os.fspath(self.companion)
        self._clock = clock or SystemClock()
        self._seen: _Seen | None = None
        self._watched_at = 0.0
        self._complained: object = None
        self._after_fork_in_child()
        self._watch_forks()

    def _after_fork_in_child(self) -> None:
        self._lock = threading.Lock()  # guards reading; writers hold another one, so that nobody waits for a disk
        self._writer = AccountsWriter(self.path, self.companion, self._clock)

    def __repr__(self) -> str:
        return f"AccountsFile({self._names[0]!r})"

    # Reading

    def current(self) -> AccountsSnapshot:
        """Return the accounts as the file has them now: the same object while it has not changed.

        Costs two ``stat`` as long as nothing changes.

        Raises:
            AccountsFileError: when there is no file, when it has never been good, or when it holds no account.
        """
        seen = self._seen
        if seen is not None and seen.settled:
            found = signature_of(self._names[0]), signature_of(self._names[1])
            if found == seen.signatures and not (seen.watched and self._watched_changed(seen)):
                return seen.snapshot
        with self._lock:
            return self._look()

    def load(self, *, may_be_empty: bool = False) -> AccountsSnapshot:
        """Read the file now, whether it has changed or not, and return the accounts in it.

        Args:
            may_be_empty: whether it may be missing or hold no account.

        Raises:
            AccountsFileError: when anything is wrong with the file as a whole.
        """
        with self._lock:
            both = self._read()
            if may_be_empty:
                return self._snapshot(both, self._parsed(both, may_be_empty=True))
            return self._accept(both)

    def _watched_changed(self, seen: _Seen) -> bool:
        """Return whether a watched file has changed, looking at most once a second."""
        now = self._clock.monotonic()
        if now - self._watched_at < _WATCH_SECONDS:
            return False
        self._watched_at = now
        return not seen.is_up_to_date

    def _look(self) -> AccountsSnapshot:
        seen = self._seen
        try:
            both = self._read()
        except AccountsFileError as error:
            if seen is None:
                raise
            self._complain(error, str(error))
            return seen.snapshot
        if seen is not None and both.digest == seen.digest and both.present and seen.is_up_to_date:
            self._seen = replace(seen, signatures=both.signatures, settled=both.settled)
            return seen.snapshot
        try:
            return self._accept(both)
        except (NoUsableAccountError, MissingFileError):
            raise
        except AccountsFileError as error:
            if seen is None:
                raise
            self._complain(error, both.digest)
            self._seen = replace(seen, signatures=both.signatures, settled=both.settled, digest=both.digest)
            return seen.snapshot

    def _read(self) -> _Both:
        return _Both(read_file(self.path), read_file(self.companion))

    def _accept(self, both: _Both) -> AccountsSnapshot:
        parsed = self._parsed(both, may_be_empty=False)
        snapshot = self._snapshot(both, parsed)
        watched = [(path, file_edition(path)) for path in parsed.client_files]
        for account in parsed.accounts:
            if isinstance(account.credential, CredentialFile):
                account.credential.fingerprint  # noqa: B018 - fixes the edition of the file that this snapshot stands for
                watched.append((account.credential.path, account.credential.edition))
        told = () if self._seen is None else self._seen.snapshot.warnings
        for warning in snapshot.warnings:
            if warning not in told:
                LOGGER.warning("%s", warning)
        self._complained = None
        self._seen = _Seen(both.signatures, both.settled, both.digest, snapshot, tuple(watched))
        return snapshot

    def _parsed(self, both: _Both, *, may_be_empty: bool) -> ParsedAccounts:
        now = self._clock.time()
        nothing = {"version": 4, "accounts": []}
        companion = nothing if both.companion is None else decode_document(both.companion.raw, self.companion)
        ours = parse_document(companion, self.companion, now, may_be_empty=True)
        if both.main is None and not ours.accounts and not may_be_empty:
            raise MissingFileError(_missing(self.path))
        additions = additions_in(companion, self.companion.parent)
        main = nothing if both.main is None else decode_document(both.main.raw, self.path)
        parsed = joined(
            parse_document(main, self.path, now, additions=additions, may_be_empty=True),
            parse_document(companion, self.companion, now, additions=additions, may_be_empty=True),
        )
        if not parsed.accounts and not may_be_empty:
            refuse_all(self.path, parsed.warnings)
        return parsed

    def _snapshot(self, both: _Both, parsed: ParsedAccounts) -> AccountsSnapshot:
        return AccountsSnapshot(
            path=self.path,
            version=parsed.version,
            accounts=parsed.accounts,
            base_index=parsed.base_index,
            warnings=(*parsed.warnings, *(_open_to_others(one) for one in both.present if one.open_to_others)),
            loaded_at=self._clock.time(),
        )

    def _complain(self, error: AccountsFileError, about: object) -> None:
        if self._complained != about:
            self._complained = about
            LOGGER.warning("%s The accounts read before stay in use.", error)

    # Writing

    def update_entry(self, account_id: str, *, if_fingerprint: str | None = None, **fields: object) -> None:
        """Change fields of one account's entry on a fresh read of the file; everything else in it stays as it is.

        Takes the lock that opencode-antigravity-auth takes. A symbolic link stays, and the file behind it is replaced.

        Args:
            account_id: whose entry; found by its e-mail, or by its token where it has none.
            if_fingerprint: write only if this is still the fingerprint of the credential in the file, so that a newer
                sign-in is not overwritten.
            **fields: under the file's own names and in its own units: ``refreshToken`` (a `SecretStr`; projects packed
                behind the old one stay), ``projectId``, ``managedProjectId`` (strings, or ``None`` to remove them),
                ``enabled`` (a boolean), ``lastUsed`` (milliseconds since the epoch), ``oauthClient`` (an object, or
                ``None``), ``label`` (a string, or ``None``), ``disabledFamilies`` (a list), ``verificationRequired``
                (``False``: what the plugin noted about it goes).

        Raises:
            AccountsFileError: when the file is broken, has no such account, is locked by somebody else, or cannot be
                written; it is untouched then.
            TypeError: for a field that may not be changed, or a value of the wrong type.
        """
        self._writer.update(account_id, if_fingerprint, fields)

    def add(self, entry: Mapping[str, object]) -> Account:
        """Save a new account, or a new credential for one that is there; return the account.

        File and folder are made when they are absent. An account without a refresh token goes into the companion.

        Args:
            entry: under the file's own names; secrets are plain strings.

        Raises:
            AccountsFileError: when it is no account that can be used, or the file cannot be written.
        """
        return self._writer.add(entry)

    def replace(self, account_id: str, entry: Mapping[str, object]) -> Account:
        """Give a saved account another credential, such as a new sign-in; return the account.

        What the file has beside the old credential stays, unless the entry gives it anew. The old credential is not
        used again, even if a program that still has it writes it back.

        Args:
            account_id: whose.
            entry: of the same account; see `add`.

        Raises:
            AccountsFileError: as for `add`; also when it is another account, or one that is not there.
        """
        return self._writer.replace(account_id, entry)

    def remove(self, account_id: str) -> None:
        """Remove an account. It stays away even if a program that still has it in memory writes it back.

        Args:
            account_id: whose.

        Raises:
            AccountsFileError: when it is not there, or the file cannot be written.
        """
        self._writer.remove(account_id)

    def replace_all(self, entries: Sequence[Mapping[str, object]]) -> tuple[Account, ...]:
        """Start over: these accounts in the place of all others; see `add` and `remove`."""
        return self._writer.replace_all(entries)


class MissingFileError(AccountsFileError):
    """There is no accounts file."""


def _open_to_others(content: FileContent) -> str:
    return (
        f"Accounts file {content.path} can be read or written by other users of this machine (mode "
        f"{stat.S_IMODE(content.mode):04o}); anybody who reads it can use the accounts. Correct it: "
        f"chmod 600 '{content.path}'"
    )


def _missing(path: Path) -> str:
    return (
        f"There is no accounts file at {path}. Sign in with `litellm-antigravity auth login` or with "
        "opencode-antigravity-auth, which write it; or write it yourself: "
        '{"version": 4, "accounts": [{"email": "...", "refreshToken": "..."}]}; or set `accounts_file` '
        "(in the environment LITELLM_ANTIGRAVITY_ACCOUNTS_FILE) to where it is. `litellm-antigravity demo` needs none."
    )
