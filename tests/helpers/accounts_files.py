"""Accounts files as tests write them, what is made of them, and programs that write them at the same time."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from support import NOW, FakeClock

from litellm_antigravity.accounts import (
    AccountsFile,
    AccountsSnapshot,
    StaticToken,
    account_id_for,
)
from litellm_antigravity.errors import AccountsFileError

CANARY = "1//0canary-SECRET-refresh"
MONTH = 31 * 86_400


class HookedClock(FakeClock):
    """Calls ``on_sleep`` whenever somebody has slept: what other programs do meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.on_sleep: Callable[[], None] = lambda: None

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.on_sleep()


def entry(name: str = "user1", **fields: Any) -> dict[str, Any]:
    return {"email": f"{name}@gmail.com", "refreshToken": f"1//{name}-token", "addedAt": 1, "lastUsed": 0, **fields}


def document(*entries: Any, version: Any = 4, **fields: Any) -> dict[str, Any]:
    return {"version": version, "accounts": list(entries), **fields}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "antigravity-accounts.json"


def put(path: Path, content: Any) -> None:
    raw = content if isinstance(content, bytes) else json.dumps(content, indent=2).encode()
    path.touch(0o600)
    path.write_bytes(raw)


def files_beside(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir())


def settle(path: Path) -> None:
    """Make the file old enough for its next change to show."""
    os.utime(path, (NOW - 1000, NOW - 1000))


def loaded(path: Path, content: Any, clock: FakeClock) -> AccountsSnapshot:
    put(path, content)
    return AccountsFile(path, clock=clock).current()


def refused(path: Path, content: Any, clock: FakeClock) -> str:
    put(path, content)
    with pytest.raises(AccountsFileError) as caught:
        AccountsFile(path, clock=clock).current()
    assert str(path) in str(caught.value)
    return str(caught.value)


# Writing


def account_id(name: str) -> str:
    return account_id_for(f"{name}@gmail.com", StaticToken(SecretStr("unused")))


# The lock


def lock_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")
