"""Anthropic's rules for thoughts: the simulator is as strict, and no request of ours fails for a lost signature."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import litellm
import pytest
from claude_histories import BLOCKS, CLAUDE, HELLO, SIGNED_PART, THINKING, TOOL, call, request, turns
from serving import settings_of
from upstream_rules import THOUGHTS as THOUGHT_RULES
from upstream_rules import BrokenRuleError, by_turns, check_rules, given

import litellm_antigravity
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.simulator.rules import RULES
from litellm_antigravity.simulator.signatures import GivenSignatures, signed

THINKS_BY_NAME = "claude-opus-4-6-thinking"
GPT_OSS = "gpt-oss-120b-medium"
CALL_PART = {"functionCall": {"id": "toolu_1", "name": "weather", "args": {}}}
RESULT_PART = {"functionResponse": {"id": "toolu_1", "name": "weather", "response": {"sky": "grey"}}}
TEXT_PART = {"text": "Hello"}
OTHER_PART = {"thought": True, "text": "Wind?", "thoughtSignature": "b3RoZXI="}
ON = {"maxOutputTokens": 9000, "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 4000}}


# The simulator


def gemini(*contents: Any, config: Any = None) -> dict[str, Any]:
    return by_turns(*contents, **({} if config is None else {"generationConfig": config}))


def from_claude(*parts: Any) -> GivenSignatures:
    return given(CLAUDE, *parts)


ASKED, ANSWERED, CALLED, THOUGHT_AND_CALLED = [TEXT_PART], [RESULT_PART], [CALL_PART], [SIGNED_PART, CALL_PART]
AGAIN_CALLED = (
    [{"functionCall": {**CALL_PART["functionCall"], "id": "toolu_2"}}],
    [{"functionResponse": {**RESULT_PART["functionResponse"], "id": "toolu_2"}}],
)

REJECTED = {
    "a turn without a thought": (gemini(ASKED, CALLED, ANSWERED, config=ON), "but found `tool_use`"),
    "a turn that begins with text": (gemini(ASKED, [TEXT_PART, CALL_PART], ANSWERED, config=ON), "but found `text`"),
    "a turn that thinks too late": (
        gemini(ASKED, CALLED, ANSWERED, THOUGHT_AND_CALLED, ANSWERED, config=ON),
        "must start with a thinking block",
    ),
    "words put into its mouth": (gemini(ASKED, [TEXT_PART], config=ON), "must start with a thinking block"),
    "a thought though none is wanted": (gemini(ASKED, THOUGHT_AND_CALLED, ANSWERED), "When thinking is disabled"),
    "no signature": (
        gemini(ASKED, [{"thought": True, "text": "Rain?"}, CALL_PART], ANSWERED, config=ON),
        "thinking.signature",
    ),
    "a thought at the end": (gemini(ASKED, [SIGNED_PART], ASKED, config=ON), "cannot be `thinking`"),
    "a signature it did not give": (
        gemini(ASKED, [OTHER_PART, CALL_PART], ANSWERED, config=ON),
        "Invalid `signature`",
    ),
    "another text": (
        gemini(ASKED, [{**SIGNED_PART, "text": "Snow?"}, CALL_PART], ANSWERED, config=ON),
        "Invalid `signature`",
    ),
    "a budget that is too small": (
        gemini(ASKED, config={"thinkingConfig": {"includeThoughts": True, "thinkingBudget": 100}}),
        "greater than or equal to 1024",
    ),
    "a limit below the budget": (gemini(ASKED, config={**ON, "maxOutputTokens": 4000}), "must be greater than"),
}

ACCEPTED = {
    "a thought before the call": gemini(ASKED, THOUGHT_AND_CALLED, ANSWERED, config=ON),
    "one thought for several calls": gemini(ASKED, THOUGHT_AND_CALLED, ANSWERED, *AGAIN_CALLED, config=ON),
    "none, and none wanted": gemini(ASKED, CALLED, ANSWERED),
    "the user's words after all": gemini(ASKED, CALLED, ANSWERED, [TEXT_PART], ASKED, config=ON),
    "thoughts of a former turn": gemini(ASKED, THOUGHT_AND_CALLED, ANSWERED, [TEXT_PART], ASKED),
}


@pytest.mark.parametrize(("body", "message"), REJECTED.values(), ids=REJECTED)
def test_the_simulator_rejects_what_anthropic_rejects(body: Any, message: str) -> None:
    with pytest.raises(BrokenRuleError) as raised:
        check_rules(CLAUDE, body, from_claude(SIGNED_PART), only=THOUGHT_RULES)
    assert message in raised.value.message
    assert raised.value.field.startswith("request.")


@pytest.mark.parametrize("body", ACCEPTED.values(), ids=ACCEPTED)
def test_the_simulator_takes_what_anthropic_takes(body: Any) -> None:
    check_rules(CLAUDE, body, from_claude(SIGNED_PART))


@pytest.mark.parametrize("model", [GPT_OSS, "gemini-3-flash"])
def test_other_models_have_no_such_rules(model: str) -> None:
    for body, _ in REJECTED.values():
        check_rules(model, body, from_claude(SIGNED_PART), only={name for name in RULES if name.startswith("claude-")})


def test_a_signature_that_nobody_gave_is_refused() -> None:
    """Before, any was taken from a conversation that had begun elsewhere."""
    with pytest.raises(BrokenRuleError, match="Invalid `signature`"):
        check_rules(CLAUDE, ACCEPTED["a thought before the call"], GivenSignatures())


def test_a_signature_of_another_simulator_is_known_again() -> None:
    turn = gemini(ASKED, signed(CLAUDE, [{"thought": True, "text": "Rain?"}, CALL_PART]), ANSWERED, config=ON)
    check_rules(CLAUDE, turn, GivenSignatures())


def test_a_thought_in_pieces_is_one() -> None:
    pieces = [{"thought": True, "text": "Ra"}, {"thought": True, "text": "in?", "thoughtSignature": "c2ln"}]
    check_rules(CLAUDE, ACCEPTED["a thought before the call"], from_claude(*pieces))


# Our requests

LOST = turns()
FOUND = turns(thinking_blocks=BLOCKS)
AGAIN = [
    {"role": "assistant", "content": None, "tool_calls": [call("toolu_2")]},
    {"role": "tool", "tool_call_id": "toolu_2", "content": "wet"},
]
SPOKEN = {"role": "user", "content": "And Rome?"}


def thinks(messages: Any, model: str = CLAUDE, **params: Any) -> bool:
    """Return whether the model is asked to think; if not, no thought is in its request."""
    body = request(messages, model, tools=[TOOL], **{"thinking": THINKING, **params})
    asked = "thinkingConfig" in body.get("generationConfig", {})
    parts = [part for content in body["contents"] for part in content["parts"]]
    assert asked or not any(part.get("thought") for part in parts)
    return asked


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        pytest.param(HELLO, True, id="the first turn"),
        pytest.param(FOUND, True, id="a signed thought"),
        pytest.param([*FOUND, *AGAIN], True, id="a signed thought, and a call after it"),
        pytest.param(LOST, False, id="a lost thought"),
        pytest.param([*LOST, *AGAIN], False, id="a lost thought, and a call after it"),
        pytest.param([*LOST, *FOUND[1:]], False, id="the first thought lost"),
        pytest.param([*LOST, SPOKEN], False, id="words beside the results"),
        pytest.param([*FOUND, SPOKEN], True, id="words beside the results, and a thought"),
        pytest.param([*FOUND, SPOKEN, *AGAIN], False, id="a lost thought after words beside the results"),
        pytest.param([*LOST, {"role": "assistant", "content": "Grey."}, SPOKEN], True, id="the user's next turn"),
        pytest.param([*LOST, {"role": "assistant", "content": "It is"}], True, id="words put into its mouth"),
        pytest.param([{"role": "system", "content": "Be brief."}], True, id="nothing said"),
    ],
)
def test_a_claude_model_thinks_where_anthropic_lets_it(messages: Any, *, expected: bool) -> None:
    assert thinks(messages) is expected
    assert thinks(messages, thinking=None, reasoning_effort="high") is expected


@pytest.mark.parametrize(
    ("params", "limit"),
    [({}, None), ({"max_tokens": 500}, 500), ({"max_tokens": 9000}, 9000)],
    ids=["no limit", "one below the budget", "one above"],
)
def test_without_thinking_the_limit_is_what_the_caller_said(params: Any, limit: int | None) -> None:
    for thinking in ({"thinking": THINKING}, {"reasoning_effort": "medium"}):
        body = request(LOST, tools=[TOOL], temperature=0.5, **thinking, **params)
        expected = {"temperature": 0.5} | ({} if limit is None else {"maxOutputTokens": limit})
        assert body["generationConfig"] == expected


def test_who_does_not_ask_for_thinking_sends_no_thoughts() -> None:
    assert not thinks(FOUND, thinking=None)
    assert not thinks(FOUND, thinking={"type": "disabled"})


def test_a_model_that_may_think_unasked_gets_its_thoughts_back() -> None:
    body = request(FOUND, THINKS_BY_NAME, tools=[TOOL])
    assert body["contents"][1]["parts"][0] == SIGNED_PART


def test_gpt_oss_goes_on_thinking() -> None:
    assert thinks(LOST, GPT_OSS)


@pytest.fixture
def simulator(tmp_path: Any) -> Iterator[Simulator]:
    with Simulator(1) as simulator:
        litellm_antigravity.register(settings_of(simulator, tmp_path))
        yield simulator


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_history_that_lost_its_thoughts_is_answered_and_the_next_one_thinks(
    simulator: Simulator, *, stream: bool
) -> None:
    def ask(messages: Any) -> Any:
        reply: Any = litellm.completion(
            model=f"antigravity/{CLAUDE}", messages=messages, tools=[TOOL], thinking=THINKING, stream=stream
        )
        built: Any = litellm.stream_chunk_builder(list(reply)) if stream else reply
        return built.choices[0].message

    simulator.reply_with([SIGNED_PART, {"functionCall": {"id": "toolu_9", "name": "weather", "args": {}}}])
    first = ask(HELLO)
    result = {"role": "tool", "tool_call_id": "toolu_9", "content": "grey"}
    plain = {"role": "assistant", "content": None, "tool_calls": [call("toolu_other")]}
    simulator.reply_with("Grey.")
    ask([*HELLO, first, result])
    ask([*HELLO, plain, {**result, "tool_call_id": "toolu_other"}])
    ask([*HELLO, plain, {**result, "tool_call_id": "toolu_other"}, {"role": "assistant", "content": "Grey."}, *HELLO])
    sent = [entry.body["request"].get("generationConfig", {}) for entry in simulator.requests(kind="served")]
    assert ["thinkingConfig" in config for config in sent] == [True, True, False, True]
