"""`litellm_antigravity.install(router)`: pinned deployments on a real Router, over real HTTP, sync and async."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import litellm
import pytest
from serving import MESSAGES, fields_of, settings_of

import litellm_antigravity
from litellm_antigravity import AccountPool, Settings
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
    gc.collect()  # Routers of other tests are not to be found by ours


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
        replies = [
            await router.acompletion(**{"model": GROUP, "messages": MESSAGES, **params}) for _ in range(times)
        ]
        await asyncio.sleep(0.05)  # what LiteLLM notes in the background
        return replies

    return asyncio.run(run())


def async_streams(router: Any, times: int = 1, **params: Any) -> list[Any]:
    async def run() -> list[Any]:
        replies = []
        for _ in range(times):
            reply = await router.acompletion(**{"model": GROUP, "messages": MESSAGES, "stream": True, **params})
            replies.append([chunk async for chunk in reply])
        await asyncio.sleep(0.05)
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


# The same sequence on every path


@every_shape
@every_door
def test_sticky_stays_with_the_first_account(shape: Shape, door: Door, simulator: Simulator, tmp_path: Path) -> None:
    door(routed(group_of(shape, simulator), simulator, tmp_path), 4)
    assert served(simulator) == [1, 1, 1, 1]


@every_shape
@every_door
def test_round_robin_goes_round(shape: Shape, door: Door, simulator: Simulator, tmp_path: Path) -> None:
    door(routed(group_of(shape, simulator), simulator, tmp_path, account_selection_strategy="round-robin"), 5)
    assert served(simulator) == [1, 2, 3, 1, 2]


@every_shape
@every_door
def test_hybrid_keeps_the_current_account_until_its_tokens_cost_more_than_a_change(
    shape: Shape, door: Door, simulator: Simulator, tmp_path: Path
) -> None:
    router = routed(
        group_of(shape, simulator),
        simulator,
        tmp_path,
        account_selection_strategy="hybrid",
        token_bucket={"max_tokens": 4, "initial_tokens": 4, "regeneration_rate_per_minute": 0.001},
    )
    door(router, 6)
    sequence = served(simulator)
    assert len(sequence) == 6
    assert sequence[0] == 1
    assert set(sequence) == {1, 2, 3}


@every_strategy
def test_every_path_and_provider_has_the_same_sequence(strategy: str, simulator: Simulator, tmp_path: Path) -> None:
    sequences = {}
    for shape in (antigravity, gemini):
        for name, door in (
            ("sync", sync_door),
            ("async", async_door),
            ("sync streamed", sync_streams),
            ("async streamed", async_streams),
        ):
            simulator.heal()
            simulator.clear_log()
            folder = tmp_path / f"{shape.__name__} {name}"
            folder.mkdir()
            router = routed(
                group_of(shape, simulator),
                simulator,
                folder,
                account_selection_strategy=strategy,
                token_bucket={"max_tokens": 4, "initial_tokens": 4, "regeneration_rate_per_minute": 0.001},
            )
            door(router, 3)
            simulator.drain(EMAILS[0], "gemini")
            door(router, 3)
            sequences[shape.__name__, name] = served(simulator)
    assert len(set(map(tuple, sequences.values()))) == 1, sequences
