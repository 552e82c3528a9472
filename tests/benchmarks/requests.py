"""What a whole request costs, beside LiteLLM's own gemini/... on the same loopback server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import litellm
from rich.table import Table

import litellm_antigravity
from litellm_antigravity.settings import Settings

from .measure import in_turns, microseconds

MODEL = "gemini-2.5-flash"
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]


def table(*, rounds: int = 15) -> Table:
    """Measure, and return the table."""
    result = Table(
        "request",
        "gemini/..., µs",
        "antigravity/..., µs",
        "ratio (aim <= 1.0)",
        title="a whole request on one loopback server, one at a time; medians",
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        _server() as port,
        contextlib.closing(asyncio.new_event_loop()) as loop,
    ):
        base = f"http://127.0.0.1:{port}"
        litellm_antigravity.register(_settings(Path(folder), base))
        gemini = {"model": f"gemini/{MODEL}", "api_key": "key", "api_base": f"{base}/v1beta/models/{MODEL}"}
        ours = {"model": f"antigravity/{MODEL}"}
        for name, call in (
            ("completion", _sync),
            ("completion, streamed", _sync_stream),
            ("acompletion", lambda params: loop.run_until_complete(_async(params))),
            ("acompletion, streamed", lambda params: loop.run_until_complete(_async_stream(params))),
        ):
            actions = {"gemini": _bound(call, gemini), "antigravity": _bound(call, ours)}
            taken = in_turns(actions, rounds=rounds, each=20)
            ratio = taken["antigravity"] / taken["gemini"]
            result.add_row(name, microseconds(taken["gemini"]), microseconds(taken["antigravity"]), f"{ratio:.2f}")
    return result


def _bound(call: Callable[[dict[str, Any]], object], params: dict[str, Any]) -> Callable[[], object]:
    return lambda: call(params)


def _sync(params: dict[str, Any]) -> object:
    return litellm.completion(messages=MESSAGES, **params)


def _sync_stream(params: dict[str, Any]) -> object:
    return list(litellm.completion(messages=MESSAGES, stream=True, **params))


async def _async(params: dict[str, Any]) -> object:
    return await litellm.acompletion(messages=MESSAGES, **params)


async def _async_stream(params: dict[str, Any]) -> object:
    return [chunk async for chunk in await litellm.acompletion(messages=MESSAGES, stream=True, **params)]


def _settings(folder: Path, base: str) -> Settings:
    accounts = folder / "accounts.json"
    entry = {"email": "user1@example.com", "accessToken": "token", "projectId": "project"}
    accounts.write_text(json.dumps({"version": 4, "accounts": [entry]}))
    accounts.chmod(0o600)
    return Settings(accounts_file=accounts, endpoint=base, token_url=f"{base}/token", state_dir=folder / "state")


@contextlib.contextmanager
def _server() -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = subprocess.Popen([sys.executable, "-m", "tests.benchmarks.server", str(port)])
    try:
        _wait_for(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    msg = "the benchmark's server did not start"
    raise RuntimeError(msg)
