"""Bans: one fails its request and says who is next; two within an hour stop the pool, in every process."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import litellm
import pytest
from click.testing import CliRunner
from litellm_doors import every_door, fail
from processes import together
from routers import (
    Door,
    Shape,
    _callbacks_as_before,  # noqa: F401 - a fixture
    antigravity,
    async_door,
    async_streams,
    gemini,
    group_of,
    routed,
    skip_where_one_deployment_sleeps,
    sync_door,
    sync_streams,
)
from serving import MESSAGES, MODEL, fields_of, settings_of, text_of
from support import FakeClock

import litellm_antigravity
from litellm_antigravity.cli import cli
from litellm_antigravity.errors import PoolStoppedError, RequestRefusedError
from litellm_antigravity.pool import AccountPool
from litellm_antigravity.refusals import Refusal, RefusalKind
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.state.memory import MemoryStore

BANNED = Refusal(kind=RefusalKind.BANNED, status=403, message="Disabled for violation of Terms of Service.")
HOUR = 3600.0
FIRST, SECOND, THIRD = (f"user{number}@example.com" for number in (1, 2, 3))


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(3) as started:
        yield started


def sticky(simulator: Simulator, folder: Path, **more: Any) -> None:
    fields = {"account_selection_strategy": "sticky", "max_rate_limit_wait_seconds": 0, **more}
    litellm_antigravity.register(settings_of(simulator, folder, **fields))


# One ban


@every_door
def test_a_ban_fails_its_request_and_says_who_serves_the_next(
    simulator: Simulator, tmp_path: Path, door: Callable[..., Any]
) -> None:
    """Before, it said nothing of the next request, which another account served without a word."""
    sticky(simulator, tmp_path)
    simulator.refuse("banned", email=FIRST)
    error = fail(door)
    assert isinstance(error, litellm.PermissionDeniedError)
    assert "The next one will be served by us***2@example.com." in str(error)
    assert [entry.email for entry in simulator.requests("generateContent")] == [FIRST]
    served = litellm.completion(model=MODEL, messages=MESSAGES)
    assert SECOND in text_of(served)


def test_a_ban_says_so_when_nobody_else_is_free(simulator: Simulator, tmp_path: Path) -> None:
    sticky(simulator, tmp_path)
    simulator.drain(SECOND, None, 600)
    simulator.drain(THIRD, None, 600)
    simulator.refuse("banned", email=FIRST)
    for email in (SECOND, THIRD):  # known, before the ban
        pool = litellm_antigravity.handler.dispatcher.pool
        account = next(one for one in pool.accounts.current().accounts if one.email == email)
        pool.report(pool.take(MODEL, account.id), Refusal(RefusalKind.QUOTA, 429, "Later", retry_after=600.0))  # type: ignore[arg-type]
    assert "no other account is free now" in str(fail(litellm.completion, model=MODEL, messages=MESSAGES))


@pytest.mark.parametrize(
    ("shape", "door"),
    [
        *itertools.product([antigravity], [sync_door, async_door, sync_streams, async_streams]),
        (gemini, sync_door),
        (gemini, async_door),
    ],
)
def test_a_router_does_not_go_on_as_somebody_else(
    shape: Shape, door: Door, simulator: Simulator, tmp_path: Path
) -> None:
    """Before, the Router tried the next deployment, and so the next account, up to ``num_retries`` times."""
    # It overwrites num_retries, for which it tries again.
    skip_where_one_deployment_sleeps(async_door if door is async_streams else door)
    router = routed(group_of(shape, simulator)[::2], simulator, tmp_path)
    simulator.refuse("banned", email=FIRST, times=1)
    with pytest.raises(Exception) as raised:  # noqa: PT011 - LiteLLM makes several things of its own providers' 403
        door(router)
    assert [entry.email for entry in simulator.requests("generateContent")] == [FIRST]
    if shape is antigravity:
        assert "The next one will be served by us***3@example.com." in str(raised.value)


@every_door
def test_when_upstream_wants_every_owner_to_act_it_is_no_matter_of_signing_in(
    simulator: Simulator, tmp_path: Path, door: Callable[..., Any]
) -> None:
    """Before, it was a 401: clients asked people to sign in, and LiteLLM benched the deployment, which said 429."""
    sticky(simulator, tmp_path)
    simulator.refuse("verification")
    for _ in range(2):
        error = fail(door)
        assert isinstance(error, litellm.PermissionDeniedError)
        assert "None comes back by itself: see `litellm-antigravity status`." in str(error)
    assert len(simulator.requests("generateContent")) == 3


def test_a_router_says_so_again_and_again(simulator: Simulator, tmp_path: Path) -> None:
    model = {"model_name": "pool", "litellm_params": {"model": MODEL}}
    router = routed([model], simulator, tmp_path)
    simulator.refuse("verification")
    for _ in range(3):
        error = fail(async_door, router=router, model="pool")
        assert isinstance(error, litellm.PermissionDeniedError), error


# Two bans


@every_door
def test_two_bans_within_an_hour_stop_the_pool_and_the_message_says_why_and_what_to_do(
    simulator: Simulator, tmp_path: Path, door: Callable[..., Any]
) -> None:
    """Before, the third account served the next request, and was the next to be banned."""
    sticky(simulator, tmp_path)
    simulator.refuse("banned")
    errors = [fail(door) for _ in range(4)]
    assert all(isinstance(error, litellm.PermissionDeniedError) for error in errors)
    assert "served by" in str(errors[0])
    for error in errors[1:]:
        assert "The whole pool has stopped: two accounts were banned within an hour" in str(error)
        assert "`litellm-antigravity auth retry EMAIL`" in str(error)
        assert "retry-after" not in error.headers
    assert [entry.email for entry in simulator.requests("generateContent")] == [FIRST, SECOND]
    assert "us***1@example.com: banned; us***2@example.com: banned; us***3@example.com: stopped" in str(errors[2])


def _ask(fields: dict[str, Any]) -> str:
    litellm_antigravity.register(litellm_antigravity.Settings(**fields))
    try:
        return text_of(litellm.completion(model=MODEL, messages=MESSAGES))
    except litellm.PermissionDeniedError as error:
        return str(error)


def test_every_process_stops_and_goes_on_when_one_account_is_retried(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = fields_of(simulator, tmp_path, account_selection_strategy="sticky", max_rate_limit_wait_seconds=0)
    litellm_antigravity.register(litellm_antigravity.Settings(**fields))
    simulator.refuse("banned", times=2)
    fail(litellm.completion, model=MODEL, messages=MESSAGES)
    fail(litellm.completion, model=MODEL, messages=MESSAGES)
    assert all("The whole pool has stopped" in said for said in together(_ask, [(fields,)] * 2))
    for name, value in simulator.environment(fields["accounts_file"], fields["state_dir"]).items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(cli, ["auth", "retry", SECOND])
    assert result.exit_code == 0, result.output
    assert all("Served by" in said for said in together(_ask, [(fields,)] * 2))
    assert SECOND in text_of(litellm.completion(model=MODEL, messages=MESSAGES))  # this process noticed it, too


def test_two_bans_stop_a_pinned_group(simulator: Simulator, tmp_path: Path) -> None:
    router = routed(group_of(antigravity, simulator), simulator, tmp_path)
    simulator.refuse("banned")
    errors = [fail(router.completion, model="pinned", messages=MESSAGES) for _ in range(3)]
    assert "The whole pool has stopped" in str(errors[2])
    assert len(simulator.requests("generateContent")) == 2


class Pool:
    """An account pool over a fake clock, whose accounts are banned by hand."""

    def __init__(self, simulator: Simulator, folder: Path) -> None:
        self.clock = FakeClock()
        self.folder = folder
        self.simulator = simulator
        settings = settings_of(simulator, folder, account_selection_strategy="sticky", max_rate_limit_wait_seconds=0)
        self.pool = AccountPool(settings, store=MemoryStore(), clock=self.clock)

    def account(self, email: str) -> Any:
        return next(one for one in self.pool.accounts.current().accounts if one.email == email)

    def ban(self, email: str) -> None:
        lease = self.pool.take(MODEL, self.account(email).id)
        assert lease is not None
        self.pool.report(lease, BANNED)

    def serving(self) -> str | None:
        try:
            return self.pool.acquire(MODEL).account.email
        except PoolStoppedError:
            return None


@pytest.fixture
def pool(simulator: Simulator, tmp_path: Path) -> Pool:
    return Pool(simulator, tmp_path)


@pytest.mark.parametrize(("apart", "goes_on"), [(0.0, False), (HOUR, False), (HOUR + 1, True)])
def test_the_two_bans_are_within_an_hour_of_each_other(pool: Pool, apart: float, *, goes_on: bool) -> None:
    pool.ban(FIRST)
    pool.clock.advance(apart)
    pool.ban(SECOND)
    assert (pool.serving() == THIRD) == goes_on


def test_a_stopped_pool_does_not_start_by_itself(pool: Pool) -> None:
    pool.ban(FIRST)
    pool.ban(SECOND)
    pool.clock.advance(40 * 24 * HOUR)
    assert pool.serving() is None


@pytest.mark.parametrize("email", [FIRST, SECOND])
def test_to_retry_either_account_starts_the_pool(pool: Pool, email: str) -> None:
    pool.ban(FIRST)
    pool.ban(SECOND)
    pool.pool.release(pool.account(email).id)
    assert pool.serving() is not None


def test_the_same_account_banned_twice_is_one_ban(pool: Pool) -> None:
    pool.ban(FIRST)
    pool.ban(FIRST)
    pool.pool.release(pool.account(FIRST).id)
    pool.ban(FIRST)
    assert pool.serving() == SECOND


def test_to_disable_the_banned_accounts_does_not_start_it_and_to_remove_one_does(pool: Pool) -> None:
    pool.ban(FIRST)
    pool.ban(SECOND)
    file = pool.folder / "antigravity-accounts.json"
    off = {email: {"enabled": False} for email in (FIRST, SECOND)}
    pool.simulator.write_accounts_file(file, entries=off)
    pool.clock.advance(10)
    assert pool.serving() is None
    with Simulator(pool.simulator.accounts[1:]) as rest:
        rest.write_accounts_file(file)
    pool.clock.advance(10)
    assert pool.serving() == THIRD


def test_what_is_said_of_a_ban_survives_pickling() -> None:
    refused = pickle.loads(pickle.dumps(RequestRefusedError(BANNED, account="a", afterwards="Next: b")))  # noqa: S301
    assert refused.afterwards == "Next: b"
    stopped = pickle.loads(pickle.dumps(PoolStoppedError("Stopped", retry_after=None, accounts=("a: banned",))))  # noqa: S301
    assert isinstance(stopped, PoolStoppedError)
    assert (str(stopped), stopped.accounts, stopped.retryable) == ("Stopped", ("a: banned",), False)
