"""What our lines cost in a gateway: other deployments with and without them, and antigravity/... beside gemini/..."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
from proxy import Proxy
from rich.table import Table

from .measure import in_turns, microseconds, ratio
from .requests import MESSAGES
from .server import MODEL, started

ACCOUNTS = (3, 100)


def table(*, rounds: int = 80) -> Table:
    """Measure, and return the table. The keys are ignored by the server, and no account is ever limited."""
    result = Table(
        "request",
        "beside, µs",
        "measured, µs",
        "ratio",
        "aim",
        title="one request at a time through the proxy, one loopback server; medians",
    )
    with tempfile.TemporaryDirectory() as name, started() as base, contextlib.ExitStack() as stack:
        folder = Path(name)
        before = stack.enter_context(gateway(folder / "before", base, None))
        for count in ACCOUNTS:
            with gateway(folder / str(count), base, count) as ours:
                for label, stream in (("", False), (", streamed", True)):
                    actions = {
                        "before": call_to(before, "gemini", stream),
                        "gemini": call_to(ours, "gemini", stream),
                        "antigravity": call_to(ours, "antigravity", stream),
                    }
                    taken = in_turns(actions, rounds=rounds, each=5)
                    for title, beside, measured, aim in (
                        (f"gemini/... without and with our lines, {count} accounts{label}", "before", "gemini", "1.02"),
                        (f"gemini/... and antigravity/..., {count} accounts{label}", "gemini", "antigravity", "1.00"),
                    ):
                        cells = microseconds(taken[beside]), microseconds(taken[measured])
                        result.add_row(title, *cells, f"{ratio(taken[measured], taken[beside]):.3f}", f"<= {aim}")
    return result


@contextlib.contextmanager
def gateway(folder: Path, base: str, accounts: int | None, **settings: Any) -> Iterator[Proxy]:
    """Start a gateway with one deployment of Gemini, and with ours if there are accounts."""
    folder.mkdir()
    params = {"model": f"gemini/{MODEL}", "api_key": "key", "api_base": f"{base}/v1beta"}
    config: dict[str, Any] = {"model_list": [{"model_name": "gemini", "litellm_params": params}]}
    if accounts is not None:
        config["model_list"].append(
            {"model_name": "antigravity", "litellm_params": {"model": f"antigravity/{MODEL}"}},
        )
        provider = {"provider": "antigravity", "custom_handler": "litellm_antigravity.handler"}
        config["litellm_settings"] = {"custom_provider_map": [provider], "callbacks": ["litellm_antigravity.hook"]}
        config["antigravity_settings"] = {
            "endpoint": base,
            "token_url": f"{base}/token",
            "accounts_file": str(folder / "accounts.json"),
            "state_dir": str(folder / "state"),
            # See `requests.providers`.
            "token_bucket": {"regeneration_rate_per_minute": 1e9},
            "health_score": {"initial": 100},
            **settings,
        }
        entries = [
            {"email": f"user{number}@example.com", "accessToken": "token", "projectId": "project"}
            for number in range(accounts)
        ]
        descriptor = os.open(folder / "accounts.json", os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"version": 4, "accounts": entries}, file)
    path = folder / "config.yaml"
    path.write_text(json.dumps(config), "utf-8")  # JSON is YAML
    with Proxy(path, folder, {}) as started:
        yield started


def call_to(proxy: Proxy, model: str, stream: bool) -> Callable[[], object]:
    client = httpx.Client(base_url=proxy.url, headers={"Authorization": f"Bearer {proxy.key}"}, trust_env=False)
    body = {"model": model, "messages": MESSAGES, "stream": stream}

    def call() -> object:
        answer = client.post("/v1/chat/completions", json=body, timeout=60)
        answer.raise_for_status()
        return answer

    return call
