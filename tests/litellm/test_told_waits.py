"""``max_retry_after_seconds``: what callers are told to wait at most, through every door; the truth stays on record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import litellm
import pytest
from litellm_doors import every_door, fail
from routers import (
    DOORS,
    EMAILS,
    GEMINI_MODEL,
    Door,
    Shape,
    _callbacks_as_before,  # noqa: F401 - a fixture
    every_shape,
    group_of,
    routed,
    sync_door,
)
from serving import MESSAGES, settings_of

import litellm_antigravity
from litellm_antigravity.errors import AllAccountsLimitedError, RequestRefusedError
from litellm_antigravity.litellm.errors import as_litellm
from litellm_antigravity.refusals import Refusal, RefusalKind
from litellm_antigravity.simulator import Simulator


@pytest.fixture
def simulator() -> Any:
    with Simulator(3) as started:
        yield started


def limited(simulator: Simulator, seconds: float = 7000) -> None:
    for email in EMAILS:
        simulator.drain(email, None, seconds)


def told(error: Any) -> list[int]:
    return [int(error.headers["retry-after"]), int(error.response.headers["retry-after"])]


def left() -> list[float]:
    pool = litellm_antigravity.handler.dispatcher.pool
    view, now = pool.store.refresh(), pool.clock.time()
    return [one.remaining(now) for account in view.cooldowns.values() for one in account.values()]


@every_door
def test_a_caller_is_told_no_more_than_the_setting_and_the_truth_stays_on_record(
    simulator: Simulator, tmp_path: Path, door: Callable[..., Any]
) -> None:
    """Before there was no such setting: callers were told 7000 s, which some agents sleep without a word."""
    litellm_antigravity.register(settings_of(simulator, tmp_path, max_retry_after_seconds=20))
    limited(simulator)
    error = fail(door)
    assert isinstance(error, litellm.RateLimitError)
    assert told(error) == [20, 20]
    assert "1h" in str(error)  # the message says the truth
    assert all(6900 < seconds <= 7001 for seconds in left())
    assert len(left()) == 3


@every_door
def test_a_wait_that_is_shorter_than_the_setting_is_told_as_it_is(
    simulator: Simulator, tmp_path: Path, door: Callable[..., Any]
) -> None:
    litellm_antigravity.register(settings_of(simulator, tmp_path, max_retry_after_seconds=900))
    limited(simulator, 60)
    assert all(50 < seconds <= 60 for seconds in told(fail(door)))


@every_shape
@pytest.mark.parametrize("door", DOORS)
def test_a_router_tells_no_more_either(shape: Shape, door: Door, simulator: Simulator, tmp_path: Path) -> None:
    router = routed(group_of(shape, simulator), simulator, tmp_path, max_retry_after_seconds=20)
    limited(simulator)
    with pytest.raises(litellm.RateLimitError):
        sync_door(router)  # from now on all limits are known
    with pytest.raises(litellm.RateLimitError) as raised:
        door(router)
    assert told(raised.value) == [20, 20]


def test_the_last_limit_of_a_group_of_keys_is_told_with_the_cap(simulator: Simulator, tmp_path: Path) -> None:
    model = {"model": f"gemini/{GEMINI_MODEL}", "api_base": f"{simulator.url}/v1beta/models/{GEMINI_MODEL}"}
    group = [
        {
            "model_name": "one key",
            "litellm_params": {**model, "api_key": simulator.accounts[0].api_key},
            "model_info": {"account": EMAILS[0]},
        }
    ]
    router = routed(group, simulator, tmp_path, max_retry_after_seconds=20)
    limited(simulator)
    with pytest.raises(litellm.RateLimitError) as raised:
        router.completion(model="one key", messages=MESSAGES)
    assert told(raised.value) == [20, 20]


@pytest.mark.parametrize("kind", [RefusalKind.QUOTA, RefusalKind.RATE, RefusalKind.CAPACITY])
def test_every_error_that_has_a_wait_is_capped(kind: RefusalKind) -> None:
    refusal = Refusal(kind=kind, status=429, message="Later", retry_after=3600.0, model="m")
    assert told(as_litellm(RequestRefusedError(refusal), "m", 20.0)) == [20, 20]
    assert told(as_litellm(RequestRefusedError(refusal), "m")) == [3600, 3600]
    error = AllAccountsLimitedError("Later", retry_after=3600.0, accounts=())
    assert told(as_litellm(error, "m", 20.5)) == [21, 21]
    assert error.retry_after == 3600.0
