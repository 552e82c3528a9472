"""Other providers' deployments in a pinned group, with a server that only notes what it is sent."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import litellm
import pytest
from routers import EMAILS, GROUP, Door, _callbacks_as_before, async_door, cooldowns, routed, simulator, sync_door

import litellm_antigravity
from litellm_antigravity.simulator import Simulator

__all__ = ["_callbacks_as_before", "simulator"]  # fixtures


# Other providers, with a server that only notes what it is sent


class Plain(BaseHTTPRequestHandler):
    """Answers as OpenAI does, or with a refusal."""

    keys: ClassVar[list[str]] = []
    refusal: ClassVar[tuple[int, dict[str, str]] | None] = None

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.keys.append(self.headers["authorization"])
        status, headers = self.refusal or (200, {})
        message = {"role": "assistant", "content": "Hello"}
        body = {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "message": message}],
        }
        content = json.dumps(body if status == 200 else {"error": {"message": "Slow down"}}).encode()
        self.send_response(status)
        for name, value in {**headers, "content-type": "application/json", "content-length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def plain() -> Iterator[str]:
    Plain.keys, Plain.refusal = [], None
    server = ThreadingHTTPServer(("127.0.0.1", 0), Plain)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def openai(url: str, account: str, **params: Any) -> dict[str, Any]:
    return {
        "model_name": GROUP,
        "litellm_params": {"model": "openai/some-model", "api_base": url, "max_retries": 0, **params},
        "model_info": {"account": account},
    }


@pytest.mark.parametrize("door", [sync_door, async_door])
def test_a_retry_after_header_is_how_long_a_key_is_out(
    door: Door, plain: str, simulator: Simulator, tmp_path: Path
) -> None:
    model_list = [openai(plain, f"key {number}", api_key=f"some-key-{number}") for number in (1, 2)]
    router = routed(model_list, simulator, tmp_path, router={"num_retries": 0})
    Plain.refusal = (429, {"retry-after": "77"})
    with pytest.raises(litellm.RateLimitError):
        door(router)
    Plain.refusal = None
    (left,) = cooldowns().values()
    assert 70 < left <= 77
    litellm_antigravity.handler.routing.forget()
    door(routed(model_list, simulator, tmp_path), 2)
    assert Plain.keys == [f"Bearer some-key-{number}" for number in (1, 2, 2)]


def accounts_with(folder: Path, **entry: Any) -> None:
    document = {"version": 4, "accounts": [{"email": EMAILS[0], **entry}], "activeIndex": 0}
    (folder / "antigravity-accounts.json").write_text(json.dumps(document))
    (folder / "antigravity-accounts.json").chmod(0o600)


@pytest.mark.parametrize(
    "source",
    [
        {"accessToken": "a-token-of-the-account"},
        {"tokenCommand": [sys.executable, "-c", "print('a-token-of-the-account')"]},
    ],
    ids=["accessToken", "tokenCommand"],
)
def test_a_deployment_without_a_key_is_signed_for_its_account(
    source: dict[str, Any], plain: str, simulator: Simulator, tmp_path: Path
) -> None:
    accounts_with(tmp_path, **source)
    async_door(routed([openai(plain, EMAILS[0])], simulator, tmp_path), 2)
    assert Plain.keys == ["Bearer a-token-of-the-account"] * 2


def test_a_deployments_own_key_is_not_replaced(plain: str, simulator: Simulator, tmp_path: Path) -> None:
    accounts_with(tmp_path, accessToken="a-token-of-the-account")
    async_door(routed([openai(plain, EMAILS[0], api_key="its-own-key")], simulator, tmp_path))
    assert Plain.keys == ["Bearer its-own-key"]


def test_a_google_sign_in_is_never_sent_to_another_provider(
    plain: str, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "the-key-of-the-environment")
    async_door(routed([openai(plain, EMAILS[0])], simulator, tmp_path))
    assert Plain.keys == ["Bearer the-key-of-the-environment"]
    assert simulator.token_calls() == 0
