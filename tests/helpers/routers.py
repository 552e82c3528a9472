"""A Router with a pinned group, the doors through which it is asked, and what is looked at afterwards."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import litellm
import pytest
from litellm.integrations.custom_logger import CustomLogger
from serving import MESSAGES, settings_of

import litellm_antigravity
from litellm_antigravity.litellm.seams.router import forget_routers
from litellm_antigravity.simulator import SimulatedAccount, Simulator

GROUP = "pinned"
GEMINI_MODEL = "gemini-3-flash"
EMAILS = ["user1@example.com", "user2@example.com", "user3@example.com"]


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(3) as started:
        yield started


@pytest.fixture(autouse=True)
def _callbacks_as_before() -> Iterator[None]:
    names = [
        "callbacks",
        "input_callback",
        "success_callback",
        "failure_callback",
        "_async_success_callback",
        "_async_failure_callback",
    ]
    before = {name: list(getattr(litellm, name)) for name in names}
    yield
    for name, value in before.items():
        getattr(litellm, name)[:] = value
    forget_routers()  # that outlive their test


# Model lists


def antigravity(account: SimulatedAccount, _: Simulator, **params: Any) -> dict[str, Any]:
    return {
        "model_name": GROUP,
        "litellm_params": {"model": f"antigravity/{GEMINI_MODEL}", **params},
        "model_info": {"account": account.email},
    }


def gemini(account: SimulatedAccount, simulator: Simulator, **params: Any) -> dict[str, Any]:
    return {
        "model_name": GROUP,
        "litellm_params": {
            "model": f"gemini/{GEMINI_MODEL}",
            "api_key": account.api_key,
            "api_base": f"{simulator.url}/v1beta/models/{GEMINI_MODEL}",
            **params,
        },
        "model_info": {"account": account.email},
    }


Shape = Callable[..., dict[str, Any]]
every_shape = pytest.mark.parametrize("shape", [antigravity, gemini])
every_strategy = pytest.mark.parametrize("strategy", ["sticky", "round-robin", "hybrid"])


def group_of(shape: Shape, simulator: Simulator) -> list[dict[str, Any]]:
    return [shape(account, simulator) for account in simulator.accounts]


def routed(
    model_list: list[dict[str, Any]], simulator: Simulator, folder: Path, *, router: Any = None, **settings: Any
) -> Any:
    """Return a Router with our routing, and state of its own in ``folder``."""
    fields = {"account_selection_strategy": "sticky", "max_rate_limit_wait_seconds": 0, **settings}
    litellm_antigravity.register(settings_of(simulator, folder, **fields))  # a Router checks its providers
    made = litellm.Router(model_list=model_list, **{"num_retries": 3, **(router or {})})
    litellm_antigravity.install(made)
    return made


# Doors


def sync_door(router: Any, times: int = 1, **params: Any) -> list[Any]:
    return [router.completion(**{"model": GROUP, "messages": MESSAGES, **params}) for _ in range(times)]


def sync_streams(router: Any, times: int = 1, **params: Any) -> list[Any]:
    return [list(reply) for reply in sync_door(router, times, stream=True, **params)]


def async_door(router: Any, times: int = 1, **params: Any) -> list[Any]:
    async def run() -> list[Any]:
        try:
            return [await router.acompletion(**{"model": GROUP, "messages": MESSAGES, **params}) for _ in range(times)]
        finally:
            await asyncio.sleep(0.1)  # what LiteLLM notes in the background

    return asyncio.run(run())


def async_streams(router: Any, times: int = 1, **params: Any) -> list[Any]:
    async def run() -> list[Any]:
        replies = []
        try:
            for _ in range(times):
                reply = await router.acompletion(**{"model": GROUP, "messages": MESSAGES, "stream": True, **params})
                replies.append([chunk async for chunk in reply])
        finally:
            await asyncio.sleep(0.1)
        return replies

    return asyncio.run(run())


DOORS = [
    pytest.param(sync_door, id="sync"),
    pytest.param(async_door, id="async"),
    pytest.param(sync_streams, id="sync-streamed"),
    pytest.param(async_streams, id="async-streamed"),
]
every_door = pytest.mark.parametrize("door", DOORS)
Door = Callable[..., list[Any]]


def served(simulator: Simulator) -> list[int]:
    """Return the numbers of the accounts that served, in order."""
    return [
        EMAILS.index(entry.email) + 1 for entry in simulator.log if entry.kind == "served" and entry.email is not None
    ]


def asked(simulator: Simulator) -> list[int]:
    """Return the numbers of the accounts that a model was asked of, in order, served or not."""
    return [EMAILS.index(entry.email) + 1 for entry in simulator.log if entry.model is not None and entry.email]


# Refusals


class Naps:
    """Notes which request sleeps for longer than a moment, and lets none; our own threads sleep between two looks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds: list[float] = []
        really, self._really = asyncio.sleep, time.sleep

        async def asleep(seconds: float, result: Any = None) -> Any:
            if seconds > 0.2 and asyncio.current_task() is not None:
                self.seconds.append(round(seconds, 1))
                seconds = 0
            return await really(seconds, result)

        monkeypatch.setattr(asyncio, "sleep", asleep)
        monkeypatch.setattr(time, "sleep", self._sleep)

    def _sleep(self, seconds: float) -> None:
        if threading.current_thread().name.startswith("antigravity-"):
            self._really(seconds)
        elif seconds > 0.2:
            self.seconds.append(round(seconds, 1))


def cooldowns(kind: str | None = None) -> dict[str, float]:
    """Return the remaining seconds of every cooldown in the shared state, by account id and pool."""
    view = litellm_antigravity.handler.dispatcher.pool.store.refresh()
    return {
        f"{account} {pool}": cooldown.remaining(time.time())
        for account, pools in view.cooldowns.items()
        for pool, cooldown in pools.items()
        if kind in (None, cooldown.reason)
    }


def health() -> list[float]:
    view = litellm_antigravity.handler.dispatcher.pool.store.refresh()
    return sorted(vitals.health for vitals in view.vitals.values())


def bench(router: Any, number: int, seconds: float = 60) -> None:
    """Have LiteLLM bench the deployment of an account."""
    router.cooldown_cache.add_deployment_to_cooldown(
        model_id=router.model_list[number - 1]["model_info"]["id"],
        original_exception=Exception(),
        exception_status=429,
        cooldown_time=seconds,
    )


def limit(simulator: Simulator, folder: Path, *seconds: float) -> None:
    """Have the accounts limited, by requests that name none."""
    for email, left in zip(EMAILS, seconds, strict=True):
        simulator.drain(email, "gemini", left)
    litellm_antigravity.register(settings_of(simulator, folder, max_rate_limit_wait_seconds=0))
    with pytest.raises(litellm.RateLimitError):
        litellm.completion(model=f"antigravity/{GEMINI_MODEL}", messages=MESSAGES)


def skip_where_one_deployment_sleeps(door: Door) -> None:
    if door is async_door and not hasattr(CustomLogger, "async_post_call_failure_deployment_hook"):
        pytest.skip("older LiteLLM overwrites the exception's num_retries, and sleeps where there is one deployment")
