"""What the shell offers when Tab is pressed: accounts and models. It imports nothing that is slow.

Whatever is wrong with the files, there is nothing to offer then, and nothing is said.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

_LARGEST_FILE = 4 * 1024 * 1024  # bytes; somebody waits for a key


def complete_models(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001 - click's signature
    """Offer the models built into this release; see `click.Parameter.shell_complete`."""
    from litellm_antigravity.models import BUILT_IN_MODELS, PROVIDER, family_of

    prefix = f"{PROVIDER}/" if incomplete.startswith(f"{PROVIDER}/") else ""
    wanted = incomplete.removeprefix(prefix).lower()
    return [CompletionItem(prefix + name, help=family_of(name)) for name in BUILT_IN_MODELS if name.startswith(wanted)]


def complete_pools(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the quota pools that ``reset`` knows; see `click.Parameter.shell_complete`."""
    pools = [CompletionItem(name) for name in ("claude", "gemini", "account") if name.startswith(incomplete.lower())]
    return pools + complete_models(ctx, param, incomplete)


def complete_accounts(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the accounts of the accounts file, by e-mail or label; see `click.Parameter.shell_complete`."""
    wanted = incomplete.casefold()
    chosen = ctx.params.get(param.name or "") or ()
    return [
        CompletionItem(name, help=help_)
        for name, help_ in dict(_accounts(_accounts_file())).items()
        if name.casefold().startswith(wanted) and name not in chosen
    ]


def _accounts_file() -> Path | None:
    from litellm_antigravity.errors import SettingsError
    from litellm_antigravity.settings.places import default_accounts_file

    try:
        place = os.environ.get("LITELLM_ANTIGRAVITY_ACCOUNTS_FILE") or _place_in_user_file()
        return Path(place).expanduser() if place else default_accounts_file()
    except (SettingsError, RuntimeError):
        return None


def _place_in_user_file() -> str | None:
    from litellm_antigravity.settings.files import read_object
    from litellm_antigravity.settings.places import user_config_dir

    place = (read_object(user_config_dir() / "antigravity.json") or {}).get("accounts_file")
    return place if isinstance(place, str) else None


def _accounts(path: Path | None) -> Iterator[tuple[str, str]]:
    if path is None:
        return
    companion = path.with_name(f"{path.stem}.litellm{path.suffix}")  # as accounts.companion has it, which is slow
    for entry in (*_entries(path), *_entries(companion)):
        email, label = entry.get("email"), entry.get("label")
        names = [one.strip() for one in (email, label) if isinstance(one, str) and one.strip().isprintable()]
        for name in filter(None, names):
            yield name, "disabled" if entry.get("enabled") is False else "account"


def _entries(path: Path) -> list[dict[str, Any]]:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            return []
        document = json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return []
    accounts = document.get("accounts") if isinstance(document, dict) else None
    return [entry for entry in accounts if isinstance(entry, dict)] if isinstance(accounts, list) else []
