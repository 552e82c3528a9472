"""A real LiteLLM proxy in processes of its own, for tests and benchmarks."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import pytest
from fork_server import EXIT_CODE, fork_proxy
from support import HANG_SECONDS, free_port

from litellm_antigravity.simulator import Simulator

if TYPE_CHECKING:
    from typing_extensions import Self

LITELLM = tuple(int(part) for part in re.findall(r"\d+", version("litellm"))[:3])

needs_proxy = [
    pytest.mark.skipif(sys.platform == "win32", reason="LiteLLM's proxy does not run on Windows"),
    pytest.mark.skipif(importlib.util.find_spec("fastapi") is None, reason="LiteLLM's proxy is not installed"),
    pytest.mark.skipif(LITELLM < (1, 106, 2), reason="older proxies are not supported, see pyproject.toml"),
]

STARTED = "Application startup complete"
"""What each worker says in the log when it serves, after the first of them has made the proxy ready."""

END_SECONDS = 30.0  # sooner than anything but the signal would end them
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "SYSTEMROOT", "VIRTUAL_ENV", "COVERAGE_PROCESS_START", "SSL_CERT_FILE")


class Proxy:
    """``litellm --config`` on a free port. Use it as a context manager; every process of it is gone afterwards.

    Args:
        config: the YAML file.
        folder: for its log; it runs there.
        environment: beside what any program needs.
        workers: how many.
        by_variable: name the file by ``CONFIG_FILE_PATH`` instead of ``--config``.
        options: more of LiteLLM's command line.
        gunicorn: an application for a gunicorn that somebody starts on his own; the file is named by the variable then.
        imported: fork it from a process that has LiteLLM imported; see `fork_server`.
    """

    def __init__(
        self,
        config: Path,
        folder: Path,
        environment: Mapping[str, str],
        *,
        workers: int = 1,
        by_variable: bool = False,
        options: Iterable[str] = (),
        gunicorn: str | None = None,
        imported: bool = False,
    ) -> None:
        self._imported = imported
        self.key = f"sk-{secrets.token_urlsafe(24)}"
        self._log = folder / f"{config.stem}.{secrets.token_hex(4)}.log"
        self._folder = folder
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        programs = Path(sys.executable).parent
        if gunicorn is None:
            self._command = [str(programs / "litellm"), "--host", "127.0.0.1", "--port", str(port)]
            self._command += ["--num_workers", str(workers), *options]
            self._command += () if by_variable else ("--config", str(config))
        else:
            self._command = [str(programs / "gunicorn"), "--bind", f"127.0.0.1:{port}", "--workers", str(workers)]
            self._command += ["--worker-class", "uvicorn.workers.UvicornWorker", *options, gunicorn]
            by_variable = True
        self._environment = {name: os.environ[name] for name in _INHERITED if name in os.environ} | {
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_MASTER_KEY": self.key,
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),  # also where the package is not installed
            "PYTHONFAULTHANDLER": "1",
            "PYTHONUNBUFFERED": "1",
            "NO_PROXY": "127.0.0.1",
            # uvicorn kills workers that do not answer for 5 s: on a busy machine they may while they import LiteLLM.
            "TIMEOUT_WORKER_HEALTHCHECK": "60",
            **({"CONFIG_FILE_PATH": str(config)} if by_variable else {}),
            **environment,
        }
        self._process: subprocess.Popen[bytes] | _Forked | None = None

    def launch(self) -> Self:
        """Start it and do not wait."""
        if self._imported:
            self._log.touch()
            pid = fork_proxy(self._command[1:], self._environment, self._folder, self._log)
            self._process = _Forked(pid, Path(f"{self._log}{EXIT_CODE}"))
            return self
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                cwd=self._folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # so that its workers can be ended with it
            )
        return self

    def wait(self) -> Self:
        """Wait until it is ready.

        Raises:
            AssertionError: when it ends or hangs instead; with its log, and with what all its threads are at.
        """
        assert self._process is not None
        deadline = time.monotonic() + HANG_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/health/readiness", timeout=5, trust_env=False).status_code == 200:
                    return self
            if self._process.poll() is not None:
                break
            time.sleep(0.1)
        else:
            self._show_stacks()
        self.close()
        msg = f"the proxy did not start:\n{self.log[-20_000:]}"
        raise AssertionError(msg)

    def _show_stacks(self) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(self._process.pid, signal.SIGABRT)  # PYTHONFAULTHANDLER writes them to the log
            self._process.wait(5)

    def wait_for_end(self) -> int:
        """Wait until it ends by itself; return its exit code."""
        assert self._process is not None
        return self._process.wait(HANG_SECONDS)

    def end(self, signal_number: int, *, whole_group: bool = False) -> list[int]:
        """Ask it to end, wait until it has, and return the processes of it that stay.

        Some end only when they notice that the first one has: multiprocessing's resource tracker.

        Args:
            signal_number: how to ask.
            whole_group: whether every process of it gets the signal, as from a terminal; else only the first one.
        """
        assert self._process is not None
        (os.killpg if whole_group else os.kill)(self._process.pid, signal_number)
        self._process.wait(HANG_SECONDS)
        deadline = time.monotonic() + END_SECONDS
        while (left := self._left()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left

    def _left(self) -> list[int]:
        assert self._process is not None
        return [pid for pid, fields in _processes() if fields.group == self._process.pid and fields.state != "Z"]

    def close(self) -> None:
        """End it and its workers, by force: nothing of theirs is to outlive a test."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):  # its group lives on while a worker does
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(HANG_SECONDS)

    def __enter__(self) -> Self:
        return self.launch().wait()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def log(self) -> str:
        """What it has printed."""
        return self._log.read_text("utf-8", errors="replace")

    @property
    def pid(self) -> int:
        """The process id of what was started; the parent of the workers when there are several."""
        assert self._process is not None
        return self._process.pid

    @property
    def workers(self) -> list[int]:
        """The process ids of its workers, on Linux."""
        found = []
        for pid, fields in _processes():
            with contextlib.suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
                if fields.parent == self.pid and fields.state != "Z" and b"resource_tracker" not in command:
                    found.append(pid)
        return found

    def post(self, path: str, body: Mapping[str, Any], **headers: str) -> httpx.Response:
        """Post JSON with the master key; a stream is read to its end."""
        return httpx.post(
            self.url + path, json=body, headers=self._headers(headers), timeout=HANG_SECONDS, trust_env=False
        )

    def get(self, path: str) -> httpx.Response:
        """Get with the master key."""
        return httpx.get(self.url + path, headers=self._headers({}), timeout=HANG_SECONDS, trust_env=False)

    def _headers(self, more: Mapping[str, str]) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}", **{name.replace("_", "-"): one for name, one in more.items()}}


class _Forked:
    """What a `subprocess.Popen` offers, as far as it is needed, for a process that is nobody's child here."""

    def __init__(self, pid: int, exit_code: Path) -> None:
        self.pid = pid
        self._exit_code = exit_code

    def poll(self) -> int | None:
        """Return the exit code when it has ended; -9 when it was killed."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return int(self._exit_code.read_text("utf-8")) if self._exit_code.exists() else -signal.SIGKILL
        return None

    def wait(self, timeout: float) -> int:
        """Wait until it has ended; return its exit code."""
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
            time.sleep(0.02)
        return code


class _Fields(NamedTuple):
    state: str
    parent: int
    group: int


def _processes() -> Iterator[tuple[int, _Fields]]:
    """Yield every process there is, on Linux: proc(5), after the name, which may hold blanks."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, parent, group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            yield int(folder.name), _Fields(state, int(parent), int(group))


def open_files(pid: int) -> list[str]:
    """Return what the file descriptors of a process point to, on Linux; connections as the port at the other end."""
    ports = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        remote, inode = line.split()[2], line.split()[9]
        ports[f"socket:[{inode}]"] = str(int(remote.partition(":")[2], 16))
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            target = str(entry.readlink())
            found.append(ports.get(target, target))
    return found


def pool_environment(simulator: Simulator, folder: Path, **more: str) -> dict[str, str]:
    """Return the environment of a proxy whose Google is the simulator; accounts file and state are in ``folder``."""
    accounts_file = folder / "antigravity-accounts.json"
    if not accounts_file.exists():
        simulator.write_accounts_file(accounts_file)
    return {**simulator.environment(accounts_file, folder / "state"), **more}


def until(condition: Callable[[], bool]) -> None:
    """Wait until something has come about that takes a proxy's worker a start at most."""
    deadline = time.monotonic() + HANG_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def use_accounts(simulator: Simulator, folder: Path, emails: Iterable[str]) -> None:
    """Put other accounts in place of those in the accounts file: they have no past, so tests can share a proxy."""
    target = folder / "antigravity-accounts.json"
    document = json.loads(simulator.write_accounts_file(folder / "all.json").read_text("utf-8"))
    wanted = list(emails)
    document["accounts"] = [one for one in document["accounts"] if one["email"] in wanted]
    fresh = folder / "fresh.json"
    fresh.touch(0o600)
    fresh.write_text(json.dumps(document), "utf-8")
    fresh.replace(target)
