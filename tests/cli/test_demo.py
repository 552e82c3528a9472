"""The demo on a machine that is busy, and beside processes that hang: it says what it waits for, and gives up late."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import socket
import sys
import time
from pathlib import Path

import click
import pytest
from rich.console import Console
from support import HANG_SECONDS, ROOT

from litellm_antigravity.cli.demo_crew import Crew, Waiting
from litellm_antigravity.cli.demo_link import Link, Switchboard
from litellm_antigravity.cli.demo_progress import ShownProgress
from litellm_antigravity.simulator import Simulator

pytestmark = pytest.mark.once

# Python runs it at its start: LiteLLM's import, and nothing else, takes long.
SLOW_IMPORT = """
import sys
import time

def work():
    ends = time.process_time() + 0.03
    while time.process_time() < ends:
        pass
    time.sleep(0.07)  # a machine has more to do than to wait for this

class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "litellm":
            sys.meta_path.remove(self)
            ends = time.monotonic() + {seconds}
            while time.monotonic() < ends:
                {meanwhile}

sys.meta_path.insert(0, Slow())
"""
PATIENCE = 2.5
LONGER = 8.0
"""Seconds in which a worker has something to tell of, also where it takes seconds to start Python."""


@pytest.fixture
def crew_variables(tmp_path: Path) -> dict[str, str]:
    """What workers need to find this package, and in front of it a folder for a ``sitecustomize``."""
    return {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}


def slow_import(folder: Path, meanwhile: str, seconds: float) -> None:
    (folder / "sitecustomize.py").write_text(SLOW_IMPORT.format(meanwhile=meanwhile, seconds=seconds))


@pytest.mark.parametrize("forks", [True, False])
def test_an_import_that_takes_long_is_waited_for_while_it_moves(
    forks: bool, tmp_path: Path, crew_variables: dict[str, str]
) -> None:
    """Before: it gave up after 90 s, on a machine where four imports at once took longer."""
    slow_import(tmp_path, "work()", LONGER + 2)
    told: list[Waiting] = []
    ready: list[int] = []
    size = 2 if forks else 1  # each import takes its time
    with Crew(size, tmp_path, crew_variables, patience=LONGER, forks=forks) as crew:
        crew.wait_ready(ready.append, told.append)
        assert sorted(ready) == list(range(1, size + 1))
        assert all(_lives(pid) for pid in crew.pids.values())
    longest = max(told, key=lambda one: one.seconds)
    assert longest.seconds > LONGER
    assert longest.used > 1
    assert longest.what.startswith("LiteLLM is imported ")
    assert _soon(lambda: not any(_lives(pid) for pid in crew.pids.values()))


def test_an_import_that_hangs_is_given_up(tmp_path: Path, crew_variables: dict[str, str]) -> None:
    slow_import(tmp_path, "time.sleep(600)", 600)
    with (
        Crew(2, tmp_path, crew_variables, patience=PATIENCE) as crew,
        pytest.raises(click.ClickException, match=r"Nothing has moved for 2 s \(LiteLLM is imported") as caught,
    ):
        crew.wait_ready(print, lambda _: None)
    assert "no processor time used" in caught.value.message


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers are not forked")
def test_a_worker_that_is_killed_is_an_error_with_its_exit_code(tmp_path: Path, crew_variables: dict[str, str]) -> None:
    with Simulator(1) as simulator:
        accounts_file = simulator.write_accounts_file(tmp_path / "accounts.json")
        environment = simulator.environment(accounts_file, tmp_path / "state")
        with Crew(2, tmp_path, {**environment, **crew_variables}) as crew:
            crew.wait_ready(lambda _: None, lambda _: None)
            os.kill(crew.pids[2], signal.SIGKILL)
            order = {"settings": {}, "model": "antigravity/claude-sonnet-4-6", "requests": 1}
            with pytest.raises(click.ClickException, match=r"Worker 2 .* ended with exit code -9") as caught:
                crew.run([order, order], lambda _: None, lambda _: None)
    assert str(crew.pids[2]) in caught.value.message


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _soon(condition: object, patience: float = 15.0) -> bool:
    assert callable(condition)
    ends = time.monotonic() + patience
    while not condition():
        if time.monotonic() > ends:
            return False
        time.sleep(0.05)
    return True


# What is shown meanwhile


@pytest.fixture
def lines() -> Console:
    """Return a console that writes to a file."""
    return Console(file=io.StringIO(), width=120, force_terminal=False)


def test_what_is_waited_for_is_told_every_ten_seconds_where_nothing_can_be_redrawn(lines: Console) -> None:
    progress = ShownProgress(lines, "Starting the workers", None, 4)
    for second in range(35):
        progress.waits(Waiting("LiteLLM is imported once for all workers", second, second / 10))
    for second in range(12):
        progress.waits(Waiting("worker 2 at work", second, 0.0))
    assert isinstance(lines.file, io.StringIO)
    assert [line.strip() for line in lines.file.getvalue().splitlines()] == [
        "LiteLLM is imported once for all workers, for 10 s (1.0 s of processor time)",
        "LiteLLM is imported once for all workers, for 20 s (2.0 s of processor time)",
        "LiteLLM is imported once for all workers, for 30 s (3.0 s of processor time)",
        "worker 2 at work, for 10 s (0.0 s of processor time)",
    ]


def test_a_stranger_on_the_port_of_the_demo_is_not_listened_to() -> None:
    with Switchboard() as board:
        stranger = Link.to_demo(board.port, "guessed", ("worker", 1), pid=1)
        with contextlib.suppress(OSError):
            stranger.say(served=True)
        assert list(stranger) == []  # hung up on
        stranger.close()
        with socket.create_connection(("127.0.0.1", board.port)) as noise:
            noise.sendall(b"\xff\xfe not a line of JSON\n")
        friend = Link.to_demo(board.port, board.token, ("worker", 2), pid=2)
        assert board.inbox.get(timeout=HANG_SECONDS)[0] == ("worker", 2)
        friend.close()
        assert board.inbox.get(timeout=HANG_SECONDS) == (("worker", 2), None)
