"""Who meets the last limit of a group is told of all of its accounts, by whichever door."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import litellm
import pytest
from routers import (
    EMAILS,
    GROUP,
    Door,
    Shape,
    _callbacks_as_before,  # noqa: F401 - a fixture
    asked,
    cooldowns,
    every_door,
    every_shape,
    gemini,
    group_of,
    health,
    routed,
    served,
    sync_streams,
)
from serving import MESSAGES

from litellm_antigravity.simulator import Simulator


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(3) as started:
        yield started


@every_shape
@every_door
def test_whoever_meets_the_last_limit_is_told_of_all_accounts(
    shape: Shape, door: Door, simulator: Simulator, tmp_path: Path
) -> None:
    """Before, of other providers' groups only the next request was; the first heard of one account."""
    if shape is gemini and door is sync_streams:
        pytest.skip("LiteLLM's synchronous Router fails on the error itself: its message is bytes there")
    router = routed(group_of(shape, simulator), simulator, tmp_path)
    for email in EMAILS:
        simulator.drain(email, "gemini", 600)
    with pytest.raises(litellm.RateLimitError) as raised:
        door(router)
    assert asked(simulator) == [1, 2, 3]
    assert str(raised.value).count("Every account (3) is limited") == 1
    assert 500 < int(raised.value.response.headers["retry-after"]) <= 600


def other_forms(router: Any, method: str) -> list[str]:
    """Return the events of a stream in the form of Anthropic's or of OpenAI's newer API."""
    form = {"input": "Hello"} if method == "aresponses" else {"messages": MESSAGES, "max_tokens": 50}

    async def read() -> list[str]:
        try:
            reply: Any = await getattr(router, method)(model=GROUP, stream=True, **form)
            return [str(event) async for event in reply]
        finally:
            await asyncio.sleep(0.1)

    return asyncio.run(read())


@every_shape
@pytest.mark.parametrize("method", ["aresponses", "aanthropic_messages"])
def test_a_stream_in_another_form_goes_to_the_next_account_and_says_when_nobody_is_left(
    shape: Shape, method: str, simulator: Simulator, tmp_path: Path
) -> None:
    """Before, a stream of another provider began, and the refusal of its first account came as an event in it."""
    if method == "aanthropic_messages":
        pytest.importorskip("fastapi", reason="LiteLLM's own /v1/messages imports it, without its proxy too")
    router = routed(group_of(shape, simulator), simulator, tmp_path)
    for email in EMAILS[:2]:
        simulator.drain(email, "gemini", 600)
    assert other_forms(router, method)
    assert asked(simulator) == [1, 2, 3]
    assert served(simulator) == [3]
    simulator.drain(EMAILS[2], "gemini", 600)
    with pytest.raises(litellm.RateLimitError, match=r"Every account \(3\) is limited"):
        other_forms(router, method)
    assert len(cooldowns("quota")) == 3
    assert min(health()) == 60
