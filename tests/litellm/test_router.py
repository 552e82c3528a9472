"""`litellm_antigravity.install(router)`: pinned deployments on a real Router, over real HTTP, sync and async."""

from __future__ import annotations

import asyncio
from pathlib import Path

import litellm
import pytest
from routers import (
    EMAILS,
    GROUP,
    Door,
    Naps,
    Shape,
    _callbacks_as_before,
    antigravity,
    asked,
    async_door,
    async_streams,
    bench,
    every_door,
    every_shape,
    every_strategy,
    gemini,
    group_of,
    routed,
    served,
    simulator,
    skip_where_one_deployment_sleeps,
    sync_door,
    sync_streams,
)
from serving import MESSAGES
from support import Child, FakeClock

import litellm_antigravity
from litellm_antigravity.simulator import SimulatedAccount, Simulator

__all__ = ["_callbacks_as_before", "simulator"]  # fixtures


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
