"""What choosing an account costs, beside LiteLLM's simple-shuffle on as many deployments."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import litellm
from pydantic import SecretStr
from rich.table import Table

from litellm_antigravity.accounts import Account, StaticToken, static_accounts
from litellm_antigravity.pool import SERVED, AccountPool
from litellm_antigravity.settings import Settings

from .measure import in_turns, microseconds, ratio

STRATEGIES = ("sticky", "round-robin", "hybrid")
MODEL = "claude-sonnet-4-6"
AIMS = {100: 3.0, 1000: 20.0}


def table(*, rounds: int = 20) -> Table:
    """Measure, and return the table."""
    result = Table(
        "accounts",
        "simple-shuffle, µs",
        *(f"{strategy}, µs (times cheaper)" for strategy in STRATEGIES),
        "aim",
        title="acquire + report on the disk store, and LiteLLM's selection alone; medians",
    )
    with tempfile.TemporaryDirectory() as folder:
        for count in (10, 100, 1000):
            actions = {"simple-shuffle": _shuffle(count)}
            for strategy in STRATEGIES:
                actions[strategy] = _pool(strategy, count, Path(folder, f"{strategy}-{count}"))
            taken = in_turns(actions, rounds=rounds, each=20)
            shuffle = taken["simple-shuffle"]
            cells = [f"{microseconds(taken[name])} ({ratio(shuffle, taken[name]):.1f}x)" for name in STRATEGIES]
            aim = f"{AIMS[count]:.0f}x" if count in AIMS else ""
            result.add_row(str(count), microseconds(shuffle), *cells, aim)
    return result


def _shuffle(count: int) -> Callable[[], object]:
    deployments = [
        {"model_name": MODEL, "litellm_params": {"model": f"openai/{MODEL}", "api_key": f"key-{number}"}}
        for number in range(count)
    ]
    router = litellm.Router(model_list=deployments, routing_strategy="simple-shuffle")
    messages = [{"role": "user", "content": "Hello"}]
    return lambda: router.get_available_deployment(model=MODEL, messages=messages, request_kwargs={})


def _pool(strategy: str, count: int, state_dir: Path) -> Callable[[], object]:
    accounts = [
        Account.create(f"user{number}@example.com", StaticToken(SecretStr(f"token-{number}")), project_id="project")
        for number in range(count)
    ]
    # A bucket that refills at once, since a benchmark asks faster than any account bears.
    bucket = {"max_tokens": 50, "regeneration_rate_per_minute": 1e9}
    settings = Settings(account_selection_strategy=strategy, state_dir=state_dir, token_bucket=bucket)
    pool = AccountPool(settings, accounts=static_accounts(*accounts))

    def request() -> None:
        pool.report(pool.acquire(MODEL), SERVED)

    for _ in range(2 * count):  # an account's first request makes its row, which is not what a later one costs
        request()
    return request
