"""``why``: it says what the next request does, and the last decisions are kept, bounded, with their inputs."""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import litellm
import pytest
from click.testing import CliRunner
from litellm.integrations.custom_logger import CustomLogger
from processes import Agent
from proxy import until
from pydantic import SecretStr
from serving import MESSAGES, MODEL, fields_of, settings_of
from support import NOW, FakeClock

import litellm_antigravity
from litellm_antigravity import AccountPool, Settings, events
from litellm_antigravity.accounts import Account, AccountSource, RefreshToken, static_accounts
from litellm_antigravity.cli import cli
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.errors import AntigravityError
from litellm_antigravity.lease import Lease, LeaseRequest, Wait
from litellm_antigravity.litellm.observing import OBSERVER
from litellm_antigravity.observability import remembering
from litellm_antigravity.observability.decisions import remembered
from litellm_antigravity.observability.explaining import explain
from litellm_antigravity.observability.remembering import Remembering
from litellm_antigravity.observability.ring import SLOT_BYTES, SLOTS, Ring
from litellm_antigravity.selection.vitals import Penalty, VitalsRules
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.state.memory import MemoryStore

pytestmark = pytest.mark.once

CLAUDE = "claude-sonnet-4-6"
REASONS = ["quota", "rate", "transport", "banned", "not available", "refused request"]
LENGTHS = [0.5, 3.0, 30.0, 900.0, 4000.0, 20_000.0, math.inf]
POOLS = ["claude", "gemini", "*", "model:claude-sonnet-4-6"]


def secret(number: int) -> RefreshToken:
    return RefreshToken(SecretStr(f"1//{number}"))


def accounts_for(dice: random.Random) -> AccountSource:
    made = [
        Account.create(f"user{number}@example.com", secret(number), enabled=dice.random() > 0.1)
        for number in range(dice.randint(1, 5))
    ]
    return static_accounts(*(made if any(one.enabled for one in made) else [replace(made[0], enabled=True)]))


def a_state(seed: int) -> AccountPool:
    """Return a pool whose accounts have been through something."""
    dice, clock, store = random.Random(seed), FakeClock(), MemoryStore()
    settings = Settings(
        account_selection_strategy=dice.choice(["sticky", "round-robin", "hybrid"]),
        max_rate_limit_wait_seconds=dice.choice([0.0, 5.0, 60.0]),
        sticky_wait_seconds=dice.choice([0.0, 5.0]),
        oauth_client_id="some-client",
        oauth_client_secret="some-secret",
    )
    pool = AccountPool(settings, accounts=accounts_for(dice), store=store, clock=clock)
    for account in pool.accounts.current().accounts:
        for _ in range(dice.choice([0, 0, 1, 60])):
            store.begin_request(account.id, NOW - dice.random() * 5000, pool.rules, require_token=False)
        for _ in range(dice.choice([0, 0, 1, 3])):
            at = NOW - dice.random() * 4000
            penalty: Penalty = "rate" if dice.random() > 0.5 else "failure"
            store.record_failure(account.id, "claude", at, pool.rules, penalty=penalty, refund=False)
        for _ in range(dice.choice([0, 0, 1, 2])):
            reason, fact = dice.choice(REASONS), dice.random() > 0.5
            since, length = NOW - dice.choice([0.0, 1.0, 2000.0, 3700.0]), dice.choice(LENGTHS)
            length = min(length, 4000.0) if reason == "not available" else length
            store.extend_cooldown(Cooldown(account.id, dice.choice(POOLS), since + length, reason, since, fact=fact))
    if dice.random() < 0.1:
        store.hold_capacity(CLAUDE, NOW - 1.0, dice.choice([0.5, 10.0]))
    if dice.random() < 0.5:
        clock.advance(dice.choice([0.1, 5.0, 4000.0]))
    if dice.random() < 0.5:
        pool.strategy.taken(dice.choice(pool.accounts.current().accounts).id, "claude")
    return pool


@pytest.mark.parametrize("block", range(4))
def test_what_why_says_is_what_the_next_request_does(block: int) -> None:
    """In 1000 states: the account that serves or is probed, the wait, or that it fails, and with what words."""
    met = dict.fromkeys(("serve", "wait", "probe", "fail"), 0)
    for seed in range(250 * block, 250 * (block + 1)):
        pool = a_state(seed)
        said = explain(pool, LeaseRequest(CLAUDE))
        met[said.outcome] += 1
        taken = taken_of(pool)
        if isinstance(taken, str):
            assert said.outcome == "fail", (seed, said)
            assert said.why.removesuffix(".") in taken, (seed, said)
            continue
        if isinstance(taken, Wait):
            assert said.outcome == "wait", (seed, said)
            assert taken.seconds >= said.seconds - 0.001, (seed, said)
            continue
        assert (said.outcome, said.account_id) == ("probe" if taken.probes else "serve", taken.account.id), (seed, said)
        [chosen] = [one for one in said.candidates if one.state == "chosen"]
        assert chosen.account == taken.account.label, (seed, said)
    assert all(met.values()), met


def test_asking_why_changes_nothing_that_the_next_request_sees() -> None:
    for seed in range(100):
        pools = [a_state(seed), a_state(seed)]
        for _ in range(3):
            explain(pools[0], LeaseRequest(CLAUDE))
        assert repr(taken_of(pools[0])) == repr(taken_of(pools[1])), seed


def taken_of(pool: AccountPool) -> Lease | Wait | str:
    """Return what the next request gets, or the message of its error."""
    try:
        return pool.try_acquire(LeaseRequest(CLAUDE))
    except AntigravityError as error:
        return str(error)


# The ring


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Remembering]:
    made = Remembering(Ring(tmp_path / "state"), VitalsRules(), lambda: NOW)
    events.listen(made)
    yield made
    events.stop_listening(made)


def kept_by(listener: Remembering, request_id: str | None = None) -> list[dict[str, Any]]:
    listener.flush()
    return remembered(listener.ring, request_id)


def test_the_ring_keeps_the_last_decisions_in_a_file_that_does_not_grow(listener: Remembering, tmp_path: Path) -> None:
    pool = AccountPool(
        Settings(oauth_client_id="a", oauth_client_secret="b"),
        accounts=accounts_for(random.Random(1)),
        store=MemoryStore(),
        clock=FakeClock(),
    )
    for number in range(SLOTS + 20):
        pool.try_acquire(LeaseRequest(CLAUDE, request_id=f"call-{number:06}"))
    kept = kept_by(listener)
    assert len(kept) == SLOTS
    assert [one["request_id"] for one in kept] == [f"call-{number:06}" for number in range(20, SLOTS + 20)]
    [file] = (tmp_path / "state" / "decisions").iterdir()
    assert file.stat().st_size == (SLOTS + 1) * SLOT_BYTES
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(kept_by(listener, "call-000100")) == 1


def test_the_last_decisions_of_a_busy_process_are_written_down_without_anybody_asking(
    listener: Remembering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembering, "_LOOK_SECONDS", 0.01)
    pool = AccountPool(
        Settings(oauth_client_id="a", oauth_client_secret="b"),
        accounts=accounts_for(random.Random(1)),
        store=MemoryStore(),
        clock=FakeClock(),
    )
    for number in range(3 * SLOTS):
        pool.try_acquire(LeaseRequest(CLAUDE, request_id=f"call-{number:06}"))
    until(lambda: len(remembered(listener.ring, f"call-{3 * SLOTS - 1:06}")) == 1)
    assert [one["request_id"] for one in remembered(listener.ring)][-SLOTS // 2 :] == [
        f"call-{number:06}" for number in range(3 * SLOTS - SLOTS // 2, 3 * SLOTS)
    ]


def test_a_decision_of_a_thousand_accounts_with_long_names_fits_into_its_slot(listener: Remembering) -> None:
    made = [
        Account.create(f"{number}{'x' * 60}@{'example' * 8}.com", secret(number), label="\u00e4" * 300)
        for number in range(1000)
    ]
    pool = AccountPool(
        Settings(oauth_client_id="a", oauth_client_secret="b"),
        accounts=static_accounts(*made),
        store=MemoryStore(),
        clock=FakeClock(),
    )
    pool.try_acquire(LeaseRequest("claude-" + "y" * 2000, request_id="z" * 500))
    [kept] = kept_by(listener)
    assert kept["accounts"] == 1000


def test_what_is_no_record_of_ours_is_left_out(tmp_path: Path) -> None:
    ring = Ring(tmp_path / "state")
    ring.open()
    ring.add({"t": NOW, "k": "probed"})
    [file] = (tmp_path / "state" / "decisions").iterdir()
    content = bytearray(file.read_bytes())
    content[2 * SLOT_BYTES : 2 * SLOT_BYTES + 10] = b"\x01\0\0\0\0\0\0\0\xff\xff"
    content[3 * SLOT_BYTES : 3 * SLOT_BYTES + 14] = b'\x02\0\0\0\0\0\0\0\x04\0{"t"'
    file.write_bytes(content)
    (file.parent / "other.ring").write_bytes(b"\0" * len(content))
    (file.parent / "link.ring").symlink_to(file)
    assert [one["what"] for one in remembered(ring)] == ["probed"]


def test_litellm_s_spend_logs_get_the_account_and_the_reason(
    antigravity_simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []

    class Log(CustomLogger):  # type: ignore[misc]  # LiteLLM's types are not followed
        async def async_log_success_event(self, kwargs: Any, *_: Any, **__: Any) -> None:
            told = kwargs["standard_logging_object"]["metadata"].get("spend_logs_metadata")
            if told is not None:  # LiteLLM still logs requests of earlier tests
                seen.append(told)

    async def ask(**more: Any) -> None:
        expected = len(seen) + 1
        reply = await litellm.acompletion(model=MODEL, messages=MESSAGES, **more)
        if more.get("stream"):
            async for _ in reply:
                pass
        for _ in range(200):  # LiteLLM logs a little later
            if len(seen) == expected:
                return
            await asyncio.sleep(0.02)

    async def run() -> None:
        own = {"spend_logs_metadata": {"team": "a"}}
        for stream in (False, True):
            await ask(metadata=dict(own), stream=stream)
        litellm_antigravity.register(settings_of(antigravity_simulator, tmp_path, statistics="never"))
        await ask(metadata=dict(own))

    monkeypatch.setattr(litellm, "callbacks", [Log()])
    settings = settings_of(antigravity_simulator, tmp_path, statistics="always", account_selection_strategy="sticky")
    litellm_antigravity.register(settings)
    asyncio.run(run())
    reason = {"antigravity_account": "us***1@example.com", "antigravity_why": "next"}
    assert seen == [{"team": "a", **reason}, {"team": "a", **reason, "antigravity_why": "current"}, {"team": "a"}]
    assert not OBSERVER.is_remembering


def test_the_command_tells_the_last_decisions_and_those_of_one_request(
    antigravity_simulator: Simulator, tmp_path: Path
) -> None:
    fields = fields_of(antigravity_simulator, tmp_path, statistics="always", account_selection_strategy="sticky")
    antigravity_simulator.drain("user1@example.com", "claude", 900)
    with Agent(fields) as agent:
        agent.ask()
        variables = {f"LITELLM_ANTIGRAVITY_{name.upper()}": str(value) for name, value in fields.items()}

        def why(*options: str) -> str:
            result = CliRunner(env=variables).invoke(cli, ["why", *options], catch_exceptions=False)
            assert result.exit_code == 0, result.output
            return result.output

        until(lambda: len(json.loads(why("--last", "20", "--json"))) == 7)  # written a moment later
        last = json.loads(why("--last", "20", "--json"))
        told = [one["what"] for one in last]
        assert told == ["chosen", "refreshed", "refused", "benched", "switched", "chosen", "refreshed"]
        of_one = json.loads(why(last[0]["request_id"], "--json"))
        assert [one["what"] for one in of_one] == ["chosen", "refused", "benched", "switched", "chosen"]
        assert last[0]["request_id"] in why(last[0]["request_id"][:8])
        text = why("--last", "20")
        assert "us***1@example.com is out of claude for 15 m: quota" in text
        assert "user1@example.com" not in text
        said = json.loads(why(CLAUDE, "--json"))
        assert (said["pid"], said["why"]) == (agent.pid, "current")
        assert [one["state"] for one in said["candidates"]][:2] == ["limited", "chosen"]
