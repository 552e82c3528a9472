"""The simulator's accounts, and the accounts file that makes them known to the package."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from litellm_antigravity.masking import mask_email


def new_refresh_token() -> str:
    """Return a refresh token that looks like Google's."""
    return f"1//sim-{secrets.token_urlsafe(24)}"


def _new_api_key() -> str:
    return f"sim-key-{secrets.token_urlsafe(18)}"


@dataclass(frozen=True, slots=True)
class SimulatedAccount:
    """One Google login as the simulator knows it.

    Attributes:
        email: its name everywhere in the simulator.
        refresh_token: what the token endpoint accepts; random unless given. Not in the ``repr``.
        project: the only project that its requests may name; ``None`` when it has none.
        project_form: how ``loadCodeAssist`` spells the project: a string or ``{"id"}``.
        api_key: for the plain Gemini API paths; random unless given. Not in the ``repr``.
    """

    email: str
    refresh_token: str = field(default_factory=new_refresh_token, repr=False)
    project: str | None = "sim-project"
    project_form: Literal["string", "object"] = "string"
    api_key: str = field(default_factory=_new_api_key, repr=False)

    @property
    def label(self) -> str:
        """The masked e-mail, as this package's logs and headers show it."""
        return mask_email(self.email)


def numbered_accounts(count: int) -> list[SimulatedAccount]:
    """Return ``user1@example.com``, ``user2@example.com``, ..., each with a project of its own.

    Raises:
        ValueError: when ``count`` is less than 1.
    """
    if count < 1:
        msg = f"accounts must be at least 1, not {count}"
        raise ValueError(msg)
    return [
        SimulatedAccount(f"user{number}@example.com", project=f"sim-project-{number}") for number in range(1, count + 1)
    ]


def accounts_document(
    accounts: Sequence[SimulatedAccount],
    *,
    version: int,
    now: float,
    projects: bool,
    entries: Mapping[str, Mapping[str, Any]],
    extra: Mapping[str, Any],
) -> dict[str, Any]:
    """Return an accounts file as opencode-antigravity-auth writes it (docs/upstream.md, "Accounts file").

    Args:
        accounts: in file order.
        version: of the format, 1 to 4.
        now: epoch seconds; when the accounts were added.
        projects: whether the entries name their projects.
        entries: fields to add to the entry of an e-mail, or to put in place of those it has.
        extra: fields to add to the document, or to put in place of those it has.
    """
    unknown = set(entries) - {account.email for account in accounts}
    if unknown:
        msg = f"no such account: {', '.join(sorted(unknown))}"
        raise ValueError(msg)
    written = []
    for account in accounts:
        entry: dict[str, Any] = {
            "email": account.email,
            "refreshToken": account.refresh_token,
            "addedAt": int(now * 1000),
            "lastUsed": 0,
        }
        if projects and account.project is not None:
            entry["projectId"] = account.project
        if version >= 3:
            entry["enabled"] = True
        written.append(entry | dict(entries.get(account.email, {})))
    document: dict[str, Any] = {"version": version, "accounts": written, "activeIndex": 0}
    if version >= 3:
        document["activeIndexByFamily"] = {"claude": 0, "gemini": 0}
    return document | dict(extra)


def write_private(path: str | os.PathLike[str], document: Mapping[str, Any]) -> Path:
    """Write a JSON file at mode 0600, in one step; return its path. Its folder is made."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")  # at mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return target
