"""Replies with status 200 that failed: one more try, then an error or a finish reason that says so, and no mark."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import litellm
import pytest
from serving import MESSAGES, settings_of, text_of

import litellm_antigravity
from litellm_antigravity.pool import AccountPool
from litellm_antigravity.simulator import ModelReply, Simulator

pytestmark = pytest.mark.once

CLAUDE, GEMINI = "claude-sonnet-4-6", "gemini-3-flash"
TOOL: Any = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
ARGUMENTS: Any = {
    "city": "Oslo, by the fjord",
    "days": [1, 2.5, {"from": "Monday morning"}],
    "exact": True,
    "unit": None,
    "of note": {"a.b": "dots"},
}


def whole(model: str, **params: Any) -> Any:
    return litellm.completion(model=f"antigravity/{model}", messages=MESSAGES, **params)


def streamed(model: str, **params: Any) -> Any:
    chunks = list(litellm.completion(model=f"antigravity/{model}", messages=MESSAGES, stream=True, **params))
    return litellm.stream_chunk_builder(chunks)


def awaited(model: str, **params: Any) -> Any:
    return asyncio.run(litellm.acompletion(model=f"antigravity/{model}", messages=MESSAGES, **params))


def streamed_and_awaited(model: str, **params: Any) -> Any:
    async def ask() -> Any:
        stream: Any = await litellm.acompletion(model=f"antigravity/{model}", messages=MESSAGES, stream=True, **params)
        return litellm.stream_chunk_builder([chunk async for chunk in stream])

    return asyncio.run(ask())


DOORS: dict[str, Callable[..., Any]] = {
    "whole": whole,
    "streamed": streamed,
    "awaited": awaited,
    "streamed and awaited": streamed_and_awaited,
}
every_door = pytest.mark.parametrize("ask", DOORS.values(), ids=DOORS)
every_stream = pytest.mark.parametrize("ask", [streamed, streamed_and_awaited], ids=["sync", "async"])
every_model = pytest.mark.parametrize("model", [CLAUDE, GEMINI])

FAILURES: dict[str, dict[str, Any]] = {
    "malformed-function-call": {},
    "unexpected-tool-call": {},
    "empty-stop": {},
    "version-unsupported": {},
    "error-as-text": {},
}
ERRORS = {name: options for name, options in FAILURES.items() if name != "empty-stop"}


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Simulator]:
    with Simulator(2) as simulator:
        litellm_antigravity.register(settings_of(simulator, tmp_path))
        yield simulator


@pytest.fixture
def simulator(upstream: Simulator, tmp_path: Path) -> Iterator[Simulator]:
    """In no test that uses it is anything the account's fault."""
    yield upstream
    settings = settings_of(upstream, tmp_path)
    for state in AccountPool(settings).states():
        assert not state.cooldowns
        assert state.health >= settings.health_score.initial


def asked(simulator: Simulator) -> list[tuple[str, str | None]]:
    return [(entry.kind, entry.email) for entry in simulator.log if entry.model is not None]


@every_door
@every_model
@pytest.mark.parametrize("kind", FAILURES)
def test_a_reply_that_failed_is_asked_for_once_more(
    simulator: Simulator, ask: Callable[..., Any], model: str, kind: Any
) -> None:
    """Before, a malformed call and an empty one came back as a finished reply, and new errors as the model's words."""
    simulator.refuse(kind, times=1)
    reply = ask(model)
    assert text_of(reply).startswith("Served by")
    assert reply.choices[0].finish_reason == "stop"
    assert [name for name, _ in asked(simulator)] == [kind, "served"]


@every_door
@pytest.mark.parametrize("kind", ERRORS)
def test_a_reply_that_fails_twice_is_an_error_that_says_so(
    simulator: Simulator, ask: Callable[..., Any], kind: Any
) -> None:
    """Before, it was 200, empty and "stop"."""
    simulator.refuse(kind)
    with pytest.raises(Exception, match=r"MALFORMED|UNEXPECTED|Antigravity") as raised:
        ask(GEMINI)
    error = getattr(raised.value, "original_exception", None) or raised.value
    assert isinstance(error, litellm.InternalServerError)
    assert error.num_retries == 0
    assert [name for name, _ in asked(simulator)] == [kind, kind]


@every_door
@every_model
def test_a_reply_that_is_empty_twice_is_handed_on(simulator: Simulator, ask: Callable[..., Any], model: str) -> None:
    simulator.refuse("empty-stop")
    reply = ask(model)
    assert not reply.choices[0].message.content
    assert reply.choices[0].finish_reason == "stop"
    assert [name for name, _ in asked(simulator)] == ["empty-stop"] * 2


@every_door
@every_model
def test_a_reply_of_thoughts_only_is_asked_for_once_more(
    simulator: Simulator, ask: Callable[..., Any], model: str
) -> None:
    """Before, it was a finished reply without words."""
    simulator.refuse("thoughts-only", times=1)
    assert text_of(ask(model)).startswith("Served by")
    simulator.refuse("thoughts-only", times=2)
    reply = ask(model)
    assert reply.choices[0].finish_reason == "stop"
    assert "look something up" in reply.choices[0].message.reasoning_content


@every_stream
def test_a_call_that_fails_after_thoughts_is_asked_for_once_more(simulator: Simulator, ask: Callable[..., Any]) -> None:
    """Before, the stream ended with "stop" after the thoughts."""
    simulator.refuse("malformed-function-call", times=1, after_thoughts=True)
    assert text_of(ask(GEMINI)).startswith("Served by")


@every_door
@every_model
@pytest.mark.parametrize("kind", ["malformed-function-call", "unexpected-tool-call"])
def test_a_reply_that_fails_after_words_says_that_it_is_cut_off(
    simulator: Simulator, ask: Callable[..., Any], model: str, kind: Any
) -> None:
    """Before, its finish reason was "stop"."""
    simulator.refuse(kind, after_words=True)
    reply = ask(model)
    assert text_of(reply) == "Let me look that up for you."
    assert reply.choices[0].finish_reason == "length"


def test_a_whole_reply_says_why_in_upstreams_words(simulator: Simulator) -> None:
    simulator.refuse("malformed-function-call", after_words=True)
    fields = whole(GEMINI).choices[0].provider_specific_fields
    assert fields["native_finish_reason"] == "MALFORMED_FUNCTION_CALL"


def test_a_failed_reply_stays_with_its_account_and_its_prompt_cache(simulator: Simulator) -> None:
    simulator.refuse("malformed-function-call", times=1)
    whole(GEMINI)
    assert len({email for _, email in asked(simulator)}) == 1


def test_an_error_as_text_is_tried_on_another_account(simulator: Simulator) -> None:
    simulator.refuse("error-as-text", times=1)
    whole(GEMINI)
    assert len({email for _, email in asked(simulator)}) == 2


@every_door
@pytest.mark.parametrize(
    "text",
    [
        "This version of Antigravity is no longer supported. Please update to receive the latest features.",
        "Your client is outdated. Please update to a newer version.",
        "Please verify your account to continue using this product.",
    ],
)
def test_errors_are_told_by_what_surrounds_them(simulator: Simulator, ask: Callable[..., Any], text: str) -> None:
    """Before, only one wording was known."""
    simulator.refuse("error-as-text", message=text)
    with pytest.raises(Exception, match="upstream said as a model's text"):
        ask(CLAUDE)


@every_door
@every_model
def test_a_model_that_writes_about_versions_is_served(
    simulator: Simulator, ask: Callable[..., Any], model: str
) -> None:
    simulator.reply_with("Please update to a newer version: yours is out of date.")
    assert text_of(ask(model)) == "Please update to a newer version: yours is out of date."
    assert [name for name, _ in asked(simulator)] == ["served"]


def test_the_router_does_not_ask_for_ever(simulator: Simulator) -> None:
    router = litellm.Router(
        model_list=[{"model_name": "m", "litellm_params": {"model": f"antigravity/{GEMINI}"}}], num_retries=None
    )
    simulator.refuse("malformed-function-call")
    with pytest.raises(litellm.InternalServerError):
        router.completion(model="m", messages=MESSAGES)
    assert len(asked(simulator)) <= 6


# Calls in pieces, and calls without a finish reason


@every_stream
@every_model
def test_a_call_in_pieces_is_put_together(simulator: Simulator, ask: Callable[..., Any], model: str) -> None:
    """Before, it was a call with ``{}``."""
    call = {"functionCall": {"id": "toolu_1", "name": "weather", "args": ARGUMENTS}}
    simulator.reply_with([{"text": "Let me see."}, call, {"functionCall": {"id": "toolu_2", "name": "weather"}}])
    simulator.refuse("partial-args")
    reply = ask(model, tools=[TOOL])
    calls = reply.choices[0].message.tool_calls
    assert [json.loads(one.function.arguments) for one in calls] == [ARGUMENTS, {}]
    assert [one.function.name for one in calls] == ["weather"] * 2
    assert reply.choices[0].finish_reason == "tool_calls"
    assert text_of(reply) == "Let me see."


@every_stream
def test_a_call_that_stays_incomplete_is_asked_for_once_more_and_then_an_error(
    simulator: Simulator, ask: Callable[..., Any]
) -> None:
    """Before, it was a call with ``{}``."""
    simulator.reply_with([{"functionCall": {"name": "weather", "args": ARGUMENTS}}])
    simulator.refuse("partial-args", complete=False)
    with pytest.raises(Exception, match="'weather' broke off before all of its arguments had come"):
        ask(GEMINI, tools=[TOOL])
    assert len(asked(simulator)) == 2


@every_stream
@every_model
def test_a_call_without_a_finish_reason_is_taken(simulator: Simulator, ask: Callable[..., Any], model: str) -> None:
    """Before, the stream failed after the call had reached the caller."""
    simulator.reply_with([{"functionCall": {"name": "weather", "args": {"city": "Oslo"}}}])
    simulator.refuse("no-finish-reason")
    reply = ask(model, tools=[TOOL])
    assert json.loads(reply.choices[0].message.tool_calls[0].function.arguments) == {"city": "Oslo"}
    assert reply.choices[0].finish_reason == "tool_calls"


@every_stream
def test_words_without_a_finish_reason_stay_an_error(upstream: Simulator, ask: Callable[..., Any]) -> None:
    upstream.refuse("no-finish-reason")
    with pytest.raises(Exception, match="broke off"):
        ask(GEMINI)


@every_stream
def test_words_after_a_call_without_a_finish_reason_stay_an_error(upstream: Simulator, ask: Callable[..., Any]) -> None:
    call = {"functionCall": {"name": "weather", "args": {"city": "Oslo"}}}
    upstream.reply_with(ModelReply([call, {"text": "And now"}]))
    upstream.refuse("no-finish-reason")
    with pytest.raises(Exception, match="broke off"):
        ask(GEMINI, tools=[TOOL])
