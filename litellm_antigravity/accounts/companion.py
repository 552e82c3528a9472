"""The companion of the accounts file: what opencode-antigravity-auth would drop when it writes the file again.

It drops accounts without a refresh token, and in some of its rewrites every field that it does not know. Therefore the
former, and the switches and names that the user has set here, are kept in a file of our own beside it, in the same
format. An entry there is an account of its own, or, with an ``id`` and no credential, what is to be added to one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from litellm_antigravity.accounts.account import Account, arranged
from litellm_antigravity.accounts.own_fields import OwnFields, own_fields
from litellm_antigravity.accounts.parsing import ParsedAccounts, is_addition


def companion_of(path: Path) -> Path:
    """Return where the companion of an accounts file is: ``accounts.litellm.json`` for ``accounts.json``."""
    return path.with_name(f"{path.stem}.litellm{path.suffix}")


def additions_in(document: Mapping[str, Any], folder: Path) -> dict[str, OwnFields]:
    """Return what a companion adds to accounts, by account id.

    Args:
        document: the companion's top-level object.
        folder: where it is.
    """
    entries = document.get("accounts")
    found = [one for one in entries if is_addition(one)] if isinstance(entries, list) else []
    return {fields["id"]: own_fields(fields, folder)[0] for fields in found}


def joined(main: ParsedAccounts, companion: ParsedAccounts) -> ParsedAccounts:
    """Return what an accounts file and its companion say together.

    An account that both have is the companion's: it was added here, on purpose. It keeps its place in the list.
    """
    ours = {account.id: account for account in companion.accounts}
    accounts: list[Account] = [ours.pop(account.id, account) for account in main.accounts]
    return ParsedAccounts(
        version=main.version,
        accounts=arranged((*accounts, *ours.values())),
        indices={},
        base_index=main.base_index,
        warnings=(*main.warnings, *companion.warnings),
        client_files=(*main.client_files, *companion.client_files),
    )
