"""What several test modules need: a clock that only moves when told, and real child processes with readable errors."""

from __future__ import annotations

import contextlib
import io
import json
import os
import runpy
import secrets
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HELPERS = Path(__file__).resolve().parent
PYTHON_PATH = os.pathsep.join([str(ROOT), str(HELPERS)])
"""Where child processes find the package and the helpers."""
NOW = 1_700_000_000.0
"""The wall time at which fake clocks start, in epoch seconds."""
_TAKEN: list[socket.socket] = []
HANG_SECONDS = 240.0
"""Seconds after which what a test waits for is taken to hang: before pytest's own limit, which would not show where.

No bound on speed: on a busy machine LiteLLM's import alone takes many, and machines of clouds may stand still for some.
What has to be over before something else would end it, such as the code's own time limits, has a bound of its own.
"""


def free_port() -> int:
    """Return a port of loopback that nobody listens on, and that no other process is given while this one lives.

    It is below those that systems give to whoever asks for any: no server of another test gets it in the meantime.
    """
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with contextlib.suppress(OSError), socket.socket() as one:
            one.bind(("127.0.0.1", port))
            if sys.platform == "linux":
                name = socket.socket(socket.AF_UNIX)
                name.bind(f"\0litellm-antigravity-port-{port}")  # fails if another process has taken the port
                _TAKEN.append(name)
            return port


class FakeClock:
    """A clock for tests: `sleep` returns at once and moves it.

    Attributes:
        slept: the seconds of every `sleep`, in order.
    """

    def __init__(self, wall: float = NOW, monotonic: float = 1000.0) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self.slept: list[float] = []

    def time(self) -> float:
        """Return the wall time in seconds since the epoch."""
        with self._lock:
            return self._wall

    def monotonic(self) -> float:
        """Return the monotonic time in seconds."""
        with self._lock:
            return self._monotonic

    def sleep(self, seconds: float) -> None:
        """Let ``seconds`` pass at once."""
        self.slept.append(seconds)
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        with self._lock:
            self._wall += seconds
            self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an administrator or NTP does; monotonic time stays."""
        with self._lock:
            self._wall += seconds


class Child:
    """A real process that runs Python code with this package and this module on its path.

    The code may call `ready` to wait for `go`, and `answer` to hand back one JSON value. Used as a context manager,
    it is dead afterwards whatever happened.
    """

    def __init__(
        self, code: str, *args: object, timeout: float = HANG_SECONDS, env: dict[str, str] | None = None
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), *map(str, args)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": PYTHON_PATH,
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONFAULTHANDLER": "1",
                **(env or {}),
            },
        )
        self._watchdog = threading.Timer(timeout, self._end_with_stacks)
        self._watchdog.daemon = True
        self._watchdog.start()
        self._over = False

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def wait_ready(self) -> str:
        """Wait until the code calls `ready` and return what it says there."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("READY "):
                return line[len("READY ") :].rstrip("\n")
        raise self._failure("ended before it was ready")

    def go(self) -> None:
        """Let the code go on after `ready`."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def result(self) -> Any:
        """Wait for the end and return what the code handed to `answer`; ``None`` if nothing."""
        out, err = self._process.communicate()
        self._over = True
        self._watchdog.cancel()
        if self._process.returncode != 0:
            raise self._failure(f"ended with {self._process.returncode}", out, err)
        answers = [line for line in out.splitlines() if line.startswith("ANSWER ")]
        return json.loads(answers[-1][len("ANSWER ") :]) if answers else None

    def _end_with_stacks(self) -> None:
        if sys.platform != "win32":
            self._process.send_signal(signal.SIGABRT)  # what every thread is doing gets into the failure
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
        self._process.kill()

    def kill(self) -> None:
        """End it as ``kill -9`` does, and wait until it is gone."""
        self._process.kill()
        self._process.communicate()
        self._over = True
        self._watchdog.cancel()

    def _failure(self, what: str, out: str | None = None, err: str | None = None) -> AssertionError:
        if err is None:
            out, err = self._process.communicate()
            self._over = True
        self._watchdog.cancel()
        return AssertionError(
            f"child process {self.pid} {what}\n--- stdout\n{(out or '')[-2000:]}\n--- stderr\n{err[-8000:]}"
        )

    def __enter__(self) -> Child:  # noqa: PYI034 - typing.Self came with Python 3.11
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._over:
            self.kill()


def run_python(code: str, *args: object, timeout: float = HANG_SECONDS, env: dict[str, str] | None = None) -> Any:
    """Run code in a process of its own and return what it handed to `answer`."""
    with Child(code, *args, timeout=timeout, env=env) as child:
        return child.result()


def run_together(code: str, arguments: Iterable[tuple[object, ...]], *, timeout: float = HANG_SECONDS) -> list[Any]:
    """Run code in one process per tuple of arguments, all let go from `ready` at once; return their answers."""
    children = [Child(code, *args, timeout=timeout) for args in arguments]
    try:
        for child in children:
            child.wait_ready()
        for child in children:
            child.go()
        return [child.result() for child in children]
    finally:
        for child in children:
            child.__exit__(None, None, None)


def ready(word: object = "") -> None:
    """In a child: say that all is set up, and wait for the parent's word."""
    sys.stdout.write(f"READY {word}\n")
    sys.stdout.flush()
    sys.stdin.readline()


def answer(value: object) -> None:
    """In a child: hand a JSON value back to the parent."""
    sys.stdout.write(f"ANSWER {json.dumps(value)}\n")
    sys.stdout.flush()


def run_program(path: str, environment: dict[str, str]) -> str:
    """Run a Python program in this process, which is to be one of its own, and return what it prints."""
    os.environ.update(environment)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        runpy.run_path(path, run_name="__main__")
    return printed.getvalue()
