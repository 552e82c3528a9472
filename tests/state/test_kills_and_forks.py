"""Processes that are killed while they write, and children that are forked from busy ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from state_folders import EITHER, FORKS, folder, store
from support import run_python

__all__ = ["folder", "store"]  # fixtures

pytestmark = pytest.mark.once


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
from support import HANG_SECONDS, answer
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
    deadline = time.monotonic() + HANG_SECONDS
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            break
        time.sleep(0.005)
    outcomes.append(os.read(reader, 100).decode())
    os.close(reader)
before = list(done)
deadline = time.monotonic() + HANG_SECONDS
while any(now <= then for now, then in zip(done, before)) and time.monotonic() < deadline:
    time.sleep(0.005)
alive = [now > then for now, then in zip(done, before)]
stop.set()
for thread in threads: thread.join(HANG_SECONDS)
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
