"""What a whole request costs, beside LiteLLM's own gemini/... on the same loopback server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import litellm
from rich.table import Table

import litellm_antigravity
from litellm_antigravity.settings import Settings

from .measure import in_turns, microseconds
from .server import MODEL, started

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
        started() as base,
        contextlib.closing(asyncio.new_event_loop()) as loop,
    ):
        params = providers(base, Path(folder))
        for name, call in (
            ("completion", _sync),
            ("completion, streamed", _sync_stream),
            ("acompletion", lambda params: loop.run_until_complete(_async(params))),
            ("acompletion, streamed", lambda params: loop.run_until_complete(_async_stream(params))),
        ):
            actions = {provider: _bound(call, params[provider]) for provider in params}
            taken = in_turns(actions, rounds=rounds, each=20)
            ratio = taken["antigravity"] / taken["gemini"]
            result.add_row(name, microseconds(taken["gemini"]), microseconds(taken["antigravity"]), f"{ratio:.2f}")
    return result


def providers(base: str, folder: Path) -> dict[str, dict[str, Any]]:
    """Register ours; return what LiteLLM is to be called with for either provider on the server.

    Args:
        base: the server's address.
        folder: for the accounts file and the shared state.
    """
    accounts = folder / "accounts.json"
    entry = {"email": "user1@example.com", "accessToken": "token", "projectId": "project"}
    accounts.write_text(json.dumps({"version": 4, "accounts": [entry]}))
    accounts.chmod(0o600)
    litellm_antigravity.register(
        Settings(accounts_file=accounts, endpoint=base, token_url=f"{base}/token", state_dir=folder / "state")
    )
    return {
        "gemini": {"model": f"gemini/{MODEL}", "api_key": "key", "api_base": f"{base}/v1beta/models/{MODEL}"},
        "antigravity": {"model": f"antigravity/{MODEL}"},
    }


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
