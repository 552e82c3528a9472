"""LiteLLM's own doors: whole replies and streams, for threads and on an event loop."""

from __future__ import annotations

import asyncio
from typing import Any

import litellm
import pytest
from serving import MESSAGES, MODEL


def ask(**params: Any) -> Any:
    return litellm.completion(**{"model": MODEL, "messages": MESSAGES, **params})


def ask_async(**params: Any) -> Any:
    async def run() -> Any:
        reply = await litellm.acompletion(**{"model": MODEL, "messages": MESSAGES, **params})
        return [chunk async for chunk in reply] if params.get("stream") else reply

    return asyncio.run(run())


def ask_streamed(**params: Any) -> Any:
    return list(ask(stream=True, **params))


def ask_async_streamed(**params: Any) -> Any:
    return ask_async(stream=True, **params)


every_door = pytest.mark.parametrize(
    "door",
    [
        pytest.param(ask, id="completion"),
        pytest.param(ask_streamed, id="completion-streamed"),
        pytest.param(ask_async, id="acompletion"),
        pytest.param(ask_async_streamed, id="acompletion-streamed"),
    ],
)


def fail(door: Any, **params: Any) -> Any:
    """Return the exception that a door raises."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the callers check which
        door(**params)
    return caught.value
