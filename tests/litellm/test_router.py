"""`litellm_antigravity.install(router)`: pinned deployments on a real Router, over real HTTP, sync and async."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import litellm
import pytest
from litellm.integrations.custom_logger import CustomLogger
from serving import MESSAGES, settings_of
from support import Child, FakeClock

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
        sticky_scope="process",
        token_bucket={"max_tokens": 4, "initial_tokens": 4, "regeneration_rate_per_minute": 0.001},
    )
    door(router, 6)
    sequence = served(simulator)
    assert len(sequence) == 6
    assert sequence[0] == 1
    assert set(sequence) == {1, 2, 3}


@every_shape
@pytest.mark.parametrize("method", ["aresponses", "aanthropic_messages"])
def test_a_request_in_another_form_counts_once(shape: Shape, method: str, simulator: Simulator, tmp_path: Path) -> None:
    router = routed(group_of(shape, simulator), simulator, tmp_path, account_selection_strategy="round-robin")
    form = {"input": "Hello"} if method == "aresponses" else {"messages": MESSAGES, "max_tokens": 50}

    async def run() -> None:
        for _ in range(4):
            await getattr(router, method)(model=GROUP, **form)

    asyncio.run(run())
    assert served(simulator) == [1, 2, 3, 1]


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
            group = group_of(shape, simulator)
            for number, deployment in enumerate(group):  # what LiteLLM notes late is about another deployment then
                deployment["model_info"]["id"] = f"{folder.name} {number}"
            router = routed(
                group,
                simulator,
                folder,
                account_selection_strategy=strategy,
                sticky_scope="process",
                token_bucket={"max_tokens": 4, "initial_tokens": 4, "regeneration_rate_per_minute": 0.001},
            )
            door(router, 3)
            if (
                shape is antigravity or "streamed" not in name
            ):  # LiteLLM does not retry the others when they are streamed
                simulator.drain(EMAILS[0], "gemini")
            door(router, 3)
            sequences[shape.__name__, name] = served(simulator)
    for name in ("sync streamed", "async streamed"):
        assert sequences.pop(("gemini", name))[:3] == sequences["gemini", "sync"][:3]
    assert len(set(map(tuple, sequences.values()))) == 1, sequences
    assert sequences["gemini", "sync"][:3] == {"sticky": [1, 1, 1]}.get(strategy, [1, 2, 3])


# Refusals


class Naps:
    """Notes who sleeps for longer than a moment, and lets nobody."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds: list[float] = []
        really = asyncio.sleep

        async def asleep(seconds: float, result: Any = None) -> Any:
            if seconds > 0.2 and asyncio.current_task() is not None:
                self.seconds.append(round(seconds, 1))
                seconds = 0
            return await really(seconds, result)

        monkeypatch.setattr(asyncio, "sleep", asleep)
        monkeypatch.setattr(time, "sleep", self._sleep)

    def _sleep(self, seconds: float) -> None:
        if seconds > 0.2:
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


@every_shape
@pytest.mark.parametrize("door", [sync_door, async_door])
def test_a_refused_request_goes_to_the_next_account_by_litellms_retry(
    shape: Shape, door: Door, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    naps = Naps(monkeypatch)
    router = routed(group_of(shape, simulator), simulator, tmp_path)
    simulator.drain(EMAILS[0], "gemini", 33)
    door(router, 2)
    assert asked(simulator) == [1, 2, 2]
    assert naps.seconds == []
    (left,) = cooldowns("quota").values()
    assert 25 < left <= 33


@every_shape
@pytest.mark.parametrize("door", [sync_door, async_door])
def test_what_one_router_learns_another_one_knows(
    shape: Shape, door: Door, simulator: Simulator, tmp_path: Path
) -> None:
    simulator.drain(EMAILS[0], "gemini", 33)
    door(routed(group_of(shape, simulator), simulator, tmp_path))
    simulator.clear_log()
    litellm_antigravity.handler.routing.forget()
    door(routed(group_of(shape, simulator), simulator, tmp_path, state_dir=str(tmp_path / "state")))
    assert asked(simulator) == [2]


@every_shape
@every_door
def test_when_all_are_limited_it_says_so_at_once_and_until_when(
    shape: Shape, door: Door, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = routed(group_of(shape, simulator), simulator, tmp_path)
    for email, seconds in zip(EMAILS, (50, 33, 40), strict=True):
        simulator.drain(email, "gemini", seconds)
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever LiteLLM makes of it; the state is what counts
        sync_door(router)
    simulator.clear_log()
    naps = Naps(monkeypatch)
    with pytest.raises(litellm.RateLimitError) as raised:
        door(router)
    assert 25 < int(raised.value.response.headers["retry-after"]) <= 33
    assert 25 < int(raised.value.headers["retry-after"]) <= 33
    assert all(text in str(raised.value) for text in ("us***1@example.com", "quota"))
    assert EMAILS[0] not in str(raised.value)
    assert asked(simulator) == []
    assert naps.seconds == []


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


@pytest.mark.parametrize("door", [sync_door, async_door])
def test_the_first_account_to_be_back_counts_whichever_litellm_benches(
    door: Door, simulator: Simulator, tmp_path: Path
) -> None:
    router = routed(group_of(antigravity, simulator), simulator, tmp_path)
    limit(simulator, tmp_path, 50, 33, 40)
    bench(router, 2)
    bench(router, 3)
    with pytest.raises(litellm.RateLimitError) as raised:
        door(router)
    assert 25 < int(raised.value.response.headers["retry-after"]) <= 33


def test_an_account_that_the_tags_exclude_does_not_count(simulator: Simulator, tmp_path: Path) -> None:
    tags = (["a"], ["b"], ["a"])
    model_list = [antigravity(one, simulator, tags=tag) for one, tag in zip(simulator.accounts, tags, strict=True)]
    router = routed(model_list, simulator, tmp_path, router={"enable_tag_filtering": True})
    limit(simulator, tmp_path, 50, 33, 40)
    with pytest.raises(litellm.RateLimitError) as raised:
        async_door(router, metadata={"tags": ["a"]})
    assert 33 < int(raised.value.response.headers["retry-after"]) <= 40


def skip_where_one_deployment_sleeps(door: Door) -> None:
    if door is async_door and not hasattr(CustomLogger, "async_post_call_failure_deployment_hook"):
        pytest.skip("older LiteLLM overwrites the exception's num_retries, and sleeps where there is one deployment")


@every_shape
@pytest.mark.parametrize("door", [sync_door, async_door])
@pytest.mark.parametrize("count", [1, 3])
def test_when_the_last_account_is_refused_nobody_sleeps(
    shape: Shape, door: Door, count: int, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if count == 1:
        skip_where_one_deployment_sleeps(door)
    naps = Naps(monkeypatch)
    router = routed(group_of(shape, simulator)[:count], simulator, tmp_path)
    for email in EMAILS:
        simulator.drain(email, "gemini", 33)
    with pytest.raises(litellm.RateLimitError):
        door(router)
    assert asked(simulator) == list(range(1, count + 1))
    assert naps.seconds == []


@pytest.mark.parametrize("door", [sync_door, async_door, async_streams])
@pytest.mark.parametrize(
    ("kind", "penalty", "reason"),
    [
        ("unauthorized", 20, "auth"),
        ("not-available", 0, "not available"),
        ("server-error", 20, None),
        ("rate", 10, "rate"),
    ],
)
def test_a_refusal_of_another_provider_counts_once(
    door: Door, kind: Any, penalty: int, reason: str | None, simulator: Simulator, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"status": 403} if kind == "not-available" else {}
    simulator.refuse(kind, times=1, **options)
    try:
        door(routed(group_of(gemini, simulator), simulator, tmp_path, router={"num_retries": 0}))
    except Exception as error:  # noqa: BLE001 - LiteLLM has an exception for each
        assert getattr(error, "status_code", None)  # noqa: PT017
    assert 70 - penalty in health()
    if reason is not None:
        assert len(cooldowns(reason)) == 1


@every_door
def test_a_success_of_another_provider_counts_once(door: Door, simulator: Simulator, tmp_path: Path) -> None:
    door(routed(group_of(gemini, simulator), simulator, tmp_path), 2)
    deadline = time.monotonic() + 60
    while health() != [72] and time.monotonic() < deadline:
        time.sleep(0.02)  # LiteLLM notes successes in the background
    assert health() == [72]


# Looking is not taking


@every_shape
@every_strategy
def test_a_question_takes_nothing_and_gets_the_same_answer(
    shape: Shape, strategy: str, simulator: Simulator, tmp_path: Path
) -> None:
    router = routed(group_of(shape, simulator), simulator, tmp_path, account_selection_strategy=strategy)

    def looked() -> str:
        return str(router.get_available_deployment(model=GROUP, messages=MESSAGES)["model_info"]["account"])

    async def looked_async() -> str:
        deployment = await router.async_get_available_deployment(model=GROUP, messages=MESSAGES, request_kwargs={})
        return str(deployment["model_info"]["account"])

    store = litellm_antigravity.handler.dispatcher.pool.store
    assert {looked() for _ in range(5)} == {EMAILS[0]}
    assert {asyncio.run(looked_async()) for _ in range(5)} == {EMAILS[0]}
    assert dict(store.refresh().vitals) == {}
    sync_door(router)
    assert served(simulator) == [1]


# Whose groups


@pytest.mark.parametrize("door", [sync_door, async_door])
def test_a_group_that_names_no_account_is_not_touched(door: Door, simulator: Simulator, tmp_path: Path) -> None:
    others = group_of(gemini, simulator)
    for deployment in others:
        del deployment["model_info"]
    router = routed(others, simulator, tmp_path)
    door(router, 2)
    assert not (tmp_path / "state").exists()
    deployments = list(router.model_list)
    hook = litellm_antigravity.hook
    assert hook.narrow(GROUP, deployments, {}) is deployments
    assert asyncio.run(hook.async_filter_deployments(GROUP, deployments)) is deployments


@every_door
def test_the_group_beside_a_pinned_one_keeps_litellms_own_strategy(
    door: Door, simulator: Simulator, tmp_path: Path
) -> None:
    others = group_of(gemini, simulator)
    for deployment, weight in zip(others, (0, 1, 0), strict=True):
        deployment["model_name"] = "other"
        deployment["litellm_params"]["weight"] = weight
        del deployment["model_info"]
    router = routed(
        [*group_of(gemini, simulator), *others], simulator, tmp_path, account_selection_strategy="round-robin"
    )
    for _ in range(4):
        door(router, model="other")
        door(router)
    assert served(simulator) == [2, 1, 2, 2, 2, 3, 2, 1]


@pytest.mark.parametrize("door", [sync_door, async_door])
def test_deployments_that_name_no_account_stay_in_a_mixed_group(
    door: Door, simulator: Simulator, tmp_path: Path
) -> None:
    first, second, third = group_of(gemini, simulator)
    del third["model_info"]
    router = routed([antigravity(simulator.accounts[0], simulator), second, third], simulator, tmp_path)
    kept = litellm_antigravity.hook.narrow(GROUP, list(router.model_list), {})
    assert [deployment["model_info"].get("account") for deployment in kept] == [EMAILS[0], None]
    simulator.drain(EMAILS[0], "gemini")
    simulator.drain(EMAILS[1], "gemini")
    door(router, 3)
    assert served(simulator)[-1] == 3
    assert first["model_info"]["account"] == EMAILS[0]


@pytest.mark.parametrize("door", [sync_door, async_door])
def test_a_group_of_the_same_name_in_another_router_changes_nothing(
    door: Door, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    skip_where_one_deployment_sleeps(door)
    nobodys = gemini(simulator.accounts[2], simulator)
    del nobodys["model_info"]
    router = routed(group_of(gemini, simulator)[:1], simulator, tmp_path)
    another = litellm.Router(model_list=[nobodys])
    litellm_antigravity.install(another)
    naps = Naps(monkeypatch)
    for email in EMAILS:
        simulator.drain(email, "gemini", 33)
    with pytest.raises(litellm.RateLimitError):
        door(router)
    assert asked(simulator) == [1]
    assert naps.seconds == []
    assert len(another.model_list) == 1  # it is still there


@pytest.mark.parametrize("door", [sync_door, async_door])
def test_a_rate_limit_that_litellm_takes_for_another_error_is_one_all_the_same(
    door: Door, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    skip_where_one_deployment_sleeps(door)
    with Simulator(3, clock=clock) as simulator:
        router = routed(group_of(gemini, simulator)[:1], simulator, tmp_path)
        naps = Naps(monkeypatch)
        simulator.drain(EMAILS[0], "gemini", 403)  # LiteLLM 1.108 finds that number in "retryDelay": "403s"
        with pytest.raises(Exception, match="Individual quota reached") as raised:
            door(router)
        assert asked(simulator) == [1]
    assert naps.seconds == []
    assert getattr(raised.value, "status_code", None) == 429
    assert raised.value.response.headers["retry-after"] == "403"  # type: ignore[attr-defined]  # LiteLLM's have it


def test_every_chunk_names_the_deployment_that_serves(simulator: Simulator, tmp_path: Path) -> None:
    router = routed(group_of(antigravity, simulator), simulator, tmp_path)
    [chunks] = sync_streams(router)
    serving = [one for one in router.model_list if one["model_info"]["account"] == EMAILS[served(simulator)[0] - 1]]
    assert {chunk._hidden_params.get("model_id") for chunk in chunks} == {one["model_info"]["id"] for one in serving}


# LiteLLM's own filters


@every_shape
@pytest.mark.parametrize("door", [sync_door, async_door])
def test_order_comes_before_the_strategy_until_its_accounts_are_limited(
    shape: Shape, door: Door, simulator: Simulator, tmp_path: Path
) -> None:
    orders = (2, 1, 2)
    model_list = [shape(one, simulator, order=order) for one, order in zip(simulator.accounts, orders, strict=True)]
    router = routed(model_list, simulator, tmp_path)
    door(router)
    simulator.drain(EMAILS[1], "gemini", 60)
    door(router, 2)
    assert served(simulator) == [2, 3, 3]


@every_shape
def test_tags_come_before_the_strategy(shape: Shape, simulator: Simulator, tmp_path: Path) -> None:
    tags = (["a"], ["b"], ["b"])
    model_list = [shape(one, simulator, tags=tag) for one, tag in zip(simulator.accounts, tags, strict=True)]
    router = routed(model_list, simulator, tmp_path, router={"enable_tag_filtering": True})
    async_door(router, 2, metadata={"tags": ["b"]})
    async_door(router, 1, metadata={"tags": ["a"]})
    assert served(simulator) == [2, 2, 1]


@every_shape
@pytest.mark.parametrize("door", [sync_door, async_door])
def test_a_blocked_deployment_is_not_chosen(shape: Shape, door: Door, simulator: Simulator, tmp_path: Path) -> None:
    model_list = group_of(shape, simulator)
    model_list[0]["model_info"]["blocked"] = True
    door(routed(model_list, simulator, tmp_path))
    assert served(simulator) == [2]


@every_shape
@pytest.mark.parametrize("door", [sync_door, async_door])
def test_a_deployment_asked_for_by_id_is_the_one(
    shape: Shape, door: Door, simulator: Simulator, tmp_path: Path
) -> None:
    router = routed(group_of(shape, simulator), simulator, tmp_path)
    door(router, model=router.model_list[2]["model_info"]["id"])
    assert served(simulator) == [3]


@every_shape
@pytest.mark.parametrize("door", [sync_door, async_door])
def test_a_deployment_that_litellm_benches_is_not_chosen(
    shape: Shape, door: Door, simulator: Simulator, tmp_path: Path
) -> None:
    router = routed(group_of(shape, simulator), simulator, tmp_path, account_selection_strategy="round-robin")
    bench(router, 2)
    door(router, 4)
    assert 2 not in served(simulator)


@pytest.mark.parametrize("door", [sync_door, async_door])
def test_an_alias_is_routed_as_its_group(door: Door, simulator: Simulator, tmp_path: Path) -> None:
    router = routed(
        group_of(antigravity, simulator),
        simulator,
        tmp_path,
        router={"model_group_alias": {"other-name": GROUP}},
        account_selection_strategy="round-robin",
    )
    door(router, 2, model="other-name")
    door(router, 2)
    assert served(simulator) == [1, 2, 3, 1]


@pytest.mark.parametrize("door", [sync_door, async_door])
def test_a_wildcard_group_keeps_its_cursor_over_models(door: Door, simulator: Simulator, tmp_path: Path) -> None:
    model_list = [
        {
            "model_name": "antigravity/*",
            "litellm_params": {"model": "antigravity/*"},
            "model_info": {"account": account.email},
        }
        for account in simulator.accounts
    ]
    router = routed(model_list, simulator, tmp_path, account_selection_strategy="round-robin")
    door(router, 2, model="antigravity/gemini-3-flash")
    door(router, 2, model="antigravity/gemini-3.1-pro-low")
    assert served(simulator) == [1, 2, 3, 1]


# Installing


def test_installing_twice_does_no_harm(simulator: Simulator, tmp_path: Path) -> None:
    router = routed(group_of(gemini, simulator), simulator, tmp_path, account_selection_strategy="round-robin")
    litellm_antigravity.install(router)
    assert litellm.callbacks.count(litellm_antigravity.hook) == 1
    sync_door(router, 2)
    async_door(router, 2)
    assert served(simulator) == [1, 2, 3, 1]


def test_installing_again_after_a_change_of_strategy_brings_our_routing_back(
    simulator: Simulator, tmp_path: Path
) -> None:
    router = routed(group_of(gemini, simulator), simulator, tmp_path, account_selection_strategy="round-robin")
    router.update_settings(routing_strategy="least-busy")
    litellm_antigravity.install(router)
    sync_door(router, 4)
    assert served(simulator) == [1, 2, 3, 1]


def test_deployments_that_differ_in_nothing_but_the_account_are_told_apart(
    simulator: Simulator, tmp_path: Path
) -> None:
    router = routed(group_of(antigravity, simulator), simulator, tmp_path)
    ids = [deployment["model_info"]["id"] for deployment in router.model_list]
    assert len(set(ids)) == 3
    again = routed(group_of(antigravity, simulator), simulator, tmp_path)
    assert ids == [deployment["model_info"]["id"] for deployment in again.model_list]


@every_shape
def test_a_deployment_added_later_joins_its_group(shape: Shape, simulator: Simulator, tmp_path: Path) -> None:
    first, second, third = group_of(shape, simulator)
    router = routed([first, second], simulator, tmp_path, account_selection_strategy="round-robin")
    sync_door(router, 2)
    third["model_info"]["id"] = "third"
    router.add_deployment(litellm.types.router.Deployment(**third))
    sync_door(router, 3)
    assert served(simulator) == [1, 2, 3, 1, 2]


@every_shape
def test_a_new_model_list_with_the_same_accounts_loses_nothing(
    shape: Shape, simulator: Simulator, tmp_path: Path
) -> None:
    router = routed(group_of(shape, simulator), simulator, tmp_path, account_selection_strategy="round-robin")
    sync_door(router, 2)
    router.set_model_list(
        [{**one, "litellm_params": {**one["litellm_params"], "rpm": 1000}} for one in group_of(shape, simulator)]
    )
    sync_door(router, 2)
    assert served(simulator) == [1, 2, 3, 1]


def test_an_account_that_nobody_knows_is_named_masked_at_install(simulator: Simulator, tmp_path: Path) -> None:
    stranger = SimulatedAccount("stranger@example.com")
    with pytest.raises(litellm_antigravity.AccountsFileError, match=r"st\*\*\*r@example\.com") as raised:
        routed([antigravity(stranger, simulator)], simulator, tmp_path)
    assert "stranger@" not in str(raised.value)


# Other providers, with a server that only notes what it is sent


class Plain(BaseHTTPRequestHandler):
    """Answers as OpenAI does, or with a refusal."""

    keys: ClassVar[list[str]] = []
    refusal: ClassVar[tuple[int, dict[str, str]] | None] = None

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.keys.append(self.headers["authorization"])
        status, headers = self.refusal or (200, {})
        message = {"role": "assistant", "content": "Hello"}
        body = {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "message": message}],
        }
        content = json.dumps(body if status == 200 else {"error": {"message": "Slow down"}}).encode()
        self.send_response(status)
        for name, value in {**headers, "content-type": "application/json", "content-length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def plain() -> Iterator[str]:
    Plain.keys, Plain.refusal = [], None
    server = ThreadingHTTPServer(("127.0.0.1", 0), Plain)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def openai(url: str, account: str, **params: Any) -> dict[str, Any]:
    return {
        "model_name": GROUP,
        "litellm_params": {"model": "openai/some-model", "api_base": url, "max_retries": 0, **params},
        "model_info": {"account": account},
    }


@pytest.mark.parametrize("door", [sync_door, async_door])
def test_a_retry_after_header_is_how_long_a_key_is_out(
    door: Door, plain: str, simulator: Simulator, tmp_path: Path
) -> None:
    model_list = [openai(plain, f"key {number}", api_key=f"some-key-{number}") for number in (1, 2)]
    router = routed(model_list, simulator, tmp_path, router={"num_retries": 0})
    Plain.refusal = (429, {"retry-after": "77"})
    with pytest.raises(litellm.RateLimitError):
        door(router)
    Plain.refusal = None
    (left,) = cooldowns().values()
    assert 70 < left <= 77
    litellm_antigravity.handler.routing.forget()
    door(routed(model_list, simulator, tmp_path), 2)
    assert Plain.keys == [f"Bearer some-key-{number}" for number in (1, 2, 2)]


def accounts_with(folder: Path, **entry: Any) -> None:
    document = {"version": 4, "accounts": [{"email": EMAILS[0], **entry}], "activeIndex": 0}
    (folder / "antigravity-accounts.json").write_text(json.dumps(document))
    (folder / "antigravity-accounts.json").chmod(0o600)


@pytest.mark.parametrize(
    "source",
    [
        {"accessToken": "a-token-of-the-account"},
        {"tokenCommand": [sys.executable, "-c", "print('a-token-of-the-account')"]},
    ],
    ids=["accessToken", "tokenCommand"],
)
def test_a_deployment_without_a_key_is_signed_for_its_account(
    source: dict[str, Any], plain: str, simulator: Simulator, tmp_path: Path
) -> None:
    accounts_with(tmp_path, **source)
    async_door(routed([openai(plain, EMAILS[0])], simulator, tmp_path), 2)
    assert Plain.keys == ["Bearer a-token-of-the-account"] * 2


def test_a_deployments_own_key_is_not_replaced(plain: str, simulator: Simulator, tmp_path: Path) -> None:
    accounts_with(tmp_path, accessToken="a-token-of-the-account")
    async_door(routed([openai(plain, EMAILS[0], api_key="its-own-key")], simulator, tmp_path))
    assert Plain.keys == ["Bearer its-own-key"]


def test_a_google_sign_in_is_never_sent_to_another_provider(
    plain: str, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "the-key-of-the-environment")
    async_door(routed([openai(plain, EMAILS[0])], simulator, tmp_path))
    assert Plain.keys == ["Bearer the-key-of-the-environment"]
    assert simulator.token_calls() == 0


# Where a process starts

HOLDS_A_SLOT = """
import sys
from pathlib import Path
from support import ready
from litellm_antigravity.state.disk import DiskStore

store = DiskStore(Path(sys.argv[1]))
ready(store.claim_slot("somebody else"))
"""


@every_shape
@pytest.mark.parametrize("door", [sync_door, async_door])
def test_a_process_holds_one_slot_for_all_its_groups(
    shape: Shape, door: Door, simulator: Simulator, tmp_path: Path
) -> None:
    other = [{**deployment, "model_name": "other"} for deployment in group_of(shape, simulator)]
    settings = {"pid_offset_enabled": True, "offset_source": "slot", "sticky_scope": "process"}
    router = routed([*group_of(shape, simulator), *other], simulator, tmp_path, **settings)
    with Child(HOLDS_A_SLOT, tmp_path / "state") as other_process:
        assert other_process.wait_ready() == "0"
        door(router)
        door(router, model="other")
    assert served(simulator) == [2, 2]
