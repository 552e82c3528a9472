"""How long an event loop is held that serves streams, beside processes that write to the same shared state. Linux only.

What processes cost that only burn CPU is measured beside it: the rest is what sharing the state costs. The pause is of
a task that sleeps a little and looks how late it wakes.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import litellm
from rich.table import Table

from litellm_antigravity.selection.vitals import VitalsRules
from litellm_antigravity.state.disk import DiskStore

from .requests import MESSAGES, providers
from .server import started

BESIDE = 16
SECONDS = 6.0
STREAMS = 4
BEAT = 0.005

_CONTEXT = multiprocessing.get_context("fork")


def table(*, rounds: int = 3, beside: int = BESIDE, seconds: float = SECONDS) -> Table:
    """Measure in turns, and return the table."""
    result = Table(
        "beside it",
        "antigravity/..., p99",
        "p50",
        "longest",
        "streams/s",
        "gemini/..., p99",
        title=f"how late an event loop with {STREAMS} streams at once is; medians of {rounds} rounds in turns",
    )
    neighbours: dict[str, tuple[int, Callable[[Event, str], None]]] = {
        "nothing": (0, _burn),
        f"{beside} processes that burn CPU": (beside, _burn),
        f"{beside} writers to the shared state, at full speed (aim: 50 ms, or what burning costs)": (beside, _write),
    }
    taken: dict[str, list[list[float]]] = {name: [] for name in neighbours}
    with tempfile.TemporaryDirectory() as name, started() as base:
        folder = Path(name)
        for _ in range(rounds):
            for title, (count, work) in neighbours.items():
                with _running(count, work, str(folder / "state")):
                    measured: list[float] = []
                    for provider in ("antigravity", "gemini"):
                        measured += _in_a_process(base, folder, provider, seconds)
                    taken[title].append(measured)
    for title, rows in taken.items():
        late99, late50, longest, rate, gemini, *_ = (statistics.median(column) for column in zip(*rows, strict=True))
        times = [f"{late * 1e3:.1f} ms" for late in (late99, late50, longest)]
        result.add_row(title, *times, f"{rate:.0f}", f"{gemini * 1e3:.1f} ms")
    return result


def _in_a_process(base: str, folder: Path, provider: str, seconds: float) -> list[float]:
    receiver, sender = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_measure, args=(sender, base, folder, provider, seconds))
    process.start()
    sender.close()
    try:
        result: list[float] = receiver.recv()
    finally:
        process.join(30)
        process.kill()
    return result


def _measure(sender: Any, base: str, folder: Path, provider: str, seconds: float) -> None:
    params = providers(base, folder)[provider]
    sender.send(asyncio.run(_serve(params, seconds)))


async def _serve(params: dict[str, Any], seconds: float) -> list[float]:
    """Return how late the loop was: at the 99th percentile, in the middle, at most; and the streams per second."""
    late: list[float] = []
    served = 0
    ends = time.monotonic() + 1e9

    async def beat() -> None:
        while time.monotonic() < ends:
            began = time.perf_counter()
            await asyncio.sleep(BEAT)
            late.append(time.perf_counter() - began - BEAT)

    async def stream() -> None:
        nonlocal served
        while time.monotonic() < ends:
            async for _ in await litellm.acompletion(messages=MESSAGES, stream=True, **params):
                pass
            served += 1

    for _ in range(3):  # makes what is made once
        async for _ in await litellm.acompletion(messages=MESSAGES, stream=True, **params):
            pass
    ends = time.monotonic() + seconds
    await asyncio.gather(beat(), *(stream() for _ in range(STREAMS)))
    late.sort()
    return [late[int(len(late) * 0.99)], statistics.median(late), late[-1], served / seconds]


@contextlib.contextmanager
def _running(count: int, work: Callable[[Event, str], None], folder: str) -> Iterator[None]:
    over = _CONTEXT.Event()
    processes = [_CONTEXT.Process(target=work, args=(over, folder), daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    try:
        time.sleep(0.5)
        yield
    finally:
        over.set()
        for process in processes:
            process.join(20)
            process.kill()


def _burn(over: Event, folder: str) -> None:  # noqa: ARG001 - as `_write`
    while not over.is_set():
        sum(range(2000))


def _write(over: Event, folder: str) -> None:
    store, rules, number = DiskStore(Path(folder)), VitalsRules(), 0
    while not over.is_set():
        number += 1
        with contextlib.suppress(Exception):  # busy for too long: the next one
            store.begin_request(f"account-{number % 7}", time.time(), rules, require_token=False)
    store.close()
