"""No answer is read for longer than it may be, nor kept: packed or not, in one event or in none."""

from __future__ import annotations

import functools
import gzip
import json
import socket
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from exchange_doors import aread, both_streams, call, every_door, read, send
from pydantic import SecretStr
from raw_server import Flood, chunk, event, saying, serving

from litellm_antigravity import Settings
from litellm_antigravity.catalog import Catalogs
from litellm_antigravity.clock import SystemClock
from litellm_antigravity.errors import CredentialError, RequestRefusedError
from litellm_antigravity.refusals import RefusalKind
from litellm_antigravity.wire.asking import ask
from litellm_antigravity.wire.cloudcode import FETCH_AVAILABLE_MODELS, CloudCode
from litellm_antigravity.wire.http import HttpClients
from litellm_antigravity.wire.limits import TimeLimits
from litellm_antigravity.wire.reading import TooLongError
from litellm_antigravity.wire.sse import SSEDecoder

pytestmark = pytest.mark.once

LIMITS = TimeLimits(60.0)
SMALL = 200_000
A_LOT = 40_000_000
"""More than loopback's buffers hold, and less than what floods would send."""


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def clients() -> Iterator[HttpClients]:
    clients = HttpClients()
    yield clients
    clients.close()


def head(status: bytes = b"200 OK", *headers: bytes, stream: bool = False) -> bytes:
    kind = b"text/event-stream" if stream else b"application/json"
    lines = (b"HTTP/1.1 " + status, b"Content-Type: " + kind, b"Transfer-Encoding: chunked", *headers)
    return b"".join(line + b"\r\n" for line in (*lines, b""))


@functools.cache
def bomb() -> bytes:
    return chunk(gzip.compress(b" " * 200_000_000, compresslevel=1))


class Peak:
    """The most memory that was taken in between, in bytes."""

    def __enter__(self) -> Peak:  # noqa: PYI034 - typing.Self came with Python 3.11
        tracemalloc.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()


@every_door
@pytest.mark.parametrize(("status", "kind"), [(b"500 Oh", RefusalKind.TRANSPORT), (b"401 No", RefusalKind.AUTH)])
def test_of_an_endless_error_its_beginning_is_read(
    door: Any, status: bytes, kind: RefusalKind, clients: HttpClients
) -> None:
    """Before, all of it was: 400 MB cost 728 MB."""
    flood = Flood(head(status), piece=chunk(b"x" * 50_000))
    with serving(flood) as server:
        _, refusal = door(clients, call(server.url), LIMITS)
        assert server.done.wait(30)
    assert refusal is not None
    assert refusal.kind is kind
    assert flood.sent < A_LOT


@every_door
@pytest.mark.parametrize("status", [b"200 OK", b"429 Slow down"])
def test_a_bomb_is_not_unpacked(door: Any, status: bytes, clients: HttpClients) -> None:
    """Before, 298 kB of gzip cost 361 MB."""
    packed = bomb()
    stream = status.startswith(b"200") and door in (read, aread)
    with serving(saying(head(status, b"Content-Encoding: gzip", stream=stream), packed)) as server, Peak() as peak:
        _, refusal = door(clients, call(server.url), LIMITS, most=SMALL)
    assert refusal is not None
    assert refusal.status == (502 if status.startswith(b"200") else 429)
    assert peak.bytes < 20_000_000


@every_door
def test_a_reply_that_is_longer_than_it_may_be_is_broken(door: Any, clients: HttpClients) -> None:
    """Before, it was read until memory or time was up."""
    stream = door in (read, aread)
    flood = Flood(head(stream=stream), piece=chunk(b"x" * 50_000))
    with serving(flood) as server:
        _, refusal = door(clients, call(server.url), LIMITS, most=SMALL)
        assert server.done.wait(30)
    assert refusal is not None
    assert refusal.kind is RefusalKind.BROKEN_REPLY
    assert "max_reply_megabytes" in refusal.message
    assert flood.sent < A_LOT


def test_a_reply_that_says_it_will_be_too_long_is_not_read(clients: HttpClients) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999999999\r\n\r\n{"
    with serving(saying(answer)) as server:
        _, refusal = send(clients, call(server.url), LIMITS)
    assert refusal is not None
    assert refusal.kind is RefusalKind.BROKEN_REPLY


@both_streams
@pytest.mark.parametrize("begun", [False, True], ids=["before the first content", "after it"])
@pytest.mark.parametrize(
    "piece",
    [
        pytest.param(b"data: " + b"x" * 50_000, id="a line"),
        pytest.param(b": still here\n" * 4000, id="comments"),
        pytest.param(b"data: x\n" * 6000, id="lines of one event"),
        pytest.param(b"data: {}\n\n" * 5000, id="empty events"),
        pytest.param(event("") * 500, id="empty texts"),
    ],
)
def test_a_stream_without_content_for_longer_than_it_may_be_is_broken(
    door: Any, begun: bool, piece: bytes, clients: HttpClients
) -> None:
    """Before, it was read for ever, and kept; a line in quadratic time."""
    beginning = [chunk(event("a"))] if begun else []
    flood = Flood(head(stream=True), *beginning, piece=chunk(piece))
    with serving(flood) as server:
        texts, refusal = door(clients, call(server.url), LIMITS, most=SMALL)
        assert server.done.wait(30)
    assert texts[:1] == ["a"] * begun
    assert refusal is not None
    assert "max_reply_megabytes" in refusal.message
    assert flood.sent < A_LOT


@both_streams
def test_a_long_stream_of_contents_is_not_bounded(door: Any, clients: HttpClients) -> None:
    pieces = [chunk(event("x" * 50_000)) for _ in range(20)]
    serve = saying(head(stream=True), *pieces, chunk(event("end", last=True)), chunk(b""))
    with serving(serve) as server:
        texts, refusal = door(clients, call(server.url), LIMITS, most=SMALL)
    assert refusal is None
    assert len(texts) == 21


@both_streams
@pytest.mark.parametrize("size", [7, 100_000])
def test_a_packed_stream_is_unpacked_as_it_comes(door: Any, size: int, clients: HttpClients) -> None:
    packing = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    packed = b""
    for number in range(4):
        packed += packing.compress(event("x" * 80_000 + str(number), last=number == 3))
        packed += packing.flush(zlib.Z_SYNC_FLUSH)
    packed += packing.flush()
    pieces = [chunk(packed[start : start + size]) for start in range(0, len(packed), size)]
    with serving(saying(head(b"200 OK", b"Content-Encoding: gzip", stream=True), *pieces, chunk(b""))) as server:
        texts, refusal = door(clients, call(server.url), LIMITS)
    assert refusal is None
    assert [text[-1] for text in texts] == ["0", "1", "2", "3"]


@every_door
@pytest.mark.parametrize("encoding", [b"br", b"gzip, gzip", b"zstd", b"deflate"])
def test_an_encoding_that_nobody_asked_for_is_an_error_unless_the_status_says_more(
    door: Any, encoding: bytes, clients: HttpClients
) -> None:
    stream = door in (read, aread)
    header = b"Content-Encoding: " + encoding
    with serving(saying(head(b"200 OK", header, stream=stream), chunk(b"xyz"), chunk(b""))) as server:
        _, refusal = door(clients, call(server.url), LIMITS)
    assert refusal is not None
    assert (refusal.kind, refusal.status) == (RefusalKind.BROKEN_REPLY, 502)
    with serving(saying(head(b"401 No", header), chunk(b"xyz"), chunk(b""))) as server:
        _, refusal = door(clients, call(server.url), LIMITS)
    assert refusal is not None
    assert refusal.kind is RefusalKind.AUTH


@every_door
def test_what_is_not_gzip_although_it_says_so_is_broken(door: Any, clients: HttpClients) -> None:
    answer = head(b"200 OK", b"Content-Encoding: gzip", stream=door in (read, aread))
    with serving(saying(answer, chunk(b"{}xyz"), chunk(b""))) as server:
        _, refusal = door(clients, call(server.url), LIMITS)
    assert refusal is not None
    assert refusal.kind is RefusalKind.BROKEN_REPLY


@pytest.mark.timeout(100)
def test_a_line_of_megabytes_in_small_pieces_takes_linear_time() -> None:
    """Before, each piece copied all that had come: a minute and more for these."""
    decoder = SSEDecoder()
    assert decoder.feed(b"data: ") == []
    for _ in range(64_000):
        assert decoder.feed(b"x" * 1000) == []
    [line] = decoder.feed(b"\n\n")
    assert len(line) == 64_000_000


# Tokens, projects, models


def test_small_answers_are_bounded(clients: HttpClients) -> None:
    flood = Flood(head(), piece=chunk(b"x" * 50_000))
    with serving(flood) as server:
        with pytest.raises(TooLongError):
            ask(clients.sync(), server.url, headers={}, timeout=60, json={})
        assert server.done.wait(30)
    assert flood.sent < A_LOT


@pytest.mark.parametrize("what", ["token", "loadCodeAssist", "fetchAvailableModels"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
def test_an_endless_token_project_or_list_of_models_is_an_error(what: str, packed: bool, tmp_path: Path) -> None:
    """Before, projects and models were read for as long as they came, and any of them was unpacked at once."""
    flood = Flood(head(), piece=chunk(b" " * 50_000))
    bombing = saying(head(b"200 OK", b"Content-Encoding: gzip"), bomb())
    token = b'{"access_token": "ya29.token", "expires_in": 3600}'

    def serve(connection: socket.socket) -> None:
        asked = connection.recv(65_536, socket.MSG_PEEK)
        if what.encode() in asked.partition(b"\r\n")[0]:
            (bombing if packed else flood)(connection)
        else:
            saying(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(token), token)(connection)

    account = {"email": "user0@example.com", "refreshToken": "1//refresh"}
    account |= {} if what == "loadCodeAssist" else {"projectId": "p"}
    (tmp_path / "accounts.json").write_text(json.dumps({"version": 4, "accounts": [account]}))
    with serving(serve) as server, Peak() as peak:
        base = server.url.removesuffix("/v1")
        settings = Settings(
            accounts_file=tmp_path / "accounts.json",
            state_dir=tmp_path / "state",
            endpoint=base,
            token_url=f"{base}/token",
            oauth_client_id="me",
        )
        catalogs = Catalogs(settings)
        with pytest.raises((CredentialError, RequestRefusedError), match=r"cannot be (read|unpacked)"):
            catalogs.fetch()
        catalogs.close()
    assert flood.sent < A_LOT
    assert peak.bytes < 20_000_000


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"7", b"[" * 100_000, b"\xff"])
def test_a_small_question_that_is_answered_with_no_object_is_a_refusal(body: bytes, clients: HttpClients) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    with serving(saying(answer, body)) as server:
        upstream = CloudCode(Settings(endpoint=server.url.removesuffix("/v1")), clients, SystemClock())
        with pytest.raises(RequestRefusedError) as refused:
            upstream.ask(FETCH_AVAILABLE_MODELS, {}, SecretStr("ya29.token"), timeout=30, account="u***@example.com")
    assert refused.value.refusal.kind is RefusalKind.BROKEN_REPLY
    assert refused.value.account == "u***@example.com"
