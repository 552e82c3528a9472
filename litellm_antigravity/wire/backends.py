"""httpcore's sockets, with deadlines: httpx's own time-outs are for each read anew, and what drips never meets them."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import httpcore
import httpx

from litellm_antigravity.wire.deadline import Deadline, seconds_left

_PIECE_BYTES: Final = 2**16  # of what is sent between two looks at the clock

_Options: TypeAlias = "Iterable[httpcore.SOCKET_OPTION] | None"


def watch_deadlines(client: httpx.Client | httpx.AsyncClient) -> None:
    """Let a client's connections keep the deadlines of its requests, direct ones and those through proxies.

    httpcore takes a network backend as an argument; httpx has none to hand on [0.28], so it is put in its place.
    """
    backend = DeadlineBackend() if isinstance(client, httpx.Client) else AsyncDeadlineBackend()
    for transport in (client._transport, *client._mounts.values()):
        pool = getattr(transport, "_pool", None)
        if pool is not None:
            pool._network_backend = backend


class DeadlineBackend(httpcore.NetworkBackend):
    """Opens connections on which every wait ends at the deadline that its request brings along."""

    def __init__(self) -> None:
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: _Options = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of a host that answers; see `httpcore.NetworkBackend`.

        httpcore gives each address the whole time-out. Here they share it, so that each has its turn.
        """
        addresses = _addresses(host, port)
        while True:
            left = _left(timeout, httpcore.ConnectTimeout)
            try:
                stream = self._backend.connect_tcp(
                    addresses.pop(0), port, left and left / (len(addresses) + 1), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if not addresses:
                    raise
            else:
                return _Stream(stream, timeout)


class AsyncDeadlineBackend(httpcore.AsyncNetworkBackend):
    """What `DeadlineBackend` is, on an event loop."""

    def __init__(self) -> None:
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: _Options = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect; see `httpcore.AsyncNetworkBackend`."""
        left = _left(timeout, httpcore.ConnectTimeout)
        return _AsyncStream(await self._backend.connect_tcp(host, port, left, local_address, socket_options), timeout)


class _Stream(httpcore.NetworkStream):
    """A connection with deadlines.

    Args:
        stream: httpcore's.
        connecting: the time-out of what comes without one: httpcore's handshake with a SOCKS proxy.
    """

    def __init__(self, stream: httpcore.NetworkStream, connecting: float | None) -> None:
        self._stream = stream
        self._connecting = connecting

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        limit = self._connecting if timeout is None else timeout
        return self._stream.read(max_bytes, _left(limit, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        limit = self._connecting if timeout is None else timeout
        if len(buffer) <= _PIECE_BYTES:
            self._stream.write(buffer, _left(limit, httpcore.WriteTimeout))
            return
        for start in range(0, len(buffer), _PIECE_BYTES):
            self._stream.write(buffer[start : start + _PIECE_BYTES], _left(limit, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left), timeout)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _AsyncStream(httpcore.AsyncNetworkStream):
    """What `_Stream` is, on an event loop."""

    def __init__(self, stream: httpcore.AsyncNetworkStream, connecting: float | None) -> None:
        self._stream = stream
        self._connecting = connecting

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        limit = self._connecting if timeout is None else timeout
        return await self._stream.read(max_bytes, _left(limit, httpcore.ReadTimeout))

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        limit = self._connecting if timeout is None else timeout
        await self._stream.write(buffer, _left(limit, httpcore.WriteTimeout))

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _AsyncStream(await self._stream.start_tls(ssl_context, server_hostname, left), timeout)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(timeout: float | None, expired: type[httpcore.TimeoutException]) -> float | None:
    left = seconds_left(timeout)
    if isinstance(timeout, Deadline) and left is not None and left <= 0:
        msg = "the time is up"
        raise expired(msg)
    return left


def _addresses(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # the latter for a label that is too long
        raise httpcore.ConnectError(str(error)) from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found)) or [host]
