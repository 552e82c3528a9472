"""Connections that fail, hang or are given up: what threads and event loops make of them is the same."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from dripping_doors import _direct
from exchange_doors import begun, both_streams, call, every_door, message_of, text_of
from raw_server import (
    CHUNKED,
    WHOLE,
    Server,
    asked,
    chunk,
    event,
    paused,
    resetting,
    saying,
    serving,
    silent,
    without_a_chunk,
)
from support import PYTHON_PATH, FakeClock, run_python

from litellm_antigravity.refusals import Refusal, RefusalKind
from litellm_antigravity.wire.closing import ClosingThread
from litellm_antigravity.wire.exchange import Call, Exchange
from litellm_antigravity.wire.http import HttpClients
from litellm_antigravity.wire.limits import TimeLimits

__all__ = ["_direct"]  # fixtures

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def clients() -> Iterator[HttpClients]:
    clients = HttpClients()
    yield clients
    clients.close()


@every_door
@pytest.mark.parametrize(
    "serve",
    [
        pytest.param(saying(), id="hung up"),
        pytest.param(resetting(), id="reset"),
        pytest.param(saying(b"SSH-2.0-OpenSSH_9.9\r\n"), id="another protocol"),
        pytest.param(saying(b"HTTP/1.1 OK\r\n\r\n"), id="no status"),
        pytest.param(saying(b"HTTP/1.1 200 OK\r\nContent-Le"), id="headers that break off"),
        pytest.param(saying(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000), id="a header without an end"),
        pytest.param(
            saying(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"), id="short body"
        ),
        pytest.param(
            saying(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{"),
            id="no chunk",
        ),
        pytest.param(resetting(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"), id="reset in its body"),
        pytest.param(saying(CHUNKED), id="a stream without events"),
    ],
)
def test_an_answer_that_is_none_is_a_transport_problem_of_its_host(
    door: Any, serve: Callable[[socket.socket], None], clients: HttpClients
) -> None:
    with serving(serve) as server:
        message = message_of(door(clients, call(server.url), TimeLimits(30.0)), texts=[], status=503)
    assert "127.0.0.1" in message
    assert "canary" not in message


@both_streams
@pytest.mark.parametrize(
    "serve",
    [
        pytest.param(saying(CHUNKED, chunk(event("a")), chunk(event("b"))), id="hung up"),
        pytest.param(saying(CHUNKED, chunk(event("a")), chunk(event("b")), b"99\r\ndata"), id="part of a chunk"),
        pytest.param(resetting(CHUNKED, chunk(event("a")), chunk(event("b"))), id="reset"),
    ],
)
def test_a_stream_that_breaks_off_gives_what_has_come_and_then_a_refusal(
    door: Any, serve: Callable[[socket.socket], None], clients: HttpClients
) -> None:
    with serving(serve) as server:
        assert message_of(door(clients, call(server.url), TimeLimits(30.0)), texts=["a", "b"], status=503)


@every_door
@pytest.mark.parametrize(
    "serve",
    [
        pytest.param(silent(), id="nothing"),
        pytest.param(silent(b"HTTP/1.1 200 OK\r\nContent-"), id="part of the headers"),
        pytest.param(silent(CHUNKED), id="headers alone"),
    ],
)
def test_an_answer_that_does_not_come_is_a_time_out(
    door: Any, serve: Callable[[socket.socket], None], clients: HttpClients
) -> None:
    with serving(serve) as server:
        message = message_of(door(clients, call(server.url), httpx.Timeout(60, read=0.2)), texts=[], status=408)
    assert "expected to answer" in message


@every_door
def test_a_request_that_upstream_does_not_take_is_a_time_out(door: Any, clients: HttpClients) -> None:
    given_up = threading.Event()

    def serve(_: socket.socket) -> None:
        given_up.wait(60)

    with serving(serve) as server:
        outcome = door(clients, call(server.url, content=b" " * 30_000_000 + b"{}"), TimeLimits(0.2))
        given_up.set()
    assert "expected to answer" in message_of(outcome, texts=[], status=408)


@every_door
def test_a_connection_that_does_not_come_about_is_a_time_out_of_its_own(door: Any, clients: HttpClients) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(3)]  # they fill the queue of a server that accepts nobody
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        outcome = door(clients, call(url), httpx.Timeout(60, connect=0.2))
        for one in waiting:
            one.close()
    assert "connecting" in message_of(outcome, texts=[], status=408)


@every_door
def test_a_header_that_cannot_be_sent_is_not_quoted(door: Any, clients: HttpClients) -> None:
    with serving(kept_alive) as server:
        wrong = Call(server.url, {"authorization": "Bearer canary-token\n"}, b"{}")
        message = message_of(door(clients, wrong, TimeLimits(30.0)), texts=[], status=503)
    assert "canary" not in message


@both_streams
@pytest.mark.parametrize("together", [True, False], ids=["with the headers", "after the headers"])
def test_a_stream_that_has_begun_may_pause_for_longer_than_its_beginning_may_take(
    door: Any, together: bool, clients: HttpClients
) -> None:
    def serve(connection: socket.socket) -> None:
        asked(connection)
        beginning = [CHUNKED + chunk(event("a"))] if together else [CHUNKED, chunk(event("a"))]
        for piece in beginning:
            connection.sendall(piece)
        threading.Event().wait(2.5)
        connection.sendall(chunk(event("b", last=True)) + chunk(b""))

    with serving(serve) as server:
        assert door(clients, call(server.url), TimeLimits(2.0, gap=30.0)) == (["a", "b"], None)


@both_streams
def test_a_stream_that_pauses_for_longer_than_it_may_is_a_time_out(door: Any, clients: HttpClients) -> None:
    with serving(silent(CHUNKED + chunk(event("a")), chunk(event("b")))) as server:
        assert message_of(door(clients, call(server.url), TimeLimits(30.0, gap=0.2)), texts=["a", "b"], status=408)


@both_streams
def test_a_stream_that_stops_being_http_ends_with_a_refusal(door: Any, clients: HttpClients) -> None:
    with serving(without_a_chunk) as server:
        texts, refusal = door(clients, call(server.url), TimeLimits(30.0, gap=1.0))
    assert texts == ["a", "b"]
    assert refusal is not None
    assert refusal.kind is RefusalKind.TRANSPORT


@pytest.mark.parametrize(
    "pieces", [(), (CHUNKED,), (CHUNKED, chunk(event("a")))], ids=["nothing", "the headers", "an event"]
)
def test_whoever_is_cancelled_lets_the_connection_go(pieces: tuple[bytes, ...], clients: HttpClients) -> None:
    async def given_up(server: Server) -> None:
        async def reading() -> None:
            stream = await Exchange(clients, FakeClock()).aopen(call(server.url), TimeLimits(60.0))
            assert not isinstance(stream, Refusal)
            try:
                async for _ in stream:
                    pass
            finally:
                await stream.aclose()

        task = asyncio.create_task(reading())
        await asyncio.to_thread(said.wait, 30)
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(server.done.wait, 30)

    said = threading.Event()

    def serve(connection: socket.socket) -> None:
        saying(*pieces)(connection)
        said.set()
        assert connection.recv(1) == b""

    with serving(serve) as server:
        asyncio.run(given_up(server))


def test_a_stream_that_is_closed_before_its_end_lets_the_connection_go(clients: HttpClients) -> None:
    ended = threading.Semaphore(0)
    with serving(paused(ended)) as server:
        stream = Exchange(clients, FakeClock()).open(call(server.url), TimeLimits(30.0))
        assert not isinstance(stream, Refusal)
        assert not ended.acquire(blocking=False)
        stream.close()
        assert ended.acquire(timeout=30)
        stream.close()


class NoThread(threading.Thread):
    def start(self) -> None:
        raise RuntimeError("can't start new thread")


def test_a_stream_is_served_where_no_more_threads_can_be_started(
    clients: HttpClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    none_left = SimpleNamespace(Thread=NoThread, Lock=threading.Lock)
    ended = threading.Semaphore(0)
    with serving(paused(ended)) as server:
        with monkeypatch.context() as fault:
            fault.setattr("litellm_antigravity.wire.closing.threading", none_left)
            fault.setattr("litellm_antigravity.wire.streams.CLOSING", ClosingThread())
            exchange = Exchange(clients, FakeClock())
            begun(exchange, server.url)
            fault.setattr("litellm_antigravity.wire.closing.threading", threading)
            begun(exchange, server.url)
        assert all(ended.acquire(timeout=30) for _ in range(2))  # the first one, too, now that it can be


ABANDONING = """
    import gc, sys, threading
    from exchange_doors import begun
    from raw_server import paused, serving
    from support import FakeClock
    from litellm_antigravity.wire.exchange import Exchange
    from litellm_antigravity.wire.http import HttpClients
    from litellm_antigravity.wire.limits import TimeLimits

    calls = 0  # of httpx's functions for connections; in some of them its pool is locked

    def collecting(frame, event, argument):
        global calls
        if event == "call" and "httpcore" in frame.f_code.co_filename:
            calls += 1
            if calls == turn:
                gc.collect()

    ended = threading.Semaphore(0)
    with serving(paused(ended)) as server:
        exchange = Exchange(HttpClients(), FakeClock())
        gc.disable()
        gc.freeze()
        sys.setprofile(collecting)
        for turn in range(40):
            calls = 0
            cycle = [begun(exchange, server.url)]
            cycle.append(cycle)  # so that nothing else takes it away
            del cycle
        sys.setprofile(None)
        gc.collect()
        assert all(ended.acquire(timeout=30) for _ in range(40))
    """


def test_streams_that_are_left_to_garbage_collection_are_closed_and_nobody_hangs() -> None:
    run_python(ABANDONING, timeout=60.0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_closes_the_streams_that_it_abandons_but_not_those_of_its_parent(clients: HttpClients) -> None:
    ended = threading.Semaphore(0)
    resume = threading.Event()

    def resumed(connection: socket.socket) -> None:
        saying(CHUNKED, chunk(event("a")))(connection)
        assert resume.wait(60)
        connection.sendall(chunk(event("b", last=True)) + chunk(b""))

    each = iter([resumed, paused(ended)])

    def serve(connection: socket.socket) -> None:
        next(each)(connection)

    exchange = Exchange(clients, FakeClock())
    with serving(serve) as server:
        replies = begun(exchange, server.url)
        waits, goes_on = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(goes_on)
                del replies
                begun(exchange, server.url)
                os.read(waits, 1)
            finally:
                os._exit(0)
        assert ended.acquire(timeout=30)
        os.close(goes_on)
        os.waitpid(pid, 0)
        resume.set()
        assert [text_of(reply) for reply in replies] == ["b"]
    os.close(waits)


def kept_alive(connection: socket.socket) -> None:
    while asked(connection):
        connection.sendall(WHOLE)


def test_a_stream_that_was_read_gives_its_connection_back(clients: HttpClients) -> None:
    async def three_times(url: str) -> None:
        for _ in range(3):
            stream = await Exchange(clients, FakeClock()).aopen(call(url), TimeLimits(30.0))
            assert not isinstance(stream, Refusal)
            assert [text_of(reply) async for reply in stream] == ["a", "b"]
            await stream.aclose()

    with serving(kept_alive) as server:
        asyncio.run(three_times(server.url))
        assert server.connections == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_that_is_forked_and_ends_leaves_the_connections_of_an_event_loop_alone(clients: HttpClients) -> None:
    async def once(url: str) -> None:
        stream = await Exchange(clients, FakeClock()).aopen(call(url), TimeLimits(30.0))
        assert not isinstance(stream, Refusal)
        assert [text_of(reply) async for reply in stream] == ["a", "b"]

    loop = asyncio.new_event_loop()
    with serving(kept_alive) as server:
        loop.run_until_complete(once(server.url))
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                gc.collect()
                asyncio.run(once(server.url))
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        loop.run_until_complete(once(server.url))
        assert server.connections == 2
    loop.close()


BROKEN = """
    from exchange_doors import aread, call, message_of
    from raw_server import serving, without_a_chunk
    from litellm_antigravity.wire.http import HttpClients
    from litellm_antigravity.wire.limits import TimeLimits

    with serving(without_a_chunk) as server:
        outcome = aread(HttpClients(), call(server.url), TimeLimits(30.0))
        message_of(outcome, texts=["a", "b"], status=503)
    """


def test_aiohttp_may_be_without_its_extensions() -> None:
    run_python(BROKEN, env={"AIOHTTP_NO_EXTENSIONS": "1"})


ENDING = """
    import asyncio, sys
    from support import FakeClock
    from litellm_antigravity.wire.exchange import Call, Exchange
    from litellm_antigravity.wire.http import HttpClients
    from litellm_antigravity.wire.limits import TimeLimits

    async def main(given_up):
        exchange = Exchange(HttpClients(), FakeClock())
        stream = await exchange.aopen(Call(sys.argv[1], {"content-type": "application/json"}, b"{}"), TimeLimits(30.0))
        async for reply in stream:
            if given_up:
                break
        return exchange, stream

    def begun():
        exchange = Exchange(HttpClients(), FakeClock())
        stream = exchange.open(Call(sys.argv[1], {"content-type": "application/json"}, b"{}"), TimeLimits(30.0))
        next(iter(stream))
        return exchange, stream

    begun()
    open_still = begun()
    asyncio.run(main(given_up=True))
    asyncio.run(main(given_up=False))
    loop = asyncio.new_event_loop()
    kept = [asyncio.run(main(given_up=True)), loop.run_until_complete(main(given_up=False))]
    """


def test_a_process_that_ends_without_closing_anything_says_nothing() -> None:
    with serving(kept_alive) as server:
        ended = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(ENDING), server.url],
            env={**os.environ, "PYTHONPATH": PYTHON_PATH},
            capture_output=True,
            timeout=60,
            check=False,
        )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
