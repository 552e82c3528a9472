"""Files of the state that are broken: set aside once, said aloud, and made anew."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from state_folders import EITHER, cooldown, database_file, folder, on, store
from support import run_together

from litellm_antigravity.state import database
from litellm_antigravity.state.ledger import Ledger

__all__ = ["folder", "store"]  # fixtures

pytestmark = pytest.mark.once


# Broken files


def zero_header(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.write(bytes(100))


def half(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def holes(file: Path) -> None:
    with file.open("r+b") as opened:
        for page in range(1, file.stat().st_size // 4096):
            opened.seek(page * 4096)
            opened.write(b"\xa5" * 4096)


def other_text(file: Path) -> None:
    file.write_text("this is no database " * 1000)


def other_database(file: Path) -> None:
    file.unlink()
    with closing(sqlite3.connect(file)) as connection:
        for table in ("Cache", "ledger"):
            connection.execute(f"CREATE TABLE {table} (rowid INTEGER PRIMARY KEY, something)")
            connection.execute(f"CREATE INDEX {table}_tag ON {table} (something)")
        connection.commit()


def folder_instead(file: Path) -> None:
    file.unlink()
    file.mkdir()
    (file / "inside").write_text("x")


def no_bytes(file: Path) -> None:
    os.truncate(file, 0)


def garbage_wal(file: Path) -> None:
    file.with_name(file.name + "-wal").write_bytes(os.urandom(64 * 1024))


BREAKAGES: dict[str, tuple[Callable[[Path], None], int]] = {
    "zero header": (zero_header, 1),
    "half length": (half, 1),
    "pages of garbage": (holes, 1),
    "another text": (other_text, 1),
    "another database": (other_database, 1),
    "a folder": (folder_instead, 1),
    "no bytes": (no_bytes, 0),  # an empty file is an empty database
    "a garbage write-ahead log": (garbage_wal, 0),  # SQLite sees that it is none
}

STARTER = """
import sys
from pathlib import Path
from support import answer, ready
if Path(sys.argv[1]).name == "sqlite":
    from litellm_antigravity.state.sqlite import SqliteStore as DiskStore
else:
    from litellm_antigravity.state.disk import DiskStore
store = DiskStore(Path(sys.argv[1]))
ready()
store.refresh()
number = store.next_cursor_start()
answer(number)
"""


@EITHER
@pytest.mark.parametrize("name", BREAKAGES)
def test_a_broken_file_is_set_aside_once_though_four_processes_start_on_it(folder: Path, name: str) -> None:
    breakage, times = BREAKAGES[name]
    with closing(on(folder)) as store:
        for number in range(40):
            store.write_note(f"n{number}", {"text": "x" * 1000})
    breakage(database_file(folder))
    numbers = run_together(STARTER, [(folder,)] * 4)
    assert sorted(numbers) == [0, 1, 2, 3]
    assert len(list(folder.glob("corrupt-*"))) == times
    with closing(on(folder)) as store:
        assert store.next_cursor_start() == 4


@EITHER
def test_setting_a_broken_file_aside_is_said_aloud_and_keeps_the_file(
    folder: Path, store: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    folder.mkdir(mode=0o700)
    database_file(folder).write_text("evidence")
    store.refresh()
    (kept,) = folder.glob("corrupt-*")
    assert (kept / database_file(folder).name).read_text() == "evidence"
    assert [record.levelname for record in caplog.records if "corrupt" in record.getMessage()] == ["WARNING"]


@EITHER
def test_a_process_that_had_the_broken_file_open_moves_to_the_new_one_and_keeps_what_it_knows(
    folder: Path, store: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_IDENTITY_CHECK_SECONDS", 0.0)
    store.extend_cooldown(cooldown("a"))
    zero_header(database_file(folder))
    with closing(on(folder)) as other:
        other.extend_cooldown(cooldown("b"))
        view = store.refresh()
        assert view.cooldown("a", "claude") is not None
        assert view.cooldown("b", "claude") is not None
        store.extend_cooldown(cooldown("c"))
        assert other.refresh().cooldown("c", "claude") is not None
    assert len(list(folder.glob("corrupt-*"))) == 1


@EITHER
def test_a_folder_that_was_removed_is_made_anew(folder: Path, store: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_IDENTITY_CHECK_SECONDS", 0.0)
    assert store.claim_slot("host:1:5:aa") == 0
    shutil.rmtree(folder)
    assert store.claim_slot("host:1:5:aa") == 0
    store.extend_cooldown(cooldown("a"))
    with closing(on(folder)) as other:
        assert other.refresh().cooldown("a", "claude") is not None
        assert other.claim_slot("host:1:5:bb") == 1
