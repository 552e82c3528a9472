"""Bytes on the wire: server-sent events, clients, proxies, redirects, cookies; all over real sockets."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support import FakeClock

from litellm_antigravity.errors import SettingsError
from litellm_antigravity.refusals import Refusal, RefusalKind
from litellm_antigravity.wire.exchange import Call, Exchange
from litellm_antigravity.wire.http import HttpClients
from litellm_antigravity.wire.limits import TimeLimits
from litellm_antigravity.wire.sse import SSEDecoder

pytestmark = pytest.mark.once

# Server-sent events


def decoded(stream: bytes, cuts: list[int]) -> list[bytes]:
    decoder = SSEDecoder()
    events: list[bytes] = []
    bounds = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    for start, end in itertools.pairwise(bounds):
        events += decoder.feed(stream[start:end])
    return events + decoder.finish()


DATA_LINE = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=8)
EVENT = st.lists(DATA_LINE, min_size=1, max_size=3)
NOISE = st.lists(st.sampled_from([": ping", ":", "event: message", "id: 7", "retry: 10", "datum: x", ""]), max_size=3)


@given(
    events=st.lists(EVENT, max_size=4),
    noise=NOISE,
    newline=st.sampled_from(["\n", "\r", "\r\n"]),
    colon=st.sampled_from(["data: ", "data:"]),
    ended=st.booleans(),
    cuts=st.lists(st.integers(0, 200), max_size=12),
)
@example(events=[["a\u2028b\u0085c\x0bd"]], noise=[], newline="\n", colon="data: ", ended=True, cuts=[8, 9])
@example(events=[["a"], ["b"]], noise=[": x"], newline="\r\n", colon="data: ", ended=False, cuts=list(range(40)))
def test_a_stream_gives_the_same_events_however_it_is_split(
    events: list[list[str]], noise: list[str], newline: str, colon: str, ended: bool, cuts: list[int]
) -> None:
    lines = list(noise)
    for event in events:
        # One blank behind the colon belongs to the field, so it has to be there when the value begins with another.
        lines += [("data: " if line.startswith(" ") else colon) + line for line in event]
        lines += ["", *noise]
    if not ended and events:
        while lines[-1] == "" or lines[-1] in noise:
            lines.pop()
    stream = newline.join(lines).encode() + (newline.encode() if ended else b"")
    assert decoded(stream, cuts) == ["\n".join(event).encode() for event in events]


def test_an_event_is_given_out_as_soon_as_its_blank_line_is_there() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"data: 1\n") == []
    assert decoder.feed(b"\ndata: 2\r") == [b"1"]
    assert decoder.feed(b"\n\r") == []
    assert decoder.feed(b"\n") == [b"2"]


# A server that does as it is told, and keeps what it was asked


@dataclass
class Asked:
    method: str
    target: str
    headers: dict[str, str]
    connection: int


@dataclass
class Origin:
    url: str
    answer: Callable[[str], tuple[int, dict[str, str], bytes]]
    asked: list[Asked] = field(default_factory=list)


CANDIDATE = {"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}
OK = (200, {"content-type": "application/json"}, json.dumps({"response": {"candidates": [CANDIDATE]}}).encode())


@contextmanager
def serving(answer: Callable[[str], tuple[int, dict[str, str], bytes]] = lambda _: OK) -> Iterator[Origin]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            origin.asked.append(Asked(self.command, self.path, headers, self.client_address[1]))
            status, given, body = origin.answer(self.path)
            self.send_response(status)
            for name, value in given.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    origin = Origin(f"http://127.0.0.1:{server.server_address[1]}", answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield origin
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def clients() -> Iterator[HttpClients]:
    clients = HttpClients()
    yield clients
    clients.close()


def call(url: str) -> Call:
    return Call(url, {"authorization": "Bearer canary-token", "content-type": "application/json"}, b"{}")


def send(clients: HttpClients, url: str) -> Any:
    return Exchange(clients, FakeClock()).send(call(url), TimeLimits(5.0))


def asend(clients: HttpClients, url: str) -> Any:
    return asyncio.run(Exchange(clients, FakeClock()).asend(call(url), TimeLimits(5.0)))


both_doors = pytest.mark.parametrize("door", [send, asend])


@both_doors
def test_a_proxy_from_the_environment_is_used(door: Any, clients: HttpClients, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        assert not isinstance(door(clients, "http://upstream.invalid/v1"), Refusal)
        assert [asked.target for asked in proxy.asked] == ["http://upstream.invalid/v1"]


@both_doors
def test_a_host_that_the_environment_exempts_is_reached_directly(
    door: Any, clients: HttpClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as proxy, serving() as origin:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        door(clients, origin.url + "/v1")
        assert [asked.target for asked in origin.asked] == ["/v1"]
        assert proxy.asked == []


@both_doors
@pytest.mark.parametrize("exempt", ["[::1]", "localhost,[::1]", "[::1]:8080", "*.corp/"])
def test_an_exemption_that_nobody_can_read_stops_no_request_where_there_is_no_proxy(
    door: Any, exempt: str, clients: HttpClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, every request of a thread failed, and the message named other variables."""
    monkeypatch.setenv("NO_PROXY", exempt)
    monkeypatch.setenv("no_proxy", exempt)
    with serving() as origin:
        assert not isinstance(door(clients, origin.url + "/v1"), Refusal)


@both_doors
def test_an_exemption_that_cannot_be_read_beside_a_proxy_is_named_with_its_variable(
    door: Any, clients: HttpClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (
        ("HTTP_PROXY", "http://user:canary@127.0.0.1:9"),
        ("NO_PROXY", "::1,10.0.0.0/8,.corp,[fe80::1]"),
    ):
        monkeypatch.setenv(name, value)
        monkeypatch.setenv(name.lower(), value)
    with pytest.raises(SettingsError, match=r"NO_PROXY has the entry '\[fe80::1\]'.*without brackets") as caught:
        door(clients, "http://127.0.0.1:9/")
    assert "canary" not in str(caught.value)


@both_doors
@pytest.mark.parametrize("proxy", ["nonsense://user:canary-password@host", "socks9://host", "http://[::1"])
def test_a_proxy_that_cannot_be_used_is_an_error_that_names_the_variables(
    door: Any, proxy: str, clients: HttpClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    monkeypatch.setenv("all_proxy", proxy)
    with pytest.raises(SettingsError, match="ALL_PROXY") as caught:
        door(clients, "http://upstream.invalid/")
    assert "canary" not in str(caught.value)
    assert caught.value.__context__ is None


@both_doors
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_and_the_bearer_token_stays_here(door: Any, status: int, clients: HttpClients) -> None:
    with serving() as elsewhere:
        with serving(lambda _: (status, {"location": elsewhere.url + "/"}, b"")) as origin:
            refusal = door(clients, origin.url + "/v1")
            assert len(origin.asked) == 1
        assert isinstance(refusal, Refusal)
        assert refusal.kind is not RefusalKind.AUTH
        assert elsewhere.asked == []


@both_doors
def test_cookies_of_one_request_do_not_go_out_with_the_next(door: Any, clients: HttpClients) -> None:
    status, headers, body = OK
    with serving(lambda _: (status, {**headers, "set-cookie": "session=of-account-1; Path=/"}, body)) as origin:
        door(clients, origin.url + "/v1")
        door(clients, origin.url + "/v1")
        assert [asked.headers.get("cookie") for asked in origin.asked] == [None, None]


def test_threads_share_a_pool_of_connections(clients: HttpClients) -> None:
    with serving() as origin:
        for _ in range(3):
            thread = threading.Thread(target=send, args=(clients, origin.url + "/v1"))
            thread.start()
            thread.join()
        assert len({asked.connection for asked in origin.asked}) == 1


def test_one_event_loop_after_the_other_is_served_and_its_connections_are_let_go(clients: HttpClients) -> None:
    with serving() as origin:

        async def twice() -> None:
            exchange = Exchange(clients, FakeClock())
            for _ in range(2):
                assert not isinstance(await exchange.asend(call(origin.url + "/v1"), TimeLimits(5.0)), Refusal)

        before = open_sockets()
        for _ in range(5):
            asyncio.run(twice())
        connections = [asked.connection for asked in origin.asked]
        assert connections[0::2] == connections[1::2]
        assert len(set(connections)) == 5
        gc.collect()
        # The loop that ran last keeps its own; the server in this process has the other end of it.
        assert open_sockets() - before <= 4


def open_sockets() -> int:
    gc.collect()
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("open files cannot be counted here")
    return sum(one.is_socket() for one in descriptors.iterdir())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_opens_connections_of_its_own(clients: HttpClients) -> None:
    with serving() as origin:
        send(clients, origin.url + "/parent")
        pid = os.fork()
        if pid == 0:
            try:
                send(clients, origin.url + "/child")
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        send(clients, origin.url + "/parent")
        parent, child, again = origin.asked
        assert [asked.target for asked in origin.asked] == ["/parent", "/child", "/parent"]
        assert parent.connection == again.connection != child.connection


@both_doors
def test_http_2_is_not_offered(door: Any, clients: HttpClients) -> None:
    offered: list[bytes] = []

    def listen() -> None:
        connection, _ = listener.accept()
        with connection:
            offered.append(connection.recv(65_536))  # the ClientHello; its ALPN extension is in the clear

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=listen)
        thread.start()
        assert isinstance(door(clients, f"https://127.0.0.1:{listener.getsockname()[1]}/"), Refusal)
        thread.join()
    assert b"\x08http/1.1" in offered[0]
    assert b"\x02h2" not in offered[0]


# What comes of an exchange


def stream_of(*chunks: bytes) -> tuple[int, dict[str, str], bytes]:
    return 200, {"content-type": "text/event-stream; charset=utf-8"}, b"".join(chunks)


def sse(text: str, *, last: bool = False) -> bytes:
    candidate = {"content": {"parts": [{"text": text}]}, **({"finishReason": "STOP"} if last else {})}
    return b"data: " + json.dumps({"response": {"candidates": [candidate]}}, ensure_ascii=False).encode() + b"\r\n\r\n"


def test_a_stream_is_read_past_heartbeats_and_line_separators_in_its_text(clients: HttpClients) -> None:
    body = stream_of(b": ping\n\n", b"data:\n\n", sse("a\u2028b"), b"data: [DONE]\n\n", sse("c\u0085", last=True))
    with serving(lambda _: body) as origin:
        stream = Exchange(clients, FakeClock()).open(call(origin.url + "/v1"), TimeLimits(5.0))
        assert not isinstance(stream, Refusal)
        texts = [reply["candidates"][0]["content"]["parts"][0]["text"] for reply in stream]
        stream.close()
    assert texts == ["a\u2028b", "c\u0085"]


def test_a_stream_without_a_final_blank_line_is_whole(clients: HttpClients) -> None:
    with serving(lambda _: stream_of(sse("a"), sse("b", last=True).rstrip())) as origin:
        stream = Exchange(clients, FakeClock()).open(call(origin.url + "/v1"), TimeLimits(5.0))
        assert not isinstance(stream, Refusal)
        assert len(list(stream)) == 2


@both_doors
def test_an_upstream_that_is_not_there_is_a_transport_problem_that_names_its_host(
    door: Any, clients: HttpClients
) -> None:
    with serving() as origin:
        pass
    refusal = door(clients, origin.url + "/v1")
    assert isinstance(refusal, Refusal)
    assert refusal.kind is RefusalKind.TRANSPORT
    assert "127.0.0.1" in refusal.message


def test_a_call_does_not_show_its_token() -> None:
    assert "canary" not in repr(call("http://upstream.invalid/"))
