"""The demo's worker processes, as the demo sees them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

import click

import litellm_antigravity

if TYPE_CHECKING:
    from typing_extensions import Self  # pydantic brings it; typing has it from Python 3.11 on

_PATIENCE_SECONDS = 90.0  # importing LiteLLM takes seconds, and minutes on a machine that is busy
_GRACE_SECONDS = 3.0
_LAST_LINES = 15


class Crew:
    """Worker processes that start together and take orders together. Use it as a context manager: it ends them.

    Args:
        size: how many.
        folder: their working folder, and where their standard error goes.
        variables: environment variables to give them.

    Attributes:
        pids: the workers' process ids by their numbers, once they are ready.
    """

    def __init__(self, size: int, folder: Path, variables: Mapping[str, str]) -> None:
        self._size = size
        self._folder = folder
        self._environment = _environment(folder, variables)
        self._workers: list[subprocess.Popen[str]] = []
        self._listeners: list[threading.Thread] = []
        self._inbox: SimpleQueue[tuple[int, dict[str, Any] | None]] = SimpleQueue()
        self.pids: dict[int, int] = {}

    def __enter__(self) -> Self:
        try:
            for number in range(1, self._size + 1):
                self._workers.append(self._start(number))
            for number, worker in enumerate(self._workers, 1):  # now: on Linux a thread would take a process id
                listener = threading.Thread(target=self._listen, args=(number, worker.stdout), daemon=True)
                listener.start()
                self._listeners.append(listener)
        except BaseException:
            self._end()
            raise
        return self

    def _start(self, number: int) -> subprocess.Popen[str]:
        with self._errors_of(number).open("wb") as errors:
            return subprocess.Popen(
                [sys.executable, "-m", "litellm_antigravity.cli.demo_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                encoding="utf-8",
                cwd=self._folder,
                env=self._environment,
            )

    def _listen(self, number: int, answers: IO[str]) -> None:
        with contextlib.suppress(ValueError, OSError):  # closed, or cut off in the middle of a line
            for line in answers:
                self._inbox.put((number, json.loads(line)))
        self._inbox.put((number, None))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        for worker in self._workers:
            worker.kill()  # there is nothing in them worth saving: their folder goes too
        for worker in self._workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.wait(_GRACE_SECONDS)
        for listener in self._listeners:
            listener.join(_GRACE_SECONDS)
        for worker in self._workers:
            for pipe in (worker.stdin, worker.stdout):
                with contextlib.suppress(OSError):  # an order may be left in the pipe
                    _given(pipe).close()

    def wait_ready(self, on_ready: Callable[[int], object]) -> None:
        """Wait until every worker has imported LiteLLM.

        Args:
            on_ready: called with the number of each worker that has, from 1 on.

        Raises:
            click.ClickException: when a worker dies or is never ready; so by `run`.
        """
        waiting = set(range(1, self._size + 1))
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while waiting:
            number, message = self._next(waiting, deadline)
            self.pids[number] = message["pid"]
            waiting.discard(number)
            on_ready(number)

    def run(self, orders: Sequence[Mapping[str, Any]], on_reply: Callable[[int], object]) -> list[str]:
        """Give each worker its order, all at once, and wait until all are done.

        Args:
            orders: one per worker; see `demo_worker`.
            on_reply: called with a worker's number after each of its requests.

        Returns:
            The errors of the requests that failed.
        """
        for worker, order in zip(self._workers, orders, strict=True):
            with contextlib.suppress(OSError):  # its death is found below
                _given(worker.stdin).write(json.dumps(order) + "\n")
                _given(worker.stdin).flush()
        failures: list[str] = []
        working = set(range(1, self._size + 1))
        while working:
            number, message = self._next(working, time.monotonic() + _PATIENCE_SECONDS)
            if message.get("done"):
                working.discard(number)
                continue
            if "error" in message:
                failures.append(f"worker {number}: {message['error']}")
            on_reply(number)
        return failures

    def _next(self, expected: set[int], deadline: float) -> tuple[int, dict[str, Any]]:
        while True:
            try:
                # In short waits, because a long one hides Ctrl-C on Windows.
                number, message = self._inbox.get(timeout=0.5)
            except Empty:
                if time.monotonic() < deadline:
                    continue
                slow = min(expected)
                msg = f"Worker {slow} has not answered for {_PATIENCE_SECONDS:.0f} s.{self._last_words(slow)}"
                raise click.ClickException(msg) from None
            if message is None:
                raise self._death(number)
            return number, message

    def _death(self, number: int) -> click.ClickException:
        worker = self._workers[number - 1]
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.wait(_GRACE_SECONDS)
        ended = f"Worker {number} (process {worker.pid}) ended with exit code {worker.returncode}."
        return click.ClickException(ended + self._last_words(number))

    def _last_words(self, number: int) -> str:
        lines = self._errors_of(number).read_text("utf-8", "replace").strip().splitlines()[-_LAST_LINES:]
        if not lines:
            return " It said nothing."
        return "\n".join(["\nThe last it said:", *(f"  {line}" for line in lines)])

    def _errors_of(self, number: int) -> Path:
        return self._folder / f"worker-{number}.log"


def _given(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:  # pragma: no cover - `_start` asks for pipes
        raise AssertionError
    return pipe


def _environment(folder: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which nothing of the user's own settings counts."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.upper().startswith(("LITELLM_", "OPENCODE_"))
    }
    # The workers' working folder is another one, and this package may not be installed.
    places = [str(Path(litellm_antigravity.__file__).parent.parent)]
    places += [str(Path(place).absolute()) for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    return {
        **inherited,
        "PYTHONPATH": os.pathsep.join(places),
        "PYTHONUNBUFFERED": "1",
        "OPENCODE_CONFIG_DIR": str(folder),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # no download at import
        "LITELLM_MODE": "PRODUCTION",  # no .env file either
        **variables,
    }
