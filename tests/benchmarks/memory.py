"""What many streams at once hold in memory, beside LiteLLM's own gemini/...: each in processes of its own. Linux only.

``python -m tests.benchmarks.memory PROVIDER ADDRESS FOLDER`` is such a process; it prints two numbers of bytes.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import litellm
from rich.table import Table

from .requests import MESSAGES, providers
from .server import started

STREAMS = 200
CHUNKS = 250


def table(*, rounds: int = 3) -> Table:
    """Measure in turns, and return the table."""
    result = Table(
        "growth of the process",
        "gemini/...",
        "antigravity/...",
        "ratio (aim <= 1.0)",
        title=f"memory of {STREAMS} streams of {CHUNKS} chunks at once, each provider in processes of its own; medians",
    )
    grown: dict[str, list[list[int]]] = {"gemini": [], "antigravity": []}
    with started(CHUNKS) as base:
        for _ in range(rounds):
            for provider, taken in grown.items():
                taken.append(_measured(provider, base))
    medians = {
        provider: [statistics.median(column) for column in zip(*rows, strict=True)] for provider, rows in grown.items()
    }
    names = "all open, one chunk read of each", "at its peak, all being read to the end"
    for name, gemini, ours in zip(names, medians["gemini"], medians["antigravity"], strict=True):
        result.add_row(name, _spelt(gemini), _spelt(ours), f"{ours / gemini:.2f}")
    return result


def _measured(provider: str, base: str) -> list[int]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.benchmarks.memory", provider, base, folder]
        return [int(number) for number in subprocess.check_output(command).split()]


def _spelt(size: float) -> str:
    return f"{size / 1e6:,.1f} MB ({size / 1e3 / STREAMS:,.0f} kB a stream)"


async def _growth(params: dict[str, Any]) -> tuple[int, int]:
    """Return by how many bytes the process grows: while all streams are open, and at its peak."""
    await _read_on(await _opened(params, 5))  # makes what is made once
    gc.collect()
    before = _resident()
    streams = await _opened(params, STREAMS)
    held = _resident() - before
    await _read_on(streams)
    return held, _peak_resident() - before


async def _opened(params: dict[str, Any], count: int) -> list[Any]:
    async def one() -> Any:
        stream = await litellm.acompletion(messages=MESSAGES, stream=True, **params)
        await anext(stream)
        return stream

    return list(await asyncio.gather(*(one() for _ in range(count))))


async def _read_on(streams: list[Any]) -> None:
    async def one(stream: Any) -> int:
        return sum([bool(chunk.choices and chunk.choices[0].delta.content) async for chunk in stream])

    for read in await asyncio.gather(*map(one, streams)):
        if read != CHUNKS - 1:
            msg = f"{read} chunks with content came after the first one"
            raise RuntimeError(msg)


def _status(field: str) -> Callable[[], int]:
    def read() -> int:
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))

    return read


_resident, _peak_resident = _status("VmRSS"), _status("VmHWM")


def main() -> None:
    """Measure one provider in this process."""
    _, provider, base, folder = sys.argv
    grown = asyncio.run(_growth(providers(base, Path(folder))[provider]))
    sys.stdout.write(" ".join(map(str, grown)))


if __name__ == "__main__":
    main()
