"""Writing the accounts file and its companion, each under the lock that every program which writes it takes."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from litellm_antigravity.accounts import editing
from litellm_antigravity.accounts.account import Account
from litellm_antigravity.accounts.credential import RefreshToken
from litellm_antigravity.accounts.own_fields import CLIENT_OF
from litellm_antigravity.accounts.parsing import decode_document, parse_document, parse_entry
from litellm_antigravity.accounts.reading import read_file
from litellm_antigravity.accounts.writing import (
    FolderLock,
    LockLostError,
    folder_lock,
    remove_leftovers,
    replace_file,
)
from litellm_antigravity.clock import Clock
from litellm_antigravity.errors import AccountsFileError
from litellm_antigravity.models import FAMILIES

_ATTEMPTS = 3
_BOM = b"\xef\xbb\xbf"


class AccountsWriter:
    """Changes the two files. Thread-safe; what each method does is said at `AccountsFile`.

    Args:
        main: the accounts file.
        companion: the file beside it that is our own.
        clock: for waiting, and for the time at which an account was added.
    """

    def __init__(self, main: Path, companion: Path, clock: Clock) -> None:
        self._main = main
        self._companion = companion
        self._clock = clock
        self._lock = threading.Lock()

    def update(self, account_id: str, if_fingerprint: str | None, fields: Mapping[str, object]) -> None:
        """See `AccountsFile.update_entry`."""
        editing.checked_fields(fields)
        ours = {key: _plain(value) for key, value in fields.items() if key in editing.OWN_SWITCHES}
        rest = {key: value for key, value in fields.items() if key not in ours}
        with self._lock:
            home = self._home(account_id)
            found: list[Account] = []

            def change(document: dict[str, Any]) -> bool:
                account, index = self._entry(document, home, account_id)
                if if_fingerprint is not None and account.credential.fingerprint != if_fingerprint:
                    msg = f"Accounts file {home}: {account.label} has a newer credential; nothing was changed."
                    raise AccountsFileError(msg)
                found.append(account)
                # A switch is in one place only, so that turning it back is not half done.
                return editing.updated(document["accounts"][index], account, {**dict.fromkeys(ours), **rest}, home)

            self._edit(home, change)
            if ours:
                self._edit(self._companion, lambda document: editing.set_addition(document, found[-1], ours))

    def add(self, entry: Mapping[str, object]) -> Account:
        """See `AccountsFile.add`."""
        account = editing.account_in(entry, self._main, self._clock.time())
        with self._lock:
            return self._save(account, entry)

    def replace(self, account_id: str, entry: Mapping[str, object]) -> Account:
        """See `AccountsFile.replace`."""
        account = editing.account_in(entry, self._main, self._clock.time())
        if account.id != account_id:
            msg = f"{account.label} is another account than the one to be replaced; nothing was changed."
            raise AccountsFileError(msg)
        with self._lock:
            self._home(account_id)  # an error if it is not there
            return self._save(account, entry)

    def remove(self, account_id: str) -> None:
        """See `AccountsFile.remove`."""
        with self._lock:
            self._home(account_id)
            self._remove(account_id)

    def replace_all(self, entries: Sequence[Mapping[str, object]]) -> tuple[Account, ...]:
        """See `AccountsFile.replace_all`."""
        now = self._clock.time()
        accounts = [editing.account_in(entry, self._main, now) for entry in entries]
        kept = {account.id for account in accounts}
        with self._lock:
            saved = tuple(self._save(*each) for each in zip(accounts, entries, strict=True))
            for path in (self._main, self._companion):
                for account_id in self._ids(path) - kept:
                    self._remove(account_id)
        return saved

    def _save(self, account: Account, entry: Mapping[str, object]) -> Account:
        """Add an account, or replace its credential where it is; the one that is in force is the new one."""
        now = self._clock.time()
        is_main = isinstance(account.credential, RefreshToken)
        home = self._main if is_main else self._companion
        replaced: list[str] = []
        switches = {key: _plain(value) for key, value in entry.items() if key in editing.OWN_SWITCHES}
        entry = {key: value for key, value in entry.items() if key not in switches}
        if is_main and entry.get("oauthClient") is not None:
            entry[CLIENT_OF] = account.credential.fingerprint

        def change(document: dict[str, Any]) -> bool:
            parsed = parse_document(document, home, now, may_be_empty=True)
            indices = sorted(editing.indices_of(document, home, now, account.id))
            if not indices:
                editing.add_entry(document, {"addedAt": int(now * 1000), "lastUsed": 0, "enabled": True, **entry})
                return True
            newest = parsed.indices[account.id]
            for index in indices:
                old, _ = parse_entry(document["accounts"][index], home.parent, now)
                if old is not None and isinstance(old.credential, RefreshToken):
                    replaced.append(old.credential.fingerprint)
            editing.replace_entry(document, newest, entry)
            editing.remove_entries(document, {*indices} - {newest})
            return True

        self._edit(home, change)
        if is_main:
            self._retire(account, replaced)
            self._edit(self._companion, lambda document: self._without(document, self._companion, account.id))
        if switches:
            self._edit(self._companion, lambda document: editing.set_addition(document, account, switches))
        return account

    def _remove(self, account_id: str) -> None:
        now = self._clock.time()
        gone: list[Account] = []

        def change(document: dict[str, Any]) -> bool:
            indices = editing.indices_of(document, self._main, now, account_id)
            for index in indices:
                account, _ = parse_entry(document["accounts"][index], self._main.parent, now)
                gone.extend([] if account is None else [account])
            return editing.remove_entries(document, indices)

        self._edit(self._main, change)
        self._edit(self._companion, lambda document: self._without(document, self._companion, account_id))
        for account in gone:
            if isinstance(account.credential, RefreshToken):
                self._retire(account, [account.credential.fingerprint], removed=True)

    def _retire(self, account: Account, fingerprints: Sequence[str], *, removed: bool = False) -> None:
        """Remember which credentials are not to be used again, and that the account's own one is, unless removed."""

        def change(document: dict[str, Any]) -> bool:
            known = list(editing.retired_of(document, account.id, self._companion.parent))
            for one in fingerprints:
                known = editing.retired_with(known, one)
            if not removed:
                known = [one for one in known if one != account.credential.fingerprint]
            # A new sign-in of a removed account begins anew; so do its name and its switches.
            fields: dict[str, object] = {"retired": known}
            if removed:
                fields |= {"label": None, "disabledFamilies": None}
            return editing.set_addition(document, account, fields)

        self._edit(self._companion, change)

    def _without(self, document: dict[str, Any], path: Path, account_id: str) -> bool:
        return editing.remove_entries(document, editing.indices_of(document, path, self._clock.time(), account_id))

    def _home(self, account_id: str) -> Path:
        """Return the file whose entry of an account is in force.

        Raises:
            AccountsFileError: when neither has it.
        """
        for path in (self._companion, self._main):
            if account_id in self._ids(path):
                return path
        msg = f"Accounts file {self._main} no longer has the account {account_id}; nothing was changed."
        raise AccountsFileError(msg)

    def _ids(self, path: Path) -> set[str]:
        content = read_file(path)
        if content is None:
            return set()
        document = decode_document(content.raw, path)
        return {*parse_document(document, path, self._clock.time(), may_be_empty=True).indices}

    def _entry(self, document: dict[str, Any], path: Path, account_id: str) -> tuple[Account, int]:
        parsed = parse_document(document, path, self._clock.time(), may_be_empty=True)
        account = editing.found_in(parsed, account_id)
        if account is None:
            msg = f"Accounts file {path} no longer has the account {account_id}; nothing was changed."
            raise AccountsFileError(msg)
        return account, parsed.indices[account_id]

    def _edit(self, path: Path, change: Callable[[dict[str, Any]], bool]) -> None:
        """Read, change and write a file under its lock; make it and its folder if need be.

        Args:
            path: the file.
            change: called with its top-level object; returns whether that changed anything.
        """
        target = Path(os.path.realpath(path))
        if not target.exists():
            if not change(_new_document()):
                return
            _make_folder(target.parent)
            _keep_out_of_git(target)
        for _ in range(_ATTEMPTS):
            with folder_lock(target, self._clock) as lock:
                try:
                    self._edit_locked(path, target, lock, change)
                except LockLostError:
                    continue  # suspended for so long that another process took over; what we read may be old
                return
        msg = f"Accounts file {path} cannot be changed: its lock was taken away {_ATTEMPTS} times."
        raise AccountsFileError(msg)

    def _edit_locked(
        self, path: Path, target: Path, lock: FolderLock, change: Callable[[dict[str, Any]], bool]
    ) -> None:
        content = read_file(target)
        raw = b"" if content is None else content.raw
        document = _new_document() if content is None else decode_document(raw, path)
        if not change(document):
            return
        written = _encoded(document, raw, path)
        remove_leftovers(target)
        problem = None
        try:
            replace_file(target, written, before=lock.confirm)
        except OSError as error:
            problem = error.strerror
        if problem is not None:
            msg = f"Accounts file {path} cannot be written: {problem}. It is as it was."
            raise AccountsFileError(msg)


def _new_document() -> dict[str, Any]:
    return {"version": 4, "accounts": [], "activeIndex": 0}


def _plain(value: object) -> object:
    """Return a switch's value as JSON has it."""
    return [one for one in FAMILIES if one in value] if isinstance(value, (list, tuple, set, frozenset)) else value


def _make_folder(folder: Path) -> None:
    """Make a folder that is nobody else's, and those above it that are missing."""
    missing = [each for each in (*reversed(folder.parents), folder) if not each.exists()]
    problem = None
    try:
        for each in missing:
            each.mkdir(mode=0o700, exist_ok=True)  # another process may do the same
    except OSError as error:
        problem = error.strerror
    if problem is not None:
        msg = f"The folder {folder} for the accounts file cannot be made: {problem}."
        raise AccountsFileError(msg)


def _keep_out_of_git(target: Path) -> None:
    """Add a new file to the ``.gitignore`` beside it, which the plugin makes for its own: people version the folder."""
    ignore = target.with_name(".gitignore")
    with suppress(OSError, UnicodeDecodeError):
        text = ignore.read_text("utf-8")
        if target.name not in map(str.strip, text.splitlines()):
            with ignore.open("a", encoding="utf-8") as file:
                file.write(f"{'' if text.endswith(chr(10)) or not text else chr(10)}{target.name}\n")


def _encoded(document: dict[str, Any], raw: bytes, path: Path) -> bytes:
    """Return the document as the plugin writes it, with the byte order mark and the last newline that it had."""
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
    msg = f"Accounts file {path} {problem}. It is as it was."
    raise AccountsFileError(msg)
