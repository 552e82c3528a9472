"""Signatures go back to the family that made them, and whole: conversations that mix families, and careless clients."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import litellm
import pytest
from hypothesis import given
from hypothesis import strategies as st
from processes import together
from serving import fields_of, settings_of

import litellm_antigravity
from litellm_antigravity.litellm.translation import to_gemini
from litellm_antigravity.litellm.translation.provenance import is_whole
from litellm_antigravity.litellm.translation.signatures import SignedThoughts
from litellm_antigravity.simulator import Simulator

CLAUDE, GEMINI = "claude-sonnet-4-6", "gemini-3-flash"
THINKING = {"type": "enabled", "budget_tokens": 4000}
HELLO: list[dict[str, Any]] = [{"role": "user", "content": "How is the sky?"}]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
DUMMY = base64.b64encode(b"skip_thought_signature_validator").decode()


def signature(of: str) -> str:
    """Return a signature as upstream's look: base64 with every character that clients write anew."""
    return base64.b64encode(of.encode() + bytes(range(240, 256)) * 4 + b"\xfb\xff\xbf?").decode()


CLAUDES, GEMINIS, GEMINIS_TEXT = signature("claude"), signature("gemini"), signature("gemini text")
CLAUDE_SAYS: list[dict[str, Any]] = [
    {"thought": True, "text": "Rain?", "thoughtSignature": CLAUDES},
    {"functionCall": {"id": "toolu_1", "name": "weather", "args": {}}},
]
GEMINI_SAYS: list[dict[str, Any]] = [
    {"thought": True, "text": "Sun?"},
    {"functionCall": {"name": "weather", "args": {}}, "thoughtSignature": GEMINIS},
]

both_ways = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[Simulator]:
    with Simulator(1) as simulator:
        litellm_antigravity.register(settings_of(simulator, tmp_path, max_rate_limit_wait_seconds=0))
        yield simulator


def ask(model: str, messages: Any, *, stream: bool = False) -> dict[str, Any]:
    """Return the message that the model answers with, as plain data."""
    reply: Any = litellm.completion(
        model=f"antigravity/{model}", messages=messages, tools=[TOOL], thinking=THINKING, stream=stream
    )
    built: Any = litellm.stream_chunk_builder(list(reply)) if stream else reply
    message: dict[str, Any] = built.choices[0].message.model_dump()
    return message


def said(simulator: Simulator, model: str, parts: Any, *, stream: bool = False) -> dict[str, Any]:
    simulator.reply_with(parts)
    return ask(model, HELLO, stream=stream)


def answered(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the conversation in which the message's calls have their results."""
    calls = message.get("tool_calls") or ()
    return [*HELLO, message, *({"role": "tool", "tool_call_id": one["id"], "content": "grey"} for one in calls)]


def sent_on(simulator: Simulator, model: str, messages: Any, *, stream: bool = False) -> dict[str, Any]:
    """Return the Gemini request in which a conversation goes on."""
    simulator.reply_with("Grey.")
    ask(model, messages, stream=stream)
    body: dict[str, Any] = simulator.requests(kind="served")[-1].body["request"]
    return body


def signatures(body: dict[str, Any]) -> list[str]:
    parts = [part for content in body["contents"] for part in content["parts"]]
    return [part["thoughtSignature"] for part in parts if "thoughtSignature" in part]


def thinks(body: dict[str, Any]) -> bool:
    return "thinkingConfig" in body.get("generationConfig", {})


# From one family to the other


@both_ways
def test_claude_goes_on_with_what_gemini_began_without_thinking_for_that_turn(
    simulator: Simulator, *, stream: bool
) -> None:
    """Before, Gemini's signature went to Claude, which refused the conversation from then on."""
    history = answered(said(simulator, GEMINI, GEMINI_SAYS, stream=stream))
    body = sent_on(simulator, CLAUDE, history, stream=stream)
    assert signatures(body) == []
    assert not thinks(body)
    assert thinks(sent_on(simulator, CLAUDE, [*history, {"role": "assistant", "content": "Grey."}, *HELLO]))


@both_ways
def test_claude_does_not_take_a_thought_that_gemini_has_signed(simulator: Simulator, *, stream: bool) -> None:
    signed = [{"thought": True, "text": "Sun?", "thoughtSignature": GEMINIS_TEXT}, *GEMINI_SAYS[1:]]
    history = answered(said(simulator, GEMINI, signed, stream=stream))
    body = sent_on(simulator, CLAUDE, history, stream=stream)
    assert signatures(body) == []
    assert not thinks(body)


@both_ways
def test_gemini_goes_on_with_what_claude_began(simulator: Simulator, *, stream: bool) -> None:
    history = answered(said(simulator, CLAUDE, CLAUDE_SAYS, stream=stream))
    assert signatures(sent_on(simulator, GEMINI, history, stream=stream)) == [DUMMY]


@both_ways
def test_a_text_of_claude_s_goes_to_gemini_without_the_signature_of_its_thought(
    simulator: Simulator, *, stream: bool
) -> None:
    """LiteLLM keeps that signature as one of the text's; before, it went to Gemini with it."""
    message = said(simulator, CLAUDE, [CLAUDE_SAYS[0], {"text": "Grey."}], stream=stream)
    assert signatures(sent_on(simulator, GEMINI, [*HELLO, message, *HELLO], stream=stream)) == []


@both_ways
def test_each_family_gets_its_own_back_in_one_conversation(simulator: Simulator, *, stream: bool) -> None:
    first = answered(said(simulator, CLAUDE, CLAUDE_SAYS, stream=stream))
    second = answered(said(simulator, GEMINI, GEMINI_SAYS, stream=stream))
    grey = {"role": "assistant", "content": "Grey."}
    assert signatures(sent_on(simulator, CLAUDE, [*first, grey, *second, grey, *HELLO])) == [CLAUDES]
    assert signatures(sent_on(simulator, GEMINI, [*first, grey, *second])) == [DUMMY, GEMINIS]


def test_gpt_oss_gets_no_signature_of_claude_s(simulator: Simulator) -> None:
    history = answered(said(simulator, CLAUDE, CLAUDE_SAYS))
    assert signatures(sent_on(simulator, "gpt-oss-120b-medium", history)) == []


@both_ways
def test_after_a_fallback_to_gemini_claude_serves_again_with_one_request_per_turn(
    simulator: Simulator, *, stream: bool
) -> None:
    """Before, one turn of Gemini's kept every later one there, and Claude refused each first."""
    models = [{"model_name": name, "litellm_params": {"model": f"antigravity/{name}"}} for name in (CLAUDE, GEMINI)]
    router = litellm.Router(model_list=models, fallbacks=[{CLAUDE: [GEMINI]}])

    def turn(messages: list[Any], parts: Any) -> list[Any]:
        """Return the conversation after the model's turn and the results of its calls."""
        simulator.reply_with(parts)
        reply: Any = router.completion(model=CLAUDE, messages=messages, tools=[TOOL], thinking=THINKING, stream=stream)
        built: Any = litellm.stream_chunk_builder(list(reply)) if stream else reply
        return [*messages, *answered(built.choices[0].message.model_dump())[1:]]

    messages = turn(HELLO, CLAUDE_SAYS)
    email = simulator.accounts[0].email
    simulator.drain(email, "claude", 600)
    messages = turn(turn(messages, GEMINI_SAYS), "Grey.")
    assert [entry.model for entry in simulator.requests(kind="served")] == [CLAUDE, GEMINI, GEMINI]
    simulator.drain(email, "claude", 0)
    pool = litellm_antigravity.handler.dispatcher.pool
    pool.release(pool.accounts.current().accounts[0].id)
    before = len(simulator.requests())
    turn(turn([*messages, *HELLO], CLAUDE_SAYS), "Grey.")
    after = simulator.requests()[before:]
    assert [(entry.model, entry.status) for entry in after] == [(CLAUDE, 200)] * 2
    assert all(thinks(entry.body["request"]) for entry in after)


# What clients do to signatures


def shortened(call_id: str) -> str:
    return call_id[:64]


def shortened_to_40(call_id: str) -> str:
    return call_id[:40]


def shortened_within_the_mark(call_id: str) -> str:
    return call_id[: call_id.index("__thought__") + 7]


def without_signature(call_id: str) -> str:
    return call_id.partition("__thought__")[0]


def in_another_alphabet(call_id: str) -> str:
    return "".join(char if char.isalnum() or char in "_-" else "_" for char in call_id)


def url_safe(call_id: str) -> str:
    return call_id.replace("+", "-").replace("/", "_").rstrip("=")


careless = pytest.mark.parametrize(
    "client", [shortened, shortened_to_40, shortened_within_the_mark, in_another_alphabet, url_safe]
)


def careless_history(message: dict[str, Any], client: Any) -> list[dict[str, Any]]:
    (call,) = message["tool_calls"]
    plain = {"id": client(call["id"]), "type": "function", "function": call["function"]}
    return answered({"role": "assistant", "content": None, "tool_calls": [plain]})


@careless
@both_ways
def test_what_is_remembered_beats_what_a_client_made_of_it(simulator: Simulator, client: Any, *, stream: bool) -> None:
    """Before, half a signature went to Gemini: "Corrupted thought signature."."""
    history = careless_history(said(simulator, GEMINI, GEMINI_SAYS, stream=stream), client)
    body = sent_on(simulator, GEMINI, history, stream=stream)
    assert signatures(body) == [GEMINIS]
    call, result = (
        part[kind]
        for content in body["contents"]
        for part in content["parts"]
        for kind in ("functionCall", "functionResponse")
        if kind in part
    )
    assert call.get("id") == result.get("id")


@careless
def test_half_a_signature_that_nobody_remembers_goes_nowhere(simulator: Simulator, client: Any) -> None:
    history = careless_history(said(simulator, GEMINI, GEMINI_SAYS), client)
    for model, expected in ((GEMINI, [DUMMY]), (CLAUDE, [])):
        body = to_gemini(model, copy.deepcopy(history), {"tools": [TOOL]}, thoughts=SignedThoughts())
        assert signatures(body) == expected


def test_a_whole_signature_that_nobody_remembers_goes_back_to_gemini_alone() -> None:
    call = {"id": f"call_1__thought__{GEMINIS}", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    history = answered({"role": "assistant", "content": None, "tool_calls": [call]})
    sent = {
        model: signatures(to_gemini(model, copy.deepcopy(history), {"tools": [TOOL]}, thoughts=SignedThoughts()))
        for model in (GEMINI, CLAUDE)
    }
    assert sent == {GEMINI: [GEMINIS], CLAUDE: []}


@pytest.mark.parametrize("change", [str.upper, lambda text: text[:-1], lambda text: f"{text} So be it."])
def test_a_thought_that_a_client_has_changed_is_the_remembered_one_again(simulator: Simulator, change: Any) -> None:
    """Before, Claude refused the conversation: the signature is not this text's."""
    message = said(simulator, CLAUDE, CLAUDE_SAYS)
    for block in message["thinking_blocks"]:
        block["thinking"] = change(block["thinking"])
    contents = sent_on(simulator, CLAUDE, answered(message))["contents"]
    assert contents[1]["parts"][0] == CLAUDE_SAYS[0]


@pytest.mark.parametrize("change", [lambda text: text[:-4], lambda text: text.replace("+", "-").replace("/", "_")])
def test_a_claude_signature_that_was_cut_or_spelt_anew_is_the_remembered_one_again(
    simulator: Simulator, change: Any
) -> None:
    message = said(simulator, CLAUDE, CLAUDE_SAYS)
    for block in message["thinking_blocks"]:
        block["signature"] = change(block["signature"])
    message.pop("provider_specific_fields", None)
    body = sent_on(simulator, CLAUDE, answered(message))
    assert [one for one in signatures(body) if one != CLAUDES] == [] or not thinks(body)


# What upstream refuses all the same


def requests_of(simulator: Simulator, model: str, messages: Any, *, stream: bool = False) -> list[int]:
    """Return the statuses of upstream's answers to one request of the caller's."""
    before = len(simulator.requests())
    sent_on(simulator, model, messages, stream=stream)
    return [entry.status for entry in simulator.requests()[before:] if entry.model]


def from_elsewhere(model: str, made_by: str) -> list[dict[str, Any]]:
    """Return a turn with a signature that nobody here knows, and that neither family takes."""
    if model == GEMINI:
        call = {"id": f"call_9__thought__{made_by}", "type": "function", "function": {"name": "weather"}}
        return answered({"role": "assistant", "content": None, "tool_calls": [call]})[1:]
    block = {"type": "thinking", "thinking": "Snow?", "signature": made_by}
    return [{"role": "assistant", "content": "White.", "thinking_blocks": [block]}]


says = pytest.mark.parametrize(
    ("model", "parts", "known"), [(CLAUDE, CLAUDE_SAYS, CLAUDES), (GEMINI, GEMINI_SAYS, GEMINIS)], ids=[CLAUDE, GEMINI]
)


@both_ways
@says
def test_a_refusal_is_of_the_signatures_that_nobody_knows(
    simulator: Simulator, model: str, parts: Any, known: str, *, stream: bool
) -> None:
    """Before, all signatures of the request were refused from then on, also the one that the model had just made."""
    turns = answered(said(simulator, model, parts, stream=stream))
    history = [*turns, {"role": "assistant", "content": "Grey."}, *HELLO]
    strange = [*history, *from_elsewhere(model, signature(f"elsewhere {model} {stream}"))]
    assert requests_of(simulator, model, [*strange, *HELLO], stream=stream) == [400, 200]
    body = sent_on(simulator, model, [*strange, *HELLO], stream=stream)
    assert [one for one in signatures(body) if one != DUMMY] == [known]
    assert requests_of(simulator, model, [*strange, *HELLO], stream=stream) == [200]


@both_ways
@says
def test_what_is_remembered_and_refused_is_left_out_as_well_and_after_a_second_refusal_for_good(
    simulator: Simulator, tmp_path: Path, model: str, parts: Any, known: str, *, stream: bool
) -> None:
    """Before, what was put back from memory went with the second try too, which failed like the first."""
    made = signature(f"{known[:8]} forgotten {stream}")
    parts = [{**part, "thoughtSignature": made} if "thoughtSignature" in part else part for part in parts]
    history = careless_history(said(simulator, model, parts, stream=stream), without_signature)
    with Simulator(1) as another:  # which has not seen the signature
        litellm_antigravity.register(settings_of(another, tmp_path / "another"))
        statuses = [requests_of(another, model, history, stream=stream) for _ in range(3)]
    assert statuses == [[400, 200], [400, 200], [200]]


def test_what_both_families_have_refused_goes_to_neither() -> None:
    """Before, each refusal made the one of the other family forgotten."""
    thoughts, strange = SignedThoughts(), signature("strange")
    for family in ("claude", "gemini"):
        thoughts.note_refused(strange, family)
    assert not thoughts.may_be(strange, "claude")
    assert not thoughts.may_be(strange, "gemini")


# Beyond this process


def answer_in_a_process(fields: dict[str, Any], model: str) -> str:
    litellm_antigravity.register(litellm_antigravity.Settings(**fields))
    message = json.dumps(ask(model, HELLO))
    from litellm_antigravity.litellm.translation.signatures import THOUGHTS

    if THOUGHTS._shared is not None:
        THOUGHTS._shared.close()  # as at the end of any process; `together` kills them
    return message


def test_another_process_of_the_host_knows_whose_a_signature_is(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    with Simulator(1) as simulator:
        fields = fields_of(simulator, tmp_path)
        signed: list[dict[str, Any]] = [{"thought": True, "text": "Sun?", "thoughtSignature": GEMINIS_TEXT}]
        simulator.reply_with([*signed, *GEMINI_SAYS[1:]])
        [text] = together(answer_in_a_process, [(fields, GEMINI)])
        litellm_antigravity.register(settings_of(simulator, tmp_path))
        message = json.loads(text)
        assert any(block.get("signature") for block in message["thinking_blocks"])
        assert signatures(sent_on(simulator, CLAUDE, answered(message))) == []


# Whatever a client holds

pieces = st.sampled_from([CLAUDES, GEMINIS, GEMINIS_TEXT, "c2ln", CLAUDES[:40], GEMINIS.replace("+", "-"), "", "é"])


@st.composite
def histories(draw: st.DrawFn) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 4))):
        call: dict[str, Any] = {"id": f"call_{number}", "type": "function", "function": {"name": "weather"}}
        if draw(st.booleans()):
            call["id"] += f"__thought__{draw(pieces)}"
        if draw(st.booleans()):
            call["provider_specific_fields"] = {"thought_signature": draw(pieces)}
        message: dict[str, Any] = {"role": "assistant", "content": "Well.", "tool_calls": [call]}
        if draw(st.booleans()):
            message["thinking_blocks"] = [{"type": "thinking", "thinking": "Rain?", "signature": draw(pieces)}]
        if draw(st.booleans()):
            message["provider_specific_fields"] = {"thought_signatures": [draw(pieces)]}
        messages += answered(message)
    return messages


@given(histories())
def test_no_signature_that_is_known_goes_to_another_family_and_no_broken_one_anywhere(
    messages: list[dict[str, Any]],
) -> None:
    thoughts = SignedThoughts()
    thoughts.note_maker(CLAUDES, "claude", "Rain?")
    thoughts.note_maker(GEMINIS, "gemini")
    thoughts.note_maker(GEMINIS_TEXT, "gemini")
    for model, foreign in ((CLAUDE, {GEMINIS, GEMINIS_TEXT}), (GEMINI, {CLAUDES})):
        params = {"tools": [TOOL], "thinking": THINKING}
        sent = signatures(to_gemini(model, copy.deepcopy(messages), params, thoughts=thoughts))
        assert not foreign & set(sent)
        assert all(map(is_whole, sent))
