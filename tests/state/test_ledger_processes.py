"""The ledger among processes: counters, views, slots and locks, and what a killed one leaves."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from ledgers import ON_DISK, RULES
from support import NOW, Child, run_together

from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.state.ledger import Ledger

pytestmark = pytest.mark.once


# Processes

OPEN = """
import sys
from pathlib import Path
from support import answer, ready
from litellm_antigravity.selection.bucket import BucketRules
from litellm_antigravity.selection.vitals import VitalsRules
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.state.rows import Presence
from litellm_antigravity.state.ledger import PROBE_INTERVAL_SECONDS
if Path(sys.argv[1]).name == "sqlite":
    from litellm_antigravity.state.sqlite import SqliteStore as Store
else:
    from litellm_antigravity.state.disk import DiskStore as Store
store = Store(Path(sys.argv[1]))
NOW = 1_700_000_000.0
"""


@pytest.fixture(params=ON_DISK)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a folder that is called like the backend whose state is in it."""
    return tmp_path / str(request.param)


def on(folder: Path) -> Ledger:
    return ON_DISK[folder.name](folder)


def test_processes_and_their_threads_share_every_counter_exactly(folder: Path) -> None:
    code = (
        OPEN
        + """
import threading
rules = VitalsRules(bucket=BucketRules(50.0, 6.0, 13.0))
lines = {"admitted": 0, "cursors": [], "probes": 0, "failures": []}
guard = threading.Lock()
def work():
    for turn in range(5):
        admitted = store.begin_request("a", NOW, rules, require_token=True)
        cursor = store.next_cursor_start()
        probe = store.claim_probe(Cooldown("b", "claude", NOW + 86400, "quota", NOW), NOW + PROBE_INTERVAL_SECONDS)
        failures = store.record_failure("c", "claude", NOW + turn * 0.3, rules, penalty="rate", refund=False)
        store.write_token("d", f"token {turn}", None, "f")
        with guard:
            lines["admitted"] += admitted
            lines["cursors"].append(cursor)
            lines["probes"] += probe
            lines["failures"].append(failures)
ready()
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
answer(lines)
"""
    )
    answers = run_together(code, [(folder,)] * 4)
    assert sum(one["admitted"] for one in answers) == 13
    assert sorted(cursor for one in answers for cursor in one["cursors"]) == list(range(40))
    assert sum(one["probes"] for one in answers) == 1
    assert {failures for one in answers for failures in one["failures"]} == {1}
    store = on(folder)
    view = store.refresh()
    assert view.vitals["c"].health == 60.0
    row = store.read_token("d")
    assert row is not None
    assert row.generation == 40


def test_a_change_made_by_one_process_is_in_the_next_refresh_of_another(folder: Path) -> None:
    store = on(folder)
    store.refresh()
    code = (
        OPEN
        + """
ready()
store.extend_cooldown(Cooldown("a", "claude", NOW + 60.0, "quota", NOW))
store.begin_request("b", NOW, VitalsRules(), require_token=True)
ready()
view = store.refresh()
answer([view.cooldown("c", "gemini").until, view.vitals["b"].last_used])
"""
    )
    with Child(code, folder) as child:
        child.wait_ready()
        child.go()
        child.wait_ready()
        view = store.refresh()
        known = view.cooldown("a", "claude")
        assert known is not None
        assert known.until == NOW + 60.0
        assert view.vitals["b"].last_used == NOW
        store.extend_cooldown(Cooldown("c", "gemini", NOW + 30.0, "rate", NOW))
        store.begin_request("b", NOW + 7.0, RULES, require_token=True)
        child.go()
        assert child.result() == [NOW + 30.0, NOW + 7.0]


SLOT = (
    OPEN
    + """
slot = store.claim_slot(sys.argv[2])
store.announce(Presence(sys.argv[2], 1, "sticky", NOW, slot, {}))
ready(slot)
"""
)


def test_a_killed_processs_slot_is_free_at_once_and_it_is_no_longer_listed(folder: Path) -> None:
    with Child(SLOT, folder, "host:1:5:aa") as first, Child(SLOT, folder, "host:1:5:bb") as second:
        assert {first.wait_ready(), second.wait_ready()} == {"0", "1"}
        store = on(folder)
        assert [presence.owner for presence in store.processes()] == ["host:1:5:aa", "host:1:5:bb"]
        (victim, slot) = (first, 0) if store.processes()[0].slot == 0 else (second, 0)
        victim.kill()
        rows = store.replica.rows("process/")
        assert len(store.processes(forget=False)) == 1
        assert store.replica.rows("process/") == rows  # who only looks changes nothing
        assert len(store.processes()) == 1
        assert len(store.replica.rows("process/")) == 1
        assert store.claim_slot("host:1:5:cc") == slot


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
def test_a_slot_is_free_when_its_owner_died_though_a_forked_child_of_his_lives_on(folder: Path) -> None:
    code = SLOT.replace(
        "ready(slot)",
        """
import os, time
reader, writer = os.pipe()
pid = os.fork()
if pid == 0:
    os.write(writer, b"x")
    time.sleep(60)
    os._exit(0)
os.read(reader, 1)
ready(f"{slot} {pid}")
""",
    )
    with Child(code, folder, "host:1:5:aa") as owner:
        slot, forked = owner.wait_ready().split()
        try:
            assert slot == "0"
            store = on(folder)
            assert store.claim_slot("host:1:5:bb") == 1
            os.kill(owner.pid, signal.SIGKILL)
            os.waitid(os.P_PID, owner.pid, os.WEXITED | os.WNOWAIT)
            assert on(folder).claim_slot("host:1:5:cc") == 0
        finally:
            os.kill(int(forked), signal.SIGKILL)


def test_processes_that_start_together_get_different_slots(folder: Path) -> None:
    code = (
        OPEN
        + """
ready()
ready(store.claim_slot("host:1:5:" + sys.argv[2]))
"""
    )
    children = [Child(code, folder, name) for name in ("aa", "bb", "cc", "dd")]
    try:
        for child in children:
            child.wait_ready()
        for child in children:
            child.go()
        assert sorted(child.wait_ready() for child in children) == ["0", "1", "2", "3"]
    finally:
        for child in children:
            child.__exit__(None, None, None)


def test_a_lone_process_gets_the_same_slot_at_every_start(folder: Path) -> None:
    for name in ("aa", "bb", "cc"):
        with Child(SLOT, folder, f"host:1:5:{name}") as child:
            assert child.wait_ready() == "0"


def test_a_lock_whose_holder_was_killed_is_free(folder: Path) -> None:
    code = (
        OPEN
        + """
with store.exclusive("refresh/a", 5.0) as held:
    ready(held)
"""
    )
    store = on(folder)
    with Child(code, folder) as holder:
        assert holder.wait_ready() == "True"
        with store.exclusive("refresh/a", 0.0) as held:
            assert not held
        holder.kill()
        with store.exclusive("refresh/a", 0.0) as held_now:
            assert held_now
