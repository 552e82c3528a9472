"""What a whole request costs, beside LiteLLM's own gemini/... on the same loopback server."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import litellm
from rich.table import Table

import litellm_antigravity
from litellm_antigravity.settings import Settings

from .measure import event_loop, in_turns, microseconds, ratio
from .server import MODEL, started

ACCOUNTS = 3
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]


def table(*, rounds: int = 40) -> Table:
    """Measure, and return the table."""
    result = Table(
        "request",
        "gemini/..., µs",
        "antigravity/..., µs",
        "ratio (aim <= 1.0)",
        title=f"a whole request on one loopback server, one at a time; {ACCOUNTS} accounts; medians",
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        started() as base,
        event_loop() as loop,
    ):
        params = providers(base, Path(folder))
        for name, call in (
            ("completion", _sync),
            ("completion, streamed", _sync_stream),
            ("acompletion", lambda params: loop.run_until_complete(_async(params))),
            ("acompletion, streamed", lambda params: loop.run_until_complete(_async_stream(params))),
        ):
            actions = {provider: _bound(call, params[provider]) for provider in params}
            taken = in_turns(actions, rounds=rounds, each=10)
            gemini, ours = taken["gemini"], taken["antigravity"]
            result.add_row(name, microseconds(gemini), microseconds(ours), f"{ratio(ours, gemini):.2f}")
    return result


def providers(base: str, folder: Path) -> dict[str, dict[str, Any]]:
    """Register ours; return what LiteLLM is to be called with for either provider on the server.

    Args:
        base: the server's address.
        folder: for the accounts file and the shared state.
    """
    accounts = folder / "accounts.json"
    entries = [
        {"email": f"user{number}@example.com", "accessToken": "token", "projectId": "project"}
        for number in range(ACCOUNTS)
    ]
    accounts.write_text(json.dumps({"version": 4, "accounts": entries}))
    accounts.chmod(0o600)
    litellm_antigravity.register(
        Settings(
            accounts_file=accounts,
            endpoint=base,
            token_url=f"{base}/token",
            state_dir=folder / "state",
            # A bucket that refills at once, since a benchmark asks faster than any account bears; and the health of an
            # account in use, which has nothing to gain: 30 answers bring it there.
            token_bucket={"regeneration_rate_per_minute": 1e9},
            health_score={"initial": 100},
        )
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
