"""The lock of the accounts file, which other programs take as well; writers that are killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from accounts_files import HookedClock, account_id, document, entry, files_beside, lock_of, path, put
from support import HANG_SECONDS, ROOT, FakeClock

from litellm_antigravity.accounts import (
    AccountsFile,
)
from litellm_antigravity.errors import AccountsFileError

__all__ = ["path"]  # fixtures

pytestmark = pytest.mark.once


def test_a_lock_of_another_program_is_waited_for(path: Path) -> None:
    clock = HookedClock()
    put(path, document(entry("a")))
    lock_of(path).mkdir()

    def release() -> None:
        if len(clock.slept) == 3:
            lock_of(path).rmdir()

    clock.on_sleep = release
    AccountsFile(path, clock=clock).update_entry(account_id("a"), enabled=False)
    assert json.loads(path.read_bytes())["accounts"][0]["enabled"] is False
    assert len(clock.slept) == 3
    assert not lock_of(path).exists()


def test_a_lock_that_is_not_released_ends_in_an_error_that_names_it(path: Path, clock: FakeClock) -> None:
    put(path, document(entry("a")))
    before = path.read_bytes()
    lock_of(path).mkdir()
    with pytest.raises(AccountsFileError) as caught:
        AccountsFile(path, clock=clock).update_entry(account_id("a"), enabled=False)
    assert str(lock_of(path)) in str(caught.value)
    assert 12 <= sum(clock.slept) < 13  # longer than it takes a lock to count as abandoned
    assert lock_of(path).is_dir()
    assert path.read_bytes() == before


def test_the_lock_of_a_dead_process_is_taken_over(path: Path, clock: FakeClock) -> None:
    put(path, document(entry("a")))
    lock_of(path).mkdir()
    os.utime(lock_of(path), (time.time() - 11,) * 2)
    AccountsFile(path, clock=clock).update_entry(account_id("a"), enabled=False)
    assert clock.slept == []
    assert files_beside(path) == [path.name]


def test_a_file_in_the_place_of_the_lock_is_named(path: Path, clock: FakeClock) -> None:
    put(path, document(entry("a")))
    lock_of(path).touch()
    with pytest.raises(AccountsFileError, match="is not a folder"):
        AccountsFile(path, clock=clock).update_entry(account_id("a"), enabled=False)


def test_who_lost_the_lock_meanwhile_reads_again_before_writing(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(path, document(entry("a"), entry("b")))
    real = os.fsync
    stolen: list[bool] = []

    def suspended_for_long(descriptor: int) -> None:
        real(descriptor)
        if not stolen:  # another process takes the lock over, writes, and is done
            stolen.append(True)
            lock_of(path).rmdir()
            put(path, document(entry("a"), entry("b", lastUsed=99)))

    monkeypatch.setattr(os, "fsync", suspended_for_long)
    AccountsFile(path, clock=clock).update_entry(account_id("a"), lastUsed=5)
    assert json.loads(path.read_bytes())["accounts"] == [entry("a", lastUsed=5), entry("b", lastUsed=99)]


def test_a_lock_that_another_process_took_over_is_not_removed(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(path, document(entry("a")))
    before = path.read_bytes()
    real = os.fsync

    def taken_over(descriptor: int) -> None:
        real(descriptor)
        lock_of(path).rmdir()
        lock_of(path).mkdir()
        os.utime(lock_of(path), (time.time() + 1,) * 2)

    monkeypatch.setattr(os, "fsync", taken_over)
    with pytest.raises(AccountsFileError, match="another process"):
        AccountsFile(path, clock=clock).update_entry(account_id("a"), lastUsed=5)
    assert lock_of(path).is_dir()
    assert path.read_bytes() == before


WRITER = """
import sys
from litellm_antigravity.accounts import AccountsFile
source = AccountsFile(sys.argv[1])
mine = [account.id for account in source.current().accounts if account.email == sys.argv[2]][0]
print("ready", flush=True)
sys.stdin.readline()
for number in range(1, int(sys.argv[3]) + 1):
    source.update_entry(mine, lastUsed=number)
"""


def start_writer(path: Path, name: str, updates: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), f"{name}@gmail.com", str(updates)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def let_go(writer: subprocess.Popen[str]) -> None:
    assert writer.stdin is not None
    writer.stdin.write("\n")
    writer.stdin.flush()


def await_ready(writer: subprocess.Popen[str]) -> None:
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"


def test_processes_that_update_different_entries_lose_nothing(path: Path) -> None:
    names = ["a", "b", "c", "d"]
    put(path, document(*map(entry, names), unknown={"kept": True}))
    writers = [start_writer(path, name, 8) for name in names]
    try:
        for writer in writers:
            await_ready(writer)
        for writer in writers:
            let_go(writer)
        assert [writer.wait(HANG_SECONDS) for writer in writers] == [0, 0, 0, 0]
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    assert json.loads(path.read_bytes()) == document(
        *(entry(name, lastUsed=8) for name in names), unknown={"kept": True}
    )
    assert files_beside(path) == [path.name]


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_writer_that_is_killed_leaves_a_whole_file_and_no_lock_for_ever(path: Path) -> None:
    put(path, document(entry("a"), entry("b")))
    for number, pause in enumerate((0.0, 0.002, 0.005, 0.011, 0.02, 0.03)):
        writer = start_writer(path, "a", 1_000_000)
        try:
            await_ready(writer)
            let_go(writer)
            time.sleep(pause)  # any moment will do
        finally:
            writer.kill()
            writer.communicate()
        first, second = json.loads(path.read_bytes())["accounts"]
        assert {**first, "lastUsed": 0} == entry("a")
        assert second["email"] == "b@gmail.com"
        for file in path.parent.iterdir():
            if file != path:
                os.utime(file, (time.time() - 120,) * 2)
        AccountsFile(path).update_entry(account_id("b"), lastUsed=1000 + number)
        assert files_beside(path) == [path.name]
