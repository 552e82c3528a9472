"""Many processes at once: nobody is lost when they start, write or mend together."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from processes import together
from support import NOW, Child

from litellm_antigravity.clock import SystemClock
from litellm_antigravity.errors import StateUnavailableError
from litellm_antigravity.selection.bucket import BucketRules
from litellm_antigravity.selection.vitals import VitalsRules
from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.state.kernel_locks import Queue, exclusively, shared
from litellm_antigravity.state.resilient import ResilientStore

pytestmark = pytest.mark.once

POSIX = pytest.mark.skipif(os.name != "posix", reason="shared locks on files are POSIX's")
RULES = VitalsRules()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


def made(folder: Path, *, busy_timeout: float) -> DiskStore:
    """Return a store whose file is there, for others to open."""
    with closing(DiskStore(folder)) as store:
        store.write_note("n", {"text": "x"})
    return DiskStore(folder, busy_timeout=busy_timeout)


WRITER = """
import sqlite3, sys
from support import ready
connection = sqlite3.connect(sys.argv[1] + "/cache.db", isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
ready()
"""


def test_a_process_opens_and_reads_while_another_one_writes(folder: Path) -> None:
    """Before, opening wrote every setting, and failed after waiting for the writer."""
    with closing(DiskStore(folder)) as store:
        store.write_note("n", {"text": "x"})
    with closing(DiskStore(folder, busy_timeout=0.2)) as late, Child(WRITER, folder) as writer:
        writer.wait_ready()
        assert late.read_note("n") == {"text": "x"}


OPENER = """
import os, signal, sys
from pathlib import Path
from support import ready
from litellm_antigravity.state.disk import DiskStore
import litellm_antigravity.state.connection as connection

def stop(*arguments):
    ready()

connection._text_or_bytes = lambda stored: stop() or stored.decode()  # in the middle of opening
DiskStore(Path(sys.argv[1])).refresh()
"""


def test_a_process_that_stands_still_while_opening_keeps_nobody_out(folder: Path) -> None:
    """Before, it held the one lock of opening."""
    with closing(DiskStore(folder)) as store:
        store.write_note("n", {"text": "x"})
    with Child(OPENER, folder) as opener, closing(DiskStore(folder, busy_timeout=0.2)) as late:
        opener.wait_ready()
        assert late.read_note("n") == {"text": "x"}


def start(folder: Path) -> tuple[int, int, bool]:
    """In a child process: open the state, take a number and tokens; return them, and whether they are shared."""
    store = ResilientStore(DiskStore(folder), SystemClock())
    rules = VitalsRules(bucket=BucketRules(50.0, 0.0, 50.0))
    number = store.next_cursor_start()
    admitted = sum(store.begin_request("a", NOW, rules, require_token=True) for _ in range(10))
    return number, admitted, store.status().shared


@pytest.mark.parametrize("fresh", [True, False])
def test_sixteen_processes_that_start_at_once_share_everything_exactly(folder: Path, fresh: bool) -> None:
    """A small form of ``python -m tests.benchmarks crowd``, which has 256."""
    if not fresh:
        with closing(DiskStore(folder)) as store:
            store.write_note("n", {"text": "x"})
    answers = together(start, [(folder,)] * 16)
    assert all(is_shared for *_, is_shared in answers)
    assert sorted(number for number, *_ in answers) == list(range(16))
    assert sum(admitted for _, admitted, _ in answers) == 50
    assert not list(folder.glob("new-*"))
    assert not list(folder.glob("corrupt-*"))


GREEDY = """
import sqlite3, sys, time
from support import ready
connection = sqlite3.connect(sys.argv[1] + "/cache.db", isolation_level=None, timeout=60)
ready()
for number in range(30):
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE Settings SET value = ? WHERE key = 'hits'", (number,))
    ready() if number == 0 else time.sleep(0.1)
    connection.execute("COMMIT")
"""


def test_a_writer_waits_longer_than_agreed_while_the_others_get_on(folder: Path) -> None:
    """Before, the busy timeout ran out in a crowd, and the process went on with memory of its own."""
    with closing(made(folder, busy_timeout=1.0)) as store, Child(GREEDY, folder) as greedy:
        greedy.wait_ready()
        greedy.go()
        greedy.wait_ready()
        greedy.go()
        store.write_note("n", {"text": "y"})
        assert store.read_note("n") == {"text": "y"}
        greedy.result()


def test_a_writer_that_stands_still_is_waited_for_no_longer_though_others_queue(folder: Path) -> None:
    with closing(made(folder, busy_timeout=0.2)) as store, Child(WRITER, folder) as writer:
        writer.wait_ready()
        with exclusively(folder / "turn.lock", 0.0), pytest.raises(StateUnavailableError, match="locked"):
            store.write_note("n", {"text": "y"})
    assert_free(folder / "turn.lock")


def test_a_stuck_process_at_the_head_of_the_queue_does_not_stop_the_others(folder: Path) -> None:
    code = WRITER + "connection.commit()\n"
    with closing(made(folder, busy_timeout=5.0)) as store, ExitStack() as stack:
        stack.enter_context(exclusively(folder / "turn.lock", 0.0))
        writer = stack.enter_context(Child(code, folder))
        writer.wait_ready()
        threading.Timer(0.2, writer.go).start()  # by then the store is in the queue
        store.write_note("n", {"text": "y"})
        assert store.read_note("n") == {"text": "y"}


def assert_free(path: Path) -> None:
    with exclusively(path, 5.0):
        pass


@POSIX
def test_who_waits_in_the_queue_is_served_in_order_and_may_leave(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = Queue(path)
    assert first.granted(5.0)
    second = Queue(path)
    assert not second.granted(0.05)
    third = Queue(path)
    assert not third.granted(0.05)
    second.leave()  # before its turn
    first.leave()
    assert third.granted(5.0)
    third.leave()
    assert_free(path)


# Opening a file that is not as it should be


def test_where_no_links_can_be_made_the_file_is_made_in_place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with closing(DiskStore(folder)) as store, closing(DiskStore(folder)) as other:
        assert [store.next_cursor_start(), other.next_cursor_start()] == [0, 1]
    assert not list(folder.glob("new-*"))


def test_a_file_of_a_version_with_other_settings_is_completed_and_keeps_its_rows(folder: Path) -> None:
    with closing(DiskStore(folder)) as store:
        store.write_note("n", {"text": "x"})
    with closing(sqlite3.connect(folder / "cache.db", isolation_level=None)) as connection:
        connection.execute("UPDATE Settings SET value = 10 WHERE key = 'cull_limit'")
        connection.execute("DROP INDEX Cache_tag_rowid")
        connection.execute("DROP TRIGGER Settings_count_insert")
    with closing(DiskStore(folder)) as store:
        assert store.read_note("n") == {"text": "x"}
    with closing(sqlite3.connect(folder / "cache.db")) as connection:
        assert connection.execute("SELECT value FROM Settings WHERE key = 'cull_limit'").fetchone() == (0,)
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert {"Cache_tag_rowid", "Settings_count_insert"} <= names
    assert not list(folder.glob("corrupt-*"))


def test_nobody_opens_the_file_while_it_is_being_set_aside(folder: Path) -> None:
    """SQLite would play the old file's write-ahead log into the new file."""
    with closing(DiskStore(folder)) as store:
        store.write_note("n", {"text": "x"})
    with closing(DiskStore(folder, busy_timeout=0.1)) as late:
        with exclusively(folder / "open.lock", 0.0), pytest.raises(StateUnavailableError, match="locked"):
            late.refresh()
        with shared(folder / "open.lock", 0.0):
            late.refresh()


def test_a_corrupt_file_that_a_stuck_process_mends_costs_no_more_than_the_agreed_time(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    (folder / "cache.db").write_text("this is no database " * 1000)
    with exclusively(folder / "mend.lock", 0.0), pytest.raises(StateUnavailableError, match="mending"):
        DiskStore(folder, busy_timeout=0.1).refresh()
    with closing(DiskStore(folder)) as store:
        store.refresh()
    assert len(list(folder.glob("corrupt-*"))) == 1


def test_what_a_process_killed_while_building_has_left_is_removed_after_an_hour(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    for name in ("new-old", "new-young"):
        (folder / name).mkdir()
        (folder / name / "cache.db").touch()
    long_ago = time.time() - 7200.0
    os.utime(folder / "new-old", (long_ago, long_ago))
    with closing(DiskStore(folder)) as store:
        store.refresh()
    assert [path.name for path in folder.glob("new-*")] == ["new-young"]


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this platform stops no processes")
def test_a_stopped_writer_is_waited_for_no_longer_than_agreed(folder: Path) -> None:
    with closing(made(folder, busy_timeout=0.3)) as store, Child(WRITER, folder) as writer:
        writer.wait_ready()
        os.kill(writer.pid, signal.SIGSTOP)
        with pytest.raises(StateUnavailableError, match="locked"):
            store.next_cursor_start()
