"""What a long stream costs, beside LiteLLM's own gemini/... on the same loopback server."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import litellm
from rich.table import Table

from .measure import medians_in_turns
from .requests import MESSAGES, providers
from .server import started

CHUNKS = 1000

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
        contextlib.closing(asyncio.new_event_loop()) as loop,
    ):
        params = providers(base, Path(folder))
        for name, call in (
            ("completion", _sync),
            ("acompletion", lambda params: loop.run_until_complete(_async(params))),
        ):
            taken = medians_in_turns({provider: _bound(call, params[provider]) for provider in params}, rounds=rounds)
            (first, whole), (our_first, our_whole) = taken["gemini"], taken["antigravity"]
            times = f"{first * 1e3:.2f} ms", f"{our_first * 1e3:.2f} ms"
            rates = f"{CHUNKS / whole:,.0f} chunks/s", f"{CHUNKS / our_whole:,.0f} chunks/s"
            result.add_row(name, "until the first content", *times, f"{our_first / first:.2f}")
            result.add_row(name, "whole stream", *rates, f"{our_whole / whole:.2f}")
    return result


def _bound(call: Callable[[dict[str, Any]], Times], params: dict[str, Any]) -> Callable[[], Times]:
    return lambda: call(params)


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
