"""Many processes that start at once: do they share, and is everything shared exact? Beside a load, and on a quiet host.

Every starter opens the state as a request does, takes an account, numbers and tokens, claims one probe, and needs an
access token that nobody has yet. The table counts; every count has one right value.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from rich.table import Table

from litellm_antigravity.accounts import Account, RefreshToken, StaticToken, static_accounts
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.credentials.shared import SharedTokens
from litellm_antigravity.pool import SERVED, AccountPool
from litellm_antigravity.selection.bucket import BucketRules
from litellm_antigravity.selection.vitals import VitalsRules
from litellm_antigravity.settings import Settings
from litellm_antigravity.state.ledger import PROBE_INTERVAL_SECONDS
from litellm_antigravity.wire.http import HttpClients

ALLOWED = 500
"""Tokens in the bucket, which does not refill; four times as many are asked for."""

NUMBERS = 5
PATIENCE_SECONDS = 540.0
_CONTEXT = multiprocessing.get_context("forkserver")


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many start at once, beside how many that only burn CPU, and on what."""

    starters: int
    load: int
    fresh: bool

    def __str__(self) -> str:
        beside = f"beside a load of {self.load}" if self.load else "on a quiet host"
        return f"{self.starters} {beside}, {'fresh' if self.fresh else 'existing'} folder"


CROWDS = [Crowd(64, 30, True), Crowd(64, 30, False), Crowd(256, 0, True), Crowd(256, 0, False)]


def table(crowds: list[Crowd] = CROWDS) -> Table:
    """Count, and return the table."""
    result = Table(
        "starters",
        "on memory (at the end)",
        f"admitted of {ALLOWED}",
        "probes",
        "refreshes",
        "numbers, unique",
        "slowest step, s",
        "all done, s",
        title="processes that start at once; right is: 0 on memory, bucket exact, 1 probe, 1 refresh, numbers unique",
    )
    for crowd in crowds:
        result.add_row(str(crowd), *_counted(crowd))
    return result


def _counted(crowd: Crowd) -> list[str]:
    _CONTEXT.set_forkserver_preload([__name__, "diskcache", "filelock", "httpcore", "platformdirs"])
    with tempfile.TemporaryDirectory() as name, _token_endpoint() as (url, calls), _burning(crowd.load):
        folder = Path(name, "state")
        if not crowd.fresh:
            pool = _pool(folder, url)
            for number in range(300):
                pool.store.write_note(f"old/{number}", {"text": "x" * 200})
            pool.store.close()
        answers = _together(crowd, folder, url)
        refreshes = calls()
    numbers = [number for answer in answers for number in answer["numbers"]]
    return [
        f"{sum(answer['left'] for answer in answers)} ({sum(not answer['shared'] for answer in answers)})",
        str(sum(answer["admitted"] for answer in answers)),
        str(sum(answer["probes"] for answer in answers)),
        str(refreshes),
        f"{len(numbers)}, {len(set(numbers))}",
        f"{max(answer['slowest'] for answer in answers):.1f}",
        f"{max(answer['ended'] for answer in answers) - min(answer['began'] for answer in answers):.1f}",
    ]


# The starters


def _pool(folder: Path, token_url: str) -> AccountPool:
    accounts = [Account.create(f"user{number}@example.com", StaticToken(SecretStr("x"))) for number in range(4)]
    settings = Settings(state_dir=folder, token_url=token_url, oauth_client_id="id", oauth_client_secret="secret")
    return AccountPool(settings, accounts=static_accounts(*accounts))


def _start(folder: Path, url: str, asks: int) -> dict[str, Any]:
    warned = _Warned()
    logging.getLogger("litellm_antigravity").addHandler(warned)
    began = now = time.time()
    pool = _pool(folder, url)
    steps = [time.perf_counter()]

    def step(value: Any) -> Any:
        steps.append(time.perf_counter())
        return value

    store, rules = pool.store, VitalsRules(bucket=BucketRules(ALLOWED, 0.0, ALLOWED))
    pool.report(step(pool.acquire("claude-sonnet-4-6")), SERVED)
    numbers = [step(store.next_cursor_start()) for _ in range(NUMBERS)]
    admitted = [step(store.begin_request("one bucket", now, rules, require_token=True)) for _ in range(asks)]
    long = Cooldown("one probe", "claude", now + 86_400.0, "quota", now)
    probes = step(store.claim_probes([long], now + PROBE_INTERVAL_SECONDS))
    account = Account.create("refreshed@example.com", RefreshToken(SecretStr("r")))
    accounts = static_accounts(account)
    tokens = SharedTokens(pool.settings, accounts, store, HttpClients(), pool.clock)
    ended = time.time()
    tokens.token(accounts.current().accounts[0])
    return {
        "numbers": numbers,
        "admitted": sum(admitted),
        "probes": int(probes),
        "left": warned.left,
        "shared": store.status().shared,
        "slowest": max(later - earlier for earlier, later in itertools.pairwise(steps)),
        "began": began,
        "ended": ended,
    }


class _Warned(logging.Handler):
    """Notices when the store goes on with this process's memory."""

    left = False

    def emit(self, record: logging.LogRecord) -> None:
        if "Going on with this process's memory" in record.getMessage():
            self.left = True


def _starter(barrier: Barrier, results: Connection, folder: Path, url: str, asks: int) -> None:
    barrier.wait(PATIENCE_SECONDS)
    try:
        result: object = _start(folder, url, asks)
    except Exception as error:  # noqa: BLE001 - the parent raises it again
        result = error
    results.send(result)
    barrier.wait(PATIENCE_SECONDS)  # nobody ends before everybody is done: what a process holds, it holds


def _together(crowd: Crowd, folder: Path, url: str) -> list[dict[str, Any]]:
    barrier = _CONTEXT.Barrier(crowd.starters)
    asks = -(-4 * ALLOWED // crowd.starters)
    pipes = [_CONTEXT.Pipe(duplex=False) for _ in range(crowd.starters)]
    processes = [
        _CONTEXT.Process(target=_starter, args=(barrier, sender, folder, url, asks), daemon=True) for _, sender in pipes
    ]
    try:
        for process, (_, sender) in zip(processes, pipes, strict=True):
            process.start()
            sender.close()
        answers = []
        for receiver, _ in pipes:
            if not receiver.poll(PATIENCE_SECONDS):
                msg = "a starter does not answer"
                raise RuntimeError(msg)
            answer = receiver.recv()
            if isinstance(answer, Exception):
                raise answer
            answers.append(answer)
        return answers
    finally:
        for process in processes:
            process.kill()
            process.join()


# What is around them


def _burn() -> None:
    while True:
        pass


@contextlib.contextmanager
def _burning(count: int) -> Iterator[None]:
    processes = [_CONTEXT.Process(target=_burn, daemon=True) for _ in range(count)]
    try:
        for process in processes:
            process.start()
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


class _Tokens(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        server = self.server
        assert isinstance(server, _Endpoint)
        with server.guard:
            server.calls += 1
        time.sleep(0.3)  # a refresh takes its time
        body = b'{"access_token": "token", "expires_in": 3600, "token_type": "Bearer"}'
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature is the library's
        """Say nothing."""


class _Endpoint(ThreadingHTTPServer):
    request_queue_size = 512

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Tokens)
        self.calls = 0
        self.guard = threading.Lock()


@contextlib.contextmanager
def _token_endpoint() -> Iterator[tuple[str, Any]]:
    server = _Endpoint()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/token", lambda: server.calls
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
