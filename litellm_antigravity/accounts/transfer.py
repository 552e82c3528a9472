"""Accounts that come from elsewhere, and accounts as they are taken elsewhere: entries of an accounts file.

What belongs to one machine and one moment (cooldowns, cached quotas, the plugin's device fingerprints) is left behind.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from litellm_antigravity.accounts.account import Account, AccountsSnapshot
from litellm_antigravity.accounts.client import read_client_secrets
from litellm_antigravity.accounts.companion import companion_of
from litellm_antigravity.accounts.editing import OWN_SWITCHES
from litellm_antigravity.accounts.parsing import (
    CREDENTIAL_FIELDS,
    SUPPORTED_VERSIONS,
    decode_document,
    is_addition,
    parse_document,
    parse_entry,
)
from litellm_antigravity.accounts.reading import MAX_BYTES, read_file
from litellm_antigravity.errors import AccountsFileError

MASKED = "*** (masked)"
"""What stands in the place of a secret. With its blank it is no token, so that it is not taken for one."""

_TAKEN = (
    "email",
    *CREDENTIAL_FIELDS,
    "projectId",
    "managedProjectId",
    "addedAt",
    "enabled",
    "oauthClient",
    "label",
    "disabledFamilies",
)
_SECRET = ("refreshToken", "accessToken", "tokenCommand")
_PATHS = tuple(field for field in CREDENTIAL_FIELDS if field.endswith("File"))

Change: TypeAlias = Literal["add", "replace", "keep", "skip"]


@dataclass(frozen=True, slots=True, repr=False)
class Step:
    """What an import does with one account.

    Attributes:
        change: "add" it, "replace" the credential of one that is saved, "keep" what is saved since it is the same, or
            "skip" what is no account.
        entry: as it is to be saved.
        account: of the entry; ``None`` when it is none.
        problem: why it is skipped.
    """

    change: Change
    entry: Mapping[str, Any]
    account: Account | None = None
    problem: str | None = None


def entries_in(raw: bytes, origin: Path) -> list[dict[str, Any]]:
    """Return the entries in an accounts file, or the one entry for a Google ``authorized_user`` JSON.

    Args:
        raw: the content.
        origin: where it comes from, for messages and for paths relative to its folder.

    Raises:
        AccountsFileError: when it is neither; quotes nothing of it.
    """
    if len(raw) > MAX_BYTES:
        msg = f"{origin} is larger than {MAX_BYTES // 2**20} MiB, so it holds hardly any accounts."
        raise AccountsFileError(msg)
    document = decode_document(raw, origin)
    if document.get("type") == "authorized_user":
        return [_of_gcloud(document, origin)]
    if document.get("type") == "service_account":
        msg = f"{origin} is a service account's key: litellm-antigravity auth add --service-account '{origin}'"
        raise AccountsFileError(msg)
    if "accounts" not in document:
        msg = f'{origin} is neither an accounts file (it has no "accounts") nor an authorized_user JSON of gcloud.'
        raise AccountsFileError(msg)
    parse_document(document, origin, 0.0, may_be_empty=True)  # an unknown version is an error
    entries = [one if isinstance(one, dict) else {} for one in document["accounts"]]
    return [_portable(entry, origin.parent) for entry in entries if not is_addition(entry)]


def entries_at(path: Path) -> list[dict[str, Any]]:
    """Return what a file holds, see `entries_in`; of an accounts file also what its companion holds.

    Args:
        path: the file.

    Raises:
        AccountsFileError: when it cannot be read, or holds no accounts.
    """
    content = read_file(path)
    if content is None:
        msg = f"There is no file {path}."
        raise AccountsFileError(msg)
    entries = entries_in(content.raw, path)
    companion = read_file(companion_of(path))
    if companion is None:
        return entries
    document = decode_document(companion.raw, companion.path)
    for entry in document.get("accounts", ()):
        if is_addition(entry):
            added = {key: entry[key] for key in OWN_SWITCHES if key in entry and key in _TAKEN}
            for one in entries:
                account, _ = parse_entry(one, path.parent, 0.0)
                if account is not None and account.id == entry["id"]:
                    one.update(added)
    return [*entries, *entries_in(companion.raw, companion.path)]


def plan(entries: Sequence[Mapping[str, Any]], saved: AccountsSnapshot, now: float) -> list[Step]:
    """Return what an import of these entries does, in their order.

    Args:
        entries: see `entries_in`.
        saved: the accounts that there are.
        now: epoch seconds.
    """
    steps: list[Step] = []
    coming: set[str] = set()
    for entry in entries:
        account, problems = parse_entry(entry, saved.path.parent, now)
        if account is None or problems:
            steps.append(Step("skip", entry, account, "; ".join(problems)))
            continue
        known = saved.by_id.get(account.id)
        if account.id in coming:
            steps.append(Step("skip", entry, account, "it comes twice"))
        elif known is None:
            steps.append(Step("add", entry, account))
        elif known.credential.fingerprint == account.credential.fingerprint and known.oauth_client in (
            account.oauth_client,
            *((known.oauth_client,) if account.oauth_client is None else ()),
        ):
            steps.append(Step("keep", entry, account))
        else:
            steps.append(Step("replace", entry, account))
        coming.add(account.id)
    return steps


def exported(source_entries: Sequence[Mapping[str, Any]], *, secrets: bool) -> dict[str, Any]:
    """Return an accounts file with these entries.

    Args:
        source_entries: as they are saved.
        secrets: whether tokens and clients' secrets are in it; else it is for reading only.
    """
    entries = [_with_client(entry) if secrets else _masked(entry) for entry in source_entries]
    return {"version": SUPPORTED_VERSIONS[-1], "accounts": entries, "activeIndex": 0}


def _of_gcloud(document: Mapping[str, Any], origin: Path) -> dict[str, Any]:
    wanted = ("client_id", "client_secret", "refresh_token")
    missing = [name for name in wanted if not isinstance(document.get(name), str) or not document[name]]
    if missing:
        msg = f"{origin} lacks {', '.join(missing)}. Write it again with `gcloud auth application-default login`."
        raise AccountsFileError(msg)
    email, project = document.get("account"), document.get("quota_project_id")
    return {
        **({"email": email} if isinstance(email, str) and "@" in email else {}),
        "refreshToken": document["refresh_token"],
        **({"projectId": project} if isinstance(project, str) and project else {}),
        "oauthClient": {"clientId": document["client_id"], "clientSecret": document["client_secret"]},
    }


def _portable(entry: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return an entry with what is worth taking elsewhere, and with whole paths."""
    taken = {key: entry[key] for key in _TAKEN if entry.get(key) is not None}
    for key in _PATHS:
        if isinstance(taken.get(key), str):
            taken[key] = _whole(taken[key], folder)
    account, _ = parse_entry(entry, folder, 0.0)
    client = taken.get("oauthClient")
    if account is not None and account.oauth_client is None and account.client_problem is None:
        taken.pop("oauthClient", None)  # of an earlier sign-in
    elif isinstance(client, dict) and isinstance(client.get("file"), str):
        taken["oauthClient"] = {**client, "file": _whole(client["file"], folder)}
    return taken


def _whole(path: str, folder: Path) -> str:
    return str((folder / os.path.expanduser(path)).absolute())  # noqa: PTH111 - Path.expanduser may raise


def _with_client(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry with its OAuth client in it, in place of the path of a file, if that can be read."""
    client = entry.get("oauthClient")
    if isinstance(client, dict) and isinstance(client.get("file"), str):
        try:
            return {**entry, "oauthClient": read_client_secrets(Path(client["file"])).as_entry}
        except AccountsFileError:
            return dict(entry)
    return dict(entry)


def _masked(entry: Mapping[str, Any]) -> dict[str, Any]:
    masked = {key: MASKED if key in _SECRET else value for key, value in entry.items()}
    client = entry.get("oauthClient")
    if isinstance(client, dict) and client.get("clientSecret") is not None:
        masked["oauthClient"] = {**client, "clientSecret": MASKED}
    return masked


def as_text(document: Mapping[str, Any]) -> str:
    """Return an accounts file as it is written."""
    return json.dumps(document, indent=2, ensure_ascii=True) + "\n"
