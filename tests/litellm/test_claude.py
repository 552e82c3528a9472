"""Claude and GPT-OSS models: served in Gemini's shape, under rules of their own."""

from __future__ import annotations

import copy
import re
from typing import Any

import httpx
import litellm
import pytest
from claude_histories import BLOCKS, CLAUDE, HELLO, SIGNED_PART, THINKING, TOOL, Logging, call, request, turns
from hypothesis import given, settings
from hypothesis import strategies as st
from litellm.types.utils import ModelResponse

from litellm_antigravity.litellm.translation import ChunkTranslator, from_gemini, to_gemini
from litellm_antigravity.litellm.translation.media import Fetcher
from litellm_antigravity.litellm.translation.parameters import ADAPTIVE_BUDGET, ANSWER_TOKENS, MIN_THINKING_BUDGET
from litellm_antigravity.litellm.translation.signatures import SignedThoughts
from litellm_antigravity.litellm.translation.tool_names import ToolNames
from litellm_antigravity.models import FAMILIES

MODELS = [CLAUDE, "claude-opus-4-6-thinking", "gpt-oss-120b-medium"]
LARGE = {"type": "enabled", "budget_tokens": 63_999}


def answer(
    parts: list[dict[str, Any]], thoughts: SignedThoughts, *, stream: bool, model: str = CLAUDE, **params: Any
) -> Any:
    """Return the message that the caller gets for a reply, as plain data."""
    reply = {"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}]}
    if stream:
        translator = ChunkTranslator(model, Logging(), params, thoughts=thoughts)
        pieces: list[dict[str, Any]] = [
            {"candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0}]} for part in parts
        ]
        end: dict[str, Any] = {"candidates": [{"finishReason": "STOP"}]}
        chunks = [chunk for piece in [*pieces, end] for chunk in translator.chunks(piece)]
        chunks += translator.last_chunks()
        built: Any = litellm.stream_chunk_builder(chunks)
        return built.choices[0].message.model_dump()
    response = from_gemini(
        reply,
        model=model,
        model_response=ModelResponse(),
        logging_obj=Logging(),
        request={},
        messages=[],
        optional_params=params,
        thoughts=thoughts,
    )
    return response.choices[0].message.model_dump()


ALPHABETS = {"claude": r"[a-zA-Z_][a-zA-Z0-9_-]{0,63}", "gemini": r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}"}
every_model = pytest.mark.parametrize("model", MODELS)


# Parameters


@every_model
def test_no_temperature_is_forced(model: str) -> None:
    assert "temperature" not in request(model=model).get("generationConfig", {})
    config = request(model=model, temperature=0.3).get("generationConfig", {})
    assert config.get("temperature") == (None if "thinking" in model else 0.3)


@every_model
@pytest.mark.parametrize("effort", ["minimal", "low", "medium", "high", "xhigh", "max"])
def test_an_effort_becomes_a_budget_below_the_output_limit(model: str, effort: str) -> None:
    for limit in (2000, 40_000):
        config = request(model=model, reasoning_effort=effort, max_tokens=limit)["generationConfig"]
        thinking = config["thinkingConfig"]
        assert thinking["includeThoughts"] is True
        assert "thinkingLevel" not in thinking
        assert MIN_THINKING_BUDGET <= thinking["thinkingBudget"] < config["maxOutputTokens"] <= limit


def test_more_effort_is_a_larger_budget() -> None:
    efforts = ["low", "medium", "high", "xhigh", "max"]
    budgets = [request(reasoning_effort=one)["generationConfig"]["thinkingConfig"]["thinkingBudget"] for one in efforts]
    assert budgets == sorted(set(budgets))


@pytest.mark.parametrize(
    ("params", "budget", "limit"),
    [
        pytest.param({"thinking": THINKING}, 4000, 4000 + ANSWER_TOKENS, id="no limit"),
        pytest.param({"thinking": THINKING, "max_tokens": 9000}, 4000, 9000, id="a limit above"),
        pytest.param({"thinking": THINKING, "max_tokens": 4000}, 3000, 4000, id="a limit that is not above"),
        pytest.param({"thinking": THINKING, "max_tokens": 1025}, 1024, 1025, id="a limit that just lets it think"),
        pytest.param({"thinking": LARGE}, 64_000 - ANSWER_TOKENS, 64_000, id="more than leaves an answer"),
        pytest.param({"thinking": LARGE, "max_tokens": 128_000}, 63_999, 64_000, id="a limit above the model's"),
        pytest.param({"thinking": LARGE, "max_tokens": 60_000}, 45_000, 60_000, id="a budget above the limit"),
        pytest.param(
            {"thinking": {"type": "adaptive"}, "reasoning_effort": "max"}, 32_768, 32_768 + ANSWER_TOKENS, id="effort"
        ),
        pytest.param(
            {"thinking": {"type": "adaptive"}}, ADAPTIVE_BUDGET, ADAPTIVE_BUDGET + ANSWER_TOKENS, id="adaptive"
        ),
        pytest.param({"thinking": THINKING, "reasoning_effort": "low"}, 4000, 4000 + ANSWER_TOKENS, id="both"),
        pytest.param(
            {"thinkingConfig": {"includeThoughts": True, "thinkingLevel": "low"}},
            ADAPTIVE_BUDGET,
            ADAPTIVE_BUDGET + ANSWER_TOKENS,
            id="a level",
        ),
    ],
)
def test_the_thinking_budget_is_kept(params: dict[str, Any], budget: int, limit: int) -> None:
    config = request(**params)["generationConfig"]
    assert config["thinkingConfig"] == {"includeThoughts": True, "thinkingBudget": budget}
    assert config["maxOutputTokens"] == limit


@pytest.mark.parametrize(
    "params",
    [{"reasoning_effort": "none"}, {"reasoning_effort": "disable"}, {"thinking": {"type": "disabled"}}],
    ids=["none", "disable", "disabled"],
)
def test_no_thinking_is_none_at_all(params: dict[str, Any]) -> None:
    assert "thinkingConfig" not in request(**params).get("generationConfig", {})


# Tool calls


@every_model
def test_ids_of_calls_are_kept_and_nothing_is_signed_by_us(model: str) -> None:
    contents = request(turns(tool_calls=[call("toolu_1"), call("toolu_2")]), model, tools=[TOOL])["contents"]
    assert contents[1]["parts"] == [
        {"functionCall": {"id": one, "name": "weather", "args": {}}} for one in ("toolu_1", "toolu_2")
    ]
    assert [part["functionResponse"]["id"] for part in contents[2]["parts"]] == ["toolu_1", "toolu_2"]


def test_an_id_of_another_provider_is_written_in_anthropics_alphabet() -> None:
    contents = request(turns(tool_calls=[call("call:1.x")]), tools=[TOOL])["contents"]
    assert contents[1]["parts"][0]["functionCall"]["id"] == "call_1_x"
    assert contents[2]["parts"][0]["functionResponse"]["id"] == "call_1_x"


def test_a_real_signature_of_a_call_goes_back() -> None:
    thoughts = SignedThoughts()
    said = {"functionCall": {"id": "toolu_1", "name": "weather", "args": {}}, "thoughtSignature": "c2ln"}
    answer([said], thoughts, stream=False)
    history = turns(tool_calls=[call("toolu_1__thought__c2ln")])
    contents = request(history, thoughts=thoughts, tools=[TOOL])["contents"]
    assert contents[1]["parts"][0]["thoughtSignature"] == "c2ln"
    assert contents[1]["parts"][0]["functionCall"]["id"] == "toolu_1"


@pytest.mark.parametrize("name", ["weather in town", "9lives", "größe", "x" * 200, "a/b", "a.b", "a:b"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_name_that_upstream_rejects_is_mapped_both_ways(name: str, *, stream: bool) -> None:
    tools = [{"type": "function", "function": {"name": name}}]
    choice = {"type": "function", "function": {"name": name}}
    body = request(turns(tool_calls=[call(name=name)]), tools=tools, tool_choice=choice)
    written = body["tools"][0]["functionDeclarations"][0]["name"]
    assert len(written) <= 64
    assert body["contents"][1]["parts"][0]["functionCall"]["name"] == written
    assert body["contents"][2]["parts"][0]["functionResponse"]["name"] == written
    assert body["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"] == [written]
    message = answer([{"functionCall": {"name": written, "id": "t"}}], SignedThoughts(), stream=stream, tools=tools)
    assert message["tool_calls"][0]["function"] == {"name": name, "arguments": "{}"}
    assert message["tool_calls"][0]["id"] == "t"


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.one_of(st.text(max_size=80), st.sampled_from(["a.b", "a:b", "a b", "a_b", "_a", ".a", "1"])),
        max_size=6,
        unique=True,
    )
)
def test_no_two_tools_get_one_name(declared: list[str]) -> None:
    for family in FAMILIES:
        names = ToolNames(declared, family)
        written = [names.upstream(name) for name in declared]
        assert len(set(written)) == len(declared)
        assert [names.callers(name) for name in written] == declared
        assert all(re.fullmatch(ALPHABETS[family], name) for name in written)
        assert names.upstream("not.declared") not in written or "not.declared" in declared


def test_signed_thoughts_go_back_with_their_signatures_before_the_call() -> None:
    history = turns(thinking_blocks=BLOCKS, reasoning_content="Rain?", content="I look.")
    parts = request(history, tools=[TOOL], thinking=THINKING)["contents"][1]["parts"]
    assert [next(iter(part)) for part in parts] == ["thought", "text", "functionCall"]
    assert parts[0] == SIGNED_PART


@pytest.mark.parametrize(
    "assistant",
    [
        {"reasoning_content": "Rain?"},
        {"thinking_blocks": [{"type": "thinking", "thinking": "Rain?"}]},
        {"thinking_blocks": [{"type": "thinking", "thinking": "Rain?", "signature": ""}], "reasoning_content": "Rain?"},
        {"thinking_blocks": [{"type": "redacted_thinking", "data": "x"}]},
    ],
    ids=["text only", "no signature", "empty signature", "redacted"],
)
def test_a_thought_without_a_signature_is_left_out(assistant: dict[str, Any]) -> None:
    parts = request(turns(**assistant), tools=[TOOL], thinking=THINKING)["contents"][1]["parts"]
    assert parts == [{"functionCall": {"id": "toolu_1", "name": "weather", "args": {}}}]


REPLY: list[dict[str, Any]] = [
    {"thought": True, "text": "Ra"},
    {"thought": True, "text": "in?"},
    {"thought": True, "text": "", "thoughtSignature": "c2ln"},
    {"functionCall": {"id": "toolu_1", "name": "weather", "args": {}}},
]
both_ways = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@both_ways
def test_a_rich_history_returns_what_the_model_thought(*, stream: bool) -> None:
    message = answer(REPLY, SignedThoughts(), stream=stream)
    assert message["thinking_blocks"] == BLOCKS
    assert message["reasoning_content"] == "Rain?"
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "grey"}
    contents = request([*HELLO, message, result], tools=[TOOL], thinking=THINKING)["contents"]
    assert contents[1]["parts"] == [SIGNED_PART, REPLY[3]]


@both_ways
def test_a_plain_history_with_ids_only_does_too(*, stream: bool) -> None:
    thoughts = SignedThoughts()
    message = answer(REPLY, thoughts, stream=stream)
    history = turns(tool_calls=[call(message["tool_calls"][0]["id"])])
    contents = request(history, thoughts=thoughts, tools=[TOOL], thinking=THINKING)["contents"]
    assert contents[1]["parts"] == [SIGNED_PART, REPLY[3]]


GEMINI = "gemini-3-flash"
SIGNED_CALL = {**REPLY[3], "thoughtSignature": "Z2VtaW5p"}


@both_ways
@pytest.mark.parametrize("spelling", ["toolu_1", "toolu_1__thought__Z2VtaW5p"])
def test_a_gemini_call_gets_its_signature_back_by_its_id(spelling: str, *, stream: bool) -> None:
    thoughts = SignedThoughts()
    answer([REPLY[0], SIGNED_CALL], thoughts, stream=stream, model=GEMINI)
    contents = to_gemini(GEMINI, turns(tool_calls=[call(spelling)]), {"tools": [TOOL]}, thoughts=thoughts)["contents"]
    assert contents[1]["parts"] == [SIGNED_CALL]
    assert contents[2]["parts"][0]["functionResponse"]["id"] == "toolu_1"


@both_ways
def test_no_model_gets_the_signatures_of_another_one(*, stream: bool) -> None:
    thoughts = SignedThoughts()
    answer([REPLY[0], SIGNED_CALL], thoughts, stream=stream, model=GEMINI)
    assert request(turns(), thoughts=thoughts, tools=[TOOL], thinking=THINKING)["contents"][1]["parts"] == [REPLY[3]]
    thoughts = SignedThoughts()
    answer(REPLY, thoughts, stream=stream)
    (part,) = to_gemini(GEMINI, turns(), {"tools": [TOOL]}, thoughts=thoughts)["contents"][1]["parts"]
    assert part.get("thoughtSignature") != "c2ln"


@both_ways
def test_the_text_beside_a_thought_does_not_carry_its_signature(*, stream: bool) -> None:
    message = answer([*REPLY[:3], {"text": "I look."}, REPLY[3]], SignedThoughts(), stream=stream)
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "grey"}
    contents = request([*HELLO, message, result], tools=[TOOL], thinking=THINKING)["contents"]
    assert contents[1]["parts"] == [SIGNED_PART, {"text": "I look."}, REPLY[3]]


def test_the_oldest_thoughts_are_forgotten_first() -> None:
    thoughts = SignedThoughts(max_characters=30)
    for number in range(4):
        thoughts.remember([{"thinking": "x" * 8, "signature": "s"}], [f"id-{number}"])
    assert [bool(thoughts.recall([f"id-{number}"])) for number in range(4)] == [False, True, True, True]


# Conversations


def test_a_conversation_that_the_assistant_begins_gets_a_user_turn_first() -> None:
    contents = request([{"role": "assistant", "content": "Hi"}, *HELLO])["contents"]
    assert [content["role"] for content in contents] == ["user", "model", "user"]
    assert contents[0]["parts"][0]["text"].strip()


@pytest.mark.parametrize(
    "messages", [[], [{"role": "user", "content": ""}], [{"role": "system", "content": "Be brief."}]]
)
def test_nothing_blank_is_sent(messages: Any) -> None:
    body = request(messages)
    assert all(part["text"].strip() for content in body["contents"] for part in content["parts"])


def test_developer_messages_are_system_messages() -> None:
    body = request([{"role": "developer", "content": "Be brief."}, *HELLO])
    assert body["systemInstruction"]["parts"] == [{"text": "Be brief."}]


CONTENTS: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.text(max_size=8), st.just([{"type": "text", "text": "x"}]), st.just([])
)
ARGUMENTS = st.sampled_from(["", "{}", '{"a": 1}', "[1]", "null", '{"cut', "  "])
THOUGHTS = st.one_of(st.none(), st.just(BLOCKS), st.just([{"type": "thinking", "thinking": "x"}]))


@st.composite
def histories(draw: st.DrawFn) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for number in range(draw(st.integers(0, 5))):
        role = draw(st.sampled_from(["system", "user", "assistant", "tools"]))
        blocks = draw(THOUGHTS)
        more = {} if blocks is None or role not in ("assistant", "tools") else {"thinking_blocks": blocks}
        if role != "tools":
            messages.append({"role": role, "content": draw(CONTENTS), **more})
            continue
        calls = [call(f"id-{number}-{index}") for index in range(draw(st.integers(1, 3)))]
        for one in calls:
            one["function"]["arguments"] = draw(ARGUMENTS)
        messages.append({"role": "assistant", "content": draw(CONTENTS), "tool_calls": calls, **more})
        messages += [
            {"role": "tool", "tool_call_id": one["id"], "content": draw(CONTENTS)}
            for one in draw(st.permutations(calls))
        ]
    return messages


@settings(max_examples=300, deadline=None)
@given(histories(), st.sampled_from([THINKING, None]))
def test_any_history_becomes_a_valid_request_and_stays_as_it_was(messages: list[dict[str, Any]], thinking: Any) -> None:
    before = copy.deepcopy(messages)
    request(messages, tools=[TOOL], thinking=thinking)
    assert messages == before


# Media

URL = "https://pictures.example/cat.png"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 16


def fetch(handler: Any, url: str = URL, **limits: Any) -> Any:
    content = [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": url}}]
    fetcher = Fetcher(httpx.MockTransport(handler), **limits)
    return to_gemini(CLAUDE, [{"role": "user", "content": content}], {}, fetcher=fetcher)["contents"][0]["parts"][1]


@pytest.fixture
def public_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every name resolve to a public address, without asking a name server."""
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [(2, 1, 6, "", ("93.184.216.34", 443))])


@pytest.mark.usefixtures("public_names")
def test_an_image_is_fetched_and_put_in() -> None:
    part = fetch(lambda _: httpx.Response(200, content=PNG, headers={"content-type": "image/png"}), f"{URL}?1")
    assert part["inlineData"]["mimeType"] == "image/png"


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "[::1]"])
def test_a_private_address_is_never_asked(host: str) -> None:
    def handler(_: httpx.Request) -> httpx.Response:
        raise AssertionError

    with pytest.raises(litellm.BadRequestError, match="cannot be fetched"):
        fetch(handler, f"http://{host}/x.png")


def test_a_redirect_to_a_private_address_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert "169.254" not in request.url.host
        return httpx.Response(302, headers={"location": "http://169.254.169.254/x.png"})

    monkeypatch.setattr("socket.getaddrinfo", _resolved)
    with pytest.raises(litellm.BadRequestError, match="cannot be fetched"):
        fetch(handler, f"{URL}?2")


def _resolved(host: str, *_: Any, **__: Any) -> list[Any]:
    return [(2, 1, 6, "", (host if host[0].isdigit() else "93.184.216.34", 443))]


@pytest.mark.usefixtures("public_names")
@pytest.mark.parametrize(
    "response",
    [httpx.Response(404), httpx.Response(200, content=PNG * 100, headers={"content-type": "image/png"})],
    ids=["missing", "too large"],
)
def test_what_cannot_be_fetched_is_the_callers_mistake(response: httpx.Response) -> None:
    with pytest.raises(litellm.BadRequestError, match="cannot be fetched"):
        fetch(lambda _: response, f"{URL}?3", max_bytes=1000)
