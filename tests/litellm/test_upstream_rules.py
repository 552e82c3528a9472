"""What agents send, through LiteLLM to a simulator that refuses what upstream refuses: none of it fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import litellm
import pytest
from serving import settings_of

import litellm_antigravity
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.simulator.rules import RULES
from litellm_antigravity.simulator.signatures import signature_for

pytestmark = pytest.mark.once

CLAUDE, GEMINI, OPUS = "claude-sonnet-4-6", "gemini-3-flash", "claude-opus-4-6-thinking"
HELLO: Any = {"role": "user", "content": "Hello"}
OBJECT: Any = {"type": "object", "properties": {"city": {"type": "string"}}}
UNION: Any = {"anyOf": [OBJECT, {"type": "object", "properties": {"place": {"type": "string"}}}]}
THINKING: Any = {"type": "enabled", "budget_tokens": 2000}


def tool(name: str = "weather", **function: Any) -> Any:
    return {"type": "function", "function": {"name": name, "parameters": OBJECT, **function}}


def calls(*ids: str, **assistant: Any) -> Any:
    made = [{"id": one, "type": "function", "function": {"name": "weather", "arguments": "{}"}} for one in ids]
    return {"role": "assistant", "content": None, "tool_calls": made, **assistant}


def result(call_id: str = "c1") -> Any:
    return {"role": "tool", "tool_call_id": call_id, "content": "grey"}


def block(signature: str) -> Any:
    return {"type": "thinking", "thinking": "Rain?", "signature": signature}


def signed_call(signature: str) -> Any:
    made = calls("c1")
    made["tool_calls"][0]["provider_specific_fields"] = {"thought_signature": signature}
    return made


SENT: dict[str, tuple[str, str, Any, Any]] = {
    "a union at the root": ("schema-root", CLAUDE, [HELLO], {"tools": [tool(parameters=UNION)]}),
    "a union at Gemini's root": ("schema-root", GEMINI, [HELLO], {"tools": [tool(parameters=UNION)]}),
    "no schema": (
        "claude-input-schema",
        CLAUDE,
        [HELLO],
        {"tools": [{"type": "function", "function": {"name": "weather"}}]},
    ),
    "a tool twice": ("tool-names-unique", CLAUDE, [HELLO], {"tools": [tool(), tool()]}),
    "Gemini's tool twice": ("tool-names-unique", GEMINI, [HELLO], {"tools": [tool(), tool()]}),
    "a name with a dot": ("claude-tool-names", CLAUDE, [HELLO], {"tools": [tool("calendar.respond")]}),
    "a name with a colon": ("claude-tool-names", CLAUDE, [HELLO], {"tools": [tool("github:create_issue")]}),
    "a legacy call": (
        "claude-call-ids",
        CLAUDE,
        [
            HELLO,
            {"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": "{}"}},
            {"role": "function", "name": "weather", "content": "grey"},
        ],
        {"functions": [tool()["function"]]},
    ),
    "one id twice": (
        "claude-call-ids-unique",
        CLAUDE,
        [HELLO, calls("c1"), result(), calls("c1"), result()],
        {"tools": [tool()]},
    ),
    "an interrupted call": ("calls-answered", CLAUDE, [HELLO, calls("c1"), HELLO], {"tools": [tool()]}),
    "one of two answered": ("calls-answered", CLAUDE, [HELLO, calls("c1", "c2"), result()], {"tools": [tool()]}),
    "words before the result": (
        "calls-answered",
        CLAUDE,
        [HELLO, calls("c1"), HELLO, result()],
        {"tools": [tool()]},
    ),
    "Gemini's interrupted call": ("calls-answered", GEMINI, [HELLO, calls("c1"), HELLO], {"tools": [tool()]}),
    "a result without its call": ("results-have-calls", CLAUDE, [HELLO, result()], {"tools": [tool()]}),
    "a result too late": (
        "results-have-calls",
        GEMINI,
        [HELLO, calls("c1"), result(), {"role": "assistant", "content": "Grey."}, result()],
        {"tools": [tool()]},
    ),
    "Gemini's calls first": ("gemini-call-turn", GEMINI, [calls("c1"), result()], {"tools": [tool()]}),
    "the assistant's last word": (
        "claude-last-turn",
        CLAUDE,
        [HELLO, {"role": "assistant", "content": "{"}],
        {},
    ),
    "blank words": ("claude-blank-text", CLAUDE, [{"role": "user", "content": " "}, HELLO], {}),
    "temperature 0 with thinking": (
        "claude-thinking-temperature",
        CLAUDE,
        [HELLO],
        {"thinking": THINKING, "temperature": 0},
    ),
    "temperature 0.2 for a model that thinks by its name": (
        "claude-thinking-temperature",
        OPUS,
        [HELLO],
        {"temperature": 0.2},
    ),
    "top_k with thinking": ("claude-thinking-top-k", CLAUDE, [HELLO], {"thinking": THINKING, "top_k": 40}),
    "top_p with thinking": ("claude-thinking-top-p", CLAUDE, [HELLO], {"thinking": THINKING, "top_p": 0.5}),
    "a forced tool with thinking": (
        "claude-thinking-forced-tool",
        CLAUDE,
        [HELLO],
        {"thinking": THINKING, "tools": [tool()], "tool_choice": "required"},
    ),
    "a limit of 128,000": ("claude-output-limit", CLAUDE, [HELLO], {"max_tokens": 128_000}),
    "a budget of 63,999": (
        "claude-output-limit",
        CLAUDE,
        [HELLO],
        {"thinking": {"type": "enabled", "budget_tokens": 63_999}},
    ),
    "a budget above the limit": (
        "claude-thinking-budget",
        CLAUDE,
        [HELLO],
        {"thinking": {"type": "enabled", "budget_tokens": 500}, "max_tokens": 400},
    ),
    "Gemini's thought": (
        "claude-signatures",
        CLAUDE,
        [HELLO, calls("c1", thinking_blocks=[block(signature_for(GEMINI, "Rain?"))]), result()],
        {"tools": [tool()], "thinking": THINKING},
    ),
    "Claude's thought, cut": (
        "claude-signatures",
        CLAUDE,
        [HELLO, calls("c1", thinking_blocks=[block(signature_for(CLAUDE, "Rain?")[:64])]), result()],
        {"tools": [tool()], "thinking": THINKING},
    ),
    "Gemini's signature on a call for Claude": (
        "claude-signatures",
        CLAUDE,
        [HELLO, signed_call(signature_for(GEMINI)), result()],
        {"tools": [tool()]},
    ),
    "a thought at the end of a message": (
        "claude-last-block",
        CLAUDE,
        [
            HELLO,
            {"role": "assistant", "content": "", "thinking_blocks": [block(signature_for(CLAUDE, "Rain?"))]},
            HELLO,
        ],
        {"thinking": THINKING},
    ),
    "a turn whose thought is lost": (
        "claude-turn-begins-with-thought",
        CLAUDE,
        [HELLO, calls("c1"), result()],
        {"tools": [tool()], "thinking": THINKING},
    ),
    "a thought though none is wanted": (
        "claude-no-thought-when-off",
        CLAUDE,
        [HELLO, calls("c1", thinking_blocks=[block(signature_for(CLAUDE, "Rain?"))]), result()],
        {"tools": [tool()]},
    ),
    "Claude's signature on a call for Gemini": (
        "gemini-signatures",
        GEMINI,
        [HELLO, signed_call(signature_for(CLAUDE)), result()],
        {"tools": [tool()]},
    ),
    "Gemini's signature, cut": (
        "gemini-signatures",
        GEMINI,
        [HELLO, signed_call(signature_for(GEMINI)[:64]), result()],
        {"tools": [tool()]},
    ),
    "Gemini's signature, in another alphabet": (
        "gemini-signatures",
        GEMINI,
        [HELLO, signed_call(signature_for(GEMINI).replace("+", "_").replace("/", "_").replace("=", "_")), result()],
        {"tools": [tool()]},
    ),
    "an unsigned call of Gemini 3": (
        "gemini-3-signed-calls",
        GEMINI,
        [HELLO, calls("c1"), result()],
        {"tools": [tool()]},
    ),
}


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with Simulator(1) as simulator:
        litellm_antigravity.register(settings_of(simulator, tmp_path_factory.mktemp("rules")))
        yield simulator


@pytest.mark.parametrize(
    ("model", "messages", "params"),
    [pytest.param(*sent[1:], id=name) for name, sent in SENT.items()],
)
def test_what_upstream_would_refuse_is_mended(simulator: Simulator, model: str, messages: Any, params: Any) -> None:
    """Before, upstream's refusal came back as a 400 for all but seven of these."""
    reply: Any = litellm.completion(model=f"antigravity/{model}", messages=messages, **params)
    assert reply.choices[0].message.content
    assert simulator.log[-1].kind == "served"


def test_every_rule_has_a_request_that_would_break_it() -> None:
    assert {rule for rule, *_ in SENT.values()} == set(RULES)
