"""What can be wrong with the state folder: hostile rows, broken files, full and read-only disks, kills, forks."""

from __future__ import annotations

import json
import logging
import os
import pickle
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support import NOW, Child, FakeClock, run_python, run_together

from litellm_antigravity.cooldowns import MAX_COOLDOWN_SECONDS, WHOLE_ACCOUNT, Cooldown, model_pool
from litellm_antigravity.errors import StateUnavailableError
from litellm_antigravity.selection.vitals import VitalsRules
from litellm_antigravity.state import connection, database
from litellm_antigravity.state.backend import Change, Row
from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.memory import MemoryBackend
from litellm_antigravity.state.replica import Replica
from litellm_antigravity.state.resilient import MAX_RETRY_SECONDS, RETRY_SECONDS, ResilientStore
from litellm_antigravity.state.rows import Presence
from litellm_antigravity.state.sqlite import SqliteStore

pytestmark = pytest.mark.once

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


# Hostile rows


class Bomb:
    """Unpickling it creates a file."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self._marker),)


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
    store.claim_probes([cooldown()], NOW)
    store.write_token("a", "token", None, "f")
    store.write_note("a", {"project": "p"})
    store.end_cooldown("a", "claude", NOW)
    store.refresh()


READ_KEYS = ["token/a", "note/a", "vitals/a", "cooldown/a/claude", "capacity/m", "slot/0", "process/x", "cursor"]


@pytest.mark.parametrize("key", READ_KEYS)
def test_a_pickled_row_is_never_unpickled(folder: Path, store: Ledger, tmp_path: Path, key: str) -> None:
    store.refresh()
    marker = tmp_path / "marker"
    insert(folder, key, sqlite3.Binary(pickle.dumps(Bomb(marker))), mode=4)
    exercise(store)
    assert not marker.exists()
    assert store.status().dropped_rows >= 1
    pickle.loads(pickle.dumps(Bomb(marker)))  # noqa: S301 - shows that the charge is live
    assert marker.exists()


def test_a_pickled_key_is_never_unpickled(folder: Path, store: Ledger, tmp_path: Path) -> None:
    store.refresh()
    marker = tmp_path / "marker"
    insert(folder, sqlite3.Binary(pickle.dumps(Bomb(marker))), "{}", raw=0)
    for key in READ_KEYS:
        insert(folder, key, "{}", raw=0, tag=1_000_001)
    exercise(store)
    assert not marker.exists()
    assert store.status().dropped_rows >= 1


@pytest.mark.parametrize("key", READ_KEYS)
@pytest.mark.parametrize("mode", [1, 2, 3, 4])
def test_a_row_that_names_a_file_neither_reads_nor_deletes_it(
    folder: Path, store: Ledger, tmp_path: Path, key: str, mode: int
) -> None:
    store.refresh()
    outside = tmp_path / "secret.txt"
    outside.write_text(json.dumps({"token": "s3cret", "expires_at": None, "credential": "f", "gen": 1}))
    insert(folder, key, None, mode=mode, filename="../secret.txt")
    row = store.read_token("a")
    assert row is None
    exercise(store)
    assert "s3cret" in outside.read_text()
    assert store.status().dropped_rows >= 1


NESTED = "[" * 30_000 + "]" * 30_000


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("vitals/a", NESTED),
        ("vitals/a", '{"v":' + NESTED + "}"),
        ("vitals/a", '{"v":[NaN,0,50,0,null],"f":{}}'),
        ("vitals/a", '{"v":[1e999,0,50,0,null],"f":{}}'),
        ("vitals/a", '{"v":[70,0,"50",0,null],"f":{}}'),
        ("vitals/a", '{"v":[70,0,50,0,true],"f":{}}'),
        ("vitals/a", '{"v":[-70,0,50,0,null],"f":{}}'),
        ("vitals/a", '{"v":[' + "9" * 6000 + ',0,50,0,null],"f":{}}'),
        ("vitals/a", "[]"),
        ("vitals/a", ""),
        ("vitals/a", 7),
        ("vitals/a", 1.5),
        ("vitals/a", None),
        ("vitals/a", b"{}"),
        ("vitals/a", "x" * (50 * 2**20)),
        ("cooldown/a/claude", '{"until":Infinity,"reason":"quota","since":0}'),
        ("cooldown/a/claude", '{"until":"tomorrow","reason":"quota","since":0}'),
        ("cooldown/a/claude", '{"until":null,"reason":7,"since":0}'),
        ("cooldown/a/claude", '{"reason":"quota","since":0}'),
        ("capacity/m", '{"until":true,"since":0}'),
        ("something/else", "{}"),
        (7, "{}"),
        (b"vitals/a", "{}"),
    ],
)
def test_a_malformed_row_is_dropped_and_counted(folder: Path, store: Ledger, key: object, value: object) -> None:
    store.extend_cooldown(cooldown("b"))
    insert(folder, key, value)
    view = store.refresh()
    assert store.status().dropped_rows >= 1
    assert (view.vitals, dict(view.capacity), list(view.cooldowns)) == ({}, {}, ["b"])
    exercise(store)
    fresh = on(folder)
    assert fresh.refresh().vitals["a"].health == 71.0
    fresh.close()


@pytest.mark.parametrize(
    "statement", ["UPDATE Cache SET value = CAST(x'7bff7d' AS TEXT)", "UPDATE Cache SET tag = 'x'"]
)
def test_a_row_that_sqlite_itself_would_not_write_does_not_stop_the_sharing(
    folder: Path, store: Ledger, statement: str
) -> None:
    store.extend_cooldown(cooldown("a"))
    tamper(folder, statement)
    other = on(folder)
    assert other.refresh().cooldown("a", "claude") is None
    store.extend_cooldown(cooldown("b"))
    assert other.refresh().cooldown("b", "claude") is not None
    other.close()


@pytest.mark.parametrize("tag", [1e15, -1, "high", 2**63 - 1])
def test_a_row_with_a_forged_position_does_not_hide_later_changes(folder: Path, store: Ledger, tag: object) -> None:
    store.extend_cooldown(cooldown("a"))
    insert(folder, "vitals/x", "{}", tag=tag)
    with closing(on(folder)) as other:
        other.refresh()
        store.extend_cooldown(cooldown("b"))
        assert other.refresh().cooldown("b", "claude") is not None


def test_a_cooldown_in_the_year_9999_is_clamped(folder: Path, store: Ledger) -> None:
    store.refresh()
    insert(folder, "cooldown/a/claude", json.dumps({"until": 253_402_300_799, "reason": "quota", "since": NOW}))
    insert(
        folder,
        "cooldown/b/claude",
        json.dumps({"until": 253_402_300_799, "reason": "quota", "since": 253_402_300_000}),
        tag=1_000_001,
    )
    view = store.refresh()
    clamped, void = view.cooldown("a", "claude"), view.cooldown("b", "claude")
    assert clamped is not None
    assert void is not None
    assert clamped.remaining(NOW) == MAX_COOLDOWN_SECONDS
    assert void.remaining(NOW) == 0.0
    assert store.extend_cooldown(cooldown("b")).until == NOW + 600.0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sqlite_query_only", 1),
        ("sqlite_journal_mode", "delete"),
        ("size_limit", 1),
        ("cull_limit", 1000),
        ("eviction_policy", "least-recently-stored"),
        ("statistics", 1),
        ("disk_min_file_size", 0),
        ("_directory", "/"),
        ("close", "x"),
        ("transact", 1),
    ],
)
def test_settings_in_the_file_change_nothing_and_nothing_is_ever_evicted(
    folder: Path, store: Ledger, name: str, value: object
) -> None:
    store.refresh()
    store.close()
    tamper(folder, "INSERT OR REPLACE INTO Settings VALUES (?, ?)", name, value)
    for number in range(30):
        store.write_note(f"n{number}", {"text": "x" * 2000})
    assert all(store.read_note(f"n{number}") for number in range(30))
    assert not list(folder.rglob("*.val"))
    assert not list(folder.glob("corrupt-*"))


@pytest.mark.parametrize("key", [7, None, b"\xff"])
def test_a_settings_table_that_diskcache_did_not_write_is_set_aside(folder: Path, store: Ledger, key: object) -> None:
    store.refresh()
    store.close()
    tamper(folder, "DROP TABLE Settings")
    tamper(folder, "CREATE TABLE Settings (key, value)")
    tamper(folder, "INSERT INTO Settings VALUES (?, 1)", key)
    exercise(store)
    assert len(list(folder.glob("corrupt-*"))) == 1


# Modes, owners, links


@EITHER
@POSIX
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_the_folder_is_0700_and_every_file_0600(folder: Path, store: Ledger, umask: int) -> None:
    before = os.umask(umask)
    try:
        exercise(store)
        with store.exclusive("refresh/a", 1.0):
            modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in [folder, *folder.rglob("*")]}
    finally:
        os.umask(before)
    files = {database_file(folder).name + ending for ending in ("", "-wal", "-shm")}
    assert {path.name for path in modes} >= {*files, "open.lock", "locks", "owners"}
    for path, mode in modes.items():
        assert mode == (0o700 if path.is_dir() else 0o600), path


@POSIX
def test_a_folder_that_is_open_to_others_is_closed_with_a_warning(
    folder: Path, store: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    database_file(folder).touch()
    database_file(folder).chmod(0o666)
    store.refresh()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(database_file(folder).stat().st_mode) == 0o600
    assert "private now" in caplog.text


@POSIX
def test_a_symbolic_link_in_place_of_the_folder_is_refused(folder: Path, store: Ledger, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateUnavailableError, match=r"symbolic link.*state_dir"):
        store.refresh()
    with pytest.raises(StateUnavailableError, match="symbolic link"), store.exclusive("a", 0.0):
        pass
    assert list((tmp_path / "elsewhere").iterdir()) == []


@EITHER
@POSIX
def test_a_symbolic_link_in_place_of_the_file_is_refused(folder: Path, store: Ledger, tmp_path: Path) -> None:
    folder.mkdir(mode=0o700)
    database_file(folder).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateUnavailableError, match="symbolic link"):
        store.refresh()
    assert not (tmp_path / "elsewhere").exists()


@EITHER
@POSIX
@pytest.mark.parametrize("ending", ["-wal", "-shm", "-journal"])
@pytest.mark.parametrize("before", ["nothing", "closed", "open"])
def test_a_symbolic_link_in_place_of_a_companion_is_refused_and_its_target_left_alone(
    folder: Path, store: Ledger, tmp_path: Path, ending: str, before: str
) -> None:
    """Before, a process that had the file open already gave the link's target mode 0600."""
    folder.mkdir(mode=0o700)
    other = on(folder)
    if before != "nothing":
        other.write_note("n", {"text": "x"})
    if before != "open":
        other.close()
    target, link = tmp_path / "elsewhere", folder / (database_file(folder).name + ending)
    target.write_text("mine")
    target.chmod(0o644)
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    with pytest.raises(StateUnavailableError, match="symbolic link"):
        store.refresh()
    assert (target.read_text(), stat.S_IMODE(target.stat().st_mode)) == ("mine", 0o644)
    assert not list(folder.glob("corrupt-*"))
    other.close()


@EITHER
@POSIX
def test_a_pipe_in_place_of_the_file_is_refused(folder: Path, store: Ledger) -> None:
    folder.mkdir(mode=0o700)
    os.mkfifo(database_file(folder))
    with pytest.raises(StateUnavailableError, match="not a regular file"):
        store.refresh()


def test_a_file_in_place_of_the_folder_is_refused(folder: Path, store: Ledger) -> None:
    folder.write_text("mine")
    with pytest.raises(StateUnavailableError, match="not a folder"):
        store.refresh()
    assert folder.read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(folder: Path, store: Ledger) -> None:
    folder.mkdir(mode=0o700)
    os.chown(folder, 65_534, 65_534)
    with pytest.raises(StateUnavailableError, match="another user"):
        store.refresh()
    assert list(folder.iterdir()) == []


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


# A disk that cannot be used


def resilient(folder: Path, clock: FakeClock) -> ResilientStore:
    return ResilientStore(on(folder, busy_timeout=0.2), clock)


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_folder_that_cannot_be_made_fails_nothing_and_is_said_once(
    folder: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    folder.write_text("in the way")
    store = resilient(folder, clock)
    for _ in range(5):
        clock.advance(MAX_RETRY_SECONDS)
        assert store.begin_request("a", clock.time(), RULES, require_token=True)
        with store.exclusive("refresh/a", 0.0) as held:
            assert held
    assert store.claim_slot("host:1:5:aa") == 0
    store.extend_cooldown(cooldown("a"))
    assert store.refresh().cooldown("a", "claude") is not None
    assert store.refresh().vitals["a"].tokens < 50.0
    status = store.status()
    assert not status.shared
    assert status.problem is not None
    assert "not a folder" in status.problem
    (warning,) = warnings_in(caplog)
    assert str(folder) in warning


def test_a_failed_disk_is_left_alone_for_a_while(folder: Path, clock: FakeClock) -> None:
    folder.write_text("in the way")
    store = resilient(folder, clock)
    store.refresh()
    folder.unlink()
    clock.advance(RETRY_SECONDS - 0.1)
    store.refresh()
    assert not folder.exists()
    clock.advance(0.1)
    store.refresh()
    assert store.status().shared


@EITHER
def test_what_was_known_and_what_is_learnt_meanwhile_survive_an_outage(
    folder: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = resilient(folder, clock)
    store.extend_cooldown(cooldown("before"))
    store.extend_cooldown(cooldown("ended meanwhile"))
    store.extend_cooldown(cooldown("prolonged by others"))
    store.extend_cooldown(cooldown("ended by others"))
    store.begin_request("before", NOW, RULES, require_token=True)
    store.hold_capacity("m", NOW, 300.0)
    with monkeypatch.context() as broken:
        read_only(broken, store)
        store.extend_cooldown(cooldown("meanwhile"))
        assert not store.status().shared
        view = store.refresh()
        assert view.cooldown("before", "claude") is not None
        assert view.vitals["before"].last_used == NOW
        assert view.capacity["m"].remaining(NOW) == 300.0
        store.end_cooldown("ended meanwhile", "claude", NOW + 1.0)
        store.extend_cooldown(cooldown("prolonged by others", 650.0, since=NOW))
        clock.advance(400.0)
    with closing(on(folder)) as other:
        other.extend_cooldown(cooldown("prolonged by others", 900.0, since=NOW + 399.0))
        other.end_cooldown("ended by others", "claude", NOW + 100.0)
        store.refresh()
        assert store.status().shared
        view = other.refresh()
        left = {name: pools["claude"].remaining(clock.time()) for name, pools in view.cooldowns.items()}
    assert left == {
        "before": 200.0,
        "meanwhile": 200.0,
        "ended meanwhile": 0.0,
        "prolonged by others": 899.0,
        "ended by others": 0.0,
    }


def read_only(monkeypatch: pytest.MonkeyPatch, store: ResilientStore) -> None:
    """Let every connection from now on be one that cannot write."""
    monkeypatch.setattr(connection, "_PRAGMAS", (*connection._PRAGMAS, "query_only = 1"))
    store.close()


def test_a_disk_that_became_read_only_is_said_once_and_not_taken_for_recovered(
    folder: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    store = resilient(folder, clock)
    store.refresh()
    with monkeypatch.context() as broken:
        read_only(broken, store)
        for _ in range(4):
            store.begin_request("a", clock.time(), RULES, require_token=True)
            clock.advance(MAX_RETRY_SECONDS)
            store.refresh()
            assert not store.status().shared
        (warning,) = warnings_in(caplog)
        assert "readonly" in warning
        assert "works again" not in caplog.text
    clock.advance(MAX_RETRY_SECONDS)
    store.refresh()
    assert store.status().shared
    assert caplog.text.count("works again") == 1
    with monkeypatch.context() as broken_again:
        read_only(broken_again, store)
        store.begin_request("a", clock.time(), RULES, require_token=True)
        assert not store.status().shared
    assert warnings_in(caplog) == [warning]


class ReadableOnly(MemoryBackend):
    """Rows that can be read while they cannot be written."""

    writable = False

    def update(self, keys: Sequence[str], change: Change) -> list[Row]:
        if not self.writable:
            msg = "no space left"
            raise StateUnavailableError(msg)
        return super().update(keys, change)


def test_a_store_that_can_only_be_read_has_not_recovered(clock: FakeClock) -> None:
    primary = ReadableOnly()
    store = ResilientStore(Ledger(Replica(primary)), clock)
    store.begin_request("a", clock.time(), RULES, require_token=True)
    for _ in range(3):
        clock.advance(MAX_RETRY_SECONDS)
        assert store.refresh().vitals["a"].tokens == 49.0
        assert store.status().problem == "no space left"
    primary.writable = True
    clock.advance(MAX_RETRY_SECONDS)
    store.refresh()
    assert store.status().problem is None


@EITHER
def test_a_full_disk_fails_no_request_and_is_left_when_there_is_space_again(
    folder: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = resilient(folder, clock)
    with monkeypatch.context() as full:
        full.setattr(connection, "_PRAGMAS", (*connection._PRAGMAS, "max_page_count = 30"))
        written = 0
        while store.status().shared:
            store.write_note(f"n{written}", {"text": "x" * 3000})
            written += 1
            assert written < 100
        assert store.read_note(f"n{written - 1}") is not None
        store.extend_cooldown(cooldown("meanwhile"))
        (warning,) = warnings_in(caplog)
        assert "full" in warning
    clock.advance(MAX_RETRY_SECONDS)
    assert store.refresh().cooldown("meanwhile", "claude") is not None
    assert store.status().shared
    with closing(on(folder)) as other:
        assert other.refresh().cooldown("meanwhile", "claude") is not None
        assert other.read_note("n0") is not None
    assert len(warnings_in(caplog)) == 1


@EITHER
def test_a_full_disk_is_a_typed_error_that_says_so(store: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    store.write_token("a", "old", None, "f")
    store.close()
    monkeypatch.setattr(connection, "_PRAGMAS", (*connection._PRAGMAS, "max_page_count = 1"))

    def fill() -> None:
        for number in range(100):
            store.write_note(f"n{number}", {"text": "x" * 3000})

    with pytest.raises(StateUnavailableError, match="full") as caught:
        fill()
    assert isinstance(caught.value.__cause__, sqlite3.Error)
    row = store.read_token("a")
    assert row is not None
    assert row.token == "old"


BUSY = """
import sqlite3, sys
from support import ready
name = "/state.db" if sys.argv[1].endswith("sqlite") else "/cache.db"
connection = sqlite3.connect(sys.argv[1] + name, isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
ready()
"""


@EITHER
def test_a_writer_that_hangs_is_waited_for_no_longer_than_agreed(folder: Path) -> None:
    with closing(on(folder, busy_timeout=0.1)) as store, closing(on(folder, busy_timeout=0.1)) as late:
        store.extend_cooldown(cooldown("a"))
        with Child(BUSY, folder) as writer:
            writer.wait_ready()
            with pytest.raises(StateUnavailableError, match="locked"):
                store.extend_cooldown(cooldown("b"))
            with pytest.raises(StateUnavailableError, match="locked"):  # diskcache would try for a minute to open it
                late.extend_cooldown(cooldown("c"))
        store.extend_cooldown(cooldown("b"))
        assert set(late.refresh().cooldowns) == {"a", "b"}


READ_ONLY = """
import os, sys
from pathlib import Path
from support import answer
from litellm_antigravity.clock import SystemClock
from litellm_antigravity.errors import StateUnavailableError
if Path(sys.argv[1]).name == "sqlite":
    from litellm_antigravity.state.sqlite import SqliteStore as DiskStore
else:
    from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.state.resilient import ResilientStore
folder = Path(sys.argv[1])
if os.geteuid() == 0:  # modes mean nothing to root
    os.chown(folder, 65534, 65534)
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
folder.chmod(0o500)
try:
    DiskStore(folder).next_cursor_start()
    said = None
except StateUnavailableError as error:
    said = str(error)
store = ResilientStore(DiskStore(folder), SystemClock())
number = store.next_cursor_start()
answer([said, number, store.status().shared])
"""


@POSIX
def test_a_folder_that_may_only_be_read_is_a_typed_error_and_fails_nothing() -> None:
    base = Path(tempfile.mkdtemp())  # pytest's own folders are closed to other users
    try:
        base.chmod(0o755)
        (base / "state").mkdir(mode=0o700)
        said, number, shared = run_python(READ_ONLY, base / "state")
    finally:
        shutil.rmtree(base)
    assert said is not None
    assert "ermission denied" in said
    assert (number, shared) == (0, False)


# Kills and forks

KILLS = """
import os, random, signal, sqlite3, sys, time
from pathlib import Path
from support import answer
if Path(sys.argv[1]).name == "sqlite":
    from litellm_antigravity.state.sqlite import SqliteStore as DiskStore
else:
    from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.state.kinds import NOTE

class Pairs(DiskStore):
    def write(self, number):
        self.replica.update_all(NOTE, ["left", "right"], lambda rows: dict.fromkeys(rows, {"number": number}))

    def read(self):
        read = []
        def look(rows):
            read[:] = [(note or {}).get("number") for note in rows.values()]
            return {}
        self.replica.update_all(NOTE, ["left", "right"], look)
        return read

folder, seed = Path(sys.argv[1]), int(sys.argv[2])
chance = random.Random(seed)
store = Pairs(folder)
store.write(0)
pairs = []
for round in range(15):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            number, told = store.read()[0], 0
            while True:
                number += 1
                store.write(number)
                store.write_token("a", f"token {number}", None, "f")
                if not told:
                    told = os.write(writer, b"x")
        finally:
            os._exit(1)
    os.close(writer)
    os.read(reader, 1)  # it is at work, however long that took on a busy machine
    os.close(reader)
    time.sleep(chance.uniform(0.0, 0.05))
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), status
    pairs.append(store.read())
    assert store.read_token("a") is None or store.read_token("a").token.startswith("token ")
connection = sqlite3.connect(folder / ("state.db" if folder.name == "sqlite" else "cache.db"))
answer([pairs, connection.execute("PRAGMA integrity_check").fetchone()[0]])
"""


@EITHER
@FORKS
def test_a_process_killed_in_the_middle_of_writing_leaves_whole_changes_only(folder: Path) -> None:
    pairs, verdict = run_python(KILLS, folder, 20_240_607)
    assert all(left == right for left, right in pairs)
    assert [left for left, _ in pairs] == sorted(left for left, _ in pairs)
    assert pairs[-1][0] >= 15, "hardly anything was written: the test shows nothing"
    assert verdict == "ok"
    assert not list(folder.glob("corrupt-*"))


FORKED = """
import os, signal, sys, threading, time
from pathlib import Path
from support import answer
from litellm_antigravity.clock import SystemClock
from litellm_antigravity.selection.vitals import VitalsRules
if Path(sys.argv[1]).name == "sqlite":
    from litellm_antigravity.state.sqlite import SqliteStore as DiskStore
else:
    from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.state.memory import MemoryStore
from litellm_antigravity.state.resilient import ResilientStore
rules = VitalsRules()
disk = DiskStore(Path(sys.argv[1]))
store = ResilientStore(disk, SystemClock())
stop = threading.Event()
done = [0] * 4
def busy(number):
    while not stop.is_set():
        store.next_cursor_start()
        store.begin_request("a", time.time(), rules, require_token=False)
        MemoryStore()  # a thread may create objects that want to know of forks at any time
        with store.exclusive(f"lock {number}", 1.0):
            store.refresh()
        done[number] += 1
threads = [threading.Thread(target=busy, args=(number,), daemon=True) for number in range(4)]
for thread in threads: thread.start()
outcomes = []
for turn in range(10):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            number = store.next_cursor_start()
            with store.exclusive(f"child {turn}", 1.0) as held:
                shared = store.status().shared and not disk.status().problem
            os.write(writer, f"{number} {held} {shared}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    deadline = time.monotonic() + 60.0
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            break
        time.sleep(0.005)
    outcomes.append(os.read(reader, 100).decode())
    os.close(reader)
before = list(done)
deadline = time.monotonic() + 60.0
while any(now <= then for now, then in zip(done, before)) and time.monotonic() < deadline:
    time.sleep(0.005)
alive = [now > then for now, then in zip(done, before)]
stop.set()
for thread in threads: thread.join(60.0)
answer([outcomes, alive, store.status().shared])
"""


@EITHER
@FORKS
def test_children_forked_from_a_process_with_busy_threads_answer_and_so_do_the_threads(folder: Path) -> None:
    outcomes, alive, shared = run_python(FORKED, folder)
    assert [outcome.split(" ", 1)[1] for outcome in outcomes] == ["True True"] * 10
    numbers = [int(outcome.split(" ", 1)[0]) for outcome in outcomes]
    assert numbers == sorted(set(numbers)), "a child had a number that was given before"
    assert alive == [True] * 4
    assert shared


@FORKS
def test_a_fork_waits_for_a_thread_that_makes_a_new_store_inside_a_lock() -> None:
    code = """
import os, threading
from support import answer
from litellm_antigravity.forking import ForkAware
from litellm_antigravity.state.memory import MemoryStore

class Holder(ForkAware):
    _fork_rank = 0
    def __init__(self):
        self.lock = threading.Lock()
        self.wanted = threading.Event()
        self._watch_forks()
    def _before_fork(self):
        self.wanted.set()
        self.lock.acquire()
    def _after_fork_in_parent(self):
        self.lock.release()
    def _after_fork_in_child(self):
        self.lock = threading.Lock()

holder, held, made = Holder(), threading.Event(), []
def work():
    with holder.lock:
        held.set()
        holder.wanted.wait()
        made.append(MemoryStore())
thread = threading.Thread(target=work)
thread.start()
held.wait()
pid = os.fork()
if pid == 0:
    made[0].next_cursor_start()
    MemoryStore()
    os._exit(7 if holder.lock.acquire(blocking=False) else 1)
_, status = os.waitpid(pid, 0)
thread.join()
answer([os.waitstatus_to_exitcode(status), made[0].next_cursor_start()])
"""
    assert run_python(code) == [7, 0]


@EITHER
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are listed in /proc on Linux only")
def test_a_forked_child_carries_no_handle_of_its_parent(folder: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from support import answer
if Path(sys.argv[1]).name == "sqlite":
    from litellm_antigravity.state.sqlite import SqliteStore as DiskStore
else:
    from litellm_antigravity.state.disk import DiskStore

def handles():
    links = [os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd")]
    targets = [os.readlink(link) for link in links if os.path.islink(link)]
    return sorted({target for target in targets if target.startswith(sys.argv[1])})

store = DiskStore(Path(sys.argv[1]))
store.claim_slot("host:1:5:parent")
reader, writer = os.pipe()
with store.exclusive("refresh/a", 1.0):
    before = handles()
    if os.fork() == 0:
        try:
            os.write(writer, repr(handles()).encode())
        finally:
            os._exit(0)
    os.wait()
answer([len(before), os.read(reader, 1000).decode()])
"""
    count, carried = run_python(code, folder)
    assert count >= 4, "the parent has nothing open: the test shows nothing"
    assert carried == "[]"


@EITHER
@FORKS
def test_a_forked_child_does_not_take_its_parents_slot_or_lock_away(folder: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from support import answer
if Path(sys.argv[1]).name == "sqlite":
    from litellm_antigravity.state.sqlite import SqliteStore as DiskStore
else:
    from litellm_antigravity.state.disk import DiskStore
store = DiskStore(Path(sys.argv[1]))
slot = store.claim_slot("host:1:5:parent")
reader, writer = os.pipe()
with store.exclusive("refresh/a", 1.0):
    if os.fork() == 0:
        try:
            with store.exclusive("refresh/a", 0.0) as held:
                os.write(writer, f"{store.claim_slot('host:2:5:child')} {held}".encode())
        finally:
            os._exit(0)
    os.wait()
    with DiskStore(Path(sys.argv[1])).exclusive("refresh/a", 0.0) as held:
        answer([slot, os.read(reader, 100).decode(), held, DiskStore(Path(sys.argv[1])).claim_slot("host:3:5:third")])
"""
    assert run_python(code, folder) == [0, "1 False", False, 1]


# Import

AUDIT = """
import os, sys
from pathlib import Path
from support import answer
import sqlite3, diskcache, filelock, asyncio, concurrent.futures, pydantic, socket, tempfile  # what others do is theirs
pydantic.create_model("First")  # it looks for plugins then
touched = []
def watch(event, args):
    if event == "open" and isinstance(args[0], (str, bytes, os.PathLike)):
        path, mode, flags = os.fsdecode(args[0]), args[1], args[2] or 0
        reads_code = path.endswith((".py", ".pyc")) and not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if not reads_code:
            touched.append([event, path])
    elif event in ("sqlite3.connect", "os.mkdir", "os.rename", "os.remove", "socket.connect", "subprocess.Popen"):
        touched.append([event, repr(args)])
sys.addaudithook(watch)
import litellm_antigravity
import litellm_antigravity.state.disk
import litellm_antigravity.state.resilient
import litellm_antigravity.selection.hybrid
import litellm_antigravity.identity
from litellm_antigravity.clock import SystemClock
store = litellm_antigravity.state.resilient.ResilientStore(
    litellm_antigravity.state.disk.DiskStore(Path(sys.argv[1])), SystemClock()
)
store.known()
quiet = list(touched)
store.refresh()
answer([quiet, len(touched) > len(quiet), "litellm" in sys.modules])
"""


def test_importing_and_constructing_open_nothing(folder: Path) -> None:
    quiet, noticed, litellm_is_imported = run_python(AUDIT, folder)
    assert quiet == []
    assert noticed, "the watch sees nothing: the test shows nothing"
    assert not litellm_is_imported


def test_the_package_alone_imports_neither_litellm_nor_diskcache() -> None:
    code = """
import sys
before = set(sys.modules)  # whoever measures coverage has imported some
import litellm_antigravity
from support import answer
answer([name for name in ("litellm", "diskcache", "sqlite3", "httpx") if name in sys.modules and name not in before])
"""
    assert run_python(code) == []


# Nothing secret


def test_a_token_is_in_its_own_row_only_and_in_no_message(
    folder: Path, store: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    canary = "ya29" + ".canary-of-the-access-token"
    row = store.write_token("a", canary, None, "f00")
    exercise(store)
    store.announce(Presence("host:1:5:aa", 1, "sticky", NOW, 0, {"claude": "a"}))
    store.extend_cooldown(Cooldown("b", model_pool("m"), NOW + 5.0, "quota", NOW))
    store.extend_cooldown(Cooldown("b", WHOLE_ACCOUNT, NOW + 5.0, "auth", NOW, credential="f00"))
    store.write_token("a", canary, None, "f00")
    with closing(sqlite3.connect(database_file(folder))) as opened:
        keys = [key for key, value in opened.execute("SELECT key, value FROM Cache") if canary in str(value)]
    assert keys == ["token/a"]
    store.close()
    monkeypatch.setattr(connection, "_PRAGMAS", (*connection._PRAGMAS, "query_only = 1"))
    with pytest.raises(StateUnavailableError) as caught:
        store.write_token("a", canary, None, "f00")
    assert canary not in f"{caught.value!r} {caught.value.__cause__!r} {row!r} {caplog.text} {store.status()!r}"
