"""Time-outs that are no time-outs: a clear 400 at every door, where LiteLLM would answer 500 or guess."""

from __future__ import annotations

import asyncio
import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import litellm
import pytest
from proxy import Proxy, needs_proxy, pool_environment
from serving import MESSAGES, MODEL, settings_of
from support import ROOT

import litellm_antigravity
from litellm_antigravity.litellm.timeouts import LONGEST_SECONDS, timeout_of
from litellm_antigravity.simulator import Simulator

ODD: list[Any] = ["abc", "", "nan", "inf", {}, [], [1], {"read": 1}, True, False, math.nan, math.inf, -1, 0, 10**400]
FALSY: tuple[Any, ...] = ("", {}, [], False, 0)
"""What LiteLLM's Router takes for an absent one."""


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(2) as started:
        yield started


@pytest.fixture
def router(simulator: Simulator, tmp_path: Path) -> litellm.Router:
    litellm_antigravity.register(settings_of(simulator, tmp_path))
    return litellm.Router(model_list=[{"model_name": "ours", "litellm_params": {"model": MODEL}}], num_retries=0)


def complete(_: litellm.Router, **params: Any) -> Any:
    return litellm.completion(model=MODEL, messages=MESSAGES, **params)


def astream(_: litellm.Router, **params: Any) -> Any:
    return asyncio.run(_read(litellm.acompletion, MODEL, params))


def by_router(router: litellm.Router, **params: Any) -> Any:
    return router.completion(model="ours", messages=MESSAGES, **params)


def astream_by_router(router: litellm.Router, **params: Any) -> Any:
    return asyncio.run(_read(router.acompletion, "ours", params))


async def _read(ask: Callable[..., Any], model: str, params: dict[str, Any]) -> Any:
    return [chunk async for chunk in await ask(model=model, messages=MESSAGES, stream=True, **params)]


doors = pytest.mark.parametrize("door", [complete, astream, by_router, astream_by_router])


@doors
@pytest.mark.parametrize("name", ["timeout", "request_timeout", "stream_timeout"])
def test_what_is_no_time_out_is_a_clear_400(name: str, door: Any, router: litellm.Router, simulator: Simulator) -> None:
    """Before: 500 "could not convert string to float", or some other time-out than was asked for."""
    simulator.clear_log()
    for odd in ODD:
        if name == "timeout" and door in (by_router, astream_by_router) and odd in FALSY:
            continue
        if name == "stream_timeout" and door is astream_by_router and hasattr(litellm.Router, "registry"):
            continue  # the Router of 1.109 and newer fails before anybody else can say anything
        with pytest.raises(litellm.BadRequestError) as caught:
            door(router, **{name: odd})
        assert caught.value.status_code == 400, odd
        assert "timeout must be a number of seconds above 0" in str(caught.value)
        assert len(str(caught.value)) < 300
    assert simulator.log == []


@doors
@pytest.mark.parametrize("good", [None, 30, 30.5, "30", 1e308, httpx.Timeout(30, connect=5), httpx.Timeout(None)])
def test_what_is_a_time_out_is_one(good: Any, door: Any, router: litellm.Router) -> None:
    """Before: a huge one was more than the platform's timers take, and a 500."""
    assert door(router, timeout=good) is not None


@pytest.mark.parametrize("odd", [*ODD, httpx.Timeout(-1), httpx.Timeout(5, connect=math.nan)])
def test_the_provider_itself_takes_none_of_them(odd: Any) -> None:
    with pytest.raises(litellm.BadRequestError):
        timeout_of(odd, "claude-sonnet-4-6")


def test_a_huge_one_is_cut_in_each_phase() -> None:
    assert timeout_of(1e308, "m") == LONGEST_SECONDS
    assert timeout_of(httpx.Timeout(1e308, connect=3, pool=None), "m") == httpx.Timeout(
        LONGEST_SECONDS, connect=3, pool=None
    )


def test_other_providers_time_outs_are_left_alone(router: litellm.Router) -> None:
    del router
    mocked = litellm.completion(model="openai/gpt-x", messages=MESSAGES, timeout=0, mock_response="hello", api_key="x")
    assert mocked.choices[0].message.content == "hello"


# The proxy


@pytest.fixture(scope="module")
def proxy(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("proxy")
    config = folder / "proxy_pool.yaml"
    shutil.copy(ROOT / "config_examples" / "proxy_pool.yaml", config)
    with Proxy(config, folder, pool_environment(simulator, folder), imported=True) as started:
        yield started


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
class TestProxy:
    """One proxy for all endpoints."""

    pytestmark = needs_proxy

    @pytest.mark.parametrize("name", ["timeout", "request_timeout", "stream_timeout"])
    def test_the_proxy_answers_400_at_every_endpoint(self, name: str, path: str, proxy: Proxy) -> None:
        """Before: 500, and 200 with another time-out for what the Router takes for absent."""
        odds: tuple[Any, ...] = ("abc", {}, True, math.nan, 0)
        for odd in odds:
            for stream in (False, True) if odd == "abc" else (False,):
                content = {"input": "Hello"} if path.endswith("responses") else {"messages": MESSAGES}
                body = {"model": "claude-sonnet-4-6", "max_tokens": 50, "stream": stream, **content, name: odd}
                answer = httpx.post(
                    proxy.url + path,
                    content=json.dumps(body).encode(),
                    headers={"authorization": f"Bearer {proxy.key}", "content-type": "application/json"},
                    timeout=60,
                    trust_env=False,
                )
                assert answer.status_code == 400, (odd, answer.text)
