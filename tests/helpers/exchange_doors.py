"""The doors of an exchange: whole replies and streams, for threads and on an event loop, told in the same words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support import FakeClock

from litellm_antigravity.errors import RequestRefusedError
from litellm_antigravity.refusals import Refusal, RefusalKind
from litellm_antigravity.wire.exchange import Call, Exchange
from litellm_antigravity.wire.http import HttpClients
from litellm_antigravity.wire.limits import TimeLimits


def call(url: str, *, content: bytes = b"{}") -> Call:
    return Call(url, {"authorization": "Bearer canary-token", "content-type": "application/json"}, content)


# The doors: whole replies and streams, for threads and on an event loop. Each returns texts and a refusal.

MOST = 64_000_000
"""Bytes of a reply."""


def reads_on() -> None:
    """Do what a reader does who reads on at once."""


Outcome = tuple[list[str], "Refusal | None"]


def text_of(reply: dict[str, Any]) -> str:
    return str(reply["candidates"][0]["content"]["parts"][0]["text"]) if reply else ""


def send(clients: HttpClients, call: Call, limits: Any, *, most: int = MOST) -> Outcome:
    reply = Exchange(clients, FakeClock(), most).send(call, limits)
    return ([], reply) if isinstance(reply, Refusal) else ([text_of(reply)], None)


def asend(clients: HttpClients, call: Call, limits: Any, *, most: int = MOST) -> Outcome:
    reply = asyncio.run(Exchange(clients, FakeClock(), most).asend(call, limits))
    return ([], reply) if isinstance(reply, Refusal) else ([text_of(reply)], None)


def read(
    clients: HttpClients, call: Call, limits: Any, between: Callable[[], object] = reads_on, *, most: int = MOST
) -> Outcome:
    stream = Exchange(clients, FakeClock(), most).open(call, limits)
    if isinstance(stream, Refusal):
        return [], stream
    texts: list[str] = []
    try:
        for reply in stream:
            texts.append(text_of(reply))
            between()
    except RequestRefusedError as error:
        return texts, error.refusal
    finally:
        stream.close()
    return texts, None


def aread(
    clients: HttpClients, call: Call, limits: Any, between: Callable[[], object] = reads_on, *, most: int = MOST
) -> Outcome:
    async def reading() -> Outcome:
        stream = await Exchange(clients, FakeClock(), most).aopen(call, limits)
        if isinstance(stream, Refusal):
            return [], stream
        texts: list[str] = []
        try:
            async for reply in stream:
                texts.append(text_of(reply))
                await asyncio.to_thread(between)
        except RequestRefusedError as error:
            return texts, error.refusal
        finally:
            await stream.aclose()
        return texts, None

    return asyncio.run(reading())


def message_of(outcome: Outcome, *, texts: list[str], status: int) -> str:
    """Return what is said of a transport problem that follows these texts."""
    given, refusal = outcome
    assert given == texts
    assert refusal is not None
    assert (refusal.kind, refusal.status) == (RefusalKind.TRANSPORT, status)
    return refusal.message


every_door = pytest.mark.parametrize("door", [send, asend, read, aread])
both_streams = pytest.mark.parametrize("door", [read, aread])


def begun(exchange: Exchange, url: str) -> Iterator[dict[str, Any]]:
    """Return a stream whose first reply has been read."""
    stream = exchange.open(call(url), TimeLimits(30.0))
    assert not isinstance(stream, Refusal)
    replies = iter(stream)
    assert text_of(next(replies)) == "a"
    return replies
