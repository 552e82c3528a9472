"""Refusals in a pinned group: the next account by LiteLLM's retry, one count each, and when all are limited."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import litellm
import pytest
from routers import (
    EMAILS,
    Door,
    Naps,
    Shape,
    _callbacks_as_before,
    antigravity,
    asked,
    async_door,
    async_streams,
    bench,
    cooldowns,
    every_door,
    every_shape,
    gemini,
    group_of,
    health,
    limit,
    routed,
    simulator,
    skip_where_one_deployment_sleeps,
    sync_door,
)
from support import HANG_SECONDS

import litellm_antigravity
from litellm_antigravity.simulator import Simulator

__all__ = ["_callbacks_as_before", "simulator"]  # fixtures


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
    deadline = time.monotonic() + HANG_SECONDS
    while health() != [72] and time.monotonic() < deadline:
        time.sleep(0.02)  # LiteLLM notes successes in the background
    assert health() == [72]
