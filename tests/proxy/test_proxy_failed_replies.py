"""Replies that failed, through LiteLLM's proxy: what the clients of its three endpoints see."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from proxy import Proxy, needs_proxy, pool_environment

from litellm_antigravity.simulator import Simulator

pytestmark = [*needs_proxy, pytest.mark.once]

CLAUDE, GEMINI = "claude-sonnet-4-6", "gemini-3-flash"
CONFIG = """
model_list:
  - model_name: claude-sonnet-4-6
    litellm_params: {model: antigravity/claude-sonnet-4-6}
  - model_name: gemini-3-flash
    litellm_params: {model: antigravity/gemini-3-flash}
litellm_settings:
  custom_provider_map:
    - {provider: antigravity, custom_handler: litellm_antigravity.handler}
  callbacks: [litellm_antigravity.hook]
"""
SCHEMA: Any = {"type": "object", "properties": {"city": {"type": "string"}}}
ARGUMENTS: Any = {"city": "Oslo, by the fjord", "days": [1, 2], "exact": True}
OPENAI_TOOL = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
BODIES: dict[str, Any] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Hello"}], "tools": [OPENAI_TOOL]},
    "/v1/messages": {
        "messages": [{"role": "user", "content": "Hello"}],
        "max_tokens": 1000,
        "tools": [{"name": "weather", "input_schema": SCHEMA}],
    },
    "/v1/responses": {"input": "Hello", "tools": [{"type": "function", "name": "weather", "parameters": SCHEMA}]},
}
every_path = pytest.mark.parametrize("path", BODIES)
both_ways = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


class Running:
    """A proxy and the simulator behind it."""

    def __init__(self, proxy: Proxy, simulator: Simulator) -> None:
        self.proxy, self.simulator = proxy, simulator

    def ask(self, path: str, *, stream: bool, model: str = GEMINI) -> tuple[int, str]:
        answer = self.proxy.post(path, {"model": model, "stream": stream, **BODIES[path]})
        return answer.status_code, answer.text

    def asked(self) -> list[str]:
        return [entry.kind for entry in self.simulator.log if entry.model is not None]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, _nobodys_home: None) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("failed")
    config = folder / "config.yaml"
    config.write_text(CONFIG, "utf-8")
    with (
        Simulator(2) as simulator,
        Proxy(config, folder, pool_environment(simulator, folder), imported=True) as proxy,
    ):
        yield Running(proxy, simulator)


@pytest.fixture
def running(server: Running) -> Running:
    server.simulator.heal()
    server.simulator.reply_with(None)
    server.simulator.clear_log()
    return server


@every_path
@both_ways
@pytest.mark.parametrize("kind", ["malformed-function-call", "empty-stop", "error-as-text"])
def test_a_reply_that_failed_is_asked_for_once_more(running: Running, path: str, kind: Any, *, stream: bool) -> None:
    """Before, the client got 200 and nothing, or upstream's error as the model's words."""
    running.simulator.refuse(kind, times=1)
    status, text = running.ask(path, stream=stream)
    assert status == 200
    assert "Served" in text
    assert running.asked() == [kind, "served"]


@every_path
@both_ways
def test_a_reply_that_fails_twice_is_an_error(running: Running, path: str, *, stream: bool) -> None:
    """Before, it was 200, empty and finished."""
    running.simulator.refuse("malformed-function-call")
    status, text = running.ask(path, stream=stream)
    assert status == 500
    assert "MALFORMED_FUNCTION_CALL" in text
    assert running.asked() == ["malformed-function-call"] * 2


@both_ways
def test_a_reply_that_fails_after_words_is_no_finished_one(running: Running, *, stream: bool) -> None:
    """Before, it was finished for each of them."""
    unfinished = {
        "/v1/chat/completions": '"finish_reason":"length"',
        "/v1/messages": '"stop_reason":"max_tokens"',
        "/v1/responses": '"status":"incomplete"',
    }
    running.simulator.refuse("malformed-function-call", after_words=True)
    for path, expected in unfinished.items():
        status, text = running.ask(path, stream=stream)
        assert status == 200
        assert "Let me" in text
        assert expected in text.replace('": ', '":')


@every_path
@pytest.mark.parametrize("model", [CLAUDE, GEMINI])
def test_a_call_in_pieces_arrives_whole(running: Running, path: str, model: str) -> None:
    """Before, its arguments were ``{}``, and ``{}{}{}{}`` on ``/v1/messages``."""
    running.simulator.reply_with([{"functionCall": {"name": "weather", "args": ARGUMENTS}}])
    running.simulator.refuse("partial-args")
    _, text = running.ask(path, stream=True, model=model)
    events = [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: {")]
    assert json.loads("".join(_arguments(path, event) for event in events)) == ARGUMENTS


def _arguments(path: str, event: Any) -> str:
    if path == "/v1/messages":
        return str(event.get("delta", {}).get("partial_json", ""))
    if path == "/v1/responses":
        return str(event["delta"]) if event["type"] == "response.function_call_arguments.delta" else ""
    calls = [call for choice in event["choices"] for call in choice["delta"].get("tool_calls") or ()]
    return "".join(call["function"]["arguments"] or "" for call in calls)
