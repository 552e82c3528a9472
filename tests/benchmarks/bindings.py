"""Bindings by the thousand: processes that bind the same ones at once, and 100,000 conversations one by one."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

from processes import together
from pydantic import SecretStr
from rich.table import Table

from litellm_antigravity.accounts import Account, StaticToken, static_accounts
from litellm_antigravity.pool import SERVED, AccountPool, Lease, LeaseRequest
from litellm_antigravity.settings import Settings

MODEL = "claude-sonnet-4-6"
PROCESSES, AT_ONCE, ACCOUNTS = 16, 200, 4
MANY, EVERY = 100_000, 20_000


def table() -> Table:
    """Measure, and return the table."""
    result = Table("what", "measured", "aim", title=f"bindings, {ACCOUNTS} accounts, the default limit of 10,000")
    with tempfile.TemporaryDirectory() as folder:
        names = [f"conversation {number}" for number in range(AT_ONCE)]
        began = time.perf_counter()
        found = together(_bind, [(folder, names)] * PROCESSES)
        seconds = time.perf_counter() - began
    accounts: dict[str, set[str]] = {}
    for one in found:
        for name, account_id in one.items():
            accounts.setdefault(name, set()).add(account_id)
    counts = Counter(next(iter(on)) for on in accounts.values())
    label = f"{PROCESSES} processes bind the same {AT_ONCE} at once"
    result.add_row(f"{label}: conversations on two accounts", str(sum(len(on) > 1 for on in accounts.values())), "0")
    result.add_row(f"{label}: most and fewest on an account", f"{max(counts.values())}, {min(counts.values())}", "+-1")
    result.add_row(f"{label}: seconds", f"{seconds:.1f}", "")
    with tempfile.TemporaryDirectory() as folder:
        pool = _pool(folder)
        new, kept = list[float](), list[float]()
        for number in range(1, MANY + 1):
            new.append(_take(pool, f"conversation {number}"))
            kept.append(_take(pool, "kept")) if number % 10 == 0 else None
            if number % EVERY == 0:
                rows = len(pool.store.replica.rows("binding/"))
                size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
                times = f"new {statistics.median(new[-2000:]):.0f} µs, bound {statistics.median(kept[-200:]):.0f} µs"
                result.add_row(
                    f"after {number:,} conversations", f"{rows:,} rows, {size / 1e6:.1f} MB; {times}", "flat"
                )
    return result


def _pool(folder: str) -> AccountPool:
    fields = {"token_bucket": {"max_tokens": 50, "regeneration_rate_per_minute": 1e9}}
    settings = Settings(account_selection_strategy="sticky", state_dir=Path(folder), **fields)
    made = [Account.create(f"user{number}@example.com", StaticToken(SecretStr("x"))) for number in range(ACCOUNTS)]
    return AccountPool(settings, accounts=static_accounts(*made))


def _take(pool: AccountPool, name: str) -> float:
    """Have a request of a conversation served; return the microseconds."""
    began = time.perf_counter()
    lease = pool.try_acquire(LeaseRequest(MODEL, conversation=name))
    assert isinstance(lease, Lease)
    pool.report(lease, SERVED)
    return (time.perf_counter() - began) * 1e6


def _bind(folder: str, names: list[str]) -> dict[str, str]:
    pool, found = _pool(folder), {}
    for name in names:
        lease = pool.try_acquire(LeaseRequest(MODEL, conversation=name))
        assert isinstance(lease, Lease)
        pool.report(lease, SERVED)
        found[name] = lease.account.id
    return found
