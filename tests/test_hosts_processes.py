"""Three hosts with four processes each and one Redis: real processes, real LiteLLM, one simulator."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import litellm
import pytest
from processes import together
from redis_servers import RedisServer, needs_server
from serving import MESSAGES, MODEL, fields_of, text_of

import litellm_antigravity
from litellm_antigravity import Settings
from litellm_antigravity.litellm.registration import handler
from litellm_antigravity.simulator import Simulator

pytestmark = [pytest.mark.once, needs_server]

HOSTS, WORKERS, ACCOUNTS = 3, 4, 6
QUOTAS = (25, 50, 75)
"""Of the first accounts; the others have plenty."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


def of_hosts(simulator: Simulator, folder: Path, server: RedisServer, **more: Any) -> list[dict[str, Any]]:
    """Return the settings of every process of every host."""
    shared = fields_of(simulator, folder, redis=server.url, redis_namespace=folder.name, **more)
    fields = [{**shared, "state_dir": str(folder / f"host-{number}")} for number in range(HOSTS)]
    return [one for one in fields for _ in range(WORKERS)]


def work(fields: dict[str, Any], requests: int, pause: float, seed: int) -> tuple[int | None, list[str]]:
    """In a child process: make requests with pauses between them; return the slot, and who served each."""
    litellm_antigravity.register(Settings(**fields))
    jitter = random.Random(seed)
    texts = []
    for _ in range(requests):
        texts.append(text_of(litellm.completion(model=MODEL, messages=MESSAGES)))
        time.sleep(pause * jitter.uniform(0.5, 1.5))
    pool = handler.dispatcher.pool
    slots = pool.store.slot_owners()
    return next((slot for slot, owner in slots.items() if owner == pool.identity.owner), None), texts


def test_an_account_that_is_drained_on_one_host_is_drained_on_all(server: RedisServer, tmp_path: Path) -> None:
    """The code before met each limit on every host: three refusals for each account."""
    with Simulator(ACCOUNTS) as simulator:
        for account, quota in zip(simulator.accounts, QUOTAS, strict=False):
            simulator.set_quota(account.email, "claude", quota, window_seconds=600)
        fields = of_hosts(simulator, tmp_path, server)
        done = together(work, [(one, 16, 0.2, number) for number, one in enumerate(fields)])
        assert all(len(texts) == 16 for _, texts in done)
        refused = Counter(entry.email for entry in simulator.requests(status=429))
        assert len(refused) == len(QUOTAS)
        assert sum(refused.values()) / len(refused) < 2.0


def test_processes_of_all_hosts_have_slots_of_their_own(server: RedisServer, tmp_path: Path) -> None:
    with Simulator(HOSTS * WORKERS) as simulator:
        sticky = {"account_selection_strategy": "sticky", "pid_offset_enabled": True, "offset_source": "slot"}
        done = together(work, [(one, 1, 0.0, 0) for one in of_hosts(simulator, tmp_path, server, **sticky)])
        assert sorted(slot for slot, _ in done) == list(range(HOSTS * WORKERS))
        assert len({texts[0] for _, texts in done}) == HOSTS * WORKERS
