"""Agents at work through the proxy: long conversations with tools and thinking, from the SDKs that agents use.

Clients keep only what their API's own schema has: ids, texts, and, with Anthropic's, thoughts and their signatures.

LiteLLM's own limits, met here and not mended:

- ``/v1/messages`` makes an effort of the thinking budget of any model but Claude, also of ``gemini/...``; upstream gets
  the level of that effort.
- ``/v1/messages`` replaces the characters of a tool call's id that Anthropic's ids do not have. The package writes ids
  in that alphabet for Claude models, so that call and result agree; Gemini's are within it.
- The items that ``/v1/responses`` streams one by one have thoughts without signatures; only the response at the end has
  both. The package knows the signature by the id of the call.
- ``previous_response_id`` brings back the calls of that response and nothing before them, unless LiteLLM has a
  database. Clients have to send the whole history.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from proxy import Proxy, needs_proxy, pool_environment
from proxy_agents import ACCOUNTS, CLAUDE, CONFIG, GEMINI, QUESTION, Agents, Json, sky

from litellm_antigravity.simulator import Simulator

TURNS = 50
BUDGET = 3000
SCHEMA = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}

pytestmark = needs_proxy


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, _nobodys_home: None) -> Iterator[Agents]:
    folder = tmp_path_factory.mktemp("agents")
    config = folder / "config.yaml"
    config.write_text(CONFIG, "utf-8")
    with (
        Simulator(200) as simulator,
        Proxy(config, folder, pool_environment(simulator, folder), imported=True) as proxy,
    ):
        yield Agents(proxy, simulator, folder)


@pytest.fixture
def agents(running: Agents) -> Agents:
    running.renew()
    return running


def arrived(entry: Any) -> list[list[Json]]:
    """Return the parts that upstream got; Gemini's thoughts, which nobody signs, may be among them or not."""
    contents = entry.body["request"]["contents"]
    assert [content["role"] for content in contents] == ["user", "model"] * (len(contents) // 2) + ["user"]
    claude = entry.model == CLAUDE
    return [[part for part in content["parts"] if claude or not part.get("thought")] for content in contents]


# Clients that go on until the model calls no tool


class OpenAIAgent:
    """Speaks ``/v1/chat/completions``; its history is plain: texts, calls and results."""

    tools: ClassVar = [
        {"type": "function", "function": {"name": "sky", "description": "The sky.", "parameters": SCHEMA}}
    ]

    def __init__(self, agents: Agents, model: str) -> None:
        self._client = agents.openai
        self._model = model
        self.messages: list[Json] = [{"role": "user", "content": QUESTION}]

    def turn(self, *, stream: bool) -> bool:
        """Ask and do what the model wants done; return whether it wanted something."""
        answer = self._client.chat.completions.create(
            model=self._model, messages=self.messages, tools=self.tools, reasoning_effort="medium", stream=stream
        )
        text, calls = self._streamed(answer) if stream else self._whole(answer)
        message: Json = {"role": "assistant", "content": text or None}
        if calls:
            message["tool_calls"] = [
                {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
                for call_id, name, arguments in calls
            ]
        self.messages.append(message)
        for call_id, _, arguments in calls:
            content = json.dumps(sky(json.loads(arguments)))
            self.messages.append({"role": "tool", "tool_call_id": call_id, "content": content})
        return bool(calls)

    def _whole(self, answer: Any) -> tuple[str, list[tuple[str, str, str]]]:
        message = answer.choices[0].message
        assert bool(message.tool_calls) == (answer.choices[0].finish_reason == "tool_calls")
        calls = [(one.id, one.function.name, one.function.arguments) for one in message.tool_calls or ()]
        return message.content or "", calls

    def _streamed(self, answer: Any) -> tuple[str, list[tuple[str, str, str]]]:
        text, reasons = "", []
        calls: dict[int, tuple[str, str, str]] = {}
        for chunk in answer:
            choice = chunk.choices[0]
            text += choice.delta.content or ""
            reasons += [choice.finish_reason] if choice.finish_reason else []
            for one in choice.delta.tool_calls or ():
                call_id, name, arguments = calls.get(one.index, ("", "", ""))
                calls[one.index] = (
                    call_id + (one.id or ""),
                    name + (one.function.name or ""),
                    arguments + (one.function.arguments or ""),
                )
        assert reasons == ["tool_calls" if calls else "stop"]
        return text, [calls[index] for index in sorted(calls)]


class AnthropicAgent:
    """Speaks ``/v1/messages``; its history has what Anthropic's schema has."""

    tools: ClassVar = [{"name": "sky", "description": "The sky.", "input_schema": SCHEMA}]
    fields: ClassVar[dict[str, tuple[str, ...]]] = {
        "thinking": ("type", "thinking", "signature"),
        "text": ("type", "text"),
        "tool_use": ("type", "id", "name", "input"),
    }

    def __init__(self, agents: Agents, model: str) -> None:
        self._client = agents.anthropic
        self._params: Json = {
            "model": model,
            "max_tokens": 9000,
            "tools": self.tools,
            "thinking": {"type": "enabled", "budget_tokens": BUDGET},
        }
        self.messages: list[Json] = [{"role": "user", "content": QUESTION}]

    def turn(self, *, stream: bool) -> bool:
        """Ask and do what the model wants done; return whether it wanted something."""
        if stream:
            with self._client.messages.stream(messages=self.messages, **self._params) as events:
                answer = events.get_final_message()
        else:
            answer = self._client.messages.create(messages=self.messages, **self._params)
        blocks = [{name: getattr(one, name) for name in self.fields[one.type]} for one in answer.content]
        self.messages.append({"role": "assistant", "content": blocks})
        calls = [one for one in blocks if one["type"] == "tool_use"]
        assert answer.stop_reason == ("tool_use" if calls else "end_turn")
        if calls:
            results = [
                {"type": "tool_result", "tool_use_id": one["id"], "content": json.dumps(sky(one["input"]))}
                for one in calls
            ]
            self.messages.append({"role": "user", "content": results})
        return bool(calls)


class ResponsesAgent:
    """Speaks ``/v1/responses``; its history has the items that came, the reasoning among them or not."""

    tools: ClassVar = [{"type": "function", "name": "sky", "description": "The sky.", "parameters": SCHEMA}]

    def __init__(self, agents: Agents, model: str, *, keeps_reasoning: bool) -> None:
        self._client = agents.openai
        self._model = model
        self._keeps = ("message", "function_call", *(("reasoning",) if keeps_reasoning else ()))
        self.messages: list[Any] = [{"role": "user", "content": QUESTION}]
        self.reasoning: list[str] = []

    def turn(self, *, stream: bool) -> bool:
        """Ask and do what the model wants done; return whether it wanted something."""
        answer = self._client.responses.create(
            model=self._model,
            input=self.messages,
            tools=self.tools,
            reasoning={"effort": "medium", "summary": "auto"},
            stream=stream,
        )
        if stream:
            events = list(answer)
            self.reasoning.append("".join(one.delta for one in events if one.type.endswith("summary_text.delta")))
            (completed,) = [one for one in events if one.type == "response.completed"]
            answer = completed.response
        else:
            thoughts = [one for one in answer.output if one.type == "reasoning"]
            self.reasoning.append("".join(part.text for one in thoughts for part in one.content or one.summary))
        output = [one.model_dump(exclude_none=True) for one in answer.output if one.type in self._keeps]
        self.messages += output
        calls = [one for one in output if one["type"] == "function_call"]
        self.messages += [
            {
                "type": "function_call_output",
                "call_id": one["call_id"],
                "output": json.dumps(sky(json.loads(one["arguments"]))),
            }
            for one in calls
        ]
        return bool(calls)


every_model = pytest.mark.parametrize("model", [CLAUDE, GEMINI])
whole_and_streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


# Conversations of many turns


@every_model
@pytest.mark.parametrize("agent_class", [OpenAIAgent, AnthropicAgent])
def test_after_fifty_turns_every_signature_and_id_is_where_it_belongs(
    agents: Agents, model: str, agent_class: Callable[..., Any]
) -> None:
    script = agents.script(model, TURNS)
    agent = agent_class(agents, model)
    for number in range(TURNS + 1):
        if number in (11, 22, 33):
            agents.drain_last()
        before = script.history()
        wants_more = agent.turn(stream=number % 2 == 1)
        assert wants_more == (number < TURNS)
        assert arrived(agents.served()[-1]) == before
        if model == CLAUDE:
            assert agents.served()[-1].body["request"]["generationConfig"]["thinkingConfig"]["thinkingBudget"] >= 1024
    assert len(script.said) == TURNS
    signatures = [part["thoughtSignature"] for said in script.said for part in said if "thoughtSignature" in part]
    last = agents.served()[-1].body["request"]["contents"]
    assert [
        part["thoughtSignature"] for content in last for part in content["parts"] if "thoughtSignature" in part
    ] == (signatures)
    assert len(set(signatures)) == TURNS
    served = [entry.email for entry in agents.served()]
    assert len(set(served)) == ACCOUNTS
    # Each of the three refusals makes the list shorter, in which the cursor may meet the account before once more.
    assert sum(1 for one, other in itertools.pairwise(served) if one != other) >= TURNS - 3
    assert len(agents.simulator.requests(status=429)) == 3


@pytest.mark.parametrize("keeps_reasoning", [True, False], ids=["with reasoning", "without"])
@every_model
@whole_and_streamed
def test_responses_go_on_with_what_the_tool_said(
    agents: Agents, model: str, *, stream: bool, keeps_reasoning: bool
) -> None:
    script = agents.script(model, 3)
    agent = ResponsesAgent(agents, model, keeps_reasoning=keeps_reasoning)
    for number in range(4):
        before = script.history()
        assert agent.turn(stream=stream) == (number < 3)
        assert arrived(agents.served()[-1]) == before
    assert agent.reasoning == [*(said[0]["text"] for said in script.said), ""]
    for entry in agents.served():
        assert entry.body["request"]["generationConfig"]["thinkingConfig"]["includeThoughts"] is True
        (tool,) = entry.body["request"]["tools"]
        assert tool["functionDeclarations"][0]["name"] == "sky"


# Thinking by ``/v1/messages``


def messages(agents: Agents, model: str, *, stream: bool, **params: Any) -> Any:
    """Return a message of ``/v1/messages``."""
    params = {"model": model, "max_tokens": 9000, "messages": [{"role": "user", "content": QUESTION}], **params}
    with agents.anthropic as client:
        if not stream:
            return client.messages.create(**params)
        with client.messages.stream(**params) as events:
            return events.get_final_message()


def config(agents: Agents) -> Json:
    (entry,) = agents.served()
    return dict(entry.body["request"].get("generationConfig", {}))


@whole_and_streamed
def test_the_budget_of_messages_arrives_upstream_and_the_thought_comes_back(agents: Agents, *, stream: bool) -> None:
    script = agents.script(CLAUDE, 1)
    thinking = {"type": "enabled", "budget_tokens": BUDGET}
    answer = messages(agents, CLAUDE, stream=stream, thinking=thinking, tools=AnthropicAgent.tools)
    assert config(agents) == {
        "maxOutputTokens": 9000,
        "thinkingConfig": {"includeThoughts": True, "thinkingBudget": BUDGET},
    }
    thought, text, *calls = script.said[0]
    blocks = [
        one.model_dump(include={"type", "thinking", "signature", "text", "id", "input"}) for one in answer.content
    ]
    assert blocks == [
        {"type": "thinking", "thinking": thought["text"], "signature": thought["thoughtSignature"]},
        {"type": "text", "text": text["text"]},
        *({"type": "tool_use", "id": one["functionCall"]["id"], "input": one["functionCall"]["args"]} for one in calls),
    ]
    assert answer.stop_reason == "tool_use"
    assert answer.usage.input_tokens > 0
    assert answer.usage.output_tokens > 0


@whole_and_streamed
def test_gemini_thinks_for_messages_too(agents: Agents, *, stream: bool) -> None:
    script = agents.script(GEMINI, 1)
    thinking = {"type": "enabled", "budget_tokens": BUDGET}
    answer = messages(agents, GEMINI, stream=stream, thinking=thinking, tools=AnthropicAgent.tools)
    assert config(agents)["thinkingConfig"]["includeThoughts"] is True
    assert answer.content[0].type == "thinking"
    assert answer.content[0].thinking == script.said[0][0]["text"]
    assert [one.id for one in answer.content if one.type == "tool_use"] == [
        part["functionCall"]["id"] for part in script.said[0] if "functionCall" in part
    ]


@whole_and_streamed
@pytest.mark.parametrize(
    ("thinking", "budget"), [({"type": "disabled"}, None), ({"type": "adaptive"}, 8192)], ids=["disabled", "adaptive"]
)
def test_other_kinds_of_thinking_for_messages(
    agents: Agents, thinking: Json, budget: int | None, *, stream: bool
) -> None:
    answer = messages(agents, CLAUDE, stream=stream, thinking=thinking)
    assert answer.content[0].type == "text"
    assert config(agents).get("thinkingConfig", {}).get("thinkingBudget") == budget


@whole_and_streamed
def test_a_history_that_messages_has_lost_the_thoughts_of_is_answered(agents: Agents, *, stream: bool) -> None:
    call = {"type": "tool_use", "id": "toolu_unknown", "name": "sky", "input": {"place": "Oslo"}}
    result = {"type": "tool_result", "tool_use_id": "toolu_unknown", "content": "grey"}
    history = [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result]},
    ]
    thinking = {"type": "enabled", "budget_tokens": BUDGET}
    answer = messages(agents, CLAUDE, stream=stream, messages=history, thinking=thinking, tools=AnthropicAgent.tools)
    assert answer.content[0].text.startswith("Served by")
    assert config(agents) == {"maxOutputTokens": 9000}
