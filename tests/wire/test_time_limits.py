"""The time limits of an exchange: what each is from and until, on every kind of connection."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from exchange_doors import aread, both_streams, call, every_door, message_of, read, send
from raw_server import CHUNKED, WHOLE, Dripping, asked, chunk, event, saying, serving, silent

from litellm_antigravity.wire.http import HttpClients
from litellm_antigravity.wire.limits import TimeLimits

pytestmark = pytest.mark.once

JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n"
HEADERS = b"HTTP/1.1 200 OK\r\nX-Long: "
NOTHING = b'data: {"response": {"candidates": [{"content": {"role": "model"}}]}}\r\n\r\n'


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def clients() -> Iterator[HttpClients]:
    clients = HttpClients()
    yield clients
    clients.close()


@every_door
@pytest.mark.parametrize("before", [(), (HEADERS,)], ids=["nothing", "headers that do not end"])
def test_an_account_that_is_silent_for_its_turn_is_told_from_a_request_whose_time_is_up(
    door: Any, before: tuple[bytes, ...], clients: HttpClients
) -> None:
    with serving(silent(*before)) as server:
        _, silenced = door(clients, call(server.url), TimeLimits(60.0, first_byte=0.3))
        _, ended = door(clients, call(server.url), TimeLimits(0.3, first_byte=60.0))
    assert silenced is not None
    assert ended is not None
    assert (silenced.status, silenced.silent) == (408, True)
    assert (ended.status, ended.silent) == (408, False)


@every_door
def test_an_account_that_has_begun_to_answer_keeps_its_turn(door: Any, clients: HttpClients) -> None:
    body = b'{"response": {"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}]}}'
    whole = (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body)
    stream = (CHUNKED, chunk(event("a", last=True)) + chunk(b""))

    def serve(connection: socket.socket) -> None:
        head, rest = stream if door in (read, aread) else whole
        saying(head)(connection)
        time.sleep(1.5)
        connection.sendall(rest)

    with serving(serve) as server:
        assert door(clients, call(server.url), TimeLimits(60.0, first_byte=1.0)) == (["a"], None)


@both_streams
def test_what_the_reader_does_in_between_takes_none_of_the_time(door: Any, clients: HttpClients) -> None:
    reading = threading.Event()

    def serve(connection: socket.socket) -> None:
        saying(CHUNKED, chunk(event("a")))(connection)
        reading.wait(30)
        connection.sendall(chunk(event("b", last=True)) + chunk(b""))

    def after_a_while() -> None:
        time.sleep(1.5)
        reading.set()

    with serving(serve) as server:
        outcome = door(clients, call(server.url), TimeLimits(30.0, gap=1.0), after_a_while)
        assert outcome == (["a", "b"], None)


@every_door
@pytest.mark.parametrize("proxied", [False, True], ids=["directly", "through a proxy"])
def test_a_deadline_holds_on_tls_and_through_proxies(
    door: Any, proxied: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    dripping = Dripping(HEADERS, piece=b"x")
    tunnels = 0

    def serve(connection: socket.socket) -> None:
        nonlocal tunnels
        if proxied:
            asked(connection)
            tunnels += 1
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with context.wrap_socket(connection, server_side=True) as encrypted:
            dripping(encrypted)

    with serving(serve) as server:
        if proxied:
            monkeypatch.setenv("HTTPS_PROXY", server.url.removesuffix("/v1"))
        clients = HttpClients()
        message_of(door(clients, call(server.url.replace("http:", "https:")), TimeLimits(1.0)), texts=[], status=408)
        clients.close()
        assert dripping.given_up.wait(30)
    assert tunnels == (1 if proxied else 0)


@every_door
def test_a_proxy_that_drips_is_a_time_out(door: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    dripping = Dripping(HEADERS, piece=b"x")
    with serving(dripping) as server:
        monkeypatch.setenv("HTTPS_PROXY", server.url.removesuffix("/v1"))
        clients = HttpClients()
        message_of(door(clients, call("https://127.0.0.1:9/v1"), TimeLimits(0.5)), texts=[], status=408)
        clients.close()
        assert dripping.given_up.wait(30)


@every_door
def test_a_client_that_was_given_up_serves_the_next_request(door: Any, clients: HttpClients) -> None:
    dripping = Dripping(HEADERS, piece=b"x")
    body = b'{"response": {"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}]}}'
    answer = WHOLE if door in (read, aread) else b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    serves: list[Callable[[socket.socket], None]] = [saying(answer), dripping]

    def serve(connection: socket.socket) -> None:
        serves.pop()(connection)

    with serving(serve) as server:
        message_of(door(clients, call(server.url), TimeLimits(0.3)), texts=[], status=408)
        texts, refusal = door(clients, call(server.url), TimeLimits(30.0))
    assert refusal is None
    assert texts[0] == "a"


@pytest.mark.parametrize("door", [send, read])
def test_the_addresses_of_a_host_share_the_time_for_connecting(
    door: Any, clients: HttpClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, each address had all of it, and a host has many."""
    resolve = socket.getaddrinfo

    def two(host: str, port: int, *args: Any, **more: Any) -> list[Any]:
        names = ["127.0.0.2", "127.0.0.1"] if host == "two.example" else [host]
        return [found for name in names for found in resolve(name, port, *args, **more)]

    monkeypatch.setattr(socket, "getaddrinfo", two)
    with serving(saying(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")) as server, socket.socket() as deaf:
        port = int(server.url.split(":")[2].removesuffix("/v1"))
        deaf.bind(("127.0.0.2", port))
        deaf.listen(0)
        waiting = [socket.socket() for _ in range(3)]  # they fill the queue of a server that accepts nobody
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(deaf.getsockname())
        _, refusal = door(clients, call(f"http://two.example:{port}/v1"), TimeLimits(30.0, connect=1.0))
        for one in waiting:
            one.close()
    assert refusal is not None
    assert refusal.status == 503


@every_door
def test_a_caller_may_give_time_outs_of_httpx_which_hold_for_each_read(door: Any, clients: HttpClients) -> None:
    def serve(connection: socket.socket) -> None:
        asked(connection)
        for piece in (b"HTTP/1.1 503 Busy\r\n", b"X-Slow: 1\r\n", b"Content-Length: 0\r\n", b"\r\n"):
            time.sleep(0.5)
            connection.sendall(piece)

    with serving(serve) as server:
        _, refusal = door(clients, call(server.url), httpx.Timeout(60.0, read=1.5))
    assert refusal is not None
    assert refusal.status == 503


def self_signed(folder: Path) -> Path:
    """Write a key and a certificate of its own for 127.0.0.1 into one file."""
    file = folder / "own.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(folder / "key"), "-out", str(folder / "crt")]
    subprocess.run(command, check=True, capture_output=True)
    file.write_bytes((folder / "key").read_bytes() + (folder / "crt").read_bytes())
    return file
