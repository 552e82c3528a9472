"""Servers that die in the middle, speak another dialect, or hold something else; and who else is forked from whom."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from joined_hosts import RULES, Hosts, cooled, hosts, known, knows, own, shared_server, tell
from redis_servers import needs_server, until
from support import HANG_SECONDS, PYTHON_PATH, free_port

__all__ = ["hosts", "own", "shared_server"]  # fixtures

pytestmark = [pytest.mark.once, needs_server]


def test_a_server_that_is_killed_in_the_middle_of_a_script_has_done_it_once_or_is_told_again(own: Hosts) -> None:
    """Whoever takes a write for done that was sent, or trusts the position of a life that is over, loses it."""
    one, two = own.pair()
    tell(one, two, "before")
    numbers = [one.next_cursor_start(), two.next_cursor_start()]
    client = own.server.client(socket_timeout=30.0)

    def run_for_long() -> None:
        from redis.exceptions import RedisError

        with suppress(RedisError):
            client.eval("local n = 0 while n < 2e9 do n = n + 1 end", 0)

    busy = threading.Thread(target=run_for_long)
    busy.start()
    time.sleep(0.05)
    one.extend_cooldown(cooled("meanwhile"))  # what carries it waits behind that script
    time.sleep(0.1)
    own.server.kill()
    busy.join(HANG_SECONDS)
    own.server.start()
    until(knows(two, "meanwhile"))
    until(lambda: {b"cooldown/before/claude", b"cooldown/meanwhile/claude"} <= own.rows().keys())
    assert numbers == [0, 1]
    assert known(two, "before") is not None


@pytest.mark.parametrize("dialects", [(3, 3), (2, 3)])
def test_hosts_meet_whichever_dialect_their_lines_speak(hosts: Hosts, dialects: tuple[int, int]) -> None:
    """In RESP 3 what is published comes as a push, between answers."""
    one, two = (hosts.new(name, protocol=dialect) for name, dialect in zip(("one", "two"), dialects, strict=True))
    for number in range(3):
        tell(one, two, f"a{number}")
        tell(two, one, f"b{number}")
    flight = one.in_flight.begin("a")
    two.in_flight.know(["a"])
    until(lambda: two.in_flight.counts().get("a") == 1)
    assert [one.claim_slot("p"), two.claim_slot("q")] == [0, 1]
    assert flight is not None


def test_keys_that_hold_something_else_leave_a_host_by_itself_until_they_are_gone(hosts: Hosts) -> None:
    one, two = hosts.pair()
    tell(one, two, "before")
    client, key = hosts.server.client(), f"{{{hosts.namespace}}}"
    for name in ("flights", "flight-ends"):
        client.delete(f"{key}:{name}")
        client.set(f"{key}:{name}", "x")
    flight = one.in_flight.begin("a")
    tell(one, two, "with flights that nobody can tell")
    tell(two, one, "and more of them")
    assert [store.status().problem for store in (one, two)] == [None, None]
    client.delete(f"{key}:rows")
    client.set(f"{key}:rows", "x")
    one.extend_cooldown(cooled("alone"))
    until(lambda: one.status().problem is not None)
    assert one.begin_request("a", time.time(), RULES, require_token=True)
    client.delete(f"{key}:rows")
    until(knows(two, "alone"))
    assert flight is not None


APP = """
import os, time
from pathlib import Path
from litellm_antigravity.clock import SystemClock
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.state.layers import JoinedStore
from litellm_antigravity.state.redis_connect import connect
from litellm_antigravity.state.redis_link import RedisPlace

place = RedisPlace(lambda: connect({"url": os.environ["A_URL"]}), os.environ["A_NAMESPACE"], "here")
store = JoinedStore(DiskStore(Path(os.environ["A_FOLDER"])), place, SystemClock(), patience=10.0)
store.refresh()
store.claim_slot("parent")
flights = [store.in_flight.begin("a")]

def app(environ, start_response):
    now, name = time.time(), str(os.getpid())
    store.extend_cooldown(Cooldown(name, "claude", now + 600.0, "quota", now, fact=True))
    flights.append(store.in_flight.begin("a"))
    body = f"{name} {store.claim_slot(name)}".encode()
    start_response("200 OK", [("content-length", str(len(body))), ("connection", "close")])
    return [body]
"""


def test_workers_that_gunicorn_forks_after_preloading_meet_the_others_each_over_its_own_lines(
    hosts: Hosts, tmp_path: Path
) -> None:
    """A line that the workers have from their parent mixes up their answers; a parent's thread is not theirs."""
    pytest.importorskip("gunicorn")
    (tmp_path / "preloaded.py").write_text(APP)
    port = free_port()
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "PYTHONPATH": f"{tmp_path}:{PYTHON_PATH}",
        "A_URL": hosts.server.url,
        "A_NAMESPACE": hosts.namespace,
        "A_FOLDER": str(hosts.folder / "forked"),
    }
    other = hosts.new("other")
    command = [sys.executable, "-m", "gunicorn", "--preload", "-w", "2", "-b", f"127.0.0.1:{port}", "preloaded:app"]
    with (tmp_path / "gunicorn.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        slots: dict[str, set[str]] = {}

        def both_have_answered() -> bool:
            with suppress(httpx.TransportError):
                name, slot = httpx.get(f"http://127.0.0.1:{port}/", timeout=HANG_SECONDS).text.split()
                slots.setdefault(name, set()).add(slot)
            return len(slots) == 2

        until(both_have_answered, 60.0)
        assert sorted(slot for each in slots.values() for slot in each) == ["1", "2"]
        for name in slots:
            until(knows(other, name))
        other.in_flight.know(["a"])
        until(lambda: other.in_flight.counts().get("a", 0) >= 3)  # the parent has one still
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(HANG_SECONDS)
