"""What changes in an accounts file: functions on its top-level object, which do no reading and no writing.

What they are not about stays as it is, so that nothing is lost of what other programs keep in the file.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from litellm_antigravity.accounts.account import Account
from litellm_antigravity.accounts.credential import RefreshToken, may_be_token
from litellm_antigravity.accounts.own_fields import CLIENT_OF, MOST_RETIRED, own_fields, problem_with_label
from litellm_antigravity.accounts.parsing import CREDENTIAL_FIELDS, ParsedAccounts, is_addition, parse_entry
from litellm_antigravity.errors import AccountsFileError
from litellm_antigravity.models import FAMILIES

OWN_SWITCHES = ("label", "disabledFamilies", "retired")
"""Own fields that belong to the account, whatever its credential: they are kept in the companion."""

_OF_CREDENTIAL = (*CREDENTIAL_FIELDS, "oauthClient", CLIENT_OF)
_OF_VERIFICATION = ("verificationRequired", "verificationRequiredAt", "verificationRequiredReason", "verificationUrl")


def checked_fields(fields: Mapping[str, object]) -> None:
    """Make sure that fields may be changed to these values.

    Raises:
        AccountsFileError: when a new refresh token cannot be one.
        TypeError: for a field that may not be changed, or a value of the wrong type.
    """
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
        elif key == "label":
            good = value is None or problem_with_label(value) is None
        elif key == "disabledFamilies":
            good = isinstance(value, (list, tuple, frozenset, set)) and all(one in FAMILIES for one in value)
        elif key == "verificationRequired":
            good = value is False
        elif key == "oauthClient":
            good = value is None or isinstance(value, dict)
        else:
            msg = f"{key!r} is not a field that may be changed"
            raise TypeError(msg)
        if not good:
            msg = f"{key!r} cannot be this {type(value).__name__}"
            raise TypeError(msg)


def updated(entry: dict[str, Any], account: Account, fields: Mapping[str, object], path: Path) -> bool:
    """Set fields of an entry; return whether that changed anything.

    Args:
        entry: of the account.
        account: as the entry has it.
        fields: see `checked_fields`; ``None`` removes a field.
        path: the file, for messages.
    """
    before = dict(entry)
    for key, value in fields.items():
        if key == "oauthClient":
            entry.pop(CLIENT_OF, None)
        if isinstance(value, SecretStr):
            if not isinstance(account.credential, RefreshToken):
                msg = f"Accounts file {path}: {account.label} has no refresh token to replace."
                raise AccountsFileError(msg)
            _, bar, packed = entry[key].partition("|")
            entry[key] = f"{value.get_secret_value()}{bar}{packed}"
            if CLIENT_OF in entry:
                entry[CLIENT_OF] = RefreshToken(value).fingerprint
        elif key == "verificationRequired":
            for each in _OF_VERIFICATION:
                entry.pop(each, None)
        elif value is None or value == []:
            entry.pop(key, None)
        else:
            entry[key] = value
    return before != entry


def account_in(entry: Mapping[str, object], path: Path, now: float) -> Account:
    """Return the account of a new entry.

    Raises:
        AccountsFileError: when it is none that this package can use; says why, and quotes nothing.
    """
    account, problems = parse_entry(entry, path.parent, now)
    if account is None or problems:
        msg = f"This is no account that can be saved: {'; '.join(problems)}."
        raise AccountsFileError(msg)
    return account


def add_entry(document: dict[str, Any], entry: Mapping[str, object]) -> None:
    """Put a new entry behind the others."""
    document.setdefault("accounts", []).append(dict(entry))


def replace_entry(document: dict[str, Any], index: int, entry: Mapping[str, object]) -> None:
    """Give an entry a new credential: what belonged to the old one goes, all else stays unless it is given anew."""
    old = document["accounts"][index]
    gone = (*_OF_CREDENTIAL, *_OF_VERIFICATION)
    document["accounts"][index] = {**{key: old[key] for key in old if key not in gone}, **entry}


def remove_entries(document: dict[str, Any], gone: Collection[int]) -> bool:
    """Remove entries by their indices, and keep the active ones active; return whether there were any."""
    if not gone:
        return False
    document["accounts"] = [one for index, one in enumerate(document["accounts"]) if index not in gone]
    last = max(0, len(document["accounts"]) - 1)

    def moved(index: object) -> object:
        if isinstance(index, bool) or not isinstance(index, int):
            return index
        return min(index - sum(one < index for one in gone), last)

    if "activeIndex" in document:
        document["activeIndex"] = moved(document["activeIndex"])
    by_family = document.get("activeIndexByFamily")
    if isinstance(by_family, dict):
        document["activeIndexByFamily"] = {family: moved(index) for family, index in by_family.items()}
    return True


def indices_of(document: Mapping[str, Any], path: Path, now: float, account_id: str) -> set[int]:
    """Return where all entries of an account are, those that another one of them outdates included."""
    found = set()
    for index, entry in enumerate(document.get("accounts", ())):
        account, _ = parse_entry(entry, path.parent, now)
        if account is not None and account.id == account_id:
            found.add(index)
    return found


def set_addition(document: dict[str, Any], account: Account, fields: Mapping[str, object]) -> bool:
    """Set what the companion adds to an account; return whether that changed anything.

    Args:
        document: the companion's top-level object.
        account: whose.
        fields: of `OWN_SWITCHES`; ``None`` or nothing in it removes a field.
    """
    entries = document.setdefault("accounts", [])
    index = next((i for i, one in enumerate(entries) if is_addition(one) and one["id"] == account.id), None)
    before = {} if index is None else entries[index]
    after = {"id": account.id, **({"email": account.email} if account.email else {}), **before, **fields}
    after = {key: value for key, value in after.items() if value not in (None, [])}
    empty = not any(key in after for key in OWN_SWITCHES)
    if index is not None and (empty or after != before):
        entries[index : index + 1] = [] if empty else [after]
        return True
    if index is None and not empty:
        entries.append(after)
        return True
    return False


def retired_with(known: Sequence[str], fingerprint: str) -> list[str]:
    """Return the fingerprints of credentials that are good no more, with one more, and not without end."""
    return [*(one for one in known if one != fingerprint), fingerprint][-MOST_RETIRED:]


def retired_of(document: Mapping[str, Any], account_id: str, folder: Path) -> tuple[str, ...]:
    """Return the fingerprints that the companion has as removed or replaced, of one account."""
    for entry in document.get("accounts", ()):
        if is_addition(entry) and entry["id"] == account_id:
            return own_fields(entry, folder)[0].retired
    return ()


def found_in(parsed: ParsedAccounts, account_id: str) -> Account | None:
    """Return an account by its id; ``None`` when it is not there."""
    return next((account for account in parsed.accounts if account.id == account_id), None)


def _may_be_refresh_token(token: SecretStr) -> bool:
    text = token.get_secret_value()
    return may_be_token(text) and "|" not in text
