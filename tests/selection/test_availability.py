"""Who is free is looked up once for as long as nothing changes, and not for longer."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr
from support import FakeClock

from litellm_antigravity import AccountPool, Settings
from litellm_antigravity.accounts import Account, StaticToken, static_accounts
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.selection import availability
from litellm_antigravity.state.memory import MemoryStore

MODEL = "claude-sonnet-4-6"

pytestmark = pytest.mark.once


def test_a_cooldown_that_another_thread_adds_during_a_look_is_seen_by_the_next_one(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = [Account.create(f"user{number}@example.com", StaticToken(SecretStr("x"))) for number in (1, 2)]
    settings = Settings(account_selection_strategy="sticky")
    pool = AccountPool(settings, accounts=static_accounts(*accounts), store=MemoryStore(), clock=clock)
    first = pool.accounts.current().accounts[0]
    really = availability._benched
    cooldown = Cooldown(first.id, "claude", clock.time() + 600, "quota", clock.time(), fact=True)

    def interrupted(*args: Any) -> Any:
        found = really(*args)
        if first.id not in found:
            pool.store.extend_cooldown(cooldown)
        return found

    monkeypatch.setattr(availability, "_benched", interrupted)
    assert pool.acquire(MODEL).account is first
    assert pool.acquire(MODEL).account is not first
