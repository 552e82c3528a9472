"""``reset``: what it lifts and what it leaves, in processes that run as well, and that it asks first."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import entry, new_home, run, save

from litellm_antigravity.clock import SystemClock
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.errors import StateUnavailableError
from litellm_antigravity.pool import AccountPool
from litellm_antigravity.settings import Settings
from litellm_antigravity.state.database import DatabaseBackend
from litellm_antigravity.state.disk import DiskStore

pytestmark = pytest.mark.once

MODEL = "claude-sonnet-4-6"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return new_home(tmp_path, monkeypatch)


@pytest.fixture
def store(home: Path) -> Iterator[DiskStore]:
    """The shared state, as another process has it open."""
    store = DiskStore(home / "state")
    yield store
    store.close()


def bench(store: DiskStore, account: str, pool: str, *, seconds: float = 600, fact: bool = False) -> None:
    now = time.time()
    store.extend_cooldown(Cooldown(account, pool, now + seconds, "quota" if fact else "rate", now, fact=fact))


def left(store: DiskStore) -> set[tuple[str, str]]:
    """Return account and pool of each cooldown that is in force."""
    now = SystemClock().time()
    return {
        (account, pool)
        for account, pools in store.refresh().cooldowns.items()
        for pool, cooldown in pools.items()
        if cooldown.remaining(now) > 0
    }


def test_what_was_inferred_is_lifted_and_what_upstream_said_stays_until_somebody_insists(
    home: Path, store: DiskStore
) -> None:
    first, second = save(home, entry(1), entry(2))
    bench(store, first, "claude")
    bench(store, second, "claude", fact=True)
    result = run("reset", "--all", "--yes")
    assert result.exit_code == 0, result.output
    assert "Lifted 1 cooldown." in result.stdout
    assert "--force lifts it" in result.stdout
    assert left(store) == {(second, "claude")}
    assert run("reset", "--all", "--force", "--yes").exit_code == 0
    assert left(store) == set()


def test_an_account_that_was_reset_serves_at_once_in_a_process_that_runs(home: Path, store: DiskStore) -> None:
    first, second = save(home, entry(1), entry(2))
    pool = AccountPool(Settings(account_selection_strategy="sticky"), store=store)
    bench(store, first, "claude")
    assert pool.acquire(MODEL).account.id == second
    assert run("reset", "user1@gmail.com", "--yes").exit_code == 0
    assert {pool.acquire(MODEL, tried=[second]).account.id} == {first}


@pytest.mark.parametrize(
    ("arguments", "stays"),
    [
        (["1"], {(2, "claude")}),
        (["user1@gmail.com", "--pool", "claude"], {(1, "gemini"), (1, f"model:{MODEL}"), (1, "*"), (2, "claude")}),
        (["--pool", "claude"], {(1, "gemini"), (1, f"model:{MODEL}"), (1, "*")}),
        (["--pool", "Claude-Sonnet-4-6"], {(1, "claude"), (1, "gemini"), (1, "*"), (2, "claude")}),
        (["--pool", "account"], {(1, "claude"), (1, "gemini"), (1, f"model:{MODEL}"), (2, "claude")}),
        (["--all"], set()),
    ],
    ids=["an account", "an account's pool", "a pool", "a model", "the whole account", "all"],
)
def test_only_what_was_named_is_lifted(
    home: Path, store: DiskStore, arguments: list[str], stays: set[tuple[int, str]]
) -> None:
    accounts = save(home, entry(1), entry(2))
    for pool in ("claude", "gemini", f"model:{MODEL}", "*"):
        bench(store, accounts[0], pool)
    bench(store, accounts[1], "claude")
    assert run("reset", *arguments, "--yes").exit_code == 0
    assert left(store) == {(accounts[number - 1], pool) for number, pool in stays}


@pytest.mark.parametrize(("typed", "code"), [("n\n", 1), ("", 1), ("y\n", 0)])
def test_it_asks_first_and_without_a_yes_nothing_changes(home: Path, store: DiskStore, typed: str, code: int) -> None:
    (only,) = save(home, entry(1))
    bench(store, only, "claude")
    result = run("reset", "--all", typed=typed)
    assert result.exit_code == code
    assert "user1@gmail.com" in result.stdout
    assert "Go on? [y/N]" in result.stdout
    assert left(store) == ({(only, "claude")} if code else set())
    assert ("The input ended" in result.stderr) == (typed == "")


def test_what_the_accounts_file_says_is_told_of_and_stays(home: Path) -> None:
    save(home, entry(1, verificationRequired=True))
    result = run("reset", "--all", "--force", "--yes")
    assert result.exit_code == 0
    assert "The accounts file says so, so it stays" in result.stdout
    assert "Nothing to lift." in result.stdout


def test_scores_become_those_of_an_account_that_nobody_has_used(home: Path, store: DiskStore) -> None:
    first, second = save(home, entry(1), entry(2))
    pool = AccountPool(store=store)
    for account in (first, second):
        for ago in (30, 20, 10):
            store.begin_request(account, time.time() - ago, pool.rules, require_token=False)
            store.record_failure(account, "claude", time.time() - ago, pool.rules, penalty="failure", refund=False)
    result = run("reset", "user1@gmail.com", "--scores", "--yes")
    assert result.exit_code == 0
    assert "health 10 -> 70" in result.stdout
    one, other = pool.states()
    assert one.health == pytest.approx(70)
    assert one.tokens == pytest.approx(50)
    assert store.known().vitals[first].failures == {}
    assert other.health < 15  # nobody asked for that one
    assert "Nothing to reset" in run("reset", "1", "--scores", "--yes").stdout


def test_a_stuck_slot_goes_to_the_next_process_that_asks(home: Path, store: DiskStore) -> None:
    save(home, entry(1))
    assert store.claim_slot("host:4711:1:ab") == 0
    other = DiskStore(home / "state")
    assert other.claim_slot("host:4712:1:ab") == 1
    result = run("reset", "--slot", "0", "--yes")
    assert result.exit_code == 0
    assert "process 4711" in result.stdout
    third = DiskStore(home / "state")
    assert third.claim_slot("host:4713:1:ab") == 0
    assert other.claim_slot("host:4712:1:ab") == 1  # who has one keeps it
    missing = run("reset", "--slot", "7", "--yes")
    assert missing.exit_code == 1
    assert "Claimed: 0, 1." in missing.stderr
    for one in (other, third):
        one.close()


def test_a_state_that_cannot_be_written_is_an_error(
    home: Path, store: DiskStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    (only,) = save(home, entry(1))
    bench(store, only, "claude")

    def refuse(*_: object, **__: object) -> None:
        raise StateUnavailableError("the disk is full")

    monkeypatch.setattr(DatabaseBackend, "update", refuse)
    result = run("reset", "--all", "--yes")
    assert result.exit_code == 1
    assert "nothing has changed: the disk is full" in result.stderr
    assert left(store) == {(only, "claude")}


@pytest.mark.parametrize(
    "arguments",
    [[], ["1", "--all"], ["--slot", "0", "--all"], ["--scores"], ["--scores", "--all", "--pool", "claude"]],
    ids=str,
)
def test_what_does_not_go_together_is_a_usage_error(home: Path, arguments: list[str]) -> None:
    save(home, entry(1))
    assert run("reset", *arguments, "--yes").exit_code == 2


def test_a_ban_ends_with_force(home: Path, store: DiskStore) -> None:
    (only,) = save(home, entry(1))
    bench(store, only, "*", seconds=math.inf, fact=True)
    assert "Nothing to lift." in run("reset", "1", "--yes").stdout
    assert run("reset", "1", "--force", "--yes").exit_code == 0
    assert left(store) == set()
