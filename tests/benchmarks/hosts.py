"""Several hosts and one Redis: what a request costs, how soon others know, and who meets a limit that is known.

Hosts are folders of one machine, each with processes of its own. The limits are met by Routers of LiteLLM's over six
keys of a stand-in for OpenAI, three of which have a quota: the Router alone, with its own cooldowns in Redis, with our
routing on hosts that know nothing of each other, and on hosts that are joined.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from processes import together
from pydantic import SecretStr
from redis_servers import RedisServer, until
from rich.table import Table
from typing_extensions import Self

from litellm_antigravity.accounts import Account, StaticToken, static_accounts
from litellm_antigravity.clock import SystemClock
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.pool import SERVED, AccountPool
from litellm_antigravity.selection.vitals import VitalsRules
from litellm_antigravity.settings import Settings
from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.state.layers import JoinedStore
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.memory import MemoryStore
from litellm_antigravity.state.redis_backend import RedisStore
from litellm_antigravity.state.redis_connect import connect
from litellm_antigravity.state.redis_link import RedisPlace
from litellm_antigravity.state.sqlite import SqliteStore

from .measure import in_turns, microseconds, ratio
from .proxy import call_to, gateway
from .server import started

HOSTS, WORKERS, KEYS = 3, 4, 6
QUOTAS = {"key-0": 10, "key-1": 20, "key-2": 30}
REQUESTS, PAUSE_SECONDS = 25, 0.25
COSTS_OF = 2000
TOLD = 200


def table() -> Table:
    """Measure all, and return the table."""
    result = Table("what", "measured", title="several hosts and one Redis")
    with tempfile.TemporaryDirectory() as name, RedisServer(Path(name)) as server:
        folder = Path(name)
        figures = [*costs(server, folder), proxies(server, folder), news(server, folder), *limits(server, folder)]
        for what, measured in figures:
            result.add_row(what, measured)
    return result


def place_at(server: RedisServer, namespace: str) -> RedisPlace:
    """Return where a pool is."""
    return RedisPlace(lambda: connect({"url": server.url}), namespace, server.url)


# What a request costs


def costs(server: RedisServer, folder: Path) -> list[tuple[str, str]]:
    """Acquire and report, on each kind of store, in turns."""
    stores: dict[str, Ledger] = {
        "memory": MemoryStore(),
        "diskcache": DiskStore(folder / "diskcache"),
        "sqlite": SqliteStore(folder / "sqlite"),
        "diskcache, joined through Redis": JoinedStore(
            DiskStore(folder / "joined"), place_at(server, "costs"), SystemClock()
        ),
        "Redis alone (not offered)": RedisStore(place_at(server, "alone")),
    }
    accounts = static_accounts(*(Account.create(f"u{n}@example.com", StaticToken(SecretStr("x"))) for n in range(10)))
    settings = Settings(token_bucket={"max_tokens": 50, "regeneration_rate_per_minute": 1e9})
    pools = {name: AccountPool(settings, accounts=accounts, store=store) for name, store in stores.items()}
    times: dict[str, list[float]] = {name: [] for name in pools}
    trips: Counter[str] = Counter()
    for count in range(COSTS_OF + 50):
        for name, pool in pools.items():
            before = trips_to(server) if count % 50 == 0 and "alone" in name else None
            began = time.perf_counter()
            pool.report(pool.acquire("claude-sonnet-4-6"), SERVED)
            if count >= 50:
                times[name].append((time.perf_counter() - began) * 1e6)
            if before is not None:
                trips[name] += trips_to(server) - before
    for store in stores.values():
        store.close()
    asked = {name: f", {trips[name] / (COSTS_OF // 50 + 1):.1f} round trips" for name in trips}
    return [(f"acquire + report, {name}", told(each, "µs") + asked.get(name, "")) for name, each in times.items()]


def trips_to(server: RedisServer) -> int:
    """Return how many scripts and reads it was asked for; those within scripts are others."""
    told = server.client().info("commandstats")
    return sum(told.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("evalsha", "eval", "hmget"))


def told(times: list[float], unit: str) -> str:
    """Return median and 99th percentile."""
    ordered = sorted(times)
    return f"median {statistics.median(ordered):.0f} {unit}, p99 {ordered[int(0.99 * len(ordered))]:.0f} {unit}"


def proxies(server: RedisServer, folder: Path, *, rounds: int = 60) -> tuple[str, str]:
    """One request at a time through two proxies of one worker, in turns: one with Redis, one without."""
    joined = {"redis": server.url, "redis_namespace": "proxies"}
    with (
        started() as base,
        gateway(folder / "without", base, 10, redis="off") as without,
        gateway(folder / "with", base, 10, **joined) as beside,
    ):
        calls = {"without": call_to(without, "antigravity", False), "with": call_to(beside, "antigravity", False)}
        taken = in_turns(calls, rounds=rounds, each=5)
    measured = f"without {microseconds(taken['without'])} µs, with {microseconds(taken['with'])} µs"
    return "through the proxy", f"{measured}, ratio {ratio(taken['with'], taken['without']):.3f} (aim: <= 1.03)"


# How soon others know


def news(server: RedisServer, folder: Path) -> tuple[str, str]:
    """From a cooldown that is recorded on one host to the first look of another one that shows it."""
    stores = [
        JoinedStore(DiskStore(folder / f"news-{number}"), place_at(server, "news"), SystemClock())
        for number in range(HOSTS)
    ]
    rules, times = VitalsRules(), []
    for store in stores:
        store.refresh()
    for number in range(TOLD):
        teller, account = stores[number % HOSTS], f"a{number}"
        teller.begin_request("some", time.time(), rules, require_token=False)
        time.sleep(random.uniform(0.02, 0.06))
        now = time.time()
        began = time.perf_counter()
        teller.extend_cooldown(Cooldown(account, "claude", now + 600.0, "quota", now, fact=True))
        until(lambda: all(store.refresh().cooldown(account, "claude") for store in stores))  # noqa: B023
        times.append((time.perf_counter() - began) * 1e3)
    for store in stores:
        store.close()
    return f"a cooldown known to all {HOSTS} hosts, {TOLD} times", told(times[1:], "ms")


# Who meets a limit


class Provider:
    """A stand-in for OpenAI whose keys have quotas. Use it as a context manager.

    Attributes:
        refused: how often each key was refused.
    """

    def __init__(self) -> None:
        self.refused: Counter[str] = Counter()
        served: Counter[str] = Counter()
        lock = threading.Lock()
        refused = self.refused

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("content-length") or 0))
                key = (self.headers.get("authorization") or "").removeprefix("Bearer ")
                time.sleep(0.03)
                with lock:
                    served[key] += 1
                    is_over = served[key] > QUOTAS.get(key, 10**9)
                    refused[key] += is_over
                message = {"role": "assistant", "content": "Hello"}
                choice = {"index": 0, "message": message, "finish_reason": "stop"}
                body: dict[str, Any] = {"id": "1", "object": "chat.completion", "model": "m", "choices": [choice]}
                if is_over:
                    body = {"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}}
                content = json.dumps(body).encode()
                self.send_response(429 if is_over else 200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                if is_over:
                    self.send_header("retry-after", "600")
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def work(
    url: str, router_fields: dict[str, Any], settings: dict[str, Any] | None, seed: int, is_async: bool = True
) -> int:
    """In a child process: make requests through a Router, as gateways do or in threads; return how many failed."""
    import litellm

    import litellm_antigravity

    model_list = [
        {
            "model_name": "m",
            "litellm_params": {"model": "openai/m", "api_key": f"key-{number}", "api_base": url},
            "model_info": {"account": f"account-{number}"} if settings else {},
        }
        for number in range(KEYS)
    ]
    if settings:
        router_fields = {**router_fields, "disable_cooldowns": True}
    router = litellm.Router(model_list=model_list, num_retries=3, **router_fields)
    if settings:
        litellm_antigravity.install(router, litellm_antigravity.Settings(**settings))
    jitter = random.Random(seed)
    talk: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": f"Hello from {seed}"}]}  # of its own

    async def ask() -> bool:
        try:
            await (router.acompletion(**talk) if is_async else asyncio.to_thread(router.completion, **talk))
        except Exception:  # noqa: BLE001 - it is counted
            return False
        return True

    async def ask_all() -> int:
        failed = 0
        for _ in range(REQUESTS):
            failed += not await ask()
            await asyncio.sleep(PAUSE_SECONDS * jitter.uniform(0.5, 1.5))
        return failed

    return asyncio.run(ask_all())


def limits(server: RedisServer, folder: Path) -> list[tuple[str, str]]:
    """Count the refusals per exhausted key of each way."""
    redis = {"redis_host": "127.0.0.1", "redis_port": server.port, "cache_responses": False}

    def ours(name: str, **more: Any) -> Callable[[int], dict[str, Any]]:
        return lambda host: {"state_dir": str(folder / f"{name}-{host}"), **more}

    joined = {"redis": server.url, "redis_namespace": "limits"}
    threads = {**joined, "redis_namespace": "threads"}
    ways: list[tuple[str, dict[str, Any], Callable[[int], dict[str, Any]] | None, bool]] = [
        ("LiteLLM's Router alone", {}, None, True),
        ("LiteLLM's Router, its cooldowns in Redis", redis, None, True),
        ("our routing, each host by itself", {}, ours("alone"), True),
        ("our routing, hosts joined through Redis", {}, ours("joined", **joined), True),
        ("the same, by Router.completion", {}, ours("threads", **threads), False),
    ]
    found = []
    for name, router_fields, settings, is_async in ways:
        with Provider() as provider:
            each = [
                (provider.url, router_fields, None if settings is None else settings(number % HOSTS), number, is_async)
                for number in range(HOSTS * WORKERS)
            ]
            failed = sum(together(work, each))
            refused = [provider.refused[key] for key in QUOTAS]
        per_key = sum(refused) / len(refused)
        found.append((name, f"{per_key:.1f} refusals per exhausted key {refused}, {failed} requests failed"))
    return [(f"{HOSTS} hosts x {WORKERS}: {name}", measured) for name, measured in found]
