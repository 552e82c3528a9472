"""The demo's worker processes, as the demo sees them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from queue import Empty
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeAlias

import click

import litellm_antigravity
from litellm_antigravity.cli.demo_link import Source, Switchboard

if TYPE_CHECKING:
    from typing_extensions import Self  # pydantic brings it; typing has it from Python 3.11 on

PATIENCE_SECONDS = 90.0
"""Without any sign of life: an answer, or processor time used."""

_LOOK_SECONDS = 0.5
_GRACE_SECONDS = 3.0
_LAST_LINES = 15
_CAN_FORK = sys.platform == "linux"  # elsewhere libraries may not survive it


class Waiting(NamedTuple):
    """What the demo waits for.

    Attributes:
        what: in words.
        seconds: how long already.
        used: seconds of processor time that it has got, as far as is known.
    """

    what: str
    seconds: float
    used: float


OnWait: TypeAlias = Callable[[Waiting], object]


class Crew:
    """Worker processes that start together and take orders together. Use it as a context manager: it ends them.

    Args:
        size: how many.
        folder: their working folder, and where their standard error goes.
        variables: environment variables to give them.
        patience: seconds without any sign of life after which it gives up.
        forks: whether one process imports LiteLLM for all; else each does, one after the other.

    Attributes:
        pids: the workers' process ids by their numbers, once they are ready.
    """

    def __init__(
        self,
        size: int,
        folder: Path,
        variables: Mapping[str, str],
        *,
        patience: float = PATIENCE_SECONDS,
        forks: bool = _CAN_FORK,
    ) -> None:
        numbers = list(range(1, size + 1))
        self._numbers = numbers
        self._forks = forks and size > 1
        self._to_start = [numbers] if self._forks else [[number] for number in numbers]
        self._folder = folder
        self._environment = _environment(folder, variables)
        self._patience = patience
        self._starters: dict[int, subprocess.Popen[bytes]] = {}
        self._board = Switchboard()
        self._used: dict[Source, float] = {}
        self._codes: dict[int, int] = {}
        self._waiting_for = "", 0.0
        self.pids: dict[int, int] = {}

    def __enter__(self) -> Self:
        self._board.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._board.__exit__(kind, error, trace)  # forked workers end with their connections
        for starter in self._starters.values():
            if self._forks and self.pids:  # it ends after the last of those that it has forked
                with contextlib.suppress(subprocess.TimeoutExpired):
                    starter.wait(_GRACE_SECONDS)
            starter.kill()  # there is nothing in them worth saving: their folder goes too
        for starter in self._starters.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                starter.wait(_GRACE_SECONDS)

    def _start_next(self) -> None:
        workers = self._to_start.pop(0)
        wanted = {
            "port": self._board.port,
            "token": self._board.token,
            "workers": workers,
            "folder": str(self._folder),
        }
        with self._errors_of(("starter", workers[0])).open("wb") as errors:
            starter = self._starters[workers[0]] = subprocess.Popen(
                [sys.executable, "-m", "litellm_antigravity.cli.demo_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                cwd=self._folder,
                env=self._environment,
            )
        with contextlib.suppress(OSError), _given(starter.stdin) as order:  # its death is found by whoever waits
            order.write(json.dumps(wanted).encode() + b"\n")

    def wait_ready(self, on_ready: Callable[[int], object], on_wait: OnWait) -> None:
        """Start the workers, and wait until every one has LiteLLM imported.

        Args:
            on_ready: called with the number of each worker that has, from 1 on.
            on_wait: called about once a second with what is waited for.

        Raises:
            click.ClickException: when a worker dies, or when nothing moves any more; so by `run`.
        """
        while len(self.pids) < len(self._numbers):
            if self._to_start and all(number in self.pids for number in self._starters):
                self._start_next()
            first = max(self._starters)
            what = "LiteLLM is imported " + ("once for all workers" if self._forks else f"by worker {first}")
            (kind, number), message = self._next({("starter", first)}, what, on_wait)
            if kind == "worker" and message.get("hello"):
                self.pids[number] = message["pid"]
                on_ready(number)

    def run(self, orders: Sequence[Mapping[str, Any]], on_reply: Callable[[int], object], on_wait: OnWait) -> list[str]:
        """Give each worker its order, all at once, and wait until all are done.

        Args:
            orders: one per worker; see `demo_worker`.
            on_reply: called with a worker's number after each of its requests.
            on_wait: called about once a second with what is waited for.

        Returns:
            The errors of the requests that failed.
        """
        for number, order in zip(self._numbers, orders, strict=True):
            self._board.say(("worker", number), order)
        failures: list[str] = []
        working = {("worker", number) for number in self._numbers}
        while working:
            numbers = ", ".join(str(number) for _, number in sorted(working))
            what = f"worker{'s' if len(working) > 1 else ''} {numbers} at work"
            source, message = self._next(working, what, on_wait)
            if message.get("done"):
                working.discard(source)
            elif source in working:
                if "error" in message:
                    failures.append(f"worker {source[1]}: {message['error']}")
                on_reply(source[1])
        return failures

    def _next(self, expected: Iterable[Source], what: str, on_wait: OnWait) -> tuple[Source, dict[str, Any]]:
        """Return the next message that is more than a sign of life; see to it that there are signs of life."""
        moved = time.monotonic()
        if what != self._waiting_for[0]:
            self._waiting_for = what, moved
        while True:
            try:
                # In short waits, because a long one hides Ctrl-C on Windows.
                source, message = self._board.inbox.get(timeout=_LOOK_SECONDS)
            except Empty:
                source, message = ("", 0), {}
            if message is None:
                self._ended(source)
            elif "ended" in message:
                self._codes[message["ended"]] = message["code"]
            elif "used" in message:
                if message["used"] > self._used.get(source, 0.0):
                    moved = time.monotonic()
                self._used[source] = max(message["used"], self._used.get(source, 0.0))
            elif message:
                return source, message
            now = time.monotonic()
            self._look_for_the_dead()
            on_wait(Waiting(what, now - self._waiting_for[1], sum(self._used.get(one, 0.0) for one in expected)))
            if now - moved > self._patience:
                msg = f"Nothing has moved for {self._patience:.0f} s ({what}): no answer, and no processor time used."
                raise click.ClickException(msg + self._last_words(min(expected)))

    def _look_for_the_dead(self) -> None:
        """Raise for a starter that has died; it may have done so before it could connect."""
        for first, starter in self._starters.items():
            if starter.poll() is not None:
                raise self._death(("starter", first), starter.pid, starter.returncode)

    def _ended(self, source: Source) -> None:
        """Raise for a worker whose connection has ended. That of a starter ends when it becomes the worker."""
        kind, number = source
        if kind != "worker":
            return
        ends = time.monotonic() + _GRACE_SECONDS
        while number not in self._codes and number not in self._starters and time.monotonic() < ends:
            with contextlib.suppress(Empty):
                _, message = self._board.inbox.get(timeout=_LOOK_SECONDS)
                if message and "ended" in message:
                    self._codes[message["ended"]] = message["code"]
        raise self._death(source, self.pids.get(number, 0), self._codes.get(number))

    def _death(self, source: Source, pid: int, code: int | None) -> click.ClickException:
        kind, number = source
        who = "The process that makes the workers" if kind == "starter" and self._forks else f"Worker {number}"
        how = "" if code is None else f" with exit code {code}"
        return click.ClickException(f"{who} (process {pid}) ended{how}.{self._last_words(source)}")

    def _last_words(self, source: Source) -> str:
        lines: list[str] = []
        with contextlib.suppress(OSError):
            lines = self._errors_of(source).read_text("utf-8", "replace").strip().splitlines()[-_LAST_LINES:]
        if not lines:
            return " It said nothing."
        return "\n".join(["\nThe last it said:", *(f"  {line}" for line in lines)])

    def _errors_of(self, source: Source) -> Path:
        kind, number = source
        return self._folder / f"{kind if self._forks else 'worker'}-{number}.log"


def _given(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:  # pragma: no cover - `_start_next` asks for one
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
