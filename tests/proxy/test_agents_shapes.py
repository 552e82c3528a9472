"""What coding agents send, through the proxy to a simulator that refuses what upstream refuses.

The shapes were recorded from the agents themselves, run against a proxy on loopback: Claude Code 2.1 on
``/v1/messages``, Codex 0.171 on ``/v1/responses``, OpenCode 1.18 and Cline 3.0 on ``/v1/chat/completions``; shortened,
with every parameter, header and kind of block kept. Each session is interrupted in a tool call and goes on: some agents
put something in the place of the result, others leave the call open, and a crash leaves it open in any.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agents_requests import CHAT, CLAUDE_CODE, CLAUDE_CODES_HEADERS, CODEX, EPHEMERAL
from proxy import Proxy, needs_proxy, pool_environment
from proxy_agents import CLAUDE, CONFIG, GEMINI, Agents

from litellm_antigravity.litellm.translation.histories import CANCELLED
from litellm_antigravity.simulator import Simulator

pytestmark = needs_proxy

Json = dict[str, Any]
CALL_ID = "toolu_vrtx_1"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, _nobodys_home: None) -> Iterator[Agents]:
    folder = tmp_path_factory.mktemp("shapes")
    config = folder / "config.yaml"
    config.write_text(CONFIG, "utf-8")
    with (
        Simulator(20) as simulator,
        Proxy(config, folder, pool_environment(simulator, folder), imported=True) as proxy,
    ):
        yield Agents(proxy, simulator, Path(folder))


@pytest.fixture
def agents(running: Agents) -> Agents:
    running.simulator.clear_log()
    running.simulator.reply_with("Done.")
    return running


def upstreams(agents: Agents, path: str, body: Json, **headers: str) -> Json:
    """Send a request; return the one that upstream served, which has to be the only one."""
    response = agents.proxy.post(path, body, **headers)
    assert response.status_code == 200, response.text
    assert '"error":{' not in response.text.replace(" ", "")
    assert [entry.kind for entry in agents.simulator.log if entry.path.lower().endswith("generatecontent")] == [
        "served"
    ]
    (entry,) = agents.served()
    request: Json = entry.body["request"]
    return request


def results(request: Json) -> list[Any]:
    parts = [part for content in request["contents"] for part in content["parts"]]
    return [part["functionResponse"]["response"] for part in parts if "functionResponse" in part]


def said(request: Json) -> str:
    return json.dumps(request["contents"], ensure_ascii=False)


both_models = pytest.mark.parametrize("model", [CLAUDE, GEMINI])
streamed_or_not = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])


def claude_code(model: str, *messages: Json, stream: bool = True) -> Json:
    asked = {"role": "user", "content": [{"type": "text", "text": "<system-reminder>Skills</system-reminder>"}]}
    asked["content"] = [*asked["content"], {"type": "text", "text": "Run it.", **EPHEMERAL}]
    return {**copy.deepcopy(CLAUDE_CODE), "model": model, "messages": [asked, *messages], "stream": stream}


USED = {"type": "tool_use", "id": CALL_ID, "name": "Bash", "input": {"command": "sleep 40; echo hi"}}
INSTEAD: Json = {"role": "user", "content": [{"type": "text", "text": "do this instead", **EPHEMERAL}]}


@both_models
@streamed_or_not
def test_claude_code_begins(agents: Agents, model: str, *, stream: bool) -> None:
    """Before, Claude got a union at the root of a schema: 400."""
    request = upstreams(agents, "/v1/messages", claude_code(model, stream=stream), **CLAUDE_CODES_HEADERS)
    declared = request["tools"][0]["functionDeclarations"]
    assert [one["name"] for one in declared] == ["Bash", "mcp__github__create_issue"]
    assert all("anyOf" not in one["parameters"] for one in declared)
    config = request["generationConfig"]
    assert config["maxOutputTokens"] == 32_000
    if model == CLAUDE:
        assert config["thinkingConfig"] == {"includeThoughts": True, "thinkingBudget": 8192}


CLAUDE_CODES_ENDS: dict[str, tuple[list[Json], Any]] = {
    "an open call": ([{"role": "assistant", "content": [USED]}, INSTEAD], {"content": CANCELLED}),
    "an open call after words": (
        [{"role": "assistant", "content": [{"type": "text", "text": "I run it."}, USED]}, INSTEAD],
        {"content": CANCELLED},
    ),
    "the user's interruption": (
        [
            {"role": "assistant", "content": [USED]},
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": CALL_ID,
                        "is_error": True,
                        "content": "The user doesn't want to proceed with this tool use.",
                    },
                    {"type": "text", "text": "[Request interrupted by user for tool use]"},
                    {"type": "text", "text": "do this instead"},
                ],
            },
        ],
        {"content": "The user doesn't want to proceed with this tool use."},
    ),
    "a search for tools": (
        [
            {"role": "assistant", "content": [{**USED, "name": "ToolSearch", "input": {"query": "deploy"}}]},
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": CALL_ID,
                        "content": [{"type": "tool_reference", "tool_name": "deploy_site"}],
                    },
                    INSTEAD["content"][0],
                ],
            },
        ],
        {"type": "tool_reference", "tool_name": "deploy_site"},
    ),
}


@both_models
@streamed_or_not
@pytest.mark.parametrize(("messages", "expected"), CLAUDE_CODES_ENDS.values(), ids=CLAUDE_CODES_ENDS)
def test_claude_code_goes_on_after_an_interruption(
    agents: Agents, model: str, messages: list[Json], expected: Json, *, stream: bool
) -> None:
    """Before, an open call was a 400, and a reference to a tool arrived as an empty result."""
    request = upstreams(agents, "/v1/messages", claude_code(model, *messages, stream=stream), **CLAUDE_CODES_HEADERS)
    assert results(request) == [expected]
    assert "do this instead" in said(request)


@both_models
def test_claude_code_after_a_compaction(agents: Agents, model: str) -> None:
    """Before, the result whose call is gone was a 400."""
    result = {"type": "tool_result", "tool_use_id": "toolu_gone", "content": "from long ago"}
    request = upstreams(
        agents, "/v1/messages", claude_code(model, {"role": "user", "content": [result, *INSTEAD["content"]]})
    )
    assert results(request) == []
    assert "from long ago" in said(request)


def codex(model: str, *items: Json, stream: bool = True) -> Json:
    begin = [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "<permissions>all"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "<environment_context>"}]},
        {"type": "message", "id": "msg_1", "role": "user", "content": [{"type": "input_text", "text": "Run it."}]},
    ]
    return {**copy.deepcopy(CODEX), "model": model, "input": [*begin, *items], "stream": stream}


CALLED = {
    "type": "function_call",
    "status": "completed",
    "id": f"fc_{CALL_ID}",
    "name": "exec_command",
    "arguments": '{"cmd": "sleep 40; echo hi"}',
    "call_id": CALL_ID,
}
CODEX_INSTEAD: Json = {
    "type": "message",
    "id": "msg_2",
    "role": "user",
    "content": [{"type": "input_text", "text": "do this instead"}],
}
CODEX_ENDS: dict[str, tuple[list[Json], list[Any]]] = {
    "begins": ([], []),
    "an answered call": (
        [
            CALLED,
            {"type": "function_call_output", "id": "fco_1", "call_id": CALL_ID, "output": "Output:\nhi"},
            CODEX_INSTEAD,
        ],
        [{"content": "Output:\nhi"}],
    ),
    "an aborted call": (
        [CALLED, {"type": "function_call_output", "call_id": CALL_ID, "output": "aborted"}, CODEX_INSTEAD],
        [{"content": "aborted"}],
    ),
    "an open call": ([CALLED, CODEX_INSTEAD], [{"content": CANCELLED}]),
    "one of two answered": (
        [
            CALLED,
            {**CALLED, "id": "fc_2", "call_id": "toolu_vrtx_2"},
            {"type": "function_call_output", "call_id": "toolu_vrtx_2", "output": "hi"},
            CODEX_INSTEAD,
        ],
        [{"content": "hi"}, {"content": CANCELLED}],
    ),
}


@both_models
@streamed_or_not
@pytest.mark.parametrize(("items", "expected"), CODEX_ENDS.values(), ids=CODEX_ENDS)
def test_codex_goes_on(agents: Agents, model: str, items: list[Json], expected: list[Any], *, stream: bool) -> None:
    """Before, each of its requests was a 400, for ``prompt_cache_key`` and ``store``."""
    request = upstreams(agents, "/v1/responses", codex(model, *items, stream=stream), originator="codex_exec")
    assert results(request) == expected
    assert not items or "do this instead" in said(request)


def chat(model: str, *messages: Json, stream: bool = True, **more: Any) -> Json:
    begin = [
        {"role": "system", "content": "You are a coding agent.", **EPHEMERAL},
        {"role": "user", "content": "Run it.", **EPHEMERAL},
    ]
    body = {**copy.deepcopy(CHAT), **more, "model": model, "messages": [*begin, *messages], "stream": stream}
    if not stream:
        body.pop("stream_options")
    return body


def call_of(call_id: str, name: str = "bash") -> Json:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": '{"command": "sleep 40"}'}}


CHAT_INSTEAD: Json = {"role": "user", "content": [{"type": "text", "text": "do this instead"}]}
CHAT_ENDS: dict[str, tuple[list[Json], list[Any]]] = {
    "begins": ([], []),
    "an open call": (
        [{"role": "assistant", "content": "", "tool_calls": [call_of(CALL_ID)]}, CHAT_INSTEAD],
        [{"content": CANCELLED}],
    ),
    "one of two answered": (
        [
            {"role": "assistant", "content": "", "tool_calls": [call_of("a"), call_of("b")]},
            {"role": "tool", "tool_call_id": "b", "content": "hi"},
            CHAT_INSTEAD,
        ],
        [{"content": "hi"}, {"content": CANCELLED}],
    ),
    "words before the result": (
        [
            {"role": "assistant", "content": None, "tool_calls": [call_of("a")]},
            CHAT_INSTEAD,
            {"role": "tool", "tool_call_id": "a", "content": "[Tool execution was interrupted]"},
        ],
        [{"content": "[Tool execution was interrupted]"}],
    ),
    "functions of old": (
        [{"role": "assistant", "content": None, "function_call": {"name": "bash", "arguments": "{}"}}, CHAT_INSTEAD],
        [{"content": CANCELLED}],
    ),
}
SENDERS: dict[str, Json] = {  # what the three have beside what is common to them; OpenCode's spelling is its own
    "OpenCode": {"promptCacheKey": "ses_de75510c1ffeFlejrVD7pLgJug", "reasoning_effort": "low", "max_tokens": 32_000},
    "Cline": {"temperature": 0, "reasoning_effort": "medium", "max_tokens": 8192},
    "Droid": {"prompt_cache_key": "f7", "safety_identifier": "u1", "store": False, "verbosity": "medium"},
}


@both_models
@pytest.mark.parametrize("more", SENDERS.values(), ids=SENDERS)
@pytest.mark.parametrize(("messages", "expected"), CHAT_ENDS.values(), ids=CHAT_ENDS)
def test_agents_of_chat_completions_go_on(
    agents: Agents, model: str, more: Json, messages: list[Json], expected: list[Any]
) -> None:
    """Before, 400s: for the hints, for a tool without a schema, for the temperature, and for open calls."""
    request = upstreams(agents, "/v1/chat/completions", chat(model, *messages, stream="store" not in more, **more))
    assert results(request) == expected
    assert not messages or "do this instead" in said(request)
