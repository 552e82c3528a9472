"""A stream that has its finish reason is finished: what its connection does afterwards is no error."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dripping_doors import READY, _direct, both_kinds, register
from exchange_doors import aread, asend, both_streams, call, message_of, send
from raw_server import CHUNKED, WHOLE, Dripping, Flood, asked, chunk, event, resetting, saying, serving, silent

from litellm_antigravity.simulator import bodies
from litellm_antigravity.wire.http import HttpClients
from litellm_antigravity.wire.limits import TimeLimits

__all__ = ["_direct"]  # fixtures

pytestmark = pytest.mark.once

LAST = chunk(event("a")) + chunk(event("b", last=True))
HALF = event("c")[:-30]
LIMITS = TimeLimits(60.0, gap=60.0)


@pytest.fixture(scope="module")
def clients() -> Iterator[HttpClients]:
    clients = HttpClients()
    yield clients
    clients.close()


def data(value: object) -> bytes:
    return chunk(b"data: " + json.dumps(value).encode() + b"\r\n\r\n")


def no_more_http(connection: socket.socket) -> None:
    saying(CHUNKED, LAST)(connection)
    time.sleep(0.3)  # aiohttp refuses the headers, too, that come together with what is no HTTP
    connection.sendall(b"zz\r\n")
    connection.recv(1)


AFTERWARDS = [
    pytest.param(silent(CHUNKED, LAST), id="open"),
    pytest.param(Dripping(CHUNKED, LAST, piece=chunk(b": still here\n\n")), id="open and dripping"),
    pytest.param(Dripping(CHUNKED, LAST, piece=chunk(event(""))), id="empty events without end"),
    pytest.param(Flood(CHUNKED, LAST, piece=chunk(b": still here\n" * 4000)), id="comments as fast as can be"),
    pytest.param(saying(CHUNKED, LAST), id="hung up"),
    pytest.param(resetting(CHUNKED, LAST), id="reset"),
    pytest.param(no_more_http, id="no chunk"),
    pytest.param(silent(CHUNKED, LAST + chunk(HALF)), id="half an event"),
    pytest.param(saying(CHUNKED, LAST + chunk(HALF) + chunk(b"")), id="half an event and the end"),
    pytest.param(silent(CHUNKED, LAST + chunk(b"data: <html>\n\n")), id="no JSON"),
    pytest.param(silent(CHUNKED, LAST, chunk(b"data: <html>\n\n")), id="no JSON, later"),
    pytest.param(silent(CHUNKED, LAST + data(bodies.server_error(500))), id="an error"),
    pytest.param(silent(CHUNKED, LAST + data([1])), id="a list"),
    pytest.param(resetting(CHUNKED, chunk(event("a")), chunk(event("b", last=True).rstrip())), id="no blank line"),
]


@both_streams
@pytest.mark.parametrize("serve", AFTERWARDS)
def test_what_comes_after_the_finish_reason_is_no_error(
    door: Any, serve: Callable[[socket.socket], None], clients: HttpClients
) -> None:
    with serving(serve) as server:
        texts, refusal = door(clients, call(server.url), LIMITS, most=1_000_000)
        assert refusal is None
        assert "".join(texts) == "ab"
        assert server.done.wait(30)  # the connection is not left open


@both_streams
def test_usage_that_follows_the_finish_reason_is_waited_for(door: Any, clients: HttpClients) -> None:
    usage = {
        "response": {"usageMetadata": {"totalTokenCount": 7}, "candidates": [{"content": {"parts": [{"text": "u"}]}}]}
    }

    def serve(connection: socket.socket) -> None:
        saying(CHUNKED, LAST)(connection)
        time.sleep(0.3)
        connection.sendall(data(usage))
        connection.recv(1)

    with serving(serve) as server:
        assert door(clients, call(server.url), LIMITS) == (["a", "b", "u"], None)


@both_streams
@pytest.mark.parametrize(
    "serve",
    [
        pytest.param(saying(CHUNKED, chunk(event("a")) + chunk(HALF)), id="hung up"),
        pytest.param(resetting(CHUNKED, chunk(event("a")) + chunk(HALF)), id="reset"),
    ],
)
def test_a_stream_without_a_finish_reason_still_breaks_off(
    door: Any, serve: Callable[[socket.socket], None], clients: HttpClients
) -> None:
    with serving(serve) as server:
        message_of(door(clients, call(server.url), LIMITS), texts=["a"], status=503)


@both_streams
def test_the_connection_of_a_stream_that_ends_well_serves_the_next_request(door: Any, clients: HttpClients) -> None:
    def serve(connection: socket.socket) -> None:
        while asked(connection):
            connection.sendall(WHOLE[:-5])
            time.sleep(0.05)
            connection.sendall(WHOLE[-5:])

    with serving(serve) as server:
        for _ in range(3):
            assert door(clients, call(server.url), LIMITS) == (["a", "b"], None)
        assert server.connections == (1 if door.__name__ == "read" else 3)  # an event loop each


@pytest.mark.parametrize("door", [send, asend])
@pytest.mark.parametrize("ending", [saying, resetting, silent])
def test_a_whole_reply_counts_although_its_connection_does_not_end_well(
    door: Any, ending: Callable[..., Callable[[socket.socket], None]], clients: HttpClients
) -> None:
    body = b'{"response": {"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}]}}'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    with serving(ending(head, chunk(body))) as server:
        assert door(clients, call(server.url), TimeLimits(2.0)) == (["a"], None)
    with serving(ending(head, chunk(body[:-1]))) as server:
        message_of(door(clients, call(server.url), TimeLimits(1.0)), texts=[], status=408 if ending is silent else 503)


@both_kinds
def test_a_finished_stream_is_a_success_of_its_account(door: Any, tmp_path: Path) -> None:
    """Before, three of these benched the account."""
    with serving(resetting(CHUNKED, LAST)) as server:
        register(tmp_path, server.url, READY)
        for _ in range(4):
            chunks = door(timeout=60, stream=True)
            assert chunks[-1].choices[0].finish_reason == "stop"


def test_what_has_come_before_a_connection_fails_is_read_however_late(clients: HttpClients) -> None:
    with serving(resetting(CHUNKED, LAST)) as server:
        outcome = aread(clients, call(server.url), LIMITS, lambda: server.done.wait(30))
    assert outcome == (["a", "b"], None)
