"""A real LiteLLM proxy in processes of its own, for tests and benchmarks, and a stand-in for other providers."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from litellm_antigravity.simulator import Simulator

if TYPE_CHECKING:
    from typing_extensions import Self

LITELLM = tuple(int(part) for part in re.findall(r"\d+", version("litellm"))[:3])

needs_proxy = [
    pytest.mark.skipif(sys.platform == "win32", reason="LiteLLM's proxy does not run on Windows"),
    pytest.mark.skipif(importlib.util.find_spec("fastapi") is None, reason="LiteLLM's proxy is not installed"),
    pytest.mark.skipif(LITELLM < (1, 106, 2), reason="older proxies are not supported, see pyproject.toml"),
]

START_SECONDS = 90.0  # a hang guard: a start takes 6 to 10 s on an idle machine
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "SYSTEMROOT", "VIRTUAL_ENV", "COVERAGE_PROCESS_START")


class Proxy:
    """``litellm --config`` on a free port. Use it as a context manager; every process of it is gone afterwards.

    Args:
        config: the YAML file.
        folder: for its log; it runs there.
        environment: beside what any program needs.
        workers: how many.
        by_variable: name the file by ``CONFIG_FILE_PATH`` instead of ``--config``.
        options: more of LiteLLM's command line.
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
    ) -> None:
        self.key = f"sk-{secrets.token_urlsafe(24)}"
        self._log = folder / f"{config.stem}.{secrets.token_hex(4)}.log"
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        self.url = f"http://127.0.0.1:{port}"
        self._command = [str(Path(sys.executable).parent / "litellm"), "--host", "127.0.0.1", "--port", str(port)]
        self._command += ["--num_workers", str(workers), *options, *(() if by_variable else ("--config", str(config)))]
        self._environment = {name: os.environ[name] for name in _INHERITED if name in os.environ} | {
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_MASTER_KEY": self.key,
            "PYTHONPATH": str(Path(__file__).resolve().parent.parent),  # also where the package is not installed
            "PYTHONUNBUFFERED": "1",
            "NO_PROXY": "127.0.0.1",
            **({"CONFIG_FILE_PATH": str(config)} if by_variable else {}),
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self) -> Self:
        """Start it and do not wait."""
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
            AssertionError: when it ends or hangs instead; with its log.
        """
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/health/readiness", timeout=5, trust_env=False).status_code == 200:
                    return self
            if self._process.poll() is not None:
                break
            time.sleep(0.1)
        self.close()
        msg = f"the proxy did not start:\n{self.log[-6000:]}"
        raise AssertionError(msg)

    def wait_for_end(self) -> int:
        """Wait until it ends by itself; return its exit code."""
        assert self._process is not None
        return self._process.wait(START_SECONDS)

    def close(self) -> None:
        """End it and its workers, by force: nothing of theirs is to outlive a test."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):  # its group lives on while a worker does
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)

    def __enter__(self) -> Self:
        return self.launch().wait()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def log(self) -> str:
        """What it has printed."""
        return self._log.read_text("utf-8", errors="replace")

    @property
    def workers(self) -> list[int]:
        """The process ids of its workers, on Linux."""
        assert self._process is not None
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                status = (folder / "stat").read_text()
                parent = int(status.rpartition(")")[2].split()[1])
                command = (folder / "cmdline").read_bytes()
                if parent == self._process.pid and b"resource_tracker" not in command:
                    found.append(int(folder.name))
        return found

    def post(self, path: str, body: Mapping[str, Any], **headers: str) -> httpx.Response:
        """Post JSON with the master key; a stream is read to its end."""
        return httpx.post(self.url + path, json=body, headers=self._headers(headers), timeout=60, trust_env=False)

    def get(self, path: str) -> httpx.Response:
        """Get with the master key."""
        return httpx.get(self.url + path, headers=self._headers({}), timeout=60, trust_env=False)

    def _headers(self, more: Mapping[str, str]) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}", **{name.replace("_", "-"): one for name, one in more.items()}}


def pool_environment(simulator: Simulator, folder: Path, **more: str) -> dict[str, str]:
    """Return the environment of a proxy whose Google is the simulator; accounts file and state are in ``folder``."""
    accounts_file = folder / "antigravity-accounts.json"
    if not accounts_file.exists():
        simulator.write_accounts_file(accounts_file)
    return {**simulator.environment(accounts_file, folder / "state"), **more}


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


class OtherProviders:
    """A stand-in for OpenAI and Anthropic on loopback: answers, or refuses with the statuses it was given first.

    Attributes:
        asked: method, path and API key of every request, in order.
        statuses: of the next answers; 200 when empty.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.statuses: list[int] = []
        self._lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                body = json.loads(self.rfile.read(length) or b"{}")
                with owner._lock:
                    key = self.headers.get("x-api-key") or self.headers.get("authorization") or ""
                    owner.asked.append((self.path, key.removeprefix("Bearer ")))
                    status = owner.statuses.pop(0) if owner.statuses else 200
                kind, content = owner._answer(self.path, body, status)
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(content)))
                self.send_header("x-request-id", "fixed")
                self.send_header("x-ratelimit-remaining-requests", "99")
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def forget(self) -> None:
        """Start anew."""
        with self._lock:
            self.asked.clear()
            self.statuses.clear()

    @property
    def environment(self) -> dict[str, str]:
        """Where LiteLLM finds it, and keys for it."""
        url = f"http://127.0.0.1:{self._server.server_port}"
        return {
            "OPENAI_API_BASE": f"{url}/v1",
            "OPENAI_BASE_URL": f"{url}/v1",
            "OPENAI_API_KEY": "openai-key-1",
            "OPENAI_API_KEY_2": "openai-key-2",
            "ANTHROPIC_API_BASE": url,
            "ANTHROPIC_API_KEY": "anthropic-key",
        }

    def _answer(self, path: str, body: Mapping[str, Any], status: int) -> tuple[str, bytes]:
        model = body.get("model")
        if status != 200:
            error = {"error": {"type": "stand_in", "message": f"told to say {status}", "code": str(status)}}
            return "application/json", json.dumps({"type": "error", **error}).encode()
        if path.endswith("/messages"):
            message: dict[str, Any] = {"id": "msg_1", "type": "message", "role": "assistant", "model": model}
            message |= {"stop_reason": "end_turn", "stop_sequence": None}
            usage = {"input_tokens": 1, "output_tokens": 1}
            if not body.get("stream"):
                content = [{"type": "text", "text": "anthropic"}]
                return "application/json", json.dumps({**message, "content": content, "usage": usage}).encode()
            message |= {"stop_reason": None, "content": [], "usage": usage}
            spoken: list[dict[str, Any]] = [
                {"type": "message_start", "message": message},
                {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "anthropic"}},
                {"type": "content_block_stop", "index": 0},
                {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
                {"type": "message_stop"},
            ]
            return "text/event-stream", "".join(
                f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in spoken
            ).encode()
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        base = {"id": "chatcmpl-1", "created": 1_700_000_000, "model": model}
        if body.get("stream"):
            chunks = [{"role": "assistant", "content": "open"}, {"content": "ai"}, {}]
            events = [
                {
                    **base,
                    "object": "chat.completion.chunk",
                    "choices": [{"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}],
                }
                for delta in chunks
            ]
            lines = [f"data: {json.dumps(event)}\n\n" for event in events]
            return "text/event-stream", "".join([*lines, "data: [DONE]\n\n"]).encode()
        choice = {"index": 0, "message": {"role": "assistant", "content": "openai"}, "finish_reason": "stop"}
        document = {**base, "object": "chat.completion", "choices": [choice], "usage": usage}
        return "application/json", json.dumps(document).encode()
