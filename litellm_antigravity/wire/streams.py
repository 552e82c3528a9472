"""Streams of replies: from bytes to events, with an end of their own: the finish reason, not the connection's."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from typing import Any, Final, TypeAlias

import httpx

from litellm_antigravity.clock import Clock
from litellm_antigravity.errors import RequestRefusedError
from litellm_antigravity.refusals import (
    Refusal,
    not_json_refusal,
    refusal_in_reply,
    too_long_refusal,
    truncated_stream,
)
from litellm_antigravity.wire.closing import CLOSING
from litellm_antigravity.wire.cloudcode import inner
from litellm_antigravity.wire.deadline import ExchangeTimes
from litellm_antigravity.wire.reading import Unpacker
from litellm_antigravity.wire.sse import SSEDecoder
from litellm_antigravity.wire.watching import ReplyWatch

Json: TypeAlias = dict[str, Any]
Failed: TypeAlias = Callable[[httpx.HTTPError], Refusal]
"""Says what refusal an error of the connection is."""

_USAGE_SECONDS: Final = 1.0
"""How long a finished stream is read on for its usage. Upstream's says it together with the finish reason; some of the
Gemini API's say it one event later, which follows at once."""

_END_SECONDS: Final = 0.25
"""How long a stream with nothing more to say is read on for its end: then the connection can serve the next request,
and a new one costs about as much."""


class Events:
    """Makes Gemini replies of a stream's bytes, and notices refusals and a missing end.

    Args:
        response: whose.
        clock: for reset times.
        most: bytes that may come, unpacked, from one content to the next.
        watch: looks at every reply.

    Attributes:
        finished: whether the finish reason has come. What goes wrong afterwards is no error.
        spoilt: whether what came after it was none of upstream's events.
    """

    def __init__(self, response: httpx.Response, clock: Clock, most: int, watch: ReplyWatch) -> None:
        self.watch = watch
        self.finished = False
        self.spoilt = False
        self._unpacker = Unpacker(response)
        self._decoder = SSEDecoder()
        self._clock = clock
        self._most = most
        self._since_content = 0
        self._count = 0
        self._has_usage = False
        self._has_content = False

    def feed(self, received: bytes) -> Iterator[Json]:
        """Yield the replies one by one: the first must not wait until all that came with it are parsed.

        Raises:
            RequestRefusedError: for what is no reply, and for an event that never ends.
            httpx.DecodingError: see `Unpacker.feed`.
        """
        for piece in self._unpacker.feed(received):
            self._since_content += len(piece)
            yield from self._replies(self._decoder.feed(piece))
            if self._since_content > self._most:
                if not self.finished:
                    raise RequestRefusedError(too_long_refusal(self._most))
                self.spoilt = True
            if self.spoilt:
                return

    def end(self) -> Iterator[Json]:
        """Yield what the end of the stream completes.

        Raises:
            RequestRefusedError: when there was no finish reason, or for what is no reply.
        """
        yield from self._replies(self._decoder.finish())
        self.watch.end()
        if not self.finished and not self.watch.is_complete:
            raise RequestRefusedError(truncated_stream(self._count))

    def break_off(self, refusal: Refusal) -> list[Json]:
        """Return what is still to be given out when the connection fails: the finish reason may just have come.

        Args:
            refusal: what the failure is.

        Raises:
            RequestRefusedError: with it, unless the stream is finished.
        """
        try:
            rest = list(self.end())
        except RequestRefusedError:
            raise RequestRefusedError(refusal) from None
        if not self.finished:  # a whole call may be the end of a stream, but not of a broken connection
            raise RequestRefusedError(refusal)
        return rest

    def next_within(self, left: float, gap: float) -> float:
        """Return how many seconds may pass until the next content, once the reader has the latest reply.

        Args:
            left: what was left when the latest reply had come: one without content earns no time.
            gap: how long a content may be waited for.
        """
        if self.finished:
            return min(left, _END_SECONDS if self._has_usage else _USAGE_SECONDS)
        return gap if self._has_content else left

    @property
    def has_content(self) -> bool:
        """Whether the latest reply says something, or ends the stream."""
        return self._has_content

    def _replies(self, events: list[bytes]) -> Iterator[Json]:
        for data in events:
            try:
                reply = self._reply(data)
            except RequestRefusedError:
                if not self.finished:
                    raise
                self.spoilt = True
                return
            if reply is not None:
                yield reply

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
        ends = is_last(reply)
        self.finished = self.finished or ends
        self._has_content = ends or _says_something(reply)
        if self._has_content:
            self._since_content = 0
        if self.finished and "usageMetadata" in reply:
            self._has_usage = True
        return reply


class ReplyStream:
    """The Gemini replies of an open stream; raises `RequestRefusedError` when it breaks off."""

    def __init__(self, response: httpx.Response, events: Events, times: ExchangeTimes, failed: Failed) -> None:
        self.watch = events.watch
        self._response = response
        self._events = events
        self._ahead: list[Json] = []
        self._replies = _replies(response, events, times, failed)
        self._let_go = CLOSING.watch(self, response, self._replies)

    def read_ahead(self) -> None:
        """Read up to the first content, which `__iter__` then gives out."""
        for reply in self._replies:
            self._ahead.append(reply)
            if self._events.watch.begun:
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


def _replies(response: httpx.Response, events: Events, times: ExchangeTimes, failed: Failed) -> Generator[Json]:
    """Read a stream's replies without holding on to the stream; see `ClosingThread.watch`."""
    try:
        for received in response.iter_raw():
            for reply in events.feed(received):
                left = times.reading.left()
                yield reply
                times.reading.restart(events.next_within(left, times.gap))
            if events.spoilt:
                break
    except httpx.HTTPError as error:
        yield from events.break_off(failed(error))
    else:
        yield from events.end()
    response.close()


class AsyncReplyStream:
    """What `ReplyStream` is, on an event loop."""

    def __init__(self, response: httpx.Response, events: Events, times: ExchangeTimes, failed: Failed) -> None:
        self.watch = events.watch
        self._response = response
        self._events = events
        self._ahead: list[Json] = []
        self._replies = _areplies(response, events, times, failed)

    async def read_ahead(self) -> None:
        """Read up to the first content, which ``__aiter__`` then gives out."""
        async for reply in self._replies:
            self._ahead.append(reply)
            if self._events.watch.begun:
                return

    async def __aiter__(self) -> AsyncIterator[Json]:
        ahead, self._ahead = self._ahead, []
        for reply in ahead:
            yield reply
        async for reply in self._replies:
            yield reply

    async def aclose(self) -> None:
        """Give the connection back, or close it when the stream was not read to its end."""
        await self._response.aclose()


async def _areplies(
    response: httpx.Response, events: Events, times: ExchangeTimes, failed: Failed
) -> AsyncGenerator[Json, None]:
    """Do what `_replies` does, on an event loop."""
    rest: Iterator[Json] | list[Json]
    try:
        async for received in response.aiter_raw():
            for reply in events.feed(received):
                left = times.reading.left()
                yield reply
                times.reading.restart(events.next_within(left, times.gap))
            if events.spoilt:
                break
    except httpx.HTTPError as error:
        rest = events.break_off(failed(error))
    else:
        rest = events.end()
    for reply in rest:
        yield reply
    await response.aclose()


def is_last(reply: Json) -> bool:
    """Return whether a reply says why the model has stopped."""
    return "promptFeedback" in reply or bool(_first_candidate(reply).get("finishReason"))


def _first_candidate(reply: Json) -> Json:
    candidates = reply.get("candidates")
    first = candidates[0] if isinstance(candidates, list) and candidates else None
    return first if isinstance(first, dict) else {}


def _says_something(reply: Json) -> bool:
    """Return whether a reply has a part that is more than an empty text."""
    content = _first_candidate(reply).get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    return isinstance(parts, list) and any(
        part.get("text") or part.keys() - _TEXT_KEYS if isinstance(part, dict) else part for part in parts
    )


_TEXT_KEYS: Final = frozenset({"text", "thought"})
