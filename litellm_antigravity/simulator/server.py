"""HTTP on loopback: carries requests to `Upstream` and its decisions back. Runs on one event loop."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from aiohttp import web

from litellm_antigravity.simulator.answers import Answer, Stream
from litellm_antigravity.simulator.control import Control, is_control
from litellm_antigravity.simulator.incoming import Decision, Incoming
from litellm_antigravity.simulator.upstream import Upstream

HOST: Final = "127.0.0.1"

_BACKLOG: Final = 1024
_GRACE_SECONDS: Final = 0.2  # for answers under way when the simulator is closed

_SILENT = logging.getLogger("litellm_antigravity.simulator.http")


class SimulatorServer:
    """An aiohttp server without routes or middleware, since every request is one question to `Upstream` or `Control`.

    Args:
        upstream: the simulated Google.
        control: who steers it over HTTP.
    """

    def __init__(self, upstream: Upstream, control: Control) -> None:
        self._upstream = upstream
        self._control = control
        # A request that its client has given up must not go on counting as in flight.
        server = web.Server(self._handle, access_log=None, handler_cancellation=True, logger=_SILENT)
        self._runner = web.ServerRunner(server, shutdown_timeout=_GRACE_SECONDS)
        self._closing = asyncio.Event()

    async def start(self, port: int) -> int:
        """Listen; return the port.

        Args:
            port: 0 for any that is free.

        Raises:
            OSError: when the port is taken.
        """
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, port, backlog=_BACKLOG).start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close every connection and stop listening."""
        self._closing.set()
        await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        incoming = Incoming(
            method=request.method,
            path=request.path,
            query=request.query,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.content.read(),
        )
        if is_control(incoming.path):  # on another thread: it waits for locks, and may read a script
            answer = await asyncio.to_thread(self._control.receive, incoming)
            return web.Response(status=answer.status, body=answer.body, headers=_headers(answer))
        decision = self._upstream.receive(incoming)
        try:
            return await self._carry_out(decision, request)
        finally:
            self._upstream.finished(decision)

    async def _carry_out(self, decision: Decision, request: web.BaseRequest) -> web.StreamResponse:
        action = decision.action
        if decision.latency > 0 and not self._closing.is_set():
            await asyncio.sleep(decision.latency)
        if isinstance(action, Answer):
            return web.Response(status=action.status, body=action.body, headers=_headers(action))
        if isinstance(action, Stream):
            return await self._stream(action, decision.chunk_latency, request)
        if action.ending == "drop":
            _drop(request)
        await self._closing.wait()
        return web.Response(status=503)

    async def _stream(self, action: Stream, chunk_latency: float, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for number, event in enumerate(action.events):
            if number and chunk_latency > 0:
                await asyncio.sleep(chunk_latency)
            await response.write(event)
        if action.ending == "hang":
            await self._closing.wait()
        elif action.ending == "drop":
            _drop(request)
            await self._closing.wait()
        return response


def _headers(answer: Answer) -> dict[str, str]:
    return {"content-type": answer.content_type, **answer.headers}


def _drop(request: web.BaseRequest) -> None:
    """Close the connection once what was written is out; aiohttp then cancels the handler."""
    if request.transport is not None:
        request.transport.close()
