"""What a long stream costs, beside LiteLLM's own gemini/... on the same loopback server."""

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

from .measure import event_loop, measured_in_turns, ratio
from .requests import MESSAGES, providers
from .server import started

CHUNKS = 1000

_SETTLE_SECONDS = 0.3  # LiteLLM logs a stream when it is over, which must not fall on the next one's first content

Times = tuple[float, float]
"""Seconds until the first content and until the end."""


def table(*, rounds: int = 21) -> Table:
    """Measure, and return the table."""
    result = Table(
        "stream",
        "measured",
        "gemini/...",
        "antigravity/...",
        "ratio (aim <= 1.0)",
        title=f"streams of {CHUNKS:,} chunks from one loopback server, one at a time; medians",
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        started(CHUNKS) as base,
        event_loop() as loop,
    ):
        params = providers(base, Path(folder))
        for name, call in (
            ("completion", _sync),
            ("acompletion", lambda params: loop.run_until_complete(_async(params))),
        ):
            actions = {provider: _bound(call, params[provider], loop) for provider in params}
            taken = measured_in_turns(actions, rounds=rounds)
            (first, whole), (our_first, our_whole) = taken["gemini"], taken["antigravity"]
            times = [f"{statistics.median(one) * 1e3:.2f} ms" for one in (first, our_first)]
            rates = [f"{CHUNKS / statistics.median(one):,.0f} chunks/s" for one in (whole, our_whole)]
            result.add_row(name, "until the first content", *times, f"{ratio(our_first, first):.2f}")
            result.add_row(name, "whole stream", *rates, f"{ratio(our_whole, whole):.2f}")
    return result


def _bound(
    call: Callable[[dict[str, Any]], Times], params: dict[str, Any], loop: asyncio.AbstractEventLoop
) -> Callable[[], Times]:
    def bound() -> Times:
        loop.run_until_complete(asyncio.sleep(_SETTLE_SECONDS))
        return call(params)

    return bound


def _sync(params: dict[str, Any]) -> Times:
    began, first, count = time.perf_counter(), 0.0, 0
    for chunk in litellm.completion(messages=MESSAGES, stream=True, **params):
        if _has_content(chunk):
            first, count = first or time.perf_counter(), count + 1
    return _times(began, first, count)


async def _async(params: dict[str, Any]) -> Times:
    began, first, count = time.perf_counter(), 0.0, 0
    async for chunk in await litellm.acompletion(messages=MESSAGES, stream=True, **params):
        if _has_content(chunk):
            first, count = first or time.perf_counter(), count + 1
    return _times(began, first, count)


def _times(began: float, first: float, count: int) -> Times:
    ended = time.perf_counter()
    if count != CHUNKS:
        msg = f"{count} chunks with content came of {CHUNKS}"
        raise RuntimeError(msg)
    return first - began, ended - began


def _has_content(chunk: Any) -> bool:
    return bool(chunk.choices and chunk.choices[0].delta.content)
