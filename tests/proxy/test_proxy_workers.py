"""The LiteLLM proxy's processes: workers of uvicorn and of gunicorn, their ends, and what a reload leaves in place."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from proxy import STARTED, Proxy, needs_proxy, open_files, pool_environment, until
from serving import ACCOUNT_HEADER, MESSAGES
from support import HELPERS

from litellm_antigravity.accounts import AccountsFile
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.state.rows import Presence

MODEL = "claude-sonnet-4-6"
IN_FLIGHT = 12

pytestmark = [
    *needs_proxy,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at processes in /proc"),
]

POOL = f"""
model_list:
  - model_name: {MODEL}
    litellm_params: {{model: antigravity/{MODEL}}}
litellm_settings:
  custom_provider_map:
    - {{provider: antigravity, custom_handler: litellm_antigravity.handler}}
  callbacks: [litellm_antigravity.hook]
antigravity_settings:
  account_selection_strategy: sticky
  pid_offset_enabled: true
  offset_source: SOURCE
  sticky_scope: process
  debug: true
"""


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(5, latency_seconds=0.02, models=["gemini-2.5-flash"]) as started:
        yield started


class Crew:
    """A proxy of several workers, and what they tell each other in the state folder.

    Args:
        simulator: their Google.
        folder: has accounts file and state.
        source: of the offset.
        how: more for `Proxy`.
    """

    def __init__(self, simulator: Simulator, folder: Path, source: str, **how: Any) -> None:
        config = folder / "config.yaml"
        config.write_text(POOL.replace("SOURCE", source), "utf-8")
        self.simulator = simulator
        self.state = folder / "state"
        self.proxy = Proxy(config, folder, pool_environment(simulator, folder), **how)
        self.accounts = AccountsFile(folder / "antigravity-accounts.json").current()

    def ask(self, times: int) -> list[str]:
        """Return the accounts, masked, that served so many requests, each over a connection of its own."""

        def one(_: int) -> str:
            answer = self.proxy.post("/v1/chat/completions", {"model": MODEL, "messages": MESSAGES})
            assert answer.status_code == 200, answer.text
            return answer.headers[ACCOUNT_HEADER]

        with ThreadPoolExecutor(IN_FLIGHT) as threads:
            return list(threads.map(one, range(times)))

    def processes(self) -> dict[int, Presence]:
        """Return the living processes that have served a request, by process id."""
        store = DiskStore(self.state)
        try:
            return {presence.pid: presence for presence in store.processes()}
        finally:
            store.close()

    def all_serve(self, count: int, *, started: int | None = None) -> dict[int, Presence]:
        """Have each worker serve a request; return what they tell.

        Args:
            count: how many workers there are.
            started: how many have been started so far.
        """
        until(lambda: self.proxy.log.count(STARTED) == (started or count))
        for _ in range(count):
            # A worker that is idle takes every connection, if it is let.
            served = [pid for pid in self.proxy.workers if pid in (self.processes() if self.state.exists() else {})]
            for pid in served:
                os.kill(pid, signal.SIGSTOP)
            try:
                self.ask(1)
            finally:
                for pid in served:
                    os.kill(pid, signal.SIGCONT)
            if len(served) == count - 1:
                break
        found = self.processes()
        assert set(found) == set(self.proxy.workers)
        return found

    def index(self, presence: Presence) -> int:
        """Return the place in the accounts file of the account that a process is on."""
        return [account.id for account in self.accounts.enabled].index(presence.current["claude"])

    def expected_index(self, offset: int) -> int:
        """Return where the formula puts a process."""
        count = len(self.accounts.enabled)
        return (self.accounts.base_index.get("claude", 0) + offset % count) % count

    def parent_has_opened_nothing(self) -> bool:
        """Return whether the workers' parent has neither a file of the state nor a connection to Google."""
        port = self.simulator.url.rpartition(":")[2]
        return not any(found == port or str(self.state) in found for found in open_files(self.proxy.pid))

    def know_what_one_is_told(self) -> int:
        """See that all of them pass over the accounts that one was refused by; return how many refusals there were."""
        simulator = self.simulator
        limited, spared = simulator.accounts[:4], simulator.accounts[4]
        for account in limited:
            simulator.drain(account.email, None, 600)
        assert set(self.ask(4 * IN_FLIGHT)) == {spared.label}
        refused = len(simulator.requests(status=429))
        assert 4 <= refused <= 4 * IN_FLIGHT  # all that were on their way at once
        assert set(self.ask(4 * IN_FLIGHT)) == {spared.label}
        assert len(simulator.requests(status=429)) == refused
        return refused

    def nothing_is_left(self) -> bool:
        """Return whether nobody holds a slot any more, nor is taken for alive."""
        store = DiskStore(self.state)
        try:
            return store.processes() == [] and store.claim_slot("the next one") == 0
        finally:
            store.close()


def test_gunicorn_workers_open_their_own_and_share_what_they_learn(simulator: Simulator, tmp_path: Path) -> None:
    # LiteLLM always has gunicorn load the proxy before it forks the workers.
    crew = Crew(simulator, tmp_path, "slot", workers=4, options=["--run_gunicorn"], imported=True)
    with crew.proxy:
        until(lambda: crew.proxy.log.count(STARTED) == 4)  # the first one answers before the last one is forked
        assert len(crew.proxy.workers) == 4
        assert not crew.state.exists()
        assert crew.parent_has_opened_nothing()

        serving = crew.all_serve(4)
        places = {presence.slot: crew.index(presence) for presence in serving.values()}
        assert places == {slot: crew.expected_index(slot) for slot in range(4)}
        assert len(set(places.values())) == 4
        assert crew.parent_has_opened_nothing()

        refused = crew.know_what_one_is_told()

        # One that takes a dead one's place takes its slot as well.
        dead, *living = crew.proxy.workers
        os.kill(dead, signal.SIGKILL)
        until(lambda: len(crew.proxy.workers) == 4 and dead not in crew.proxy.workers)
        now = crew.all_serve(4, started=5)
        [new] = set(now) - set(living)
        assert len(simulator.requests(status=429)) == refused  # it has been told, too
        assert {pid: now[pid].slot for pid in living} == {pid: serving[pid].slot for pid in living}
        assert now[new].slot == serving[dead].slot

        assert crew.proxy.end(signal.SIGTERM) == []
    assert crew.nothing_is_left()


PRELOADED = """
import litellm_antigravity

litellm_antigravity.register()  # before the fork, with the settings of the environment
from litellm.proxy.proxy_server import app
"""


def test_workers_forked_from_a_process_that_uses_this_package_start_by_their_own_process_ids(
    simulator: Simulator, tmp_path: Path
) -> None:
    (tmp_path / "preloaded.py").write_text(PRELOADED, "utf-8")
    crew = Crew(simulator, tmp_path, "pid", workers=3, gunicorn="preloaded:app", options=["--preload"])
    with crew.proxy:
        assert not crew.state.exists()
        assert crew.parent_has_opened_nothing()
        serving = crew.all_serve(3)
        assert {pid: crew.index(presence) for pid, presence in serving.items()} == {
            pid: crew.expected_index(pid) for pid in crew.proxy.workers
        }
        count = len(crew.accounts.enabled)
        told = re.findall(r"Applying PID offset: (\d+) \(process.pid % accounts.length\)", crew.proxy.log)
        assert sorted(told) == sorted(str(pid % count) for pid in crew.proxy.workers)
        assert crew.parent_has_opened_nothing()
        assert crew.proxy.end(signal.SIGTERM) == []
    assert crew.nothing_is_left()


def test_uvicorn_workers_share_what_they_learn_and_ctrl_c_leaves_none_and_no_slot_taken(
    simulator: Simulator, tmp_path: Path
) -> None:
    # The command itself, and each of uvicorn's workers imports everything anew: nothing is forked here.
    crew = Crew(simulator, tmp_path, "slot", workers=2)
    with crew.proxy:
        assert {presence.slot for presence in crew.all_serve(2).values()} == {0, 1}
        crew.know_what_one_is_told()
        assert crew.proxy.end(signal.SIGINT, whole_group=True) == []
    assert crew.nothing_is_left()


# What LiteLLM loads anew while it runs

RELOADED = f"""
model_list:
  - model_name: pinned
    litellm_params: {{model: antigravity/{MODEL}}}
    model_info: {{account: user1@example.com}}
  - model_name: pinned
    litellm_params: {{model: antigravity/{MODEL}}}
    model_info: {{account: user2@example.com}}
  - model_name: pinned
    litellm_params: {{model: antigravity/{MODEL}}}
    model_info: {{account: user3@example.com}}
  - model_name: keys
    litellm_params: {{model: gemini/gemini-2.5-flash, api_key: os.environ/KEY_1}}
    model_info: {{account: first}}
  - model_name: keys
    litellm_params: {{model: gemini/gemini-2.5-flash, api_key: os.environ/KEY_2}}
    model_info: {{account: second}}
  - model_name: keys
    litellm_params: {{model: gemini/gemini-2.5-flash, api_key: os.environ/KEY_3}}
    model_info: {{account: third}}
  - model_name: pool
    litellm_params: {{model: antigravity/{MODEL}}}
litellm_settings:
  custom_provider_map:
    - {{provider: antigravity, custom_handler: litellm_antigravity.handler}}
  callbacks: [reloading.reloads, litellm_antigravity.hook]
antigravity_settings:
  account_selection_strategy: STRATEGY
  sticky_scope: process
"""
WAYS: list[dict[str, str]] = [
    {"reload": "configuration"},
    {"reload": "database"},
    {"reload": "database", "account": "user4@example.com"},
    {"reload": "router settings"},
    {"reload": "database"},  # and the deployment that it had is gone
    {"reload": "model list"},
    {"reload": "configuration"},
]
ADMIN_WRITES: dict[str, dict[str, Any]] = {
    "/config/update": {"router_settings": {"num_retries": 5}},
    "/model/new": {"model_name": "pool", "litellm_params": {"model": f"antigravity/{MODEL}"}},
    "/model/delete": {"id": "anything"},
}
WITH_FOURTH = (3, 4)  # so many of them done, there is a fourth deployment
THREE = ["user1@example.com", "user2@example.com", "user3@example.com"]


class Reloaded:
    """A proxy that loads things anew when it is told to."""

    def __init__(self, simulator: Simulator, folder: Path, strategy: str) -> None:
        folder.mkdir()
        shutil.copy(HELPERS / "reloading.py", folder)
        config = folder / "config.yaml"
        config.write_text(RELOADED.replace("STRATEGY", strategy), "utf-8")
        keys = {f"KEY_{number}": simulator.account(email).api_key for number, email in enumerate(THREE, 1)}
        environment = pool_environment(simulator, folder, **keys, GEMINI_API_BASE=f"{simulator.url}/v1beta")
        self.simulator = simulator
        self.proxy = Proxy(config, folder, environment, imported=True)

    def reload(self, way: dict[str, str]) -> dict[str, Any]:
        body = {"model": "pool", "messages": MESSAGES, "metadata": way}
        answer = self.proxy.post("/v1/chat/completions", body)
        assert answer.status_code == 418, answer.text
        return dict(json.loads(answer.json()["error"]["message"]))

    def served(self, group: str) -> str:
        """Return the account that serves a request now."""
        answer = self.proxy.post("/v1/chat/completions", {"model": group, "messages": MESSAGES})
        assert answer.status_code == 200, answer.text
        found = re.search(r"Served by (\S+@\S+) with", answer.text)
        assert found is not None, answer.text
        return found[1]


@pytest.fixture
def reloaded(simulator: Simulator, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Reloaded]:
    proxy = Reloaded(simulator, tmp_path / "reloaded", request.param)
    with proxy.proxy:
        yield proxy


GROUPS = ["pinned", "keys", "pool"]


@pytest.mark.parametrize("reloaded", ["round-robin"], indirect=True)
def test_cursors_go_on_after_a_reload_and_nothing_is_there_twice(reloaded: Reloaded) -> None:
    everybody = [account.email for account in reloaded.simulator.accounts]
    first = {group: everybody.index(reloaded.served(group)) for group in GROUPS}
    at_first = reloaded.reload({"reload": "nothing"})
    for turn, way in enumerate(WAYS, 1):
        facts = reloaded.reload(way)
        added = facts["ids"][len(at_first["ids"]) :]
        assert facts == at_first | {"ids": [*at_first["ids"], *added]}, way
        assert added == (["from-database"] if turn in WITH_FOURTH else [])
        members = {"pinned": everybody[: 3 + len(added)], "keys": everybody[:3], "pool": everybody}
        for group in GROUPS:
            assert reloaded.served(group) == members[group][(first[group] + turn) % len(members[group])], (way, group)
    assert at_first["hooks"] == 1
    assert at_first["providers"] == [True]
    assert set(at_first["pools"]) == {"pinned", "keys"}


@pytest.mark.parametrize("reloaded", ["sticky"], indirect=True)
def test_current_accounts_and_cooldowns_outlive_reloads_and_refused_admin_writes(reloaded: Reloaded) -> None:
    first, second, third = THREE
    simulator = reloaded.simulator
    assert {reloaded.served(group) for group in GROUPS} == {first}
    simulator.drain(first, None, 1)
    assert {reloaded.served(group) for group in GROUPS} == {second}
    time.sleep(1.1)  # the first one could serve again, but is the current one no more
    for way in WAYS:
        reloaded.reload(way)
        assert [reloaded.served(group) for group in GROUPS] == [second] * 3, way
    for path, body in ADMIN_WRITES.items():  # they want a database, and there is none
        answer = reloaded.proxy.post(path, body)
        assert answer.status_code >= 400, path
        assert re.search("database|DB", answer.text), answer.text
    assert [reloaded.served(group) for group in GROUPS] == [second] * 3

    simulator.drain(second, None, 600)
    assert {reloaded.served(group) for group in GROUPS} == {third}
    refused = len(simulator.requests(status=429))
    simulator.heal()  # so that whoever forgets the cooldown is served by the second one
    for way in WAYS:
        reloaded.reload(way)
        assert [reloaded.served(group) for group in GROUPS] == [third] * 3, way
    assert len(simulator.requests(status=429)) == refused
