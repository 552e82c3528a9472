"""httpx on aiohttp's connections, as LiteLLM's own providers have it: its parser is compiled, which event loops feel.

The package httpx-aiohttp would be less to keep, but reports a connection that was hung up as a time-out, lets what is
no HTTP through as an error that is not httpx's, and has no time-out for a request that is not taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import ssl
import sys
import weakref
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Final

import aiohttp
import httpx
from aiohttp.http import HttpProcessingError

from litellm_antigravity.wire.deadline import Deadline, seconds_left

if sys.version_info >= (3, 11):
    from asyncio import timeout as time_limit
else:
    from async_timeout import timeout as time_limit  # aiohttp's own choice there

_OWN_HEADERS: Final = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_LARGE_BYTES: Final = 2**20  # sent in pieces, so that the event loop is not held; aiohttp warns of more in one
_READ_AHEAD_BYTES: Final = 2**12  # what comes faster than it is read waits in the kernel; aiohttp would hold 2**18


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Sends httpx's requests by aiohttp, on the event loop that is running when it is made.

    Errors are httpx's. A time-out may be a `Deadline`, which may be moved while the body is read.

    Args:
        context: for TLS.
        keepalive: seconds for which an idle connection is kept.
    """

    def __init__(self, context: ssl.SSLContext, keepalive: float) -> None:
        self._session = aiohttp.ClientSession(
            connector=_Connector(
                ssl=context,
                limit=0,
                keepalive_timeout=keepalive,
                resolver=aiohttp.ThreadedResolver(),  # the system's, as in httpx, also where aiodns is installed
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_OWN_HEADERS,
            auto_decompress=False,  # httpx does it
            read_bufsize=_READ_AHEAD_BYTES,
        )
        # Its loop may end before anybody could wait for it to be closed; it must not complain about that then.
        weakref.finalize(self, self._session.detach)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; see `httpx.AsyncBaseTransport`."""
        timeouts: dict[str, float | None] = request.extensions.get("timeout") or {}
        content = await request.aread()
        with _httpx_errors():
            async with time_limit(_until_headers(timeouts)):
                answer = await self._session.request(
                    request.method,
                    str(request.url),
                    headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw],
                    data=io.BytesIO(content) if len(content) > _LARGE_BYTES else content or None,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(
                        connect=seconds_left(timeouts.get("connect")), sock_read=_for_each_read(timeouts)
                    ),
                )
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=_Body(answer, timeouts))

    async def aclose(self) -> None:
        """Close the idle connections."""
        await self._session.close()


class _Connector(aiohttp.TCPConnector):
    """Goes away in silence, as httpx's own pool does.

    aiohttp's reports one that was not closed as an error, and closes it, which in a forked child would take the
    connections from the parent's event loop.
    """

    def __del__(self, *_: Any) -> None:
        pass


class _Body(httpx.AsyncByteStream):
    """Times its pieces itself: aiohttp never wakes who waits for more of a body that stopped being HTTP."""

    def __init__(self, answer: aiohttp.ClientResponse, timeouts: Mapping[str, float | None]) -> None:
        self._answer = answer
        self._timeouts = timeouts
        connection = answer.connection  # none when the body is here already
        if connection is not None and connection.protocol is not None:
            connection.protocol.read_timeout = None
            connection.protocol.start_timeout()  # which stops it

    async def __aiter__(self) -> AsyncIterator[bytes]:
        content = self._answer.content
        with _httpx_errors():
            while not content.at_eof():
                yield self._here(content) or await self._next_of(content)

    def _here(self, content: aiohttp.StreamReader) -> bytes:
        read = self._timeouts.get("read")
        if isinstance(read, Deadline) and read.over:
            msg = "the time is up"
            raise httpx.ReadTimeout(msg)
        failure = content.exception()
        if failure is None:
            return content.read_nowait()
        received = content._read_nowait(-1)  # what came before; aiohttp has it still, but gives it out no more
        if not received:
            raise failure
        return received

    async def _next_of(self, content: aiohttp.StreamReader) -> bytes:
        try:
            async with time_limit(seconds_left(self._timeouts.get("read"))):
                return await content.readany()
        except asyncio.TimeoutError as error:
            raise httpx.ReadTimeout(str(error)) from error

    async def aclose(self) -> None:
        self._answer.close()  # the connection, too, unless the body was read to its end, which gave it back


def _until_headers(timeouts: Mapping[str, float | None]) -> float | None:
    """Return the limit until the headers: one deadline, or else, as aiohttp has none for sending, the phases' sum."""
    read = timeouts.get("read")
    if isinstance(read, Deadline) and read.is_whole:
        return read.left()
    total = 0.0
    for phase in ("connect", "write", "read"):
        seconds = seconds_left(timeouts.get(phase))
        if seconds is None:
            return None
        total += seconds
    return total


def _for_each_read(timeouts: Mapping[str, float | None]) -> float | None:
    read = timeouts.get("read")
    return None if isinstance(read, Deadline) and read.is_whole else seconds_left(read)


@contextlib.contextmanager
def _httpx_errors() -> Iterator[None]:
    try:
        yield
    except aiohttp.SocketTimeoutError as error:
        raise httpx.ReadTimeout(str(error)) from error
    except aiohttp.ServerTimeoutError as error:
        raise httpx.ConnectTimeout(str(error)) from error
    except asyncio.TimeoutError as error:
        raise httpx.WriteTimeout(str(error)) from error
    except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
        # A HttpProcessingError of a body comes from aiohttp without its extensions.
        raise httpx.TransportError(str(error)) from error
    except ValueError as error:  # quotes the header, and with it perhaps a token
        raise httpx.LocalProtocolError("a header that cannot be sent") from error
