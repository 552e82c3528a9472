"""Two proxies as two hosts would have them, and LiteLLM's own settings for the Redis between them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from proxy import Proxy, needs_proxy, pool_environment
from redis_servers import RedisServer, needs_server, until
from support import ROOT

from litellm_antigravity import Settings
from litellm_antigravity.litellm.hosts import redis_of, use_litellms_clients, with_redis_of
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.state.redis_connect import connect, place_of

pytestmark = [*needs_proxy, pytest.mark.once, needs_server]

MODEL = "claude-sonnet-4-6"
_VARIABLES = ("REDIS_URL", "REDIS_HOST", "REDIS_PORT", "REDIS_CLUSTER_NODES", "REDIS_SENTINEL_NODES")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture(autouse=True)
def _no_redis_of_mine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_what_one_proxy_meets_another_one_on_another_host_does_not(server: RedisServer, tmp_path: Path) -> None:
    """The example as it is, on two hosts; the code before asked the drained account once for each host."""
    example = ROOT / "config_examples" / "proxy_several_hosts.yaml"
    with Simulator(3) as simulator:
        proxies = []
        for name in ("one", "two"):
            folder = tmp_path / name
            folder.mkdir()
            environment = pool_environment(simulator, folder, COORDINATION_REDIS_URL=server.url)
            proxies.append(Proxy(example, folder, environment, imported=True).launch())
        try:
            one, two = (proxy.wait() for proxy in proxies)
            served(two, "Something else")
            home = served(one)
            until(lambda: conversations(tmp_path / "two" / "state") == 2)
            assert served(two) == home  # it is the same conversation, on whichever host
            simulator.drain(f"{home}@example.com", "claude", reset_seconds=600)
            other = served(one)
            assert other != home
            until(lambda: drained(tmp_path / "two" / "state") == 1)
            simulator.clear_log()
            assert served(two) != home
            assert not simulator.requests(status=429)
        finally:
            for proxy in proxies:
                proxy.close()


def served(proxy: Proxy, words: str = "Hello") -> str:
    """Make a request, of a conversation that begins so; return who served it."""
    answer = proxy.post("/v1/chat/completions", {"model": MODEL, "messages": [{"role": "user", "content": words}]})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"]).partition("@")[0].rpartition(" ")[2]


def conversations(state: Path) -> int:
    """Return how many conversations a host knows."""
    with closing(DiskStore(state)) as store:
        store.know_conversations(100)
        return len(list(store.refresh().bindings.items()))


def drained(state: Path) -> int:
    """Return how many accounts a host knows to be drained."""
    store = DiskStore(state)
    try:
        return len(store.refresh().cooldowns)
    finally:
        store.close()


@pytest.mark.parametrize(
    ("config", "environment", "expected"),
    [
        ({}, {}, None),
        ({"general_settings": {"coordination_redis": {"host": "c"}}}, {"REDIS_HOST": "e"}, {"host": "c"}),
        ({"router_settings": {"redis_host": "r", "redis_port": 7}}, {"REDIS_HOST": "e"}, {"host": "r", "port": 7}),
        ({"router_settings": {"redis_password": "alone"}}, {}, None),
        ({"general_settings": None, "router_settings": []}, {"REDIS_HOST": "e"}, {}),
        ({}, {"REDIS_CLUSTER_NODES": "[]"}, {}),
    ],
)
def test_the_first_redis_that_is_set_counts(
    config: Any, environment: dict[str, str], expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert redis_of(config) == expected
    ours = with_redis_of(config, {"redis": "redis://ours"}, "block")
    assert ours.redis is not None
    assert ours.redis.get_secret_value() == "redis://ours"
    assert place_of(with_redis_of(config, {"redis": "off"}, "block")) is None


def test_litellms_own_helper_makes_the_client(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    use_litellms_clients(Settings(redis={}))
    monkeypatch.setenv("REDIS_HOST", "127.0.0.1")
    monkeypatch.setenv("REDIS_PORT", str(server.port))
    assert connect({}).ping()
    monkeypatch.setenv("A_REDIS", server.url)
    assert connect({"url": "os.environ/A_REDIS"}).ping()
