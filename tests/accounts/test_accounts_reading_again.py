"""An accounts file that changes: when it is read again, and what holds while it cannot be."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from accounts_files import document, entry, path, put, settle
from support import FakeClock

from litellm_antigravity.accounts import (
    AccountsFile,
)
from litellm_antigravity.errors import AccountsFileError

__all__ = ["path"]  # fixtures

pytestmark = pytest.mark.once


# Reading again


def test_the_constructor_opens_nothing(path: Path, clock: FakeClock) -> None:
    AccountsFile(path, clock=clock)
    assert not path.parent.joinpath(path.name).exists()


def test_the_same_snapshot_is_given_until_the_file_changes(path: Path, clock: FakeClock) -> None:
    put(path, document(entry("a")))
    settle(path)
    source = AccountsFile(path, clock=clock)
    first = source.current()
    assert source.current() is first
    put(path, document(entry("b")))
    second = source.current()
    assert second is not first
    assert second.accounts[0].email == "b@gmail.com"


def test_a_settled_file_costs_one_stat_and_no_read(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(path, document(entry()))
    settle(path)
    source = AccountsFile(path, clock=clock)
    first = source.current()

    def unexpected(*_args: object, **_kwargs: object) -> None:
        pytest.fail("the file was opened")

    monkeypatch.setattr(Path, "open", unexpected)
    assert source.current() is first


def test_a_change_within_one_tick_of_the_file_clock_is_seen(path: Path, clock: FakeClock) -> None:
    source = AccountsFile(path, clock=clock)
    stamp = time.time_ns()
    for name in ("a", "b", "c"):
        put(path, document(entry(name)))
        os.utime(path, ns=(stamp, stamp))  # same time, same size, same inode
        assert source.current().accounts[0].email == f"{name}@gmail.com"


def test_a_touched_file_keeps_its_snapshot(path: Path, clock: FakeClock) -> None:
    put(path, document(entry()))
    source = AccountsFile(path, clock=clock)
    first = source.current()
    settle(path)
    assert source.current() is first


def test_a_forced_read_gives_a_new_snapshot(path: Path, clock: FakeClock) -> None:
    put(path, document(entry()))
    source = AccountsFile(path, clock=clock)
    first = source.current()
    assert source.load() is not first


@pytest.mark.parametrize("torn", [b"", b'{"version": 4, "accounts": [', b"[]", b'{"version": 9, "accounts": []}'])
def test_a_half_written_file_leaves_the_last_good_one_in_force_and_warns_once(
    path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture, torn: bytes
) -> None:
    put(path, document(entry("a")))
    settle(path)
    source = AccountsFile(path, clock=clock)
    good = source.current()
    put(path, torn)
    assert [source.current() for _ in range(3)] == [good] * 3
    assert len(caplog.records) == 1
    with pytest.raises(AccountsFileError):
        source.load()
    put(path, document(entry("b")))
    assert source.current().accounts[0].email == "b@gmail.com"


def test_an_unreadable_file_leaves_the_last_good_one_in_force_and_warns_once(
    path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(path, document(entry("a")))
    settle(path)
    source = AccountsFile(path, clock=clock)
    good = source.current()
    put(path, document(entry("b")))

    def forbidden(*_args: object, **_kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", forbidden)
        assert [source.current() for _ in range(3)] == [good] * 3
    assert len(caplog.records) == 1
    assert source.current().accounts[0].email == "b@gmail.com"


def test_a_file_that_was_emptied_of_accounts_on_purpose_counts_at_once(path: Path, clock: FakeClock) -> None:
    put(path, document(entry()))
    source = AccountsFile(path, clock=clock)
    source.current()
    put(path, document())
    for _ in range(2):
        with pytest.raises(AccountsFileError, match="holds no account"):
            source.current()


def test_a_file_that_disappears_is_an_error_until_it_is_back(path: Path, clock: FakeClock) -> None:
    put(path, document(entry()))
    source = AccountsFile(path, clock=clock)
    source.current()
    path.unlink()
    with pytest.raises(AccountsFileError, match="no accounts file"):
        source.current()
    put(path, document(entry("back")))
    assert source.current().accounts[0].email == "back@gmail.com"


def test_a_new_authorized_user_file_changes_the_fingerprint_within_a_second(path: Path, clock: FakeClock) -> None:
    put(path, document({"email": "a@x.org", "authorizedUserFile": "adc.json"}))
    settle(path)
    source = AccountsFile(path, clock=clock)
    first = source.current()
    clock.advance(1.5)
    assert source.current() is first
    (path.parent / "adc.json").write_text("{}")
    clock.advance(1.5)
    second = source.current()
    assert second is not first
    assert second.accounts[0].id == first.accounts[0].id
    assert second.accounts[0].credential.fingerprint != first.accounts[0].credential.fingerprint
    clock.advance(1.5)
    assert source.current() is second


def test_threads_that_read_while_the_file_changes_see_whole_snapshots(path: Path, clock: FakeClock) -> None:
    put(path, document(entry("a"), entry("b")))
    source = AccountsFile(path, clock=clock)
    problems: list[object] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                if len(source.current().accounts) != 2:
                    problems.append("half a list")
            except Exception as error:  # noqa: BLE001, PERF203 - whatever it is, the test has to report it
                problems.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    account_id = source.current().accounts[0].id
    for number in range(1, 20):
        source.update_entry(account_id, lastUsed=number)
    done.set()
    for thread in threads:
        thread.join()
    assert problems == []
    assert source.current().accounts[0].last_used == 0.019
