"""The accounts file: read again when it changes, and changed one field at a time."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from litellm_antigravity.accounts.account import AccountsSnapshot
from litellm_antigravity.accounts.credential import AuthorizedUser, RefreshToken, file_edition, may_be_token
from litellm_antigravity.accounts.parsing import NoUsableAccountError, Roster, decode_document, parse_document
from litellm_antigravity.accounts.writing import (
    FolderLock,
    LockLostError,
    file_age,
    folder_lock,
    remove_leftovers,
    replace_file,
)
from litellm_antigravity.clock import Clock, SystemClock
from litellm_antigravity.errors import AccountsFileError
from litellm_antigravity.forking import ForkAware
from litellm_antigravity.logs import LOGGER

MAX_BYTES = 8 * 1024 * 1024
"""A thousand accounts with everything that version 4 keeps come to about 2 MiB; a larger file is another file."""

_SETTLING_SECONDS = 0.1  # file systems stamp changes with a clock that may tick as rarely as every 10 ms
_WATCH_SECONDS = 1.0
_ATTEMPTS = 3
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class _Seen:
    """What `current` goes by.

    Attributes:
        signature: of the file as it was read last: modification time (ns), size, inode.
        settled: it was old enough then for the next change to have another signature.
        digest: of its content, good or not.
        snapshot: the last good one.
        watched: the authorized_user files that it depends on.
    """

    signature: tuple[int, int, int]
    settled: bool
    digest: bytes
    snapshot: AccountsSnapshot
    watched: tuple[AuthorizedUser, ...]


@dataclass(frozen=True, slots=True, repr=False)
class _Content:
    raw: bytes
    signature: tuple[int, int, int]
    mode: int


class AccountsFile(ForkAware):
    """The accounts in a file that opencode-antigravity-auth may write too. Thread-safe; opened when first needed.

    A file that becomes unreadable after it was good, such as one that another tool is just writing, is passed over with
    one warning, and the last good content stays in force. A file that disappears, or that is in order but holds no
    account, is an error at once.

    Args:
        path: where it is; ``~`` is expanded. It may be a symbolic link.
        clock: the source of time.
    """

    _fork_rank = 20  # nothing is called while its lock is held

    def __init__(self, path: Path | str, *, clock: Clock | None = None) -> None:
        self.path = Path(path).expanduser()
        self._name = os.fspath(self.path)
        self._clock = clock or SystemClock()
        self._seen: _Seen | None = None
        self._watched_at = 0.0
        self._complained: object = None
        self._after_fork_in_child()
        self._watch_forks()

    def _after_fork_in_child(self) -> None:
        self._lock = threading.Lock()  # guards reading; writers hold the other one, so that nobody waits for a disk
        self._write_lock = threading.Lock()

    def __repr__(self) -> str:
        return f"AccountsFile({self._name!r})"

    # Reading

    def current(self) -> AccountsSnapshot:
        """Return the accounts as the file has them now: the same object while it has not changed.

        Costs one ``stat`` as long as nothing changes.

        Raises:
            AccountsFileError: when there is no file, when it has never been good, or when it holds no account.
        """
        seen = self._seen
        if seen is not None and seen.settled:
            try:
                found = os.stat(self._name)  # noqa: PTH116 - called for every request
            except OSError:
                pass
            else:
                signature = (found.st_mtime_ns, found.st_size, found.st_ino)
                if signature == seen.signature and not (seen.watched and self._watched_changed(seen)):
                    return seen.snapshot
        with self._lock:
            return self._look()

    def load(self) -> AccountsSnapshot:
        """Read the file now, whether it has changed or not, and return the accounts in it.

        Raises:
            AccountsFileError: when anything is wrong with the file as a whole.
        """
        with self._lock:
            content = self._read(self.path)
            return self._accept(content, hashlib.sha256(content.raw).digest())

    def _watched_changed(self, seen: _Seen) -> bool:
        """Return whether an authorized_user file has changed, looking at most once a second."""
        now = self._clock.monotonic()
        if now - self._watched_at < _WATCH_SECONDS:
            return False
        self._watched_at = now
        return any(file_edition(one.path) != one.edition for one in seen.watched)

    def _look(self) -> AccountsSnapshot:
        seen = self._seen
        try:
            content = self._read(self.path)
        except AccountsFileError as error:
            if seen is None or not self.path.exists():
                raise
            self._complain(error, str(error))
            return seen.snapshot
        digest = hashlib.sha256(content.raw).digest()
        unchanged = seen is not None and digest == seen.digest
        if seen is not None and unchanged and all(file_edition(one.path) == one.edition for one in seen.watched):
            self._seen = replace(seen, signature=content.signature, settled=_is_settled(content))
            return seen.snapshot
        try:
            return self._accept(content, digest)
        except NoUsableAccountError:
            raise
        except AccountsFileError as error:
            if seen is None:
                raise
            self._complain(error, digest)
            self._seen = replace(seen, signature=content.signature, settled=_is_settled(content), digest=digest)
            return seen.snapshot

    def _accept(self, content: _Content, digest: bytes) -> AccountsSnapshot:
        now = self._clock.time()
        roster = parse_document(decode_document(content.raw, self.path), self.path, now)
        warnings = roster.warnings
        if os.name != "nt" and content.mode & 0o066:
            warnings = (*warnings, self._open_to_others(content.mode))
        snapshot = AccountsSnapshot(
            path=self.path,
            version=roster.version,
            accounts=roster.accounts,
            base_index=roster.base_index,
            warnings=warnings,
            loaded_at=now,
        )
        credentials = [account.credential for account in roster.accounts]
        watched = tuple(one for one in credentials if isinstance(one, AuthorizedUser))
        for one in watched:
            one.fingerprint  # noqa: B018 - fixes the edition of the file that this snapshot stands for
        told = () if self._seen is None else self._seen.snapshot.warnings
        for warning in warnings:
            if warning not in told:
                LOGGER.warning("%s", warning)
        self._complained = None
        self._seen = _Seen(content.signature, _is_settled(content), digest, snapshot, watched)
        return snapshot

    def _open_to_others(self, mode: int) -> str:
        return (
            f"Accounts file {self.path} can be read or written by other users of this machine (mode "
            f"{stat.S_IMODE(mode):04o}); anybody who reads it can use the accounts. Correct it: chmod 600 '{self.path}'"
        )

    def _complain(self, error: AccountsFileError, about: object) -> None:
        if self._complained != about:
            self._complained = about
            LOGGER.warning("%s The accounts read before stay in use.", error)

    def _read(self, path: Path) -> _Content:
        try:
            found = path.stat()
            if stat.S_ISDIR(found.st_mode):
                problem = "is a folder. Set `accounts_file` to the file in it."
            elif not stat.S_ISREG(found.st_mode):
                problem = "is not a regular file."
            else:
                with path.open("rb") as file:
                    # Of the descriptor, and before reading: a change during the read then shows as a new signature.
                    found = os.fstat(file.fileno())
                    raw = file.read(MAX_BYTES + 1)
                if len(raw) <= MAX_BYTES:
                    return _Content(raw, (found.st_mtime_ns, found.st_size, found.st_ino), found.st_mode)
                problem = f"is larger than {MAX_BYTES // 2**20} MiB, so it is hardly an accounts file."
        except (FileNotFoundError, NotADirectoryError):
            problem = None
        except PermissionError:
            problem = "may not be read by this user. Make it the user's own (chown) and readable (chmod 600)."
        except OSError as error:
            problem = f"cannot be read: {error.strerror}."
        except ValueError:  # a NUL in the path
            problem = "has a name that no file can have."
        if problem is None:
            raise AccountsFileError(_missing(path))
        msg = f"Accounts file {path} {problem}"
        raise AccountsFileError(msg)

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
                ``enabled`` (a boolean), ``lastUsed`` (milliseconds since the epoch).

        Raises:
            AccountsFileError: when the file is broken, has no such account, is locked by somebody else, or cannot be
                written; it is untouched then.
            TypeError: for a field that may not be changed, or a value of the wrong type.
        """
        _check(fields)
        with self._write_lock:
            target = Path(os.path.realpath(self._name))
            for _ in range(_ATTEMPTS):
                with folder_lock(target, self._clock) as lock:
                    try:
                        self._update(target, lock, account_id, if_fingerprint, fields)
                    except LockLostError:
                        continue  # suspended for so long that another process took over; what we read may be old
                    return
        msg = f"Accounts file {self.path} cannot be changed: its lock was taken away {_ATTEMPTS} times."
        raise AccountsFileError(msg)

    def _update(
        self, target: Path, lock: FolderLock, account_id: str, if_fingerprint: str | None, fields: Mapping[str, object]
    ) -> None:
        raw = self._read(target).raw
        document = decode_document(raw, self.path)
        roster = parse_document(document, self.path, self._clock.time())
        if not self._apply(document, roster, account_id, if_fingerprint, fields):
            return
        content = self._encoded(document, raw)
        remove_leftovers(target)
        problem = None
        try:
            replace_file(target, content, before=lock.confirm)
        except OSError as error:
            problem = error.strerror
        if problem is not None:
            msg = f"Accounts file {self.path} cannot be written: {problem}. It is as it was."
            raise AccountsFileError(msg)

    def _apply(
        self,
        document: dict[str, Any],
        roster: Roster,
        account_id: str,
        if_fingerprint: str | None,
        fields: Mapping[str, object],
    ) -> bool:
        """Change the entry in ``document``; return whether that changed anything."""
        account = next((account for account in roster.accounts if account.id == account_id), None)
        if account is None:
            msg = f"Accounts file {self.path} no longer has the account {account_id}; nothing was changed."
            raise AccountsFileError(msg)
        if if_fingerprint is not None and account.credential.fingerprint != if_fingerprint:
            msg = f"Accounts file {self.path}: {account.label} has a newer credential; nothing was changed."
            raise AccountsFileError(msg)
        entry = document["accounts"][roster.indices[account_id]]
        before = dict(entry)
        for key, value in fields.items():
            if isinstance(value, SecretStr):
                if not isinstance(account.credential, RefreshToken):
                    msg = f"Accounts file {self.path}: {account.label} has no refresh token to replace."
                    raise AccountsFileError(msg)
                _, bar, packed = entry[key].partition("|")
                entry[key] = f"{value.get_secret_value()}{bar}{packed}"
            elif value is None:
                entry.pop(key, None)
            else:
                entry[key] = value
        return bool(before != entry)

    def _encoded(self, document: dict[str, Any], raw: bytes) -> bytes:
        """Return the document as OAA writes it, with the byte order mark and the last newline that it had."""
        problem = None
        try:
            text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
            end = "\n" if raw.endswith(b"\n") else ""
            try:
                content = text.encode()
            except UnicodeEncodeError:  # half a surrogate pair, which JSON can only hold escaped
                content = json.dumps(document, indent=2, allow_nan=False).encode()
            return (_BOM if raw.startswith(_BOM) else b"") + content + end.encode()
        except ValueError:
            problem = "holds a number that is too large to be written again"
        except RecursionError:
            problem = "is nested too deeply to be written again"
        msg = f"Accounts file {self.path} {problem}. It is as it was."
        raise AccountsFileError(msg)


def _is_settled(content: _Content) -> bool:
    return abs(file_age(content.signature[0])) > _SETTLING_SECONDS


def _check(fields: Mapping[str, object]) -> None:
    for key, value in fields.items():
        if key == "refreshToken":
            good = isinstance(value, SecretStr)
            if isinstance(value, SecretStr) and not _may_be_refresh_token(value):
                msg = "the new refresh token has characters that no token has; nothing was changed"
                raise AccountsFileError(msg)
        elif key in ("projectId", "managedProjectId"):
            good = value is None or isinstance(value, str)
        elif key == "enabled":
            good = isinstance(value, bool)
        elif key == "lastUsed":
            good = isinstance(value, int) and not isinstance(value, bool)
        else:
            msg = f"{key!r} is not a field that may be changed"
            raise TypeError(msg)
        if not good:
            msg = f"{key!r} cannot be a {type(value).__name__}"
            raise TypeError(msg)


def _may_be_refresh_token(token: SecretStr) -> bool:
    text = token.get_secret_value()
    return may_be_token(text) and "|" not in text


def _missing(path: Path) -> str:
    return (
        f"There is no accounts file at {path}. Sign in with opencode-antigravity-auth, which writes it; or write it "
        'yourself: {"version": 4, "accounts": [{"email": "...", "refreshToken": "..."}]}; or set `accounts_file` '
        "(in the environment LITELLM_ANTIGRAVITY_ACCOUNTS_FILE) to where it is. `litellm-antigravity demo` needs none."
    )
