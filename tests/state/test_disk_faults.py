"""A disk that cannot be used: missing, failed, full, read-only, or held by a writer that hangs."""

from __future__ import annotations

import logging
import shutil
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from state_folders import EITHER, POSIX, RULES, cooldown, folder, on, resilient, store, warnings_in
from support import NOW, Child, FakeClock, run_python

from litellm_antigravity.errors import StateUnavailableError
from litellm_antigravity.state import connection
from litellm_antigravity.state.backend import Change, Row
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.memory import MemoryBackend
from litellm_antigravity.state.replica import Replica
from litellm_antigravity.state.resilient import MAX_RETRY_SECONDS, RETRY_SECONDS, ResilientStore

__all__ = ["folder", "store"]  # fixtures

pytestmark = pytest.mark.once


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
