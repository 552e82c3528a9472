"""Edges of the state that mutants lived on: what opening checks, how rows are clamped, who waits and who fails."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import SecretStr
from support import NOW, FakeClock

from litellm_antigravity import AccountPool, Settings
from litellm_antigravity.accounts import Account, StaticToken, static_accounts
from litellm_antigravity.errors import AllAccountsLimitedError, StateUnavailableError
from litellm_antigravity.pool import SERVED, Lease, LeaseRequest, Wait
from litellm_antigravity.refusals import Refusal, RefusalKind
from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.memory import MemoryStore
from litellm_antigravity.state.replica import Replica
from litellm_antigravity.state.rows import decode_capacity

pytestmark = pytest.mark.once

MODEL = "claude-sonnet-4-6"
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
                assert have_come.acquire(timeout=60)
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


# Waiting for exactly as long as one may


def pool(clock: FakeClock, **settings: float) -> AccountPool:
    accounts = [Account.create(f"user{number}@example.com", StaticToken(SecretStr("x"))) for number in (1, 2)]
    return AccountPool(
        Settings(account_selection_strategy="sticky", **settings),
        accounts=static_accounts(*accounts),
        store=MemoryStore(),
        clock=clock,
    )


def limited(one: AccountPool, seconds: float) -> str:
    """Have the next account limited; return its id."""
    lease = one.acquire(MODEL)
    one.report(lease, Refusal(RefusalKind.RATE, 429, "slow down", retry_after=seconds))
    return lease.account.id


def test_sticky_waits_for_its_account_when_that_takes_exactly_as_long_as_it_may(clock: FakeClock) -> None:
    one = pool(clock, sticky_wait_seconds=20.01)
    first = limited(one, 20.0)
    wait = one.try_acquire(LeaseRequest(MODEL))
    assert isinstance(wait, Wait)
    clock.advance(wait.seconds)
    lease = one.try_acquire(LeaseRequest(MODEL, waited=wait.seconds))
    assert isinstance(lease, Lease)
    assert lease.account.id == first


def test_sticky_does_not_wait_for_a_moment_longer(clock: FakeClock) -> None:
    one = pool(clock, sticky_wait_seconds=20.0)
    first = limited(one, 20.0)
    assert one.acquire(MODEL).account.id != first


def test_what_a_request_has_waited_already_counts(clock: FakeClock) -> None:
    one = pool(clock, sticky_wait_seconds=30.0)
    first = limited(one, 20.0)
    lease = one.try_acquire(LeaseRequest(MODEL, waited=10.0))
    assert isinstance(lease, Lease)
    assert lease.account.id != first
    assert not clock.slept


@pytest.mark.parametrize(("limit", "waits"), [(20.01, True), (20.0, False)])
def test_everybody_limited_is_waited_for_up_to_the_limit_and_no_longer(
    limit: float, waits: bool, clock: FakeClock
) -> None:
    one = pool(clock, max_rate_limit_wait_seconds=limit)
    limited(one, 20.0)
    limited(one, 900.0)
    if waits:
        assert isinstance(one.try_acquire(LeaseRequest(MODEL)), Wait)
        assert isinstance(one.try_acquire(LeaseRequest(MODEL, patience=20.01)), Wait)
        with pytest.raises(AllAccountsLimitedError):
            one.try_acquire(LeaseRequest(MODEL, patience=20.0))
    else:
        with pytest.raises(AllAccountsLimitedError) as caught:
            one.try_acquire(LeaseRequest(MODEL))
        assert caught.value.retry_after == 20.0


def test_an_answer_costs_no_cooldown_its_end(clock: FakeClock) -> None:
    one = pool(clock)
    early = one.acquire(MODEL)
    assert limited(one, 900.0) == early.account.id
    one.report(early, SERVED)
    assert one.acquire(MODEL).account.id != early.account.id
