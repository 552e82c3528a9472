"""The simulator's prompt cache: what a change of account or a pause costs shows in the usage."""

from __future__ import annotations

from typing import Any

import litellm
import pytest
from serving import settings_of
from simulator_client import CLAUDE, FIRST, GEMINI, SECOND, Client
from support import FakeClock

import litellm_antigravity
from litellm_antigravity.simulator import Simulator

pytestmark = pytest.mark.once

LONG = "Once upon a time. " * 600  # 2,700 tokens


def cached(client: Client, email: str = FIRST, model: str = CLAUDE, text: str = LONG, **request: Any) -> int:
    body = client.envelope(email, model, contents=[{"role": "user", "parts": [{"text": text}]}], **request)
    answer = client.ask(email, body=body)
    usage = answer.json()["response"]["usageMetadata"]
    assert usage.get("cachedContentTokenCount", 0) <= usage["promptTokenCount"]
    return int(usage.get("cachedContentTokenCount", 0))


def test_what_an_account_has_sent_is_cached_in_blocks_for_that_account_and_model() -> None:
    with Simulator(2) as simulator:
        client = Client(simulator)
        assert cached(client) == 0
        assert cached(client) == 2048
        assert cached(client, text=LONG + "And then?") == 2048
        assert cached(client, email=SECOND) == 0
        assert cached(client, model=GEMINI) == 0
        assert cached(client, email=SECOND) == 2048


def test_a_short_prompt_is_not_cached() -> None:
    with Simulator(1) as simulator:
        client = Client(simulator)
        assert [cached(client, text="Once upon a time. " * 200) for _ in range(2)] == [0, 0]


def test_another_beginning_is_another_prompt() -> None:
    with Simulator(1) as simulator:
        client = Client(simulator)
        cached(client)
        assert cached(client, text="Well. " + LONG) == 0
        assert cached(client, systemInstruction={"parts": [{"text": "Be brief."}]}) == 0
        tool = {"name": "weather", "parameters": {"type": "object"}}
        assert cached(client, tools=[{"functionDeclarations": [tool]}]) == 0
        assert cached(client) == 2048


def test_the_cache_is_kept_for_five_minutes_after_its_last_use() -> None:
    clock = FakeClock()
    with Simulator(1, clock=clock) as simulator:
        client = Client(simulator)
        cached(client)
        clock.advance(299)
        assert cached(client) == 2048
        clock.advance(299)
        assert cached(client) == 2048
        clock.advance(300)
        assert cached(client) == 0


@pytest.mark.parametrize("model", [CLAUDE, GEMINI])
def test_a_system_message_of_a_later_turn_costs_no_cache(tmp_path: Any, model: str) -> None:
    """Before, it moved to the front: nothing was cached in any later turn."""
    messages: list[Any] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": LONG}]
    counts = []
    with Simulator(1) as simulator:
        litellm_antigravity.register(settings_of(simulator, tmp_path))
        for number in range(3):
            reply: Any = litellm.completion(model=f"antigravity/{model}", messages=messages)
            details = reply.usage.prompt_tokens_details
            counts.append(details.cached_tokens if details else None)
            reminder = {"role": "system", "content": f"{number} tokens left."}
            messages += [{"role": "assistant", "content": "Well."}, {"role": "user", "content": "Go on."}, reminder]
    assert [count or 0 for count in counts] == [0, 2048, 2048]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_change_of_account_costs_the_cache(tmp_path: Any, *, stream: bool) -> None:
    def ask() -> int:
        reply: Any = litellm.completion(
            model=f"antigravity/{GEMINI}", messages=[{"role": "user", "content": LONG}], stream=stream
        )
        built: Any = litellm.stream_chunk_builder(list(reply)) if stream else reply
        return int(built.usage.prompt_tokens_details.cached_tokens or 0) if built.usage.prompt_tokens_details else 0

    with Simulator(2) as simulator:
        litellm_antigravity.register(settings_of(simulator, tmp_path, account_selection_strategy="sticky"))
        assert ask() == 0
        assert ask() == 2048
        simulator.drain(simulator.log[-1].email or "", None)
        assert ask() == 0
        assert ask() == 2048
        assert {entry.email for entry in simulator.requests(kind="served")} == {FIRST, SECOND}
