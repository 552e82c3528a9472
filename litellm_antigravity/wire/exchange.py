"""One exchange with upstream: send, and get a reply or a refusal. Nothing here chooses, retries or records."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass

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
    too_long_refusal,
    unreadable_refusal,
)
from litellm_antigravity.wire.cloudcode import inner
from litellm_antigravity.wire.deadline import ExchangeTimes
from litellm_antigravity.wire.http import HttpClients
from litellm_antigravity.wire.limits import Limits
from litellm_antigravity.wire.reading import MAX_ERROR_BYTES, Body, TooLongError
from litellm_antigravity.wire.streams import AsyncReplyStream, Events, Failed, Json, ReplyStream, is_last
from litellm_antigravity.wire.watching import ReplyWatch, watched


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP call, ready to be sent. Not shown in logs: its headers hold the bearer token."""

    url: str
    headers: dict[str, str]
    content: bytes
    last_try: bool = False
    """Whether a reply to this request has failed already; see `ReplyWatch`."""

    def __repr__(self) -> str:
        return f"Call({self.url!r}, {len(self.content)} bytes)"


class Exchange:
    """Sends calls; the sync and the async doors share everything but the waiting.

    Args:
        clients: for HTTP.
        clock: for reset times.
        max_reply_bytes: of a whole reply, or of a stream from one content to the next, unpacked.
    """

    def __init__(self, clients: HttpClients, clock: Clock, max_reply_bytes: int = 64_000_000) -> None:
        self._clients = clients
        self._clock = clock
        self._most = max_reply_bytes

    # Whole replies

    def send(self, call: Call, limits: Limits) -> Json | Refusal:
        """Send a call and return the Gemini reply inside the envelope, or the refusal."""
        times, body = ExchangeTimes(limits), Body(self._most)
        try:
            response = self._clients.sync().send(_request(call, times), stream=True)
            times.answered(is_error=response.status_code != 200)
            body.fill(response)
        except httpx.HTTPError as error:
            return self._whole(body, call) or _failed(error, call, times)
        return self._read(response, body.content, call)

    async def asend(self, call: Call, limits: Limits) -> Json | Refusal:
        """Do what `send` does on an event loop."""
        times, body = ExchangeTimes(limits), Body(self._most)
        client = self._clients.asynchronous()
        try:
            response = await client.send(_request(call, times), stream=True)
            times.answered(is_error=response.status_code != 200)
            await body.afill(response)
        except httpx.HTTPError as error:
            return self._whole(body, call) or _failed(error, call, times)
        return self._read(response, body.content, call)

    def _read(self, response: httpx.Response, body: bytes, call: Call) -> Json | Refusal:
        now = self._clock.time()
        if response.status_code != 200:
            return parse_refusal(response.status_code, response.headers, body, now=now)
        try:
            reply = json.loads(body)
        except (ValueError, RecursionError):
            return not_json_refusal(response.headers.get("content-type", ""), 200)
        return refusal_in_reply(reply, now=now) or watched(inner(reply), last_try=call.last_try)

    def _whole(self, body: Body, call: Call) -> Json | Refusal | None:
        """Return the reply when all of it has come, though the connection has failed before the end of the body."""
        try:
            reply = json.loads(body.content)
        except (ValueError, RecursionError):
            return None
        if refusal_in_reply(reply, now=self._clock.time()) is not None:
            return None
        return watched(inner(reply), last_try=call.last_try) if is_last(inner(reply)) else None

    # Streams

    def open(self, call: Call, limits: Limits) -> ReplyStream | Refusal:
        """Send a call and read its stream up to the first content; whoever gets the stream closes it."""
        times = ExchangeTimes(limits)
        try:
            response = self._clients.sync().send(_request(call, times), stream=True)
            times.answered(is_error=response.status_code != 200)
            if not _is_event_stream(response):
                body = Body(MAX_ERROR_BYTES)
                body.fill(response)
                return self._no_stream(response, body.content)
        except httpx.HTTPError as error:
            return _failed(error, call, times)
        stream = ReplyStream(
            response,
            Events(response, self._clock, self._most, ReplyWatch(last_try=call.last_try)),
            times,
            _failing(call, times),
        )
        try:
            stream.read_ahead()
        except RequestRefusedError as error:
            stream.close()
            return error.refusal
        except BaseException:
            stream.close()
            raise
        return stream

    async def aopen(self, call: Call, limits: Limits) -> AsyncReplyStream | Refusal:
        """Do what `open` does on an event loop."""
        times = ExchangeTimes(limits)
        client = self._clients.asynchronous()
        try:
            response = await client.send(_request(call, times), stream=True)
            times.answered(is_error=response.status_code != 200)
            if not _is_event_stream(response):
                body = Body(MAX_ERROR_BYTES)
                await body.afill(response)
                return self._no_stream(response, body.content)
        except httpx.HTTPError as error:
            return _failed(error, call, times)
        stream = AsyncReplyStream(
            response,
            Events(response, self._clock, self._most, ReplyWatch(last_try=call.last_try)),
            times,
            _failing(call, times),
        )
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
            return parse_refusal(response.status_code, response.headers, body, now=now)
        try:
            reply = json.loads(body)
        except (ValueError, RecursionError):
            reply = None
        refused = None if reply is None else refusal_in_reply(reply, now=now)
        return refused or not_json_refusal(response.headers.get("content-type", ""), 200)


_url = functools.lru_cache(maxsize=16)(httpx.URL)


def _request(call: Call, times: ExchangeTimes) -> httpx.Request:
    """Return the request as it is sent: the client, and `httpx.Request` itself, would work out what is known here."""
    url = _url(call.url)
    headers = [(name.encode("ascii"), value.encode("ascii")) for name, value in call.headers.items()]
    return httpx.Request(
        "POST",
        url,
        headers=[(b"Host", url.netloc), *headers, (b"Content-Length", b"%d" % len(call.content))],
        stream=httpx.ByteStream(call.content),
        extensions={"timeout": times.extension},
    )


def _failing(call: Call, times: ExchangeTimes) -> Failed:
    return lambda error: _failed(error, call, times)


def _failed(error: httpx.HTTPError, call: Call, times: ExchangeTimes) -> Refusal:
    host = httpx.URL(call.url).host
    if isinstance(error, (httpx.ReadTimeout, httpx.WriteTimeout)):
        return timeout_refusal(f"{host} was expected to answer", silent=times.silent)
    if isinstance(error, httpx.TimeoutException):
        return timeout_refusal(f"connecting to {host}")
    if isinstance(error, TooLongError):
        return too_long_refusal(error.most)
    if isinstance(error, httpx.DecodingError):
        return unreadable_refusal()
    return connection_refusal(error, host=host)


def _is_event_stream(response: httpx.Response) -> bool:
    content_type = str(response.headers.get("content-type", ""))
    return response.status_code == 200 and content_type.partition(";")[0].strip().lower() == "text/event-stream"
