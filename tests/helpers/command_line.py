"""What tests of the command line need: a user who has nothing yet, accounts, and commands run in this process."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support import ROOT

from litellm_antigravity.accounts import AccountsFile
from litellm_antigravity.cli import cli

CANARY = "1//canary-refresh-token"


def new_home(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Let the user have no settings file, no accounts file and no state; return the folder of what he may get."""
    for name in list(os.environ):
        if name.startswith(("LITELLM_ANTIGRAVITY_", "OPENCODE_")):
            patch.delenv(name)
    patch.setenv("OPENCODE_CONFIG_DIR", str(folder / "config"))
    patch.setenv("LITELLM_ANTIGRAVITY_STATE_DIR", str(folder / "state"))
    patch.setenv("LITELLM_ANTIGRAVITY_OAUTH_CLIENT_ID", "my-own-client")
    patch.setenv("PYTHONPATH", str(ROOT))
    patch.chdir(folder)
    return folder


def save(home: Path, *entries: dict[str, Any], name: str = "antigravity-accounts.json") -> list[str]:
    """Write the accounts file; return the accounts' ids."""
    path = home / "config" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"version": 4, "accounts": list(entries), "activeIndex": 0}))
    path.chmod(0o600)
    return [account.id for account in AccountsFile(path).load().accounts]


def entry(number: int, **more: Any) -> dict[str, Any]:
    return {"email": f"user{number}@gmail.com", "refreshToken": f"{CANARY}-{number}", **more}


def run(*args: str, typed: str = "", **variables: str) -> Result:
    """Run a command in this process."""
    return CliRunner(env=variables).invoke(cli, list(args), prog_name="litellm-antigravity", input=typed)
