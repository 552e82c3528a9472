"""While the shared state cannot be used, and when it can be used again: what is learnt, told, and shared."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from processes import together
from pydantic import SecretStr
from support import NOW, FakeClock

from litellm_antigravity import AccountPool, Settings
from litellm_antigravity.accounts import Account, StaticToken, static_accounts
from litellm_antigravity.clock import SystemClock
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.errors import StateUnavailableError
from litellm_antigravity.selection.bucket import BucketRules
from litellm_antigravity.selection.health import HealthRules
from litellm_antigravity.selection.vitals import Failures, Vitals, VitalsRules
from litellm_antigravity.state.backend import Change, Row
from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.state.drift import VitalsDrift
from litellm_antigravity.state.ledger import PROBE_INTERVAL_SECONDS, Ledger
from litellm_antigravity.state.memory import MemoryBackend
from litellm_antigravity.state.replica import Replica
from litellm_antigravity.state.resilient import MAX_RETRY_SECONDS, RETRY_SECONDS, ResilientStore
from litellm_antigravity.state.rows import Presence

pytestmark = pytest.mark.once

RULES = VitalsRules(HealthRules(initial=70.0), BucketRules(50.0, 0.0, 50.0))
HOUR = 3600.0


class Shared:
    """A shared state on disk that can be put out of order, and somebody else who uses it meanwhile."""

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        self.folder = folder
        self.clock = clock
        self.away = folder.with_name("away")
        self._former: list[DiskStore] = []  # a store that is gone holds no slot
        self.ours = ResilientStore(DiskStore(folder), clock, rules=RULES)
        self.others = DiskStore(folder)

    def break_for_us(self) -> None:
        """A file in the folder's place."""
        self.ours.refresh()
        self.others.refresh()
        self.ours.close()
        self.others.close()
        self.folder.rename(self.away)
        self.folder.write_text("in the way")
        self._open_others(self.away)

    def _open_others(self, folder: Path) -> None:
        self._former.append(self.others)
        self.others = DiskStore(folder)

    def mend(self) -> None:
        self.others.close()
        self.folder.unlink()
        self.away.rename(self.folder)
        self._open_others(self.folder)
        self.clock.advance(MAX_RETRY_SECONDS)
        self.ours.refresh()
        assert self.ours.status().shared


@pytest.fixture
def shared(tmp_path: Path, clock: FakeClock) -> Iterator[Shared]:
    state = Shared(tmp_path / "state", clock)
    yield state
    state.ours.close()
    state.others.close()


def begin(store: Any, times: int, account_id: str = "a", now: float = NOW) -> None:
    for _ in range(times):
        assert store.begin_request(account_id, now, RULES, require_token=False)


def fail(store: Any, now: float, *, refund: bool = False) -> None:
    store.record_failure("a", "claude", now, RULES, penalty="rate", refund=refund)


def test_tokens_spent_on_memory_are_taken_from_the_shared_bucket(shared: Shared) -> None:
    """Before, nothing but cooldowns was told: the bucket held 43."""
    begin(shared.ours, 2)
    shared.break_for_us()
    begin(shared.ours, 10)
    shared.ours.refund_token("a", NOW, RULES)
    begin(shared.others, 5)
    shared.mend()
    vitals = shared.others.refresh().vitals["a"]
    assert vitals.tokens_now(NOW, RULES) == 50 - 2 - 10 + 1 - 5
    assert vitals.last_used == NOW


def test_health_and_failures_in_a_row_of_both_sides_add_up(shared: Shared) -> None:
    """Before, health stood at 60 and one failure was known."""
    fail(shared.ours, NOW)
    shared.break_for_us()
    fail(shared.ours, NOW + 10.0)
    fail(shared.ours, NOW + 20.0)
    shared.others.record_success("b", "claude", NOW + 5.0, RULES)
    shared.mend()
    view = shared.others.refresh()
    assert view.vitals["a"].health == 40.0
    assert view.vitals["a"].failures_now("claude", NOW + 30.0, RULES) == 3
    assert view.vitals["b"].health == 71.0


def test_what_was_told_once_is_not_told_again_after_the_next_outage(shared: Shared) -> None:
    for _ in range(2):
        shared.break_for_us()
        begin(shared.ours, 3)
        shared.mend()
    assert shared.others.refresh().vitals["a"].tokens_now(shared.clock.time(), RULES) == 44.0


def test_a_model_without_capacity_is_told(shared: Shared) -> None:
    shared.break_for_us()
    shared.ours.hold_capacity("m", shared.clock.time(), 60.0)
    shared.mend()
    assert shared.others.refresh().capacity["m"].remaining(shared.clock.time()) == 60.0 - MAX_RETRY_SECONDS


def test_an_access_token_is_told_if_it_is_the_newer_one(shared: Shared) -> None:
    later = NOW + 2 * HOUR
    shared.others.write_token("newer with others", "theirs", later, "f")
    shared.others.write_token("older with others", "theirs", NOW + HOUR, "f")
    shared.others.write_token("over with others", "theirs", NOW - HOUR, "former")
    shared.others.write_token("of a new sign-in", "theirs", NOW + HOUR, "new")
    shared.break_for_us()
    for name in ("newer with others", "older with others", "over with others", "of a new sign-in", "unknown"):
        until = NOW + HOUR if name == "newer with others" else later
        shared.ours.write_token(name, "ours", until, "f")
    shared.mend()
    known = {}
    for name in ("newer with others", "older with others", "over with others", "of a new sign-in", "unknown"):
        row = shared.others.read_token(name)
        assert row is not None
        known[name] = (row.token, row.generation)
    assert known == {
        "newer with others": ("theirs", 1),
        "older with others": ("ours", 2),
        "over with others": ("ours", 2),
        "of a new sign-in": ("theirs", 1),
        "unknown": ("ours", 1),
    }


def test_notes_probes_and_presence_are_told(shared: Shared) -> None:
    long = Cooldown("a", "claude", NOW + 24 * HOUR, "quota", NOW)
    shared.others.write_note("known", {"project": "theirs"})
    shared.break_for_us()
    shared.ours.write_note("known", {"project": "ours"})
    shared.ours.write_note("new", {"project": "ours"})
    shared.ours.announce(Presence("host:1:5:aa", 1, "sticky", NOW, 0, {"claude": "a"}))
    at = NOW + PROBE_INTERVAL_SECONDS
    assert shared.ours.claim_probes([long], at)
    shared.ours.finish_probe("a", "claude", at)
    shared.mend()
    assert shared.others.read_note("known") == {"project": "theirs"}
    assert shared.others.read_note("new") == {"project": "ours"}
    assert not shared.others.claim_probes([long], at + 60.0)
    assert [(one.owner, one.slot) for one in shared.others.processes()] == [("host:1:5:aa", None)]


def test_a_hand_over_that_fails_half_way_counts_nothing_twice(clock: FakeClock) -> None:
    class Fragile(MemoryBackend):
        fails_at: int | None = 0

        def update(self, keys: Sequence[str], change: Change) -> list[Row]:
            if self.fails_at is not None and keys[0].startswith("vitals/"):
                self.fails_at -= 1
                if self.fails_at < 0:
                    msg = "gone again"
                    raise StateUnavailableError(msg)
            return super().update(keys, change)

    backend = Fragile()
    primary = Ledger(Replica(backend))
    store = ResilientStore(primary, clock, rules=RULES)
    for account in ("a", "b", "c"):
        begin(store, 4, account)
    for fails_at in (1, 1, None):
        backend.fails_at = fails_at
        clock.advance(MAX_RETRY_SECONDS)
        store.refresh()
    assert store.status().problem is None
    left = {account: vitals.tokens_now(NOW, RULES) for account, vitals in primary.refresh().vitals.items()}
    assert left == {"a": 46.0, "b": 46.0, "c": 46.0}


def test_tries_come_after_a_second_and_then_less_often(clock: FakeClock) -> None:
    tries: list[float] = []

    class Gone(MemoryBackend):
        def update(self, *_: object) -> list[Row]:
            tries.append(clock.monotonic())
            msg = "gone"
            raise StateUnavailableError(msg)

    store = ResilientStore(Ledger(Replica(Gone())), clock)
    began = clock.monotonic()
    store.write_note("n", {})
    while clock.monotonic() < began + 20.0:
        clock.advance(0.5)
        store.read_note("n")
    assert [at - began for at in tries] == [0.0, 1.0, 3.0, 7.0, 12.0, 17.0]
    assert RETRY_SECONDS == 1.0


# What is claimed


def pool_on(store: Any, clock: FakeClock, **settings: Any) -> AccountPool:
    accounts = [Account.create(f"user{number}@example.com", StaticToken(SecretStr("x"))) for number in range(4)]
    return AccountPool(Settings(**settings), accounts=static_accounts(*accounts), store=store, clock=clock)


def test_a_number_from_an_outage_is_claimed_anew(shared: Shared, clock: FakeClock) -> None:
    """Before, the process went on with the number 0, which another one had as well."""
    shared.break_for_us()
    pool = pool_on(shared.ours, clock, account_selection_strategy="round-robin")
    assert pool.acquire("claude-sonnet-4-6").account.position == 0
    assert [shared.others.next_cursor_start(), shared.others.next_cursor_start()] == [0, 1]
    shared.mend()
    assert pool.acquire("claude-sonnet-4-6").account.position == 2
    assert shared.others.next_cursor_start() == 3


def test_a_slot_from_an_outage_is_claimed_anew(shared: Shared, clock: FakeClock) -> None:
    sticky = {"account_selection_strategy": "sticky", "pid_offset_enabled": True, "offset_source": "slot"}
    shared.break_for_us()
    pool = pool_on(shared.ours, clock, **sticky)
    assert pool.acquire("claude-sonnet-4-6").account.position == 0
    assert shared.others.claim_slot("host:1:5:aa") == 0
    shared.mend()
    pool.acquire("gemini-3-flash")
    assert shared.others.claim_slot("host:1:5:bb") == 2


def test_what_was_claimed_of_the_shared_state_stays_over_an_outage(shared: Shared, clock: FakeClock) -> None:
    pool = pool_on(shared.ours, clock, account_selection_strategy="round-robin")
    assert pool.acquire("claude-sonnet-4-6").account.position == 0
    shared.break_for_us()
    pool.acquire("claude-sonnet-4-6")
    shared.mend()
    assert pool.acquire("claude-sonnet-4-6").account.position == 2


# Locks


def test_locks_by_name_are_shared_while_the_database_cannot_be_used(tmp_path: Path, clock: FakeClock) -> None:
    """Before, each process had locks of its own: every one of them refreshed."""
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    (folder / "cache.db").symlink_to(tmp_path / "elsewhere")
    ours, theirs = (ResilientStore(DiskStore(folder), clock) for _ in range(2))
    ours.refresh()
    theirs.refresh()
    assert not ours.status().shared
    with ours.exclusive("refresh/a", 0.0) as held, theirs.exclusive("refresh/a", 0.0) as also_held:
        assert (held, also_held) == (True, False)


def test_where_no_lock_can_be_had_threads_still_have_theirs_and_it_is_said(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").write_text("in the way")
    store = ResilientStore(DiskStore(tmp_path / "state"), clock)
    with store.exclusive("refresh/a", 0.0) as held, store.exclusive("refresh/a", 0.0) as also_held:
        assert (held, also_held) == (True, False)
    store.refresh()
    ours = [message for message in caplog.messages if str(tmp_path) in message]  # not an earlier test's
    assert ["not a folder" in message for message in ours] == [True]


# Coming back without being asked


def outage(folder: Path) -> tuple[bool, bool]:
    """In a child process: lose the shared state, learn, and only wait; return whether it is shared, then and later."""
    folder.write_text("in the way")
    store = ResilientStore(DiskStore(folder), SystemClock(), background=True)
    store.extend_cooldown(Cooldown("a", "claude", SystemClock().time() + HOUR, "quota", SystemClock().time()))
    before = store.status().shared
    folder.unlink()
    ends = time.monotonic() + 60.0
    while not store.status().shared and time.monotonic() < ends:
        time.sleep(0.01)
    return before, store.status().shared


def test_a_process_that_is_asked_nothing_comes_back_and_tells_what_it_learnt(tmp_path: Path) -> None:
    """Before, it came back with its next request only: what it knew, nobody else did."""
    assert together(outage, [(tmp_path / "state",)]) == [(False, True)]
    with closing(DiskStore(tmp_path / "state")) as others:
        assert others.refresh().cooldown("a", "claude") is not None


def test_nobody_waits_for_the_thread_that_tries_again() -> None:
    """Before, one request in five seconds did, for as long as a try took."""
    tries, release = threading.Event(), threading.Event()

    class Slow(MemoryBackend):
        failed = False

        def update(self, *_: object) -> list[Row]:
            if self.failed:
                tries.set()
                release.wait(60.0)
            self.failed = True
            msg = "gone"
            raise StateUnavailableError(msg)

    store = ResilientStore(Ledger(Replica(Slow())), SystemClock(), background=True)
    store.write_note("n", {"text": "x"})
    assert tries.wait(60.0)
    for _ in range(3):
        assert store.read_note("n") == {"text": "x"}
        store.extend_cooldown(Cooldown("a", "claude", NOW + HOUR, "quota", NOW))
    assert not release.is_set()
    release.set()


# The arithmetic

counts = st.integers(0, 60)
vitals = st.builds(
    Vitals,
    st.floats(0.0, 100.0),
    st.just(NOW),
    st.floats(0.0, 50.0),
    st.just(NOW),
    st.none() | st.floats(NOW - 100.0, NOW),
    st.dictionaries(st.sampled_from(["claude", "gemini"]), st.builds(Failures, st.integers(0, 9), st.just(NOW))),
)


@given(theirs=vitals, before=vitals, after=vitals, spent=st.floats(-60.0, 60.0))
def test_wherever_two_sides_meet_bucket_and_health_stay_within_their_bounds(
    theirs: Vitals, before: Vitals, after: Vitals, spent: float
) -> None:
    joined = VitalsDrift.between(before, after, spent, NOW, RULES).added_to(theirs, NOW, RULES)
    assert 0.0 <= joined.tokens <= 50.0
    assert 0.0 <= joined.health <= 100.0
    assert joined.tokens == max(0.0, min(50.0, theirs.tokens - spent))


@given(theirs=vitals, before=vitals)
def test_who_has_done_nothing_changes_nothing(theirs: Vitals, before: Vitals) -> None:
    joined = VitalsDrift.between(before, before, 0.0, NOW, RULES).added_to(theirs, NOW, RULES)
    assert (joined.health, joined.health_at, joined.tokens, dict(joined.failures)) == (
        theirs.health,
        theirs.health_at,
        theirs.tokens,
        dict(theirs.failures),
    )
