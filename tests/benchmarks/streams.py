"""What a stream costs, beside LiteLLM's own gemini/... on the same loopback server."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import litellm
from rich.table import Table

from .measure import Rounds, event_loop, measured_in_turns, ratio
from .requests import MESSAGES, providers
from .server import started

CHUNKS = 1000
SHORT = 20
"""Chunks of the streams whose first content is timed: it comes no sooner in a long one, and many can be measured."""

Times = tuple[float, float]
"""Seconds until the first content and until the end."""


def table(*, first_rounds: int = 150, whole_rounds: int = 21) -> Table:
    """Measure, and return the table."""
    result = Table(
        "stream",
        "measured",
        "gemini/...",
        "antigravity/...",
        "ratio (aim <= 1.0)",
        title=f"streams from one loopback server, one at a time; medians of {first_rounds} and {whole_rounds} rounds",
    )
    with tempfile.TemporaryDirectory() as folder, event_loop() as loop:
        with started(SHORT) as base:
            # LiteLLM logs a stream when it is over, which must not fall on the next one's first content.
            taken = _taken(providers(base, Path(folder)), loop, SHORT, rounds=first_rounds, settle=0.1)
        for name, (gemini, ours) in taken.items():
            times = [f"{statistics.median(first) * 1e3:.2f} ms" for first, _ in (gemini, ours)]
            result.add_row(name, "until the first content", *times, f"{ratio(ours[0], gemini[0]):.3f}")
        with started(CHUNKS) as base:
            taken = _taken(providers(base, Path(folder)), loop, CHUNKS, rounds=whole_rounds, settle=0.3)
        for name, (gemini, ours) in taken.items():
            rates = [f"{CHUNKS / statistics.median(whole):,.0f} chunks/s" for _, whole in (gemini, ours)]
            result.add_row(name, f"{CHUNKS:,} chunks", *rates, f"{ratio(ours[1], gemini[1]):.3f}")
    return result


def _taken(
    params: dict[str, dict[str, Any]], loop: asyncio.AbstractEventLoop, chunks: int, *, rounds: int, settle: float
) -> dict[str, tuple[list[Rounds], list[Rounds]]]:
    """Return, for each form of call, the times of gemini/... and of antigravity/...: first contents and ends."""

    def bound(call: Callable[[dict[str, Any]], tuple[Times, int]], provider: str) -> Callable[[], Times]:
        def measured() -> Times:
            loop.run_until_complete(asyncio.sleep(settle))
            times, count = call(params[provider])
            if count != chunks:
                msg = f"{count} chunks with content came of {chunks}"
                raise RuntimeError(msg)
            return times

        return measured

    result = {}
    for name, call in (
        ("completion", _sync),
        ("acompletion", lambda params: loop.run_until_complete(_async(params))),
    ):
        taken = measured_in_turns({provider: bound(call, provider) for provider in params}, rounds=rounds)
        result[name] = taken["gemini"], taken["antigravity"]
    return result


def _sync(params: dict[str, Any]) -> tuple[Times, int]:
    began, first, count = time.perf_counter(), 0.0, 0
    for chunk in litellm.completion(messages=MESSAGES, stream=True, **params):
        if _has_content(chunk):
            first, count = first or time.perf_counter(), count + 1
    return (first - began, time.perf_counter() - began), count


async def _async(params: dict[str, Any]) -> tuple[Times, int]:
    began, first, count = time.perf_counter(), 0.0, 0
    async for chunk in await litellm.acompletion(messages=MESSAGES, stream=True, **params):
        if _has_content(chunk):
            first, count = first or time.perf_counter(), count + 1
    return (first - began, time.perf_counter() - began), count


def _has_content(chunk: Any) -> bool:
    return bool(chunk.choices and chunk.choices[0].delta.content)
