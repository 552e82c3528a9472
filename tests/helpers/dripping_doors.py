"""An account that needs nobody but a server, and LiteLLM's doors to it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import litellm
import pytest
from serving import MESSAGES, MODEL

import litellm_antigravity
from litellm_antigravity import Settings


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def register(folder: Path, url: str, *accounts: dict[str, Any], **more: Any) -> None:
    file = folder / "accounts.json"
    file.write_text(json.dumps({"version": 4, "accounts": list(accounts)}))
    settings = {"accounts_file": file, "state_dir": folder / "state", "endpoint": url.removesuffix("/v1")}
    litellm_antigravity.register(Settings(**{**settings, "account_selection_strategy": "sticky", **more}))


READY = {"email": "user1@example.com", "accessToken": "token", "projectId": "project"}


def complete(**params: Any) -> Any:
    reply = litellm.completion(model=MODEL, messages=MESSAGES, **params)
    return list(reply) if params.get("stream") else reply


def acomplete(**params: Any) -> Any:
    async def run() -> Any:
        reply = await litellm.acompletion(model=MODEL, messages=MESSAGES, **params)
        return [chunk async for chunk in reply] if params.get("stream") else reply

    return asyncio.run(run())


both_kinds = pytest.mark.parametrize("door", [complete, acomplete])
