"""One exchange with upstream: send, and get a reply or a refusal. Nothing here chooses, retries or records."""

from __future__ import annotations

import functools
import json
from collections.abc import AsyncIterator, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import httpx

from litellm_antigravity.clock import Clock
from litellm_antigravity.errors import RequestRefusedError
from litellm_antigravity.refusals import (
    Refusal,
    connection_refusal,
    not_json_refusal,
    parse_refusal,
    refusal_in_reply,
    timeout_refusal,
    truncated_stream,
)
from litellm_antigravity.wire.closing import CLOSING
from litellm_antigravity.wire.envelope import inner
from litellm_antigravity.wire.http import HttpClients
from litellm_antigravity.wire.sse import SSEDecoder
from litellm_antigravity.wire.watching import ReplyWatch

Json: TypeAlias = dict[str, Any]
Timeout: TypeAlias = "float | httpx.Timeout"

_MAX_REFUSAL_BYTES: Final = 1_000_000  # upstream's are a few hundred bytes; a page in between may be anything


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP call, ready to be sent. Not shown in logs: its headers hold the bearer token."""

    url: str
    headers: dict[str, str]
    content: bytes
    gap: float | None = None
    """Seconds that may pass between two pieces of a stream, whatever was left for its beginning."""
    last_try: bool = False
    """Whether a reply to this request has failed already; see `ReplyWatch`."""

    def __repr__(self) -> str:
        return f"Call({self.url!r}, {len(self.content)} bytes)"


class Exchange:
    """Sends calls; the sync and the async doors share everything but the waiting.

    Args:
        clients: for HTTP.
        clock: for reset times.
    """

    def __init__(self, clients: HttpClients, clock: Clock) -> None:
        self._clients = clients
        self._clock = clock

    # Whole replies

    def send(self, call: Call, timeout: Timeout) -> Json | Refusal:
        """Send a call and return the Gemini reply inside the envelope, or the refusal."""
        try:
            response = self._clients.sync().send(_request(call, timeout))
        except httpx.HTTPError as error:
            return _failed(error, call)
        return self._read(response, call)

    async def asend(self, call: Call, timeout: Timeout) -> Json | Refusal:
        """Do what `send` does on an event loop."""
        client = self._clients.asynchronous()
        try:
            response = await client.send(_request(call, timeout))
        except httpx.HTTPError as error:
            return _failed(error, call)
        return self._read(response, call)

    def _read(self, response: httpx.Response, call: Call) -> Json | Refusal:
        now = self._clock.time()
        if response.status_code != 200:
            return parse_refusal(response.status_code, response.headers, response.content[:_MAX_REFUSAL_BYTES], now=now)
        try:
            reply = json.loads(response.content)
        except (ValueError, RecursionError):
            return not_json_refusal(response.headers.get("content-type", ""), 200)
        return refusal_in_reply(reply, now=now) or _whole(inner(reply), last_try=call.last_try)

    # Streams

    def open(self, call: Call, timeout: Timeout) -> ReplyStream | Refusal:
        """Send a call and read its stream up to the first content; whoever gets the stream closes it."""
        try:
            response = self._clients.sync().send(_request(call, timeout), stream=True)
            if not _is_event_stream(response):
                return self._no_stream(response, response.read())
        except httpx.HTTPError as error:
            return _failed(error, call)
        _allow_gaps(response, call)
        stream = ReplyStream(response, call, _Events(self._clock, ReplyWatch(last_try=call.last_try)))
        try:
            stream.read_ahead()
        except RequestRefusedError as error:
            stream.close()
            return error.refusal
        except BaseException:
            stream.close()
            raise
        return stream

    async def aopen(self, call: Call, timeout: Timeout) -> AsyncReplyStream | Refusal:
        """Do what `open` does on an event loop."""
        client = self._clients.asynchronous()
        try:
            response = await client.send(_request(call, timeout), stream=True)
            if not _is_event_stream(response):
                return self._no_stream(response, await response.aread())
        except httpx.HTTPError as error:
            return _failed(error, call)
        _allow_gaps(response, call)
        stream = AsyncReplyStream(response, call, _Events(self._clock, ReplyWatch(last_try=call.last_try)))
        try:
            await stream.read_ahead()
        except RequestRefusedError as error:
            await stream.aclose()
            return error.refusal
        except BaseException:
            await stream.aclose()
            raise
        return stream

    def _no_stream(self, response: httpx.Response, body: bytes) -> Refusal:
        now = self._clock.time()
        if response.status_code != 200:
            return parse_refusal(response.status_code, response.headers, body[:_MAX_REFUSAL_BYTES], now=now)
        try:
            reply = json.loads(body)
        except (ValueError, RecursionError):
            reply = None
        refused = None if reply is None else refusal_in_reply(reply, now=now)
        return refused or not_json_refusal(response.headers.get("content-type", ""), 200)


_url = functools.lru_cache(maxsize=16)(httpx.URL)


def _request(call: Call, timeout: Timeout) -> httpx.Request:
    """Return the request as it is sent: the client, and `httpx.Request` itself, would work out what is known here."""
    url = _url(call.url)
    headers = [(name.encode("ascii"), value.encode("ascii")) for name, value in call.headers.items()]
    return httpx.Request(
        "POST",
        url,
        headers=[(b"Host", url.netloc), *headers, (b"Content-Length", b"%d" % len(call.content))],
        stream=httpx.ByteStream(call.content),
        extensions={"timeout": httpx.Timeout(timeout).as_dict()},
    )


class _Events:
    """Makes Gemini replies of a stream's bytes, and notices refusals and a missing end."""

    def __init__(self, clock: Clock, watch: ReplyWatch) -> None:
        self.watch = watch
        self._clock = clock
        self._decoder = SSEDecoder()
        self._count = 0
        self._finished = False

    def feed(self, received: bytes) -> Iterator[Json]:
        """Yield the replies one by one: the first must not wait until all that came with it are parsed."""
        for data in self._decoder.feed(received):
            reply = self._reply(data)
            if reply is not None:
                yield reply

    def finish(self) -> list[Json]:
        replies = [reply for data in self._decoder.finish() if (reply := self._reply(data)) is not None]
        self.watch.end()
        if not self._finished and not self.watch.is_complete:
            raise RequestRefusedError(truncated_stream(self._count))
        return replies

    def _reply(self, data: bytes) -> Json | None:
        if data.strip() in (b"", b"[DONE]"):
            return None
        self._count += 1
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            raise RequestRefusedError(not_json_refusal("text/event-stream", 200)) from None
        refusal = refusal_in_reply(event, now=self._clock.time(), whole=False)
        if refusal is not None:
            raise RequestRefusedError(refusal)
        reply = self.watch.take(inner(event))
        if _ends(reply):
            self._finished = True
        return reply


class ReplyStream:
    """The Gemini replies of an open stream; raises `RequestRefusedError` when it breaks off."""

    def __init__(self, response: httpx.Response, call: Call, events: _Events) -> None:
        self.watch = events.watch
        self._response = response
        self._ahead: list[Json] = []
        self._replies = _replies(response, call, events)
        self._let_go = CLOSING.watch(self, response, self._replies)

    def read_ahead(self) -> None:
        """Read up to the first content, which `__iter__` then gives out."""
        for reply in self._replies:
            self._ahead.append(reply)
            if self.watch.begun:
                return

    def __iter__(self) -> Iterator[Json]:
        ahead, self._ahead = self._ahead, []
        yield from ahead
        for reply in self._replies:  # noqa: UP028 - `yield from` would close them, too
            yield reply

    def close(self) -> None:
        """Have the connection closed, unless the stream was read to its end, which gave it back."""
        if self._response.is_closed:
            self._let_go.detach()
        else:
            self._let_go()


def _replies(response: httpx.Response, call: Call, events: _Events) -> Generator[Json]:
    """Read a stream's replies without holding on to the stream; see `ClosingThread.watch`."""
    try:
        for received in response.iter_bytes():
            yield from events.feed(received)
    except httpx.HTTPError as error:
        raise RequestRefusedError(_failed(error, call)) from None
    yield from events.finish()


class AsyncReplyStream:
    """What `ReplyStream` is, on an event loop."""

    def __init__(self, response: httpx.Response, call: Call, events: _Events) -> None:
        self.watch = events.watch
        self._response = response
        self._call = call
        self._events = events
        self._ahead: list[Json] = []
        self._replies = self._read()

    async def read_ahead(self) -> None:
        """Read up to the first content, which ``__aiter__`` then gives out."""
        async for reply in self._replies:
            self._ahead.append(reply)
            if self.watch.begun:
                return

    async def __aiter__(self) -> AsyncIterator[Json]:
        ahead, self._ahead = self._ahead, []
        for reply in ahead:
            yield reply
        async for reply in self._replies:
            yield reply

    async def _read(self) -> AsyncIterator[Json]:
        try:
            async for received in self._response.aiter_bytes():
                for reply in self._events.feed(received):
                    yield reply
        except httpx.HTTPError as error:
            raise RequestRefusedError(_failed(error, self._call)) from None
        for reply in self._events.finish():
            yield reply

    async def aclose(self) -> None:
        """Give the connection back, or close it when the stream was not read to its end."""
        await self._response.aclose()


def _allow_gaps(response: httpx.Response, call: Call) -> None:
    """Let the body take the call's own time-out per piece: failover may have left little of it for the beginning."""
    timeouts = response.request.extensions.get("timeout")
    if call.gap is not None and isinstance(timeouts, dict):
        timeouts["read"] = call.gap


def _failed(error: httpx.HTTPError, call: Call) -> Refusal:
    host = httpx.URL(call.url).host
    if isinstance(error, (httpx.ReadTimeout, httpx.WriteTimeout)):
        return timeout_refusal(f"{host} was expected to answer")
    if isinstance(error, httpx.TimeoutException):
        return timeout_refusal(f"connecting to {host}")
    return connection_refusal(error, host=host)


def _is_event_stream(response: httpx.Response) -> bool:
    content_type = str(response.headers.get("content-type", ""))
    return response.status_code == 200 and content_type.partition(";")[0].strip().lower() == "text/event-stream"


def _first_candidate(reply: Json) -> Json:
    candidates = reply.get("candidates")
    first = candidates[0] if isinstance(candidates, list) and candidates else None
    return first if isinstance(first, dict) else {}


def _ends(reply: Json) -> bool:
    return "promptFeedback" in reply or bool(_first_candidate(reply).get("finishReason"))


def _whole(reply: Json, *, last_try: bool) -> Json | Refusal:
    watch = ReplyWatch(last_try=last_try, whole=True)
    try:
        reply = watch.take(reply)
        watch.end()
    except RequestRefusedError as error:
        return error.refusal
    return reply
