"""`litellm.completion(model="antigravity/...")` on real LiteLLM, real HTTP and a real accounts file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import litellm
import pytest
from litellm_doors import ask, ask_async, ask_async_streamed, ask_streamed, every_door
from serving import MESSAGES, MODEL, account_of, settings_of, text_of

import litellm_antigravity
from litellm_antigravity import Settings
from litellm_antigravity.simulator import Simulator

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather at a place.",
        "parameters": {"type": "object", "properties": {"place_name": {"type": "string"}}, "required": ["place_name"]},
    },
}


@pytest.fixture
def simulator(antigravity_simulator: Simulator) -> Simulator:
    return antigravity_simulator


@pytest.fixture
def registered(simulator: Simulator, tmp_path: Path) -> Settings:
    settings = settings_of(simulator, tmp_path, account_selection_strategy="sticky")
    litellm_antigravity.register(settings)
    return settings


# What comes back


@every_door
@pytest.mark.usefixtures("registered")
def test_a_request_is_served_by_an_account(door: Any) -> None:
    assert "user1@example.com" in text_of(door())


@every_door
@pytest.mark.usefixtures("registered")
def test_the_response_names_its_account_masked(door: Any, simulator: Simulator) -> None:
    reply = door()
    assert account_of(reply) == simulator.accounts[0].label
    assert "user1@" not in account_of(reply)


@every_door
@pytest.mark.usefixtures("registered")
def test_usage_and_finish_reason_are_upstreams(door: Any, simulator: Simulator) -> None:
    simulator.reply_with([{"text": "Four words for you."}])
    reply = door(**({"stream_options": {"include_usage": True}} if "stream" in door.__name__ else {}))
    last = reply[-1] if isinstance(reply, list) else reply
    usage = last.usage
    assert usage.prompt_tokens > 0
    assert usage.completion_tokens > 0
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    finished = [chunk.choices[0].finish_reason for chunk in reply if chunk.choices] if isinstance(reply, list) else None
    assert (finished[-1] if finished and finished[-1] else _last_reason(reply)) == "stop"


def _last_reason(reply: Any) -> str | None:
    if not isinstance(reply, list):
        return str(reply.choices[0].finish_reason)
    reasons = [chunk.choices[0].finish_reason for chunk in reply if chunk.choices and chunk.choices[0].finish_reason]
    assert len(reasons) == 1
    return str(reasons[0])


@every_door
@pytest.mark.usefixtures("registered")
def test_a_tool_call_comes_back_as_one(door: Any, simulator: Simulator) -> None:
    simulator.reply_with([{"functionCall": {"name": "weather", "args": {"place_name": "Oslo"}}}])
    reply = door(tools=[WEATHER], tool_choice="auto")
    message = _tool_message(reply)
    assert message.function.name == "weather"
    assert message.function.arguments == '{"place_name": "Oslo"}'
    assert _last_reason(reply) == "tool_calls"


def _tool_message(reply: Any) -> Any:
    if not isinstance(reply, list):
        return reply.choices[0].message.tool_calls[0]
    calls = [call for chunk in reply if chunk.choices for call in chunk.choices[0].delta.tool_calls or []]
    assert len(calls) == 1
    return calls[0]


@pytest.mark.usefixtures("registered")
def test_a_conversation_with_system_prompt_and_tool_results_reaches_upstream_whole(simulator: Simulator) -> None:
    conversation = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"place_name": "Oslo"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "1", "content": '{"sky_now": "grey"}'},
        {"role": "user", "content": "Thank you"},
    ]
    for model in ("antigravity/claude-sonnet-4-6", "antigravity/gemini-3-flash"):
        ask(model=model, messages=conversation, tools=[WEATHER], max_tokens=50, temperature=0.5)
        body = simulator.requests(status=200, path="/v1internal:generateContent")[-1].body["request"]
        assert body["systemInstruction"]["parts"] == [{"text": "Be brief."}]
        assert body["generationConfig"]["maxOutputTokens"] == 50
        assert body["generationConfig"]["temperature"] == 0.5
        call, result = body["contents"][1]["parts"][0], body["contents"][2]["parts"][0]
        assert call["functionCall"]["args"] == {"place_name": "Oslo"}
        assert result["functionResponse"]["response"] == {"sky_now": "grey"}
        assert body["tools"][0]["functionDeclarations"][0]["parameters"]["required"] == ["place_name"]
    assert conversation[0] == {"role": "system", "content": "Be brief."}


@every_door
@pytest.mark.parametrize("model", ["antigravity/claude-sonnet-4-6", "antigravity/gemini-3-flash"])
@pytest.mark.usefixtures("registered")
def test_a_result_with_numbers_that_json_has_not_reaches_upstream_as_json(
    model: str, door: Any, simulator: Simulator
) -> None:
    """Before: the body said NaN, as Python's JSON does, and was no JSON; so were those of all later requests."""
    call = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"least": -Infinity}'}}
    result = {"role": "tool", "tool_call_id": "1", "content": '{"mean": NaN, "most": [Infinity, 1.5]}'}
    conversation = [*MESSAGES, {"role": "assistant", "content": None, "tool_calls": [call]}, result]
    assert text_of(door(model=model, messages=conversation, tools=[WEATHER]))
    (sent,) = simulator.requests(kind="served")
    asked, answered = (content["parts"][0] for content in sent.body["request"]["contents"][1:])
    assert asked["functionCall"]["args"] == {"least": "-Infinity"}
    assert answered["functionResponse"]["response"] == {"mean": "NaN", "most": ["Infinity", 1.5]}


@every_door
@pytest.mark.usefixtures("registered")
def test_reasoning_parameters_need_no_configuration(door: Any, simulator: Simulator) -> None:
    door(reasoning_effort="low")
    door(thinking={"type": "enabled", "budget_tokens": 2048})
    sent = [
        entry.body["request"]["generationConfig"]["thinkingConfig"]
        for entry in simulator.requests(status=200)
        if entry.kind == "served"
    ]
    assert sent[0]["thinkingBudget"] > 0
    assert sent[1]["thinkingBudget"] == 2048


def test_other_providers_still_reject_what_they_do_not_support() -> None:
    litellm_antigravity.register(Settings())
    with pytest.raises(litellm.UnsupportedParamsError):
        litellm.completion(model="gpt-4o", messages=MESSAGES, thinking={"type": "enabled"}, mock_response="x")


def test_registering_twice_leaves_other_custom_providers_alone(registered: Settings) -> None:
    class Other(litellm.CustomLLM):  # type: ignore[misc]  # LiteLLM's types are not followed
        pass

    before = list(litellm.custom_provider_map)
    other = {"provider": "other", "custom_handler": Other()}
    litellm.custom_provider_map = [*before, other]
    try:
        litellm_antigravity.register(registered)
        litellm_antigravity.register(registered)
        assert litellm.custom_provider_map.count(other) == 1
        assert [entry["provider"] for entry in litellm.custom_provider_map].count("antigravity") == 1
    finally:
        litellm.custom_provider_map = before


# Failover


@every_door
@pytest.mark.parametrize(
    "kind",
    [
        "quota",
        "rate",
        "refused-request",
        "server-error",
        "unauthorized",
        "verification",
        "not-available",
        "html",
        "html-error",
        "empty-candidates",
        "drop",
        "version-unsupported",
    ],
)
@pytest.mark.usefixtures("registered")
def test_a_refusal_of_one_account_is_answered_by_the_next(kind: Any, door: Any, simulator: Simulator) -> None:
    simulator.refuse(kind, email="user1@example.com")
    assert "user2@example.com" in text_of(door())


@pytest.mark.parametrize("door", [ask_streamed, ask_async_streamed])
@pytest.mark.parametrize("options", [{"after_chunks": 0}, {"after_chunks": 0, "abrupt": True}])
@pytest.mark.usefixtures("registered")
def test_a_stream_that_ends_before_any_content_moves_on(door: Any, options: Any, simulator: Simulator) -> None:
    simulator.refuse("truncated-stream", email="user1@example.com", **options)
    assert "user2@example.com" in text_of(door())


@pytest.mark.parametrize("door", [ask_streamed, ask_async_streamed])
@pytest.mark.parametrize("kind", ["truncated-stream", "mid-stream-error"])
@pytest.mark.usefixtures("registered")
def test_a_stream_that_breaks_after_content_is_an_error_and_is_not_repeated(
    door: Any, kind: Any, simulator: Simulator
) -> None:
    simulator.refuse(kind, email="user1@example.com", after_chunks=1)
    with pytest.raises((litellm.InternalServerError, litellm.exceptions.MidStreamFallbackError)):
        door()
    assert len(simulator.requests(path="/v1internal:streamGenerateContent")) == 1


@every_door
@pytest.mark.usefixtures("registered")
def test_a_caller_s_mistake_goes_straight_back_and_benches_nobody(door: Any, simulator: Simulator) -> None:
    simulator.refuse("bad-request", times=1, message="contents must not be empty")
    with pytest.raises(litellm.BadRequestError, match="contents must not be empty"):
        door()
    assert "user1@example.com" in text_of(door())


@every_door
@pytest.mark.parametrize("kind", ["banned", "banned-old-text"])
@pytest.mark.usefixtures("registered")
def test_a_ban_fails_the_request_and_benches_the_account_for_good(door: Any, kind: Any, simulator: Simulator) -> None:
    simulator.refuse(kind, email="user1@example.com")
    with pytest.raises(litellm.PermissionDeniedError, match="violation of Terms of Service"):
        door()
    assert "user2@example.com" in text_of(door())
    assert len(simulator.requests(email="user1@example.com", path="/v1internal:generateContent")) <= 1


@every_door
@pytest.mark.usefixtures("registered")
def test_a_second_bare_429_in_one_request_goes_to_the_caller(door: Any, simulator: Simulator) -> None:
    simulator.refuse("refused-request")
    with pytest.raises(litellm.RateLimitError, match="Resource has been exhausted"):
        door()
    assert len([entry for entry in simulator.log if entry.status == 429]) == 2


@every_door
def test_lack_of_capacity_benches_no_account_and_fails_fast_for_a_while(
    door: Any, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    _no_waiting(monkeypatch, pauses)
    litellm_antigravity.register(settings_of(simulator, tmp_path, account_selection_strategy="sticky"))
    simulator.refuse("capacity", model="claude-sonnet-4-6")
    with pytest.raises(litellm.ServiceUnavailableError, match="capacity"):
        door()
    assert pauses == [pytest.approx(seconds, rel=0.2) for seconds in (1, 2, 4)]
    assert {entry.email for entry in simulator.log if entry.kind == "capacity"} == {"user1@example.com"}
    asked = len(simulator.log)
    with pytest.raises(litellm.ServiceUnavailableError):
        door()
    assert len(simulator.log) == asked
    assert "user1@example.com" in text_of(door(model="antigravity/claude-opus-4-6-thinking"))


def _no_waiting(monkeypatch: pytest.MonkeyPatch, pauses: list[float]) -> None:
    """Let pauses pass at once, and note them."""
    really = asyncio.sleep

    async def asleep(seconds: float, *_: Any) -> None:
        if seconds > 0.5:
            pauses.append(seconds)
        await really(0)

    def sleep(_: Any, seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("litellm_antigravity.dispatch.asyncio.sleep", asleep)
    monkeypatch.setattr("litellm_antigravity.clock.SystemClock.sleep", sleep)


@every_door
def test_one_forced_refresh_answers_a_401(door: Any, simulator: Simulator, registered: Settings) -> None:
    del registered
    door()
    simulator.expire_tokens("user1@example.com")
    assert "user1@example.com" in text_of(door())
    assert simulator.token_calls() == 2


# Everybody limited


def drain_all(simulator: Simulator, *, reset_seconds: float = 600.0) -> None:
    for number, account in enumerate(simulator.accounts):
        simulator.drain(account.email, "claude", reset_seconds=reset_seconds + 100 * number)


@every_door
@pytest.mark.usefixtures("registered")
def test_when_all_are_limited_the_error_is_a_rate_limit_with_the_remaining_time(
    door: Any, simulator: Simulator
) -> None:
    drain_all(simulator)
    for _ in ("not known yet", "known"):
        with pytest.raises(litellm.RateLimitError) as caught:
            door()
        retry_after = int(caught.value.response.headers["retry-after"])
        assert 590 <= retry_after <= 600
        message = str(caught.value)
        for account in simulator.accounts:
            assert account.label in message
            assert account.email not in message
        assert "quota" in message
    assert len([entry for entry in simulator.log if entry.status == 429]) == len(simulator.accounts)


@pytest.mark.usefixtures("registered")
def test_an_async_stream_fails_before_it_is_handed_out(simulator: Simulator) -> None:
    drain_all(simulator)

    async def begin() -> None:
        with pytest.raises(litellm.RateLimitError) as caught:
            await litellm.acompletion(model=MODEL, messages=MESSAGES, stream=True)
        assert int(caught.value.response.headers["retry-after"]) > 500

    asyncio.run(begin())
    asyncio.run(begin())


@pytest.mark.usefixtures("registered")
def test_a_sync_stream_fails_before_it_is_handed_out(simulator: Simulator) -> None:
    drain_all(simulator)
    with pytest.raises(litellm.RateLimitError):
        ask(stream=True)


@pytest.mark.usefixtures("registered")
def test_a_drained_family_does_not_block_the_other(simulator: Simulator) -> None:
    drain_all(simulator)
    with pytest.raises(litellm.RateLimitError):
        ask()
    assert "user1@example.com" in text_of(ask(model="antigravity/gemini-3-flash"))


@every_door
def test_a_wait_within_the_allowed_time_is_waited_for(door: Any, simulator: Simulator, tmp_path: Path) -> None:
    litellm_antigravity.register(
        settings_of(simulator, tmp_path, account_selection_strategy="sticky", max_rate_limit_wait_seconds=5)
    )
    drain_all(simulator, reset_seconds=1.0)
    assert text_of(door())  # also for an account whose limit this very request has met


@every_door
@pytest.mark.usefixtures("registered")
def test_failover_pauses_nowhere(door: Any, simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    _no_waiting(monkeypatch, pauses)
    for account in simulator.accounts[:3]:
        simulator.drain(account.email, "claude")
    assert "user4@example.com" in text_of(door())
    assert pauses == []
    assert [entry.status for entry in simulator.log if entry.model] == [429, 429, 429, 200]


def test_the_call_s_time_out_ends_a_request_that_hangs(simulator: Simulator, registered: Settings) -> None:
    del registered
    simulator.refuse("hang")
    with pytest.raises(litellm.Timeout):
        ask(timeout=0.3)
    with pytest.raises(litellm.Timeout):
        ask_async(timeout=0.3)


@pytest.mark.usefixtures("registered")
def test_a_deployment_of_another_provider_with_the_same_models_name_changes_nothing(simulator: Simulator) -> None:
    """Before, on LiteLLM 1.90: the system prompt was a user's message then, and `thinking` was refused."""
    key = "gemini/gemini-3-flash"
    litellm.model_cost.pop(key, None)  # another test's Router may have entered it
    theirs = {"model_name": "theirs", "litellm_params": {"model": key, "api_key": "a-key"}}
    try:
        for _ in range(2):
            litellm.Router(model_list=[theirs])  # enters the name into LiteLLM's table, the second time with its fields
        messages = [{"role": "system", "content": "Be brief."}, *MESSAGES]
        litellm.completion(model="antigravity/gemini-3-flash", messages=messages, reasoning_effort="low")
    finally:
        litellm.model_cost.pop(key, None)
    body = simulator.requests(status=200, path="/v1internal:generateContent")[-1].body["request"]
    assert body["systemInstruction"]["parts"] == [{"text": "Be brief."}]
