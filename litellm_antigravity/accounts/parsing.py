"""From the text of an accounts file to accounts: pure, lenient with single entries, strict with the whole.

The format is opencode-antigravity-auth's, versions 1 to 4 (UPSTREAM, F3). Three fields are this package's own, each in
place of ``refreshToken``: ``authorizedUserFile``, ``tokenCommand`` and ``accessToken``.
No message quotes the file, since any part of it may be a token.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from pydantic import SecretStr

from litellm_antigravity.accounts.account import Account, FileCooldown, arranged
from litellm_antigravity.accounts.credential import (
    AuthorizedUser,
    Credential,
    RefreshToken,
    StaticToken,
    TokenCommand,
    may_be_token,
)
from litellm_antigravity.cooldowns import MAX_COOLDOWN_SECONDS, WHOLE_ACCOUNT, model_pool
from litellm_antigravity.errors import AccountsFileError
from litellm_antigravity.masking import mask_email
from litellm_antigravity.models import FAMILIES, ModelFamily, canonical_model

SUPPORTED_VERSIONS = (1, 2, 3, 4)

_CREDENTIAL_FIELDS = ("refreshToken", "authorizedUserFile", "tokenCommand", "accessToken")
_RATE_LIMITED = "rate-limited (accounts file)"
_COOLING_DOWN = "cooling down (accounts file)"
_VERIFICATION = "verification"
_REPAIR = "Repair it by hand or put a backup in its place; it is not overwritten while it is broken."

# Keys of rateLimitResetTimes. "gemini-cli" is another product's quota, which this package does not use.
_RESET_FAMILIES: Mapping[str, ModelFamily] = {"claude": "claude", "gemini": "gemini", "gemini-antigravity": "gemini"}


class NoUsableAccountError(AccountsFileError):
    """The file is in order, but no account in it can be used. Not a half-written file: it is meant like this."""


@dataclass(frozen=True, slots=True)
class Roster:
    """What an accounts file says.

    Attributes:
        version: of the format.
        accounts: those that can be used, in file order, one per id.
        indices: for each account id, its index in the file's list.
        base_index: per family.
        warnings: one line per entry or value that was passed over.
    """

    version: int
    accounts: tuple[Account, ...]
    indices: Mapping[str, int]
    base_index: Mapping[ModelFamily, int]
    warnings: tuple[str, ...]


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
        msg = f"Accounts file {path} {problem}. {_REPAIR}"
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


def parse_document(document: Mapping[str, Any], path: Path, now: float) -> Roster:
    """Return what the top-level object of an accounts file says.

    Args:
        document: see `decode_document`.
        path: the file, for messages and for paths relative to its folder.
        now: epoch seconds; cooldowns that end absurdly long after it are shortened.

    Raises:
        AccountsFileError: when the version is unknown or there is no list of accounts.
        NoUsableAccountError: when no entry can be used.
    """
    version = _version(document, path)
    entries = document.get("accounts")
    if not isinstance(entries, list):
        msg = f'Accounts file {path} has no list "accounts". {_REPAIR}'
        raise AccountsFileError(msg)
    kept: dict[str, tuple[int, Account]] = {}
    warnings: list[str] = []
    for index, fields in enumerate(entries):
        try:
            account, ignored = _account(fields, version, path.parent, now)
        except _BrokenEntryError as error:
            warnings.append(f"Accounts file {path}: {_name(index, fields)} is skipped: {error}")
            continue
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
    if not kept:
        _refuse_all(path, warnings)
    in_order = sorted(kept.values(), key=lambda one: one[0])
    return Roster(
        version=version,
        accounts=arranged(account for _, account in in_order),
        indices={account.id: index for index, account in in_order},
        base_index=_base_index(document, version),
        warnings=tuple(warnings),
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


def _refuse_all(path: Path, warnings: Sequence[str]) -> NoReturn:
    remedy = "Sign in with opencode-antigravity-auth, or add an entry"
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


def _account(fields: object, version: int, folder: Path, now: float) -> tuple[Account, list[str]]:
    """Return the account of an entry, and what was ignored in it."""
    if not isinstance(fields, dict):
        msg = f"a JSON {_json_type(fields)} is no account"
        raise _BrokenEntryError(msg)
    email = _email(fields)
    enabled = fields.get("enabled")
    if enabled is not None and not isinstance(enabled, bool):
        msg = '"enabled" is neither true nor false'
        raise _BrokenEntryError(msg)
    credential, packed = _credential(fields, folder)
    ignored: list[str] = []
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
        enabled=enabled is not False,
        added_at=_seconds(fields.get("addedAt")),
        last_used=_seconds(fields.get("lastUsed")),
        cooldowns=_cooldowns(fields, version, now),
    )
    return account, ignored


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
    present = [key for key in _CREDENTIAL_FIELDS if fields.get(key) is not None and fields[key] != ""]
    if not present:
        msg = f"it has none of {', '.join(_CREDENTIAL_FIELDS)}"
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
    if key == "authorizedUserFile":
        return AuthorizedUser(_path(value, folder)), none
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


def _path(value: str, folder: Path) -> Path:
    if not value.isprintable():
        msg = '"authorizedUserFile" has control characters'
        raise _BrokenEntryError(msg)
    return folder / os.path.expanduser(value)  # noqa: PTH111 - Path.expanduser raises for a user nobody knows


def _cooldowns(fields: Mapping[str, Any], version: int, now: float) -> tuple[FileCooldown, ...]:
    found: dict[str, FileCooldown] = {}

    def add(pool: str, milliseconds: object, reason: str) -> None:
        until = _seconds(milliseconds)
        if until is None:
            return
        until = min(until, now + MAX_COOLDOWN_SECONDS)
        if pool not in found or found[pool].until < until:
            found[pool] = FileCooldown(pool, until, reason)

    resets = fields.get("rateLimitResetTimes")
    for key, value in resets.items() if isinstance(resets, dict) else ():
        kind, colon, model = key.partition(":")
        family = _RESET_FAMILIES.get(kind)
        model = canonical_model(model)
        if family is not None and (model or not colon):
            add(model_pool(model) if colon else family, value, _RATE_LIMITED)
    if version == 1 and fields.get("isRateLimited") is True:
        for family in FAMILIES:
            add(family, fields.get("rateLimitResetTime"), _RATE_LIMITED)
    reason = fields.get("cooldownReason")
    clean = isinstance(reason, str) and reason.isprintable() and 0 < len(reason) <= 100
    add(WHOLE_ACCOUNT, fields.get("coolingDownUntil"), str(reason) if clean else _COOLING_DOWN)
    if fields.get("verificationRequired") is True:
        found[WHOLE_ACCOUNT] = FileCooldown(WHOLE_ACCOUNT, math.inf, _VERIFICATION)
    return tuple(found.values())


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


def _seconds(milliseconds: object) -> float | None:
    """Return a time of the file in epoch seconds; ``None`` for what is no time, and for 0, which means never."""
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, (int, float)):
        return None
    try:
        seconds = milliseconds / 1000
    except OverflowError:
        return None
    return seconds if 0 < seconds < math.inf else None


def _json_type(value: object) -> str:
    if value is None:
        return "null"
    for kind, name in ((bool, "boolean"), ((int, float), "number"), (str, "string"), (list, "list")):
        if isinstance(value, kind):
            return name
    return "object"
