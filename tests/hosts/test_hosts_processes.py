"""Three hosts with four processes each and one Redis: real processes, real LiteLLM, one simulator."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import litellm
import pytest
from processes import together
from redis_servers import RedisServer, needs_server, until
from serving import MESSAGES, MODEL, fields_of, text_of

import litellm_antigravity
from litellm_antigravity import Settings
from litellm_antigravity.litellm.registration import handler
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.state.layers import JoinedStore

pytestmark = [pytest.mark.once, needs_server]

HOSTS, WORKERS, ACCOUNTS = 3, 4, 6
QUOTAS = (4, 6, 8)
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


def work(fields: dict[str, Any], requests: int, pause: float, seed: int) -> list[str]:
    """In a child process: make requests with pauses between them; return who served each."""
    litellm_antigravity.register(Settings(**fields))
    jitter = random.Random(seed)
    texts = []
    for _ in range(requests):
        texts.append(text_of(litellm.completion(model=MODEL, messages=MESSAGES)))
        time.sleep(pause * jitter.uniform(0.5, 1.5))
    return texts


def slot_of(fields: dict[str, Any]) -> int:
    """In a child process: make a request; return the process's slot, once it has one among all hosts."""
    work(fields, 1, 0.0, 0)
    pool = handler.dispatcher.pool
    assert isinstance(pool.store, JoinedStore)
    store = pool.store
    until(lambda: not store.is_alone)  # on a busy machine Redis's first answer may come after its 50 ms
    return pool.store.claim_slot(pool.identity.owner)


def work_when_known(fields: dict[str, Any], requests: int) -> list[str]:
    """In a child process: make requests once the host knows of all accounts that are drained."""
    litellm_antigravity.register(Settings(**fields))
    store = handler.dispatcher.pool.store
    until(lambda: len(store.refresh().cooldowns) == len(QUOTAS))
    return work(fields, requests, 0.0, 0)


def test_an_account_that_is_drained_on_one_host_is_drained_on_all(server: RedisServer, tmp_path: Path) -> None:
    """Hosts that know nothing of each other meet each limit once more on every host."""
    with Simulator(ACCOUNTS) as simulator:
        for account, quota in zip(simulator.accounts, QUOTAS, strict=False):
            simulator.set_quota(account.email, "claude", quota, window_seconds=600)
        fields = of_hosts(simulator, tmp_path, server)
        together(work, [(one, 20, 0.0, number) for number, one in enumerate(fields[:WORKERS])])
        drained = {account.email for account in simulator.accounts[: len(QUOTAS)]}
        assert {entry.email for entry in simulator.requests(status=429)} == drained
        simulator.clear_log()
        served = together(work_when_known, [(one, 5) for one in fields[WORKERS:]])
        assert {len(texts) for texts in served} == {5}
        assert not simulator.requests(status=429)


def test_processes_of_all_hosts_have_slots_of_their_own(server: RedisServer, tmp_path: Path) -> None:
    with Simulator(HOSTS * WORKERS) as simulator:
        sticky = {"account_selection_strategy": "sticky", "pid_offset_enabled": True, "offset_source": "slot"}
        slots = together(slot_of, [(one,) for one in of_hosts(simulator, tmp_path, server, **sticky)])
        assert sorted(slots) == list(range(HOSTS * WORKERS))
