"""The simulator's rules: each refuses what upstream refuses, in upstream's words, and lets pass what is right."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from simulator_client import CLAUDE, GEMINI, Client
from support import ROOT
from upstream_rules import BrokenRuleError, by_turns, check_rules, given

from litellm_antigravity.simulator import Simulator
from litellm_antigravity.simulator.rules import RULES
from litellm_antigravity.simulator.rules.rule import table
from litellm_antigravity.simulator.signatures import GivenSignatures, signature_for, signed

pytestmark = pytest.mark.once

OPUS, GPT_OSS, OLDER = "claude-opus-4-6-thinking", "gpt-oss-120b-medium", "claude-sonnet-4-5"
ASK = [{"text": "Hello"}]
SAID = [{"text": "Grey."}]
CALL: Any = {"functionCall": {"id": "toolu_1", "name": "weather", "args": {}}}
OTHER: Any = {"functionCall": {"id": "toolu_2", "name": "weather", "args": {}}}
SIGNED: Any = {**CALL, "thoughtSignature": signature_for(GEMINI)}
RESULT: Any = {"functionResponse": {"id": "toolu_1", "name": "weather", "response": {"is": "grey"}}}
OTHER_RESULT: Any = {"functionResponse": {"id": "toolu_2", "name": "weather", "response": {"is": "grey"}}}
THOUGHT: Any = {"thought": True, "text": "Rain?", "thoughtSignature": signature_for(CLAUDE, "Rain?")}
ON: Any = {"thinkingConfig": {"includeThoughts": True, "thinkingBudget": 2000}}
OBJECT: Any = {"type": "object", "properties": {"city": {"type": "string"}}}
UNION: Any = {"anyOf": [{"required": ["city"]}]}


def tools(*declarations: Any) -> Any:
    return {"tools": [{"functionDeclarations": list(declarations)}]}


def tool(schema: Any = OBJECT, name: str = "weather") -> Any:
    return {"name": name, "parameters": schema}


def config(**fields: Any) -> Any:
    return by_turns(ASK, generationConfig=fields)


def thinking(**fields: Any) -> Any:
    return config(**{**ON, **fields})


def call_with(signature: str) -> Any:
    return {**CALL, "thoughtSignature": signature}


def urlsafe(signature: str) -> str:
    return base64.urlsafe_b64encode(base64.b64decode(signature)).decode()


GOOGLES, CLAUDES = signature_for(GEMINI), signature_for(CLAUDE)
FORCED = {"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}

BROKEN: list[tuple[str, str, Any, str]] = [
    (
        "schema-root",
        CLAUDE,
        by_turns(ASK, **tools(tool({**OBJECT, **UNION}))),
        "tools.0.custom.input_schema: input_sch",
    ),
    ("schema-root", CLAUDE, by_turns(ASK, **tools(tool(UNION))), "does not support oneOf, allOf, or anyOf"),
    (
        "schema-root",
        CLAUDE,
        by_turns(ASK, **tools(tool(), tool({"type": "string"}, "b"))),
        "tools.1.custom.input_schema.t",
    ),
    ("schema-root", CLAUDE, by_turns(ASK, **tools(tool({"properties": {}}))), "input_schema.type: Field required"),
    ("schema-root", GEMINI, by_turns(ASK, **tools(tool(UNION))), "`parameters` schema should be of type OBJECT"),
    ("schema-root", GEMINI, by_turns(ASK, **tools(tool({**OBJECT, "oneOf": [{}]}))), "it must be the only field set"),
    ("schema-root", GPT_OSS, by_turns(ASK, **tools(tool({"type": "array"}))), "should be of type OBJECT"),
    ("claude-input-schema", CLAUDE, by_turns(ASK, **tools({"name": "weather"})), "input_schema: Field required"),
    ("tool-names-unique", CLAUDE, by_turns(ASK, **tools(tool(), tool())), "tools: Tool names must be unique."),
    (
        "tool-names-unique",
        GEMINI,
        by_turns(ASK, **tools(tool(), tool())),
        "Duplicate function declaration found: weather",
    ),
    ("claude-tool-names", CLAUDE, by_turns(ASK, **tools(tool(name="a.b"))), "tools.0.custom.name: String should match"),
    ("claude-tool-names", CLAUDE, by_turns(ASK, **tools(tool(name="a:b"))), "'^[a-zA-Z0-9_-]{1,64}$'"),
    ("claude-tool-names", CLAUDE, by_turns(ASK, **tools(tool(name="a" * 65))), "String should match pattern"),
    (
        "claude-tool-names",
        CLAUDE,
        by_turns(ASK, [{"functionCall": {"id": "a", "name": "a.b"}}], ASK),
        "messages.1.content.0.tool_use.name",
    ),
    ("claude-call-ids", CLAUDE, by_turns(ASK, [{"functionCall": {"name": "a"}}], ASK), "tool_use.id: Field required"),
    (
        "claude-call-ids",
        CLAUDE,
        by_turns(ASK, [{"functionCall": {"name": "a", "id": "a+b"}}], ASK),
        "tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'",
    ),
    ("claude-call-ids-unique", CLAUDE, by_turns(ASK, [CALL], [RESULT], [CALL], [RESULT]), "ids must be unique"),
    (
        "calls-answered",
        CLAUDE,
        by_turns(ASK, [CALL], ASK),
        "messages.1: `tool_use` ids were found without `tool_result`",
    ),
    ("calls-answered", CLAUDE, by_turns(ASK, [CALL, OTHER], [RESULT]), "immediately after: toolu_2. Each `tool_use`"),
    ("calls-answered", CLAUDE, by_turns(ASK, [CALL], [*ASK, RESULT]), "immediately after: toolu_1"),
    ("calls-answered", CLAUDE, by_turns(ASK, [CALL]), "immediately after: toolu_1"),
    (
        "calls-answered",
        GEMINI,
        by_turns(ASK, [SIGNED], ASK),
        "Please ensure that the number of function response parts",
    ),
    ("calls-answered", GEMINI, by_turns(ASK, [SIGNED, OTHER], [RESULT]), "equal to the number of function call parts"),
    ("calls-answered", GEMINI, by_turns(ASK, [SIGNED], [*ASK, RESULT]), "of the function call turn."),
    ("calls-answered", GPT_OSS, by_turns(ASK, [CALL], ASK), "the number of function response parts"),
    (
        "results-have-calls",
        CLAUDE,
        by_turns(ASK, SAID, [RESULT]),
        "messages.2.content.0: unexpected `tool_use_id` found",
    ),
    ("results-have-calls", CLAUDE, by_turns(ASK, [CALL], [RESULT, OTHER_RESULT]), "tool_result` blocks: toolu_2. Each"),
    ("results-have-calls", CLAUDE, by_turns([RESULT]), "unexpected `tool_use_id`"),
    ("results-have-calls", CLAUDE, by_turns(ASK, [*SAID, RESULT], ASK), "can only be in `user` messages"),
    ("results-have-calls", GEMINI, by_turns(ASK, SAID, [RESULT]), "function response turn comes immediately after"),
    (
        "gemini-call-turn",
        GEMINI,
        {
            "contents": [
                *by_turns(ASK, SAID)["contents"],
                {"role": "model", "parts": [SIGNED]},
                {"role": "user", "parts": [RESULT]},
            ]
        },
        "Please ensure that function call turn comes immediately after a user turn or after a function response turn.",
    ),
    (
        "claude-last-turn",
        CLAUDE,
        by_turns(ASK, [{"text": "{"}]),
        "does not support assistant message prefill. The conv",
    ),
    ("claude-last-turn", OPUS, by_turns(ASK, SAID), "The conversation must end with a user message."),
    (
        "claude-blank-text",
        CLAUDE,
        by_turns([{"text": " "}]),
        "messages: text content blocks must contain non-whitespace",
    ),
    ("claude-blank-text", CLAUDE, by_turns([{"text": ""}]), "messages.0.content.0.text.text: Field required"),
    (
        "claude-thinking-temperature",
        CLAUDE,
        thinking(temperature=0),
        "`temperature` may only be set to 1 when thinking",
    ),
    ("claude-thinking-temperature", OPUS, config(temperature=0.2), "`temperature` may only be set to 1"),
    ("claude-thinking-top-k", CLAUDE, thinking(topK=40), "`top_k` must be unset when thinking is enabled"),
    ("claude-thinking-top-k", OPUS, config(topK=40), "`top_k` must be unset when thinking is enabled"),
    ("claude-thinking-top-p", CLAUDE, thinking(topP=0.5), "`top_p` must be greater than or equal to 0.95"),
    ("claude-thinking-forced-tool", CLAUDE, thinking() | FORCED, "Thinking may not be enabled when tool_choice forces"),
    (
        "claude-output-limit",
        CLAUDE,
        config(maxOutputTokens=128_000),
        "max_tokens: 128000 > 64000, which is the maximum allowed number of output tokens for claude-sonnet-4-6",
    ),
    (
        "claude-thinking-budget",
        CLAUDE,
        config(thinkingConfig={"includeThoughts": True, "thinkingBudget": 1000}),
        "greater than or equal to 1024",
    ),
    (
        "claude-thinking-budget",
        CLAUDE,
        thinking(maxOutputTokens=2000),
        "`max_tokens` must be greater than `thinking.bu",
    ),
    (
        "claude-signatures",
        CLAUDE,
        by_turns(ASK, [{**THOUGHT, "thoughtSignature": GOOGLES}, *SAID], ASK),
        "messages.1.content.0: Invalid `signature` in `thinking` block",
    ),
    ("claude-signatures", CLAUDE, by_turns(ASK, [{**THOUGHT, "text": "Snow?"}, *SAID], ASK), "Invalid `signature`"),
    (
        "claude-signatures",
        CLAUDE,
        by_turns(ASK, [{**THOUGHT, "thoughtSignature": THOUGHT["thoughtSignature"][:64]}, *SAID], ASK),
        "Invalid `signature`",
    ),
    (
        "claude-signatures",
        CLAUDE,
        by_turns(ASK, [{**THOUGHT, "thoughtSignature": "skip_thought_signature_validator"}, *SAID], ASK),
        "Invalid `signature`",
    ),
    (
        "claude-signatures",
        CLAUDE,
        by_turns(ASK, [{"thought": True, "text": "a"}, *SAID], ASK),
        "thinking.signature: Fie",
    ),
    ("claude-signatures", CLAUDE, by_turns(ASK, [call_with(GOOGLES)], [RESULT]), "Thought signature is not valid."),
    ("claude-signatures", CLAUDE, by_turns(ASK, [{"text": "a", "thoughtSignature": GOOGLES}], ASK), "is not valid."),
    ("claude-last-block", CLAUDE, by_turns(ASK, [THOUGHT], ASK), "The final block in an assistant message cannot be"),
    (
        "claude-turn-begins-with-thought",
        CLAUDE,
        by_turns(ASK, [CALL], [RESULT], generationConfig=ON),
        "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`.",
    ),
    ("claude-no-thought-when-off", CLAUDE, by_turns(ASK, [THOUGHT, CALL], [RESULT]), "When thinking is disabled, an"),
    ("gemini-signatures", GEMINI, by_turns(ASK, [call_with(CLAUDES)], [RESULT]), "Corrupted thought signature."),
    ("gemini-signatures", GEMINI, by_turns(ASK, [call_with(GOOGLES[:64])], [RESULT]), "Corrupted thought signature."),
    ("gemini-signatures", GEMINI, by_turns(ASK, [call_with(GOOGLES[:-4])], [RESULT]), "Corrupted thought signature."),
    (
        "gemini-signatures",
        GEMINI,
        by_turns(ASK, [call_with(urlsafe(GOOGLES))], [RESULT]),
        "Corrupted thought signature.",
    ),
    (
        "gemini-signatures",
        GEMINI,
        by_turns(ASK, [{"text": "a", "thoughtSignature": CLAUDES}], ASK),
        "Corrupted thought",
    ),
    ("gemini-signatures", GEMINI, by_turns(ASK, [THOUGHT, *SAID], ASK), "Corrupted thought signature."),
    (
        "gemini-3-signed-calls",
        GEMINI,
        by_turns(ASK, [CALL], [RESULT]),
        "Additional data, function call `default_api:weather` , position 2. Please refer to",
    ),
    (
        "gemini-3-signed-calls",
        GEMINI,
        by_turns(ASK, [CALL], [RESULT], [SIGNED], [RESULT]),
        "Function call is missing a thought_signature in functionCall parts.",
    ),
]

ACCEPTED: dict[str, tuple[str, Any]] = {
    "a tool": (CLAUDE, by_turns(ASK, **tools(tool()))),
    "a tool in Google's spelling": (CLAUDE, by_turns(ASK, **tools(tool({"type": "OBJECT"})))),
    "a union below the root": (CLAUDE, by_turns(ASK, **tools(tool({"type": "object", "properties": {"a": UNION}})))),
    "a Gemini tool without a schema": (GEMINI, by_turns(ASK, **tools({"name": "weather"}))),
    "Gemini's names": (GEMINI, by_turns(ASK, **tools(tool(name="a.b:c")))),
    "a name of 64 characters": (CLAUDE, by_turns(ASK, **tools(tool(name="a" * 64)))),
    "calls answered in any order": (CLAUDE, by_turns(ASK, [CALL, OTHER], [OTHER_RESULT, RESULT])),
    "words after the results": (CLAUDE, by_turns(ASK, [CALL], [RESULT, *ASK])),
    "words after Gemini's results": (GEMINI, by_turns(ASK, [SIGNED], [RESULT, *ASK])),
    "words before the call": (CLAUDE, by_turns(ASK, [*SAID, CALL], [RESULT])),
    "Gemini's calls without ids": (
        GEMINI,
        by_turns(
            ASK,
            [{"functionCall": {"name": "a"}, "thoughtSignature": GOOGLES}, {"functionCall": {"name": "a"}}],
            [{"functionResponse": {"name": "a", "response": {}}}] * 2,
        ),
    ),
    "results in messages of their own": (
        GEMINI,
        {
            "contents": [
                *by_turns(ASK, [SIGNED, OTHER], [RESULT])["contents"],
                {"role": "user", "parts": [OTHER_RESULT]},
                {"role": "user", "parts": ASK},
            ]
        },
    ),
    "an older Claude goes on with words": (OLDER, by_turns(ASK, [{"text": "{"}])),
    "GPT-OSS goes on with words": (GPT_OSS, by_turns(ASK, SAID)),
    "Gemini goes on with words": (GEMINI, by_turns(ASK, SAID)),
    "any temperature without thinking": (CLAUDE, config(temperature=0, topK=1, topP=0.1)),
    "temperature 1 with thinking": (CLAUDE, thinking(temperature=1, topP=0.95, maxOutputTokens=64_000)),
    "a model that is told not to think": (OPUS, config(temperature=0, thinkingConfig={"thinkingBudget": 0})),
    "a forced tool without thinking": (CLAUDE, by_turns(ASK) | FORCED),
    "a forced tool where only the name thinks": (OPUS, by_turns(ASK) | FORCED),
    "sampling for Gemini": (GEMINI, thinking(temperature=0, topK=1, maxOutputTokens=65_536) | FORCED),
    "sampling for GPT-OSS": (GPT_OSS, thinking(temperature=0, topK=1)),
    "Claude's thought, whole": (CLAUDE, by_turns(ASK, [THOUGHT, CALL], [RESULT], generationConfig=ON)),
    "Claude's own signature on a call": (CLAUDE, by_turns(ASK, [call_with(CLAUDES)], [RESULT])),
    "the dummy on Claude's call": (CLAUDE, by_turns(ASK, [call_with("skip_thought_signature_validator")], [RESULT])),
    "Gemini's call, signed": (GEMINI, by_turns(ASK, [SIGNED, OTHER], [RESULT, OTHER_RESULT])),
    "the dummy, bare": (GEMINI, by_turns(ASK, [call_with("skip_thought_signature_validator")], [RESULT])),
    "the other dummy": (GEMINI, by_turns(ASK, [call_with("context_engineering_is_the_way_to_go")], [RESULT])),
    "the dummy in base64": (
        GEMINI,
        by_turns(ASK, [call_with(base64.b64encode(b"skip_thought_signature_validator").decode())], [RESULT]),
    ),
    "unsigned calls of a former turn": (GEMINI, by_turns(ASK, [CALL], [RESULT], SAID, ASK)),
    "unsigned calls of an older Gemini": ("gemini-2.5-pro", by_turns(ASK, [CALL], [RESULT])),
}


@pytest.mark.parametrize(
    ("name", "model", "request_", "words"), BROKEN, ids=[f"{one[0]}, {one[1]}, {one[3][:40]}" for one in BROKEN]
)
def test_what_upstream_refuses_is_refused_in_its_words(name: str, model: str, request_: Any, words: str) -> None:
    with pytest.raises(BrokenRuleError) as raised:
        check_rules(model, request_, GivenSignatures(), only=[name])
    assert raised.value.rule == name
    assert words in raised.value.message
    assert raised.value.field.startswith("request.")


@pytest.mark.parametrize(("model", "request_"), ACCEPTED.values(), ids=ACCEPTED)
def test_what_upstream_takes_is_taken(model: str, request_: Any) -> None:
    check_rules(model, request_, GivenSignatures())


def test_every_rule_is_broken_here() -> None:
    assert {name for name, *_ in BROKEN} == set(RULES)


def test_every_rule_is_documented_with_its_source_and_how_sure_it_is() -> None:
    """Prints the table that belongs into docs/simulator.md."""
    expected = table(RULES.values())
    page = (ROOT / "docs" / "simulator.md").read_text("utf-8")
    assert expected in page, expected


# By HTTP


@pytest.fixture
def client() -> Iterator[Client]:
    with Simulator(1) as simulator:
        yield Client(simulator)


def envelope(client: Client, model: str, request: Any) -> Any:
    return client.envelope(model=model) | {"request": copy.deepcopy(request)}


def test_a_refusal_for_claude_is_anthropics_inside_googles(client: Client) -> None:
    answer = client.ask(body=envelope(client, CLAUDE, by_turns(ASK, SAID)))
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error.keys() == {"code", "message", "status"}
    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
    inside = json.loads(error["message"])
    assert inside["type"] == "error"
    assert inside["error"]["type"] == "invalid_request_error"
    assert inside["error"]["message"].startswith("This model does not support assistant message prefill.")
    assert inside["request_id"].startswith("req_vrtx_")


def test_a_refusal_for_gemini_is_googles(client: Client) -> None:
    answer = client.ask(body=envelope(client, GEMINI, by_turns(ASK, [call_with(CLAUDES)], [RESULT])))
    assert answer.json() == {
        "error": {"code": 400, "message": "Corrupted thought signature.", "status": "INVALID_ARGUMENT"}
    }


def test_who_is_refused_sees_by_which_rule(client: Client) -> None:
    answer = client.ask(body=envelope(client, CLAUDE, by_turns(ASK, SAID)))
    assert answer.headers["x-simulator-rule"] == "claude-last-turn"
    assert answer.headers["x-simulator-field"] == "request.contents[1]"
    entry = client.simulator.log[-1]
    assert (entry.kind, entry.rule) == ("invalid-request", "claude-last-turn")


@pytest.mark.parametrize("name", RULES)
def test_every_rule_can_be_switched_off_by_its_name(name: str) -> None:
    model, request = next((model, request) for rule, model, request, _ in BROKEN if rule == name)
    with Simulator(1, models=[OLDER], without_rules={name}) as simulator:
        client = Client(simulator)
        client.ask(body=envelope(client, model, request))
        assert simulator.log[-1].rule != name


def test_a_rule_that_there_is_not_cannot_be_switched_off() -> None:
    with pytest.raises(ValueError, match="no such rule: 'claude-manners'; there are calls-answered"):
        Simulator(without_rules={"claude-manners"})


def test_a_refused_request_takes_no_refusal_on_demand_and_no_quota(client: Client) -> None:
    client.simulator.refuse("capacity", times=1)
    client.ask(body=envelope(client, CLAUDE, by_turns(ASK, SAID)))
    assert client.ask().status_code == 503


# Signatures


def test_a_signature_is_as_long_as_upstreams_and_has_all_of_base64() -> None:
    for model in (CLAUDE, GEMINI):
        for text in ("", "Rain?", "a" * 10_000):
            signature = signature_for(model, text)
            assert len(signature) > 300
            assert {"+", "/", "="} <= set(signature)
            assert signature_for(model, text) == signature


def test_a_scripted_signature_is_known_again_for_its_family_only() -> None:
    call = call_with("c2lnbmVk")
    check_rules(GEMINI, by_turns(ASK, [call], [RESULT]), given(GEMINI, call))
    with pytest.raises(BrokenRuleError, match="claude-signatures"):
        check_rules(CLAUDE, by_turns(ASK, [call], [RESULT]), given(GEMINI, call))


def test_parts_are_signed_where_upstream_signs_them() -> None:
    thought = {"thought": True, "text": "Rain?"}
    text = {"text": "Let me see."}
    claude = signed(CLAUDE, [thought, text, CALL])
    assert ["thoughtSignature" in part for part in claude] == [True, False, False]
    assert claude[0] == THOUGHT
    gemini = signed(GEMINI, [thought, text, CALL, OTHER])
    assert ["thoughtSignature" in part for part in gemini] == [False, False, True, False]
    assert ["thoughtSignature" in part for part in signed(GEMINI, [thought, text])] == [False, True]
    assert ["thoughtSignature" in part for part in signed(GPT_OSS, [thought, text, CALL])] == [False] * 3
