"""Requests to pinned deployments of other providers: in flight from their choice to their end, and named by account."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import litellm
import pytest
from proxy import LITELLM
from serving import MESSAGES, settings_of
from support import HANG_SECONDS

import litellm_antigravity
from litellm_antigravity.litellm.seams.router import forget_routers
from litellm_antigravity.litellm.told_headers import headers_in
from litellm_antigravity.simulator import Simulator

GROUP = "keys"
MODEL = "gemini-3-flash"

pytestmark = pytest.mark.skipif(
    LITELLM < (1, 106), reason="older LiteLLM calls the hook before it has a logging object"
)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    callbacks = list(litellm.callbacks)
    with Simulator(3, models=[MODEL]) as started:
        yield started
    litellm.callbacks[:] = callbacks
    forget_routers()


def with_keys(simulator: Simulator, folder: Path, use: Callable[[Any], Awaitable[None]]) -> None:
    """Use a Router over a key of each account, in an event loop of its own."""

    async def run() -> None:
        litellm_antigravity.register(settings_of(simulator, folder, max_rate_limit_wait_seconds=0))
        base = f"{simulator.url}/v1beta/models/{MODEL}"
        router = litellm.Router(
            model_list=[
                {
                    "model_name": GROUP,
                    "litellm_params": {"model": f"gemini/{MODEL}", "api_key": one.api_key, "api_base": base},
                    "model_info": {"account": one.email},
                }
                for one in simulator.accounts
            ],
            num_retries=3,
            disable_cooldowns=True,
        )
        litellm_antigravity.install(router)
        await use(router)

    asyncio.run(run())


def in_flight() -> int:
    return sum(litellm_antigravity.handler.dispatcher.pool.store.in_flight.counts().values())


async def until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + HANG_SECONDS
    while not condition():
        assert time.monotonic() < ends
        gc.collect()
        await asyncio.sleep(0.01)


def test_a_stream_of_another_provider_is_in_flight_until_it_is_read_or_given_up(
    simulator: Simulator, tmp_path: Path
) -> None:
    """It counted for nothing."""

    async def use(router: Any) -> None:
        streams = [await router.acompletion(model=GROUP, messages=MESSAGES, stream=True) for _ in range(2)]
        assert in_flight() == 2
        assert [chunk async for chunk in streams.pop()]
        await until(lambda: in_flight() == 1)
        streams.clear()  # nobody reads it
        await until(lambda: in_flight() == 0)
        stream = await asyncio.to_thread(router.completion, model=GROUP, messages=MESSAGES, stream=True)
        assert in_flight() == 1
        await asyncio.to_thread(list, stream)
        await until(lambda: in_flight() == 0)

    with_keys(simulator, tmp_path, use)


def test_one_that_is_refused_is_in_flight_at_the_next_key_only_and_named_by_that(
    simulator: Simulator, tmp_path: Path
) -> None:
    async def use(router: Any) -> None:
        simulator.drain(simulator.accounts[0].email, "gemini", 60)
        stream = await router.acompletion(model=GROUP, messages=MESSAGES, stream=True)
        assert in_flight() == 1
        assert any(one.status == 429 for one in simulator.log)
        (email,) = {one.email for one in simulator.log if one.kind == "served"}
        assert email
        assert headers_in(stream.logging_obj)["x-litellm-antigravity-account"] == f"us***{email[4:]}"
        json.dumps(stream.logging_obj.model_call_details, default=str)  # as loggers do
        copied: dict[str, Any] = copy.deepcopy(
            {key: one for key, one in stream.logging_obj.model_call_details.items() if "antigravity" in key}
        )
        assert copied
        del copied
        gc.collect()
        assert in_flight() == 1
        del stream
        await until(lambda: in_flight() == 0)
        for one in simulator.accounts:
            simulator.drain(one.email, "gemini", 60)
        with pytest.raises(litellm.RateLimitError):
            await router.acompletion(model=GROUP, messages=MESSAGES)
        await until(lambda: in_flight() == 0)

    with_keys(simulator, tmp_path, use)
