"""What one process learns, the others know: real processes, real LiteLLM, one simulator."""

from __future__ import annotations

import logging
import os
from collections import Counter
from pathlib import Path
from typing import Any

import litellm
import pytest
from hypothesis import given
from hypothesis import strategies as st
from processes import Agent, one_after_the_other, together
from pydantic import SecretStr
from serving import MESSAGES, MODEL, fields_of, text_of

import litellm_antigravity
from litellm_antigravity import AccountPool, Settings
from litellm_antigravity.accounts import Account, StaticToken, static_accounts
from litellm_antigravity.pool import SERVED
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.state.memory import MemoryStore

pytestmark = pytest.mark.once

STRATEGIES = ["sticky", "round-robin", "hybrid"]
every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)


def served_by(fields: dict[str, Any], requests: int, model: str = MODEL) -> list[int]:
    """In a child process: make requests one after the other; return the positions of the accounts that served."""
    litellm_antigravity.register(Settings(**fields))
    texts = [text_of(litellm.completion(model=model, messages=MESSAGES)) for _ in range(requests)]
    return [int(text.partition("user")[2].partition("@")[0]) - 1 for text in texts]


def start_of(fields: dict[str, Any]) -> tuple[int, int]:
    """In a child process: return the process id and the account that serves the first request."""
    return os.getpid(), served_by(fields, 1)[0]


# PID offset


def test_four_processes_start_where_the_formula_says(antigravity_simulator: Simulator, tmp_path: Path) -> None:
    fields = fields_of(antigravity_simulator, tmp_path, account_selection_strategy="sticky", pid_offset_enabled=True)
    before = Path(fields["accounts_file"]).read_bytes()
    started = together(start_of, [(fields,)] * 4)
    assert [account for _, account in started] == [pid % 4 for pid, _ in started]
    assert Path(fields["accounts_file"]).read_bytes() == before


def accounts_of(count: int, base: int = 0) -> Any:
    accounts = [Account.create(f"user{number}@example.com", StaticToken(SecretStr("x"))) for number in range(count)]
    return static_accounts(*accounts, base_index={"claude": base, "gemini": base})


def pool_of(pid: int, count: int, base: int = 0, store: Any = None, **more: Any) -> AccountPool:
    settings = Settings(account_selection_strategy="sticky", pid_offset_enabled=True, **more)
    return AccountPool(settings, accounts=accounts_of(count, base), store=store or MemoryStore(), pid=lambda: pid)


def position(pool: AccountPool, model: str = MODEL) -> int:
    return pool.acquire(model).account.position


@given(pid=st.integers(1, 2**22), count=st.integers(1, 12), base=st.integers(0, 30))
def test_the_first_account_is_base_plus_pid_modulo_the_number_of_accounts(pid: int, count: int, base: int) -> None:
    expected = 0 if count == 1 else (base + pid % count) % count
    pool = pool_of(pid, count, base)
    assert position(pool) == expected
    assert position(pool, "antigravity/gemini-3-flash") == expected


@given(first=st.integers(1, 2**22))
def test_consecutive_pids_start_on_different_accounts(first: int) -> None:
    assert len({position(pool_of(pid, 4)) for pid in range(first, first + 4)}) == 4


def test_pids_123_456_and_789_on_three_accounts_all_start_on_the_first() -> None:
    assert [position(pool_of(pid, 3)) for pid in (123, 456, 789)] == [0, 0, 0]


def test_the_two_log_lines_appear_letter_for_letter_once_per_family(caplog: pytest.LogCaptureFixture) -> None:
    pool = pool_of(1, 2)
    with caplog.at_level(logging.DEBUG, "litellm_antigravity"):
        for _ in range(3):
            pool.acquire(MODEL)
            pool.acquire("antigravity/gemini-3-flash")
    lines = [line for line in caplog.messages if "offset" in line or "Starting" in line]
    assert lines == [
        "[accounts] Applying PID offset: 1 (process.pid % accounts.length)",
        "[accounts] Starting account index for 'claude': 1",
        "[accounts] Applying PID offset: 1 (process.pid % accounts.length)",
        "[accounts] Starting account index for 'gemini': 1",
    ]


def test_debug_prints_the_lines_on_standard_error(antigravity_simulator: Simulator, tmp_path: Path) -> None:
    fields = fields_of(
        antigravity_simulator, tmp_path, account_selection_strategy="sticky", pid_offset_enabled=True, debug=True
    )
    [(pid, printed)] = together(stderr_of_a_request, [(fields, str(tmp_path / "stderr"))])
    assert f"[accounts] Applying PID offset: {pid % 4} (process.pid % accounts.length)" in printed
    assert f"[accounts] Starting account index for 'claude': {pid % 4}" in printed


def stderr_of_a_request(fields: dict[str, Any], path: str) -> tuple[int, list[str]]:
    """In a child process: make a request and return what stood on standard error, line by line."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 2)
    served_by(fields, 1)
    return os.getpid(), Path(path).read_text().splitlines()


def test_the_offset_is_ignored_by_round_robin_and_hybrid() -> None:
    for strategy in ("round-robin", "hybrid"):
        settings = Settings(account_selection_strategy=strategy, pid_offset_enabled=True)
        pool = AccountPool(settings, accounts=accounts_of(4), store=MemoryStore(), pid=lambda: 3)
        assert position(pool) == 0


def test_one_line_says_that_the_offset_has_no_effect_with_round_robin(caplog: pytest.LogCaptureFixture) -> None:
    AccountPool(Settings(account_selection_strategy="round-robin", pid_offset_enabled=True), accounts=accounts_of(4))
    AccountPool(Settings(account_selection_strategy="sticky", pid_offset_enabled=True), accounts=accounts_of(4))
    assert [message for message in caplog.messages if "no effect" in message] == [
        "pid_offset_enabled has no effect with round-robin: each process begins with another account anyway."
    ]


# Slots


@pytest.mark.parametrize("count", [2, 4])
def test_with_slots_processes_start_on_different_accounts(
    count: int, antigravity_simulator: Simulator, tmp_path: Path
) -> None:
    fields = slots(antigravity_simulator, tmp_path)
    started = together(served_by, [(fields, 1)] * count)
    assert sorted(account for [account] in started) == list(range(count))


def slots(simulator: Simulator, folder: Path) -> dict[str, Any]:
    return fields_of(
        simulator, folder, account_selection_strategy="sticky", pid_offset_enabled=True, offset_source="slot"
    )


def start_as_pid_1(fields: dict[str, Any]) -> int:
    """In a child process that believes its id to be 1, as in a container: return the first account."""
    pool = AccountPool(Settings(**fields), pid=lambda: 1)
    _kept.append(pool)
    return pool.acquire(MODEL).account.position


_kept: list[AccountPool] = []  # a pool that is gone holds no slot


def test_with_slots_it_does_not_matter_that_every_pid_is_1(antigravity_simulator: Simulator, tmp_path: Path) -> None:
    fields = slots(antigravity_simulator, tmp_path)
    assert sorted(together(start_as_pid_1, [(fields,)] * 4)) == [0, 1, 2, 3]


def test_with_slots_a_lone_process_keeps_its_account_over_restarts(
    antigravity_simulator: Simulator, tmp_path: Path
) -> None:
    fields = slots(antigravity_simulator, tmp_path)
    assert one_after_the_other(served_by, [(fields, 1)] * 10) == [[0]] * 10


def test_with_slots_the_place_of_a_killed_process_is_free_for_the_next(
    antigravity_simulator: Simulator, tmp_path: Path
) -> None:
    fields = slots(antigravity_simulator, tmp_path)
    with Agent(fields) as first, Agent(fields) as second:
        assert "user1@" in first.ask()
        assert "user2@" in second.ask()
        first.kill()
        with Agent(fields) as third:
            assert "user1@" in third.ask()
            assert "user2@" in second.ask()


# Round-robin


def test_round_robin_agents_take_turns_each_from_its_own_start(tmp_path: Path) -> None:
    with Simulator(3) as simulator:
        fields = fields_of(simulator, tmp_path, account_selection_strategy="round-robin")
        assert one_after_the_other(served_by, [(fields, 4)] * 2) == [[0, 1, 2, 0], [1, 2, 0, 1]]


def test_round_robin_agents_at_once_start_on_different_accounts(tmp_path: Path) -> None:
    with Simulator(3) as simulator:
        fields = fields_of(simulator, tmp_path, account_selection_strategy="round-robin")
        turns = together(served_by, [(fields, 3)] * 3)
        assert sorted(turns) == [[0, 1, 2], [1, 2, 0], [2, 0, 1]]


def test_round_robin_skips_limited_accounts(tmp_path: Path) -> None:
    with Simulator(3) as simulator:
        fields = fields_of(simulator, tmp_path, account_selection_strategy="round-robin")
        simulator.drain("user2@example.com", "claude")
        [served] = together(served_by, [(fields, 6)])
        assert served[1:] == [0, 2, 0, 2, 0]  # from the 429 on, two take turns
        assert len(simulator.requests(email="user2@example.com", status=429)) == 1


# One 429 is enough


@every_strategy
def test_a_429_that_one_process_met_is_met_by_no_other_one_request_at_a_time(
    strategy: str, antigravity_simulator: Simulator, tmp_path: Path
) -> None:
    simulator = antigravity_simulator
    fields = fields_of(simulator, tmp_path, account_selection_strategy=strategy)
    for account in simulator.accounts[:3]:
        simulator.drain(account.email, "claude", reset_seconds=600)
    served = one_after_the_other(served_by, [(fields, 25)] * 4)
    assert served == [[3] * 25] * 4
    assert Counter(entry.email for entry in simulator.requests(status=429)) == {
        account.email: 1 for account in simulator.accounts[:3]
    }


@every_strategy
def test_a_429_costs_at_most_what_was_in_flight(
    strategy: str, antigravity_simulator: Simulator, tmp_path: Path
) -> None:
    simulator = antigravity_simulator
    fields = fields_of(simulator, tmp_path, account_selection_strategy=strategy)
    for account in simulator.accounts[:3]:
        simulator.drain(account.email, "claude", reset_seconds=600)
    served = together(served_by, [(fields, 25)] * 4)
    assert served == [[3] * 25] * 4
    for account in simulator.accounts[:3]:
        refused = simulator.requests(email=account.email, status=429)
        assert 1 <= len(refused) <= max(4, *(entry.in_flight for entry in refused))


# What else is shared


def test_a_living_process_knows_the_429_of_another_before_its_next_request(
    antigravity_simulator: Simulator, tmp_path: Path
) -> None:
    simulator = antigravity_simulator
    fields = fields_of(simulator, tmp_path, account_selection_strategy="sticky", ramp_seconds=0)
    with Agent(fields) as first, Agent(fields) as second:
        assert "user1@" in first.ask()
        assert "user1@" in second.ask()
        simulator.drain("user1@example.com", "claude", reset_seconds=600)
        assert "user2@" in first.ask()
        assert "user2@" in second.ask(stream=True)
        assert len(simulator.requests(status=429)) == 1


def test_a_living_process_uses_the_token_that_another_has_fetched(
    antigravity_simulator: Simulator, tmp_path: Path
) -> None:
    simulator = antigravity_simulator
    fields = fields_of(simulator, tmp_path, account_selection_strategy="sticky")
    with Agent(fields) as first, Agent(fields) as second:
        first.ask()
        second.ask()
        simulator.expire_tokens()
        assert "user1@" in first.ask()
        assert "user1@" in second.ask()
    assert simulator.token_calls() == 2


def test_a_living_process_knows_that_a_grant_was_revoked(antigravity_simulator: Simulator, tmp_path: Path) -> None:
    simulator = antigravity_simulator
    fields = fields_of(simulator, tmp_path, account_selection_strategy="sticky", ramp_seconds=0)
    with Agent(fields) as first, Agent(fields) as second:
        assert "user1@" in first.ask()
        assert "user1@" in second.ask()
        simulator.revoke("user1@example.com")
        assert "user2@" in first.ask()
        asked = simulator.token_calls()
        assert "user2@" in second.ask()
        assert simulator.token_calls() == asked


def test_health_and_tokens_are_shared(tmp_path: Path) -> None:
    settings = Settings(account_selection_strategy="hybrid", state_dir=tmp_path / "state")
    ours, theirs = (AccountPool(settings, accounts=accounts_of(2)) for _ in range(2))
    lease = ours.acquire(MODEL)
    ours.report(lease, SERVED)
    seen = {state.account.id: state for state in theirs.states(MODEL)}[lease.account.id]
    assert (seen.health, round(seen.tokens)) == (71, 49)
    # An account never used is the more rested one, so the other process takes it.
    assert theirs.acquire(MODEL).account.id != lease.account.id


@every_strategy
def test_eight_agents_with_unequal_accounts_are_all_served(strategy: str, tmp_path: Path) -> None:
    with Simulator(4) as simulator:
        for account, quota in zip(simulator.accounts, (3, 5, 7, 1000), strict=True):
            simulator.set_quota(account.email, "claude", quota, window_seconds=600)
        fields = fields_of(simulator, tmp_path, account_selection_strategy=strategy)
        served = together(served_by, [(fields, 10)] * 8)
        counts = Counter(account for each in served for account in each)
        assert sum(counts.values()) == 80
        assert all(counts[position] <= quota for position, quota in enumerate((3, 5, 7)))
