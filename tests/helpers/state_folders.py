"""State folders on disk, with either backend, and somebody who can write into their files."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support import NOW, FakeClock

from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.selection.vitals import VitalsRules
from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.resilient import ResilientStore
from litellm_antigravity.state.sqlite import SqliteStore

RULES = VitalsRules()
POSIX = pytest.mark.skipif(os.name != "posix", reason="modes, owners and signals are POSIX's")
FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")


EITHER = pytest.mark.parametrize("folder", ["state", "sqlite"], indirect=True)
"""With both backends: which one a folder is for, its name says."""


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / str(getattr(request, "param", "state"))


def on(folder: Path, **fields: Any) -> Ledger:
    return SqliteStore(folder, **fields) if folder.name == "sqlite" else DiskStore(folder, **fields)


@pytest.fixture
def store(folder: Path) -> Iterator[Ledger]:
    opened = on(folder)
    yield opened
    opened.close()


def cooldown(account_id: str = "a", seconds: float = 600.0, since: float = NOW) -> Cooldown:
    return Cooldown(account_id, "claude", since + seconds, "quota", since, fact=True)


def database_file(folder: Path) -> Path:
    return folder / ("state.db" if folder.name == "sqlite" else "cache.db")


def tamper(folder: Path, statement: str, *parameters: object) -> None:
    with closing(sqlite3.connect(database_file(folder), isolation_level=None)) as connection:
        connection.execute(statement, parameters)


def insert(folder: Path, key: object, value: object, *, raw: int = 1, mode: int = 1, **columns: object) -> None:
    """Write a row as somebody who can write to the file would; it is in the feed unless ``tag`` says otherwise."""
    fields = {"key": key, "raw": raw, "mode": mode, "value": value, "tag": 1_000_000, **columns}
    marks = ",".join("?" * len(fields))
    tamper(folder, f"INSERT OR REPLACE INTO Cache({','.join(fields)}) VALUES ({marks})", *fields.values())  # noqa: S608


# A disk that cannot be used


def resilient(folder: Path, clock: FakeClock) -> ResilientStore:
    return ResilientStore(on(folder, busy_timeout=0.2), clock)


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def exercise(store: Ledger) -> None:
    """Go through every door that reads rows."""
    store.refresh()
    store.read_token("a")
    store.read_note("a")
    store.processes()
    store.claim_slot("host:1:5:aa")
    store.next_cursor_start()
    store.begin_request("a", NOW, RULES, require_token=True)
    store.record_success("a", "claude", NOW, RULES)
    store.extend_cooldown(cooldown())
    store.hold_capacity("m", NOW, 5.0)
    store.claim_probe(cooldown(), NOW)
    store.write_token("a", "token", None, "f")
    store.write_note("a", {"project": "p"})
    store.end_cooldown("a", "claude", NOW)
    store.refresh()
