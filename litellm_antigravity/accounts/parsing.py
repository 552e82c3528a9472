"""From the text of an accounts file to accounts: pure, lenient with single entries, strict with the whole.

The format is opencode-antigravity-auth's, versions 1 to 4. Four fields are this package's own, each in place of
``refreshToken``: ``authorizedUserFile``, ``serviceAccountFile``, ``tokenCommand`` and ``accessToken``; for others see
`own_fields`.
No message quotes the file, since any part of it may be a token.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from pydantic import SecretStr

from litellm_antigravity.accounts.account import Account, arranged
from litellm_antigravity.accounts.credential import (
    AuthorizedUser,
    Credential,
    RefreshToken,
    ServiceAccount,
    StaticToken,
    TokenCommand,
    may_be_token,
)
from litellm_antigravity.accounts.file_cooldowns import file_cooldowns, seconds_in
from litellm_antigravity.accounts.own_fields import OwnFields, own_fields
from litellm_antigravity.errors import AccountsFileError
from litellm_antigravity.masking import mask_email
from litellm_antigravity.models import FAMILIES, ModelFamily

SUPPORTED_VERSIONS = (1, 2, 3, 4)

_FILES: dict[str, type[AuthorizedUser | ServiceAccount]] = {
    "authorizedUserFile": AuthorizedUser,
    "serviceAccountFile": ServiceAccount,
}
CREDENTIAL_FIELDS = ("refreshToken", *_FILES, "tokenCommand", "accessToken")
REPAIR = "Repair it by hand or put a backup in its place; it is not overwritten while it is broken."


class NoUsableAccountError(AccountsFileError):
    """The file is in order, but no account in it can be used. Not a half-written file: it is meant like this."""


@dataclass(frozen=True, slots=True)
class ParsedAccounts:
    """What an accounts file says.

    Attributes:
        version: of the format.
        accounts: those that can be used, in file order, one per id.
        indices: for each account id, its index in the file's list.
        base_index: per family.
        warnings: one line per entry or value that was passed over.
        client_files: the files that entries' OAuth clients come from.
    """

    version: int
    accounts: tuple[Account, ...]
    indices: Mapping[str, int]
    base_index: Mapping[ModelFamily, int]
    warnings: tuple[str, ...]
    client_files: tuple[Path, ...] = ()


class _BrokenEntryError(Exception):
    """One entry cannot be used; the message says why and quotes nothing."""


class _NotJsonError(ValueError):
    pass


def decode_document(raw: bytes, path: Path) -> dict[str, Any]:
    """Return the top-level object of an accounts file.

    Args:
        raw: the file's bytes, with or without a byte order mark.
        path: for messages.

    Raises:
        AccountsFileError: when it is no JSON object; says where.
    """
    if not raw.strip():
        msg = f"Accounts file {path} is empty. Sign in again, or put a backup in its place."
        raise AccountsFileError(msg)
    document, problem = _decode(raw)
    if problem is None and not isinstance(document, dict):
        problem = f"holds a JSON {_json_type(document)} where an object belongs"
    if problem is not None:
        # Raised out here because the decoder's exceptions hold the whole text.
        msg = f"Accounts file {path} {problem}. {REPAIR}"
        raise AccountsFileError(msg)
    fields: dict[str, Any] = document
    return fields


def _decode(raw: bytes) -> tuple[Any, str | None]:
    try:
        return json.loads(raw.decode("utf-8-sig"), parse_constant=_refuse_constant), None
    except UnicodeDecodeError as error:
        return None, f"is not UTF-8 text (see byte {error.start})"
    except json.JSONDecodeError as error:
        what = error.msg.partition(":")[0].removesuffix(" at")
        return None, f"is not valid JSON: {what}, line {error.lineno}, column {error.colno}"
    except _NotJsonError:
        return None, "is not valid JSON: it has no NaN and no Infinity"
    except ValueError:
        return None, "holds a number with too many digits"
    except RecursionError:
        return None, "is nested too deeply"


def _refuse_constant(_: str) -> NoReturn:
    raise _NotJsonError


def parse_document(
    document: Mapping[str, Any],
    path: Path,
    now: float,
    *,
    additions: Mapping[str, OwnFields] = MappingProxyType({}),
    may_be_empty: bool = False,
) -> ParsedAccounts:
    """Return what the top-level object of an accounts file says.

    Args:
        document: see `decode_document`.
        path: the file, for messages and for paths relative to its folder.
        now: epoch seconds; cooldowns that end absurdly long after it are shortened.
        additions: what the companion adds to accounts, by account id.
        may_be_empty: whether it may hold no account that can be used.

    Raises:
        AccountsFileError: when the version is unknown or there is no list of accounts.
        NoUsableAccountError: when no entry can be used.
    """
    version = _version(document, path)
    entries = document.get("accounts")
    if not isinstance(entries, list):
        msg = f'Accounts file {path} has no list "accounts". {REPAIR}'
        raise AccountsFileError(msg)
    kept: dict[str, tuple[int, Account]] = {}
    warnings: list[str] = []
    client_files: list[Path] = []
    for index, fields in enumerate(entries):
        if is_addition(fields):
            continue
        try:
            account, own, ignored = _account(fields, version, path.parent, now)
            account = _added(account, additions.get(account.id))
        except _BrokenEntryError as error:
            warnings.append(f"Accounts file {path}: {_name(index, fields)} is skipped: {error}")
            continue
        client_files += [] if own.client.file is None else [own.client.file]
        warnings += [f"Accounts file {path}: {_name(index, fields)}: {what}" for what in ignored]
        rival = kept.get(account.id)
        if rival is not None:
            newest, older = sorted(((index, account), rival), key=lambda one: (*_age(one[1]), one[0]), reverse=True)
            kept[account.id] = newest
            warnings.append(
                f"Accounts file {path}: {_name(older[0], entries[older[0]])} is skipped: "
                f"entry {newest[0] + 1} is the same account and newer"
            )
        else:
            kept[account.id] = (index, account)
    if not kept and not may_be_empty:
        refuse_all(path, warnings)
    in_order = sorted(kept.values(), key=lambda one: one[0])
    return ParsedAccounts(
        version=version,
        accounts=arranged(account for _, account in in_order),
        indices={account.id: index for index, account in in_order},
        base_index=_base_index(document, version),
        warnings=tuple(warnings),
        client_files=tuple(client_files),
    )


def parse_entry(fields: object, folder: Path, now: float) -> tuple[Account | None, list[str]]:
    """Return the account of a single entry, and what is wrong with it; ``None`` when it cannot be used.

    Args:
        fields: the entry, as the newest version has it.
        folder: what relative paths are relative to.
        now: epoch seconds.
    """
    try:
        account, _, ignored = _account(fields, SUPPORTED_VERSIONS[-1], folder, now)
    except _BrokenEntryError as error:
        return None, [str(error)]
    return account, ignored


def is_addition(fields: object) -> bool:
    """Return whether an entry is no account but adds to one: it has an ``id`` and no credential."""
    return (
        isinstance(fields, dict)
        and isinstance(fields.get("id"), str)
        and not any(fields.get(key) for key in CREDENTIAL_FIELDS)
    )


def _added(account: Account, own: OwnFields | None) -> Account:
    """Return the account with what the companion adds to it."""
    if own is None:
        return account
    if isinstance(account.credential, RefreshToken) and account.credential.fingerprint in own.retired:
        msg = "its credential was removed or replaced with `litellm-antigravity auth`, and written back since"
        raise _BrokenEntryError(msg)
    families = account.disabled_families | own.disabled_families
    return replace(
        account,
        label=own.label or account.label,
        disabled_families=families,
        enabled=account.enabled and len(families) < len(FAMILIES),
    )


def _version(document: Mapping[str, Any], path: Path) -> int:
    version = document.get("version")
    if isinstance(version, (int, float)) and not isinstance(version, bool) and version in SUPPORTED_VERSIONS:
        return int(version)
    if "version" not in document:
        what = 'has no "version"'
    elif isinstance(version, int) and not isinstance(version, bool) and abs(version) < 1_000_000:
        what = f"is of version {version}, which is not known here"
    else:
        what = 'has a "version" that is no version number'
    known = f"{SUPPORTED_VERSIONS[0]} to {SUPPORTED_VERSIONS[-1]}"
    msg = (
        f"Accounts file {path} {what}. Versions {known} are supported; update litellm-antigravity or correct the file."
    )
    raise AccountsFileError(msg)


def refuse_all(path: Path, warnings: Sequence[str]) -> NoReturn:
    """Raise the error for a file without any account that can be used."""
    remedy = "Sign in with `litellm-antigravity auth login`, or add an entry"
    if not warnings:
        msg = f"Accounts file {path} holds no account. {remedy}."
    else:
        reasons = [warning.removeprefix(f"Accounts file {path}: ") for warning in warnings[:10]]
        if len(warnings) > len(reasons):
            reasons.append(f"and {len(warnings) - len(reasons)} more")
        msg = f"Accounts file {path} holds no account that can be used: {'; '.join(reasons)}. {remedy}."
    raise NoUsableAccountError(msg)


def _base_index(document: Mapping[str, Any], version: int) -> dict[ModelFamily, int]:
    by_family = document.get("activeIndexByFamily")
    if isinstance(by_family, dict):
        return {family: _index(by_family.get(family)) for family in FAMILIES}
    common = _index(document.get("activeIndex")) if version <= 2 else 0
    return dict.fromkeys(FAMILIES, common)


def _account(fields: object, version: int, folder: Path, now: float) -> tuple[Account, OwnFields, list[str]]:
    """Return the account of an entry, its own fields, and what was ignored in it."""
    if not isinstance(fields, dict):
        msg = f"a JSON {_json_type(fields)} is no account"
        raise _BrokenEntryError(msg)
    email = _email(fields)
    enabled = fields.get("enabled")
    if enabled is not None and not isinstance(enabled, bool):
        msg = '"enabled" is neither true nor false'
        raise _BrokenEntryError(msg)
    credential, packed = _credential(fields, folder)
    own, ignored = own_fields(fields, folder, credential.fingerprint if isinstance(credential, RefreshToken) else None)
    projects: list[str | None] = []
    for key, fallback in zip(("projectId", "managedProjectId"), packed, strict=True):
        value = fields.get(key)
        if value is not None and not _may_be_project(value):
            ignored.append(f'its "{key}" is ignored: it is no project id')
            value = None
        elif value is not None:
            value = value.strip()
        projects.append(value or (fallback if _may_be_project(fallback) else None) or None)
    account = Account.create(
        email,
        credential,
        project_id=projects[0],
        managed_project_id=projects[1],
        enabled=enabled is not False and len(own.disabled_families) < len(FAMILIES),
        added_at=seconds_in(fields.get("addedAt")),
        last_used=seconds_in(fields.get("lastUsed")),
        cooldowns=file_cooldowns(fields, version, now),
        label=own.label,
        oauth_client=own.client.client,
        client_problem=own.client.problem,
        disabled_families=own.disabled_families,
    )
    return account, own, ignored


def _email(fields: Mapping[str, Any]) -> str | None:
    email = fields.get("email")
    if email is None:
        return None
    if not isinstance(email, str):
        msg = '"email" is not a string'
        raise _BrokenEntryError(msg)
    if not email.isprintable() or len(email) > 320:  # RFC 3696, erratum 1690: 254, or 64 + 1 + 255 at the very most
        msg = '"email" has control characters or is too long'
        raise _BrokenEntryError(msg)
    return email.strip() or None


def _credential(fields: Mapping[str, Any], folder: Path) -> tuple[Credential, tuple[str, str]]:
    """Return the credential of an entry, and the two projects that may be packed with it."""
    present = [key for key in CREDENTIAL_FIELDS if fields.get(key) is not None and fields[key] != ""]
    if not present:
        msg = f"it has none of {', '.join(CREDENTIAL_FIELDS)}"
        raise _BrokenEntryError(msg)
    if len(present) > 1:
        msg = f"it has both {' and '.join(present[:2])}; keep one"
        raise _BrokenEntryError(msg)
    key = present[0]
    value = fields[key]
    none = ("", "")
    if key == "tokenCommand":
        return TokenCommand(_argv(value)), none
    if not isinstance(value, str):
        msg = f'"{key}" is not a string'
        raise _BrokenEntryError(msg)
    if key in _FILES:
        return _FILES[key](_path(key, value, folder)), none
    if key == "accessToken":
        return StaticToken(_token(key, value)), none
    token, project, managed = [*value.split("|"), "", ""][:3]
    return RefreshToken(_token(key, token)), (project.strip(), managed.strip())


def _token(key: str, value: str) -> SecretStr:
    if not may_be_token(value):
        msg = f'"{key}" cannot be a token: it is empty, too long, or has blanks, control or non-ASCII characters'
        raise _BrokenEntryError(msg)
    return SecretStr(value)


def _argv(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        msg = '"tokenCommand" is a string; write a list of program and arguments, since no shell is used'
        raise _BrokenEntryError(msg)
    if not isinstance(value, list) or not value or not all(isinstance(one, str) and "\0" not in one for one in value):
        msg = '"tokenCommand" is not a list of strings: program, then arguments'
        raise _BrokenEntryError(msg)
    if not value[0].strip() or not value[0].isprintable():
        msg = '"tokenCommand" names no program'
        raise _BrokenEntryError(msg)
    return tuple(value)


def _path(key: str, value: str, folder: Path) -> Path:
    if not value.isprintable():
        msg = f'"{key}" has control characters'
        raise _BrokenEntryError(msg)
    return folder / os.path.expanduser(value)  # noqa: PTH111 - Path.expanduser raises for a user nobody knows


def _name(index: int, fields: object) -> str:
    """Return what a warning calls an entry: its position, counted from 1, and its masked e-mail."""
    email = fields.get("email") if isinstance(fields, dict) else None
    if isinstance(email, str) and email.strip() and email.isprintable() and len(email) <= 320:
        return f"entry {index + 1} ({mask_email(email)})"
    return f"entry {index + 1}"


def _age(account: Account) -> tuple[float, float]:
    return account.last_used or 0.0, account.added_at or 0.0


def _may_be_project(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable() and len(value) <= 200


def _index(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 2**31:
        return 0
    return int(value)


def _json_type(value: object) -> str:
    if value is None:
        return "null"
    for kind, name in ((bool, "boolean"), ((int, float), "number"), (str, "string"), (list, "list")):
        if isinstance(value, kind):
            return name
    return "object"
