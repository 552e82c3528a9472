"""The fields of an entry that are this package's own, whether they stand in the accounts file or in its companion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from litellm_antigravity.accounts.client import ClientOfEntry, client_of_entry
from litellm_antigravity.models import FAMILIES, ModelFamily

LONGEST_LABEL = 100
"""Characters of a label that the user chose."""

MOST_RETIRED = 16
"""How many credentials of an account are remembered as removed or replaced."""


@dataclass(frozen=True, slots=True)
class OwnFields:
    """What an entry says beside what opencode-antigravity-auth knows.

    Attributes:
        label: what logs and errors call the account; ``None`` for its masked e-mail.
        disabled_families: the families that it may not serve.
        client: the OAuth client of its refresh token.
        retired: fingerprints of credentials that were removed or replaced here. Another program that still has them
            in memory may write them back.
    """

    label: str | None = None
    disabled_families: frozenset[ModelFamily] = frozenset()
    client: ClientOfEntry = field(default_factory=ClientOfEntry)
    retired: tuple[str, ...] = ()


CLIENT_OF: Final = "oauthClientOf"
"""The field with the fingerprint of the refresh token that ``oauthClient`` belongs to."""


def own_fields(fields: Mapping[str, Any], folder: Path, fingerprint: str | None = None) -> tuple[OwnFields, list[str]]:
    """Return an entry's own fields, and what was passed over in them.

    Args:
        fields: the entry.
        folder: what relative paths are relative to.
        fingerprint: of its refresh token, if it has one.
    """
    ignored = []
    label = fields.get("label")
    if label is not None and problem_with_label(label) is not None:
        ignored.append(f'"label" is ignored: it {problem_with_label(label)}')
        label = None
    families = fields.get("disabledFamilies")
    if families is None:
        families = []
    elif not isinstance(families, list) or any(one not in FAMILIES for one in families):
        # What was meant is not known, so that the account is not used at all.
        ignored.append('"disabledFamilies" is not a list of "claude" and "gemini"; the account is disabled')
        families = FAMILIES
    client = client_of_entry(fields.get("oauthClient"), folder)
    if fields.get(CLIENT_OF, fingerprint) != fingerprint:
        # The plugin has signed in anew, with its own client, and kept what it does not know.
        ignored.append('its "oauthClient" is passed over: it belongs to an earlier sign-in')
        client = ClientOfEntry()
    if client.problem is not None:
        ignored.append(client.problem)
    retired = fields.get("retired")
    retired = [one for one in retired if isinstance(one, str)] if isinstance(retired, list) else []
    own = OwnFields(
        label.strip() if isinstance(label, str) else None,
        frozenset(family for family in FAMILIES if family in families),
        client,
        tuple(retired[-MOST_RETIRED:]),
    )
    return own, ignored


def problem_with_label(label: object) -> str | None:
    """Return why something cannot be an account's label; ``None`` when it can."""
    if not isinstance(label, str) or not label.strip():
        return "is no text"
    if not label.isprintable():
        return "has control characters"
    return f"has more than {LONGEST_LABEL} characters" if len(label) > LONGEST_LABEL else None
