"""Streams: every delta in order, one finish reason, one usage, and the same answer as without streaming."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import litellm
import pytest
from claude_histories import CLAUDE, Logging
from hypothesis import given, settings
from hypothesis import strategies as st
from litellm.types.utils import ModelResponse
from serving import settings_of

import litellm_antigravity
from litellm_antigravity.litellm.translation import ChunkTranslator, from_gemini
from litellm_antigravity.litellm.translation.signatures import SignedThoughts
from litellm_antigravity.simulator import ModelReply, Simulator
from litellm_antigravity.wire.sse import SSEDecoder

GEMINI = "gemini-3-flash"
HELLO = [{"role": "user", "content": "Hello"}]
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
USAGE = {"promptTokenCount": 7, "candidatesTokenCount": 5, "thoughtsTokenCount": 3, "totalTokenCount": 15}

THOUGHT: dict[str, Any] = {
    "text": "Let me think about the sky for a while.",
    "thought": True,
    "thoughtSignature": "c2lnbmVk",
}
TEXT: dict[str, Any] = {"text": "It is grey, \u2028 with 世界 and \U0001f600 in it."}
CALLS: list[dict[str, Any]] = [
    {"functionCall": {"id": f"fc_{number}", "name": "weather", "args": {"n": number}}} for number in range(2)
]
REPLIES: dict[str, list[dict[str, Any]]] = {
    "text": [TEXT],
    "thought and text": [THOUGHT, TEXT],
    "thought, text and calls": [THOUGHT, TEXT, *CALLS],
    "calls": CALLS,
}


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with Simulator(1) as simulator:
        litellm_antigravity.register(settings_of(simulator, tmp_path_factory.mktemp("streaming")))
        yield simulator


def ask(simulator: Simulator, model: str, reply: Any, **params: Any) -> Any:
    simulator.reply_with(reply)
    return litellm.completion(model=f"antigravity/{model}", messages=HELLO, tools=[WEATHER], **params)


def streamed(simulator: Simulator, model: str, reply: Any, **params: Any) -> list[Any]:
    return list(ask(simulator, model, reply, stream=True, **params))


def streamed_async(simulator: Simulator, model: str, reply: Any, **params: Any) -> list[Any]:
    async def run() -> list[Any]:
        simulator.reply_with(reply)
        stream: Any = await litellm.acompletion(
            model=f"antigravity/{model}", messages=HELLO, tools=[WEATHER], stream=True, **params
        )
        return [chunk async for chunk in stream]

    return asyncio.run(run())


every_model = pytest.mark.parametrize("model", [GEMINI, CLAUDE])
every_door = pytest.mark.parametrize("door", [streamed, streamed_async], ids=["completion", "acompletion"])
every_reply = pytest.mark.parametrize("parts", [pytest.param(parts, id=name) for name, parts in REPLIES.items()])


def message_of(response: Any) -> dict[str, Any]:
    """Return what a client sees of a message."""
    message = response.choices[0].message
    return {
        "content": message.content or None,
        "reasoning": getattr(message, "reasoning_content", None),
        "blocks": getattr(message, "thinking_blocks", None) or None,
        "calls": [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ()],
        "finish": response.choices[0].finish_reason,
    }


@every_model
@every_door
@every_reply
def test_a_stream_put_together_is_the_whole_answer(simulator: Simulator, model: str, door: Any, parts: Any) -> None:
    chunks = door(simulator, model, parts, stream_options={"include_usage": True})
    whole = ask(simulator, model, parts)
    built: Any = litellm.stream_chunk_builder(chunks, messages=HELLO)
    assert message_of(built) == message_of(whole)
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert getattr(built.usage, name) == getattr(whole.usage, name)


@every_model
@every_door
@every_reply
def test_there_is_one_finish_reason_and_one_usage(simulator: Simulator, model: str, door: Any, parts: Any) -> None:
    chunks = door(simulator, model, parts, stream_options={"include_usage": True})
    reasons = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason]
    assert reasons == ["tool_calls" if CALLS[0] in parts else "stop"]
    assert sum(1 for chunk in chunks if getattr(chunk, "usage", None)) == 1


@every_door
def test_no_usage_comes_when_none_is_asked_for(simulator: Simulator, door: Any) -> None:
    assert not any(getattr(chunk, "usage", None) for chunk in door(simulator, GEMINI, [TEXT]))


@every_model
def test_reasoning_comes_before_text_and_text_before_calls(simulator: Simulator, model: str) -> None:
    kinds: list[str] = []
    for chunk in streamed(simulator, model, REPLIES["thought, text and calls"]):
        delta = chunk.choices[0].delta
        present = [
            kind
            for kind, name in (("thought", "reasoning_content"), ("text", "content"), ("call", "tool_calls"))
            if getattr(delta, name, None)
        ]
        assert len(present) <= 1
        kinds += [kind for kind in present if not kinds or kinds[-1] != kind]
    assert kinds == ["thought", "text", "call"]


@every_model
def test_messages_stream_each_thought_once_and_its_signature_with_it(simulator: Simulator, model: str) -> None:
    async def run() -> list[Any]:
        simulator.reply_with(REPLIES["thought, text and calls"])
        stream: Any = await litellm.anthropic.messages.acreate(
            model=f"antigravity/{model}", messages=HELLO, max_tokens=9000, stream=True
        )
        content = b"".join([event async for event in stream]).decode()
        return [json.loads(line.removeprefix("data: ")) for line in content.splitlines() if line.startswith("data: ")]

    said = {"thinking": "", "signature": "", "text": ""}
    for event in asyncio.run(run()):
        block = event.get("content_block") or event.get("delta") or {}
        for name in said:
            said[name] += block.get(name) or ""
    assert said == {"thinking": THOUGHT["text"], "signature": THOUGHT["thoughtSignature"], "text": TEXT["text"]}


def test_a_reply_that_is_cut_off_says_so(simulator: Simulator) -> None:
    chunks = streamed(simulator, GEMINI, ModelReply([TEXT], "MAX_TOKENS"))
    assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == "length"


@every_model
def test_a_blocked_prompt_is_filtered(model: str) -> None:
    reply = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": USAGE, "responseId": "r"}
    translator = ChunkTranslator(model, Logging(), {}, thoughts=SignedThoughts())
    chunks = [*translator.chunks(reply), *translator.last_chunks()]
    assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == "content_filter"
    whole = from_gemini(
        reply,
        model=model,
        model_response=ModelResponse(),
        logging_obj=Logging(),
        request={},
        messages=[],
        optional_params={},
        thoughts=SignedThoughts(),
    )
    assert whole.choices[0].finish_reason == "content_filter"


# However the bytes come

REPLY_OF_ALL: list[dict[str, Any]] = [
    {"candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0}], "responseId": "r"}
    for part in REPLIES["thought, text and calls"]
] + [{"candidates": [{"finishReason": "STOP", "index": 0}], "usageMetadata": USAGE, "responseId": "r"}]


def translated(replies: list[Any], model: str) -> Any:
    translator = ChunkTranslator(model, Logging(), {}, thoughts=SignedThoughts())
    chunks = [chunk for reply in replies for chunk in translator.chunks(reply)]
    return litellm.stream_chunk_builder([*chunks, *translator.last_chunks()])


@settings(max_examples=60, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 2000), max_size=40),
    end=st.sampled_from([b"\n", b"\r\n", b"\r"]),
    comment=st.sampled_from([b"", b": keep-alive"]),
)
def test_the_same_bytes_cut_anywhere_are_the_same_answer(cuts: list[int], end: bytes, comment: bytes) -> None:
    lines = [b"data: " + json.dumps(reply, ensure_ascii=False).encode() for reply in REPLY_OF_ALL]
    content = b"".join(comment + (end + end if comment else b"") + line + end + end for line in lines)
    places = sorted({0, len(content), *(cut % len(content) for cut in cuts)})
    decoder = SSEDecoder()
    events = [event for start, stop in pairwise(places) for event in decoder.feed(content[start:stop])]
    replies = [json.loads(event) for event in [*events, *decoder.finish()]]
    assert message_of(translated(replies, GEMINI)) == message_of(translated(REPLY_OF_ALL, GEMINI))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([THOUGHT, TEXT, *CALLS, {"text": "more"}]), st.booleans()), min_size=1, max_size=5
    )
)
def test_however_parts_are_shared_out_over_replies_the_message_is_the_same(
    shared: list[tuple[Any, bool]],
) -> None:
    parts = [part for part, _ in shared]
    groups: list[list[Any]] = []
    for part, share in shared:
        if groups and share:
            groups[-1].append(part)
        else:
            groups.append([part])
    replies: list[dict[str, Any]] = [
        {"candidates": [{"content": {"role": "model", "parts": group}, "index": 0}]} for group in groups
    ]
    replies.append({"candidates": [{"finishReason": "STOP", "index": 0}], "usageMetadata": USAGE})
    whole = {
        "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}],
        "usageMetadata": USAGE,
    }
    response = from_gemini(
        whole,
        model=CLAUDE,
        model_response=ModelResponse(),
        logging_obj=Logging(),
        request={},
        messages=[],
        optional_params={},
        thoughts=SignedThoughts(),
    )
    assert message_of(translated(replies, CLAUDE)) == message_of(response)


@pytest.mark.parametrize("named", [True, False], ids=["upstream's", "made up"])
@every_door
def test_a_stream_has_one_id(simulator: Simulator, door: Any, *, named: bool) -> None:
    """Before, the first chunks and the last ones had ids of their own."""
    replies: list[dict[str, Any]] = [
        {"candidates": [{"content": {"role": "model", "parts": [{"text": word}]}, "index": 0}]} for word in "abc"
    ]
    replies.append({"candidates": [{"finishReason": "STOP", "index": 0}], "usageMetadata": USAGE})
    replies = [{**one, "responseId": "r-1"} if named else one for one in replies]
    translator = ChunkTranslator(CLAUDE, Logging(), thoughts=SignedThoughts())
    ids = {chunk.id for reply in replies for chunk in translator.chunks(reply)}
    ids |= {chunk.id for chunk in translator.last_chunks()}
    assert ids == {"r-1"} if named else len(ids) == 1
    assert len({chunk.id for chunk in door(simulator, CLAUDE, [THOUGHT, TEXT, *CALLS])}) == 1


def test_what_a_reply_says_of_the_usage_stays_until_a_later_one_says_otherwise() -> None:
    """Before, the last one alone counted, and cached tokens of an earlier one were lost."""
    word = {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hi"}]}, "index": 0}]}
    end = {"candidates": [{"finishReason": "STOP", "index": 0}]}
    first = {
        "promptTokenCount": 3000,
        "cachedContentTokenCount": 2048,
        "candidatesTokenCount": 1,
        "totalTokenCount": 3001,
    }
    last = {"promptTokenCount": 3000, "candidatesTokenCount": 7, "totalTokenCount": 3007}
    translator = ChunkTranslator(GEMINI, Logging(), thoughts=SignedThoughts())
    chunks = [
        *translator.chunks({**word, "usageMetadata": first}),
        *translator.chunks({**end, "usageMetadata": last}),
        *translator.last_chunks(),
    ]
    [usage] = [chunk.usage for chunk in chunks if getattr(chunk, "usage", None) is not None]
    assert usage.prompt_tokens_details.cached_tokens == 2048
    assert (usage.completion_tokens, usage.total_tokens) == (7, 3007)


DOORS: dict[str, Any] = {
    "acompletion": {"messages": HELLO},
    "anthropic_messages": {"messages": HELLO, "max_tokens": 50},
    "aresponses": {"input": "Hello"},
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("read", [0, 1], ids=["unread", "begun"])
def test_a_stream_that_is_given_up_is_in_flight_no_longer_whenever_garbage_is_collected(
    simulator: Simulator, door: str, read: int
) -> None:
    """Before, it held its account's place until then: behind the proxy for 15 s and more, and others got 429."""

    def in_flight() -> int:
        return sum(litellm_antigravity.handler.dispatcher.pool.store.in_flight.counts().values())

    async def begun(stream: Any) -> None:
        async for _ in stream:
            return

    async def run() -> None:
        simulator.reply_with(ModelReply(parts=[TEXT, TEXT]))
        stream = await getattr(litellm, door)(model=f"antigravity/{GEMINI}", stream=True, **DOORS[door])
        if read:
            await begun(stream)
        assert in_flight() == 1
        del stream
        ends = time.monotonic() + 30  # a hang guard
        while in_flight():
            assert time.monotonic() < ends
            await asyncio.sleep(0.01)
        gc.collect()  # while the loop runs: connections that LiteLLM has kept cannot be closed afterwards
        await asyncio.sleep(0)

    gc.collect()
    gc.disable()
    try:
        asyncio.run(run())
    finally:
        gc.enable()
