"""Edges of the state that mutants lived on: what opening checks, how rows are clamped, who fails with whom."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from dispatching import MODEL
from support import HANG_SECONDS, NOW

from litellm_antigravity.errors import StateUnavailableError
from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.replica import Replica
from litellm_antigravity.state.rows import decode_capacity

pytestmark = pytest.mark.once
CROWD = 8


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


# Opening


def test_a_page_that_no_query_of_the_opening_reads_is_checked_all_the_same(folder: Path) -> None:
    """Only SQLite's own check meets the page: a store without it opens the file, and fails for ever after."""
    with closing(DiskStore(folder)) as store:
        for number in range(60):
            store.write_note(f"n{number:02}", {"text": f"note-{number:02}-" * 100})
    file = folder / "cache.db"
    content = bytearray(file.read_bytes())
    page = content.index(b"note-30-note-30-") // 4096 * 4096
    content[page : page + 4096] = bytes(4096)
    file.write_bytes(content)
    with closing(DiskStore(folder)) as store:
        store.refresh()
        assert len(list(folder.glob("corrupt-*"))) == 1
        store.write_note("n30", {"text": "new"})
        assert store.read_note("n30") == {"text": "new"}


# Rows


@pytest.mark.parametrize(("seconds", "left"), [(599.0, 599.0), (600.0, 600.0), (601.0, 600.0), (1e9, 600.0)])
def test_no_row_makes_a_model_fail_fast_for_longer_than_ten_minutes(seconds: float, left: float) -> None:
    row = decode_capacity(MODEL, f'{{"until": {NOW + seconds}, "since": {NOW}}}')
    assert row is not None
    assert row.remaining(NOW) == left


def test_a_forged_fast_failure_in_the_file_holds_for_ten_minutes(folder: Path) -> None:
    with closing(DiskStore(folder)) as store, closing(DiskStore(folder)) as other:
        store.hold_capacity(MODEL, NOW, 10.0)
        with closing(sqlite3.connect(folder / "cache.db")) as connection:
            forged = f'{{"until": {NOW + 1e9}, "since": {NOW}}}'
            connection.execute("UPDATE Cache SET value = ? WHERE key LIKE 'capacity/%'", (forged,))
            connection.commit()
        assert other.refresh().capacity[MODEL].remaining(NOW) == 600.0


# A stuck writer


def test_threads_that_waited_behind_one_that_failed_fail_with_it(folder: Path) -> None:
    """The writer is gone as soon as the first thread has given up: whoever tried all the same would get a number."""
    stuck = sqlite3.connect(folder.parent / "unused.db")
    have_come = threading.Semaphore(0)

    class Watched(Replica):
        def wait_for_turn(self, came: float) -> None:
            have_come.release()
            super().wait_for_turn(came)

        def end_turn(self, error: BaseException | None) -> None:
            for _ in range(CROWD - 1 if error is not None else 0):
                assert have_come.acquire(timeout=HANG_SECONDS)
            super().end_turn(error)
            if error is not None:
                stuck.close()

    with closing(DiskStore(folder)) as opener:
        assert opener.next_cursor_start() == 0
    store = Ledger(Watched(DiskStore(folder, busy_timeout=0.2).replica.backend))
    store.refresh()
    stuck.close()
    stuck = sqlite3.connect(folder / "cache.db", isolation_level=None, check_same_thread=False)
    stuck.execute("BEGIN IMMEDIATE")
    outcomes: list[object] = []

    def write() -> None:
        try:
            outcomes.append(store.next_cursor_start())
        except StateUnavailableError as error:
            outcomes.append(type(error))

    threads = [threading.Thread(target=write) for _ in range(CROWD)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [StateUnavailableError] * CROWD
    assert store.next_cursor_start() == 1
    store.close()
