"""A time-out is one over everything until the first content, and then one from content to content, whatever drips.

Before, LiteLLM's doors to us went on for as long as something dripped, as its own `gemini/` does.
"""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import litellm
import pytest
from dripping_doors import READY, _direct, acomplete, both_kinds, complete, register
from raw_server import CHUNKED, Dripping, chunk, event, saying, serving
from serving import text_of

__all__ = ["_direct"]  # fixtures


JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n"
HEADERS = b"HTTP/1.1 200 OK\r\nX-Long: "
NOTHING = b'data: {"response": {"candidates": [{"content": {"role": "model"}}]}}\r\n\r\n'


@pytest.fixture(scope="module", autouse=True)
def _not_the_first_request(tmp_path_factory: pytest.TempPathFactory, _nobodys_home: None) -> None:
    """Ask once before: what LiteLLM does for a first request takes, on a busy machine, longer than these may take."""
    with serving(saying(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")) as server:
        register(tmp_path_factory.mktemp("first"), server.url, READY)
        for door in (complete, acomplete):
            for stream in (False, True):
                with pytest.raises(litellm.BadRequestError):
                    door(stream=stream)


@both_kinds
@pytest.mark.parametrize(
    ("stream", "before", "piece"),
    [
        pytest.param(False, (HEADERS,), b"x", id="headers"),
        pytest.param(False, (JSON,), b" ", id="body"),
        pytest.param(True, (HEADERS,), b"x", id="headers of a stream"),
        pytest.param(True, (CHUNKED,), chunk(b": still here\n\n"), id="comments"),
        pytest.param(True, (CHUNKED,), chunk(b"data:\n\n"), id="empty events"),
        pytest.param(True, (CHUNKED,), chunk(NOTHING), id="events without content"),
        pytest.param(True, (CHUNKED,), chunk(event("")), id="empty texts"),
        pytest.param(True, (CHUNKED,), chunk(b"data"), id="a line"),
    ],
)
def test_what_drips_before_the_first_content_is_a_time_out(
    door: Any, stream: bool, before: tuple[bytes, ...], piece: bytes, tmp_path: Path
) -> None:
    dripping = Dripping(*before, piece=piece)
    with serving(dripping) as server:
        register(tmp_path, server.url, READY)
        with pytest.raises(litellm.Timeout):
            door(timeout=0.5, stream=stream)
        assert dripping.given_up.wait(30)


@both_kinds
@pytest.mark.parametrize("piece", [chunk(b": still here\n\n"), chunk(NOTHING)], ids=["comments", "no content"])
def test_what_drips_after_a_content_is_a_time_out(door: Any, piece: bytes, tmp_path: Path) -> None:
    dripping = Dripping(CHUNKED, chunk(event("Hello")), piece=piece)
    with serving(dripping) as server:
        register(tmp_path, server.url, READY)
        with pytest.raises((litellm.Timeout, litellm.exceptions.MidStreamFallbackError), match="timed out"):
            door(timeout=0.5, stream=True)
        assert dripping.given_up.wait(30)


@both_kinds
def test_a_stream_may_take_longer_than_the_time_until_its_first_content(door: Any, tmp_path: Path) -> None:
    def serve(connection: socket.socket) -> None:
        saying(CHUNKED)(connection)
        for number in range(6):
            connection.sendall(chunk(event(f"{number} ", last=number == 5)))
            time.sleep(0.5)
        connection.sendall(chunk(b""))

    with serving(serve) as server:
        register(tmp_path, server.url, READY)
        assert text_of(door(timeout=2.0, stream=True)) == "0 1 2 3 4 5 "


@both_kinds
@pytest.mark.parametrize("before", [(HEADERS,), (JSON,)], ids=["headers", "body"])
@pytest.mark.parametrize("what", ["token", "project"])
def test_a_token_or_a_project_that_drips_leaves_the_turn_to_another_account(
    door: Any, before: tuple[bytes, ...], what: str, tmp_path: Path
) -> None:
    """Before: 65 s for the headers of a token, no end for those of a project."""
    dripping = Dripping(*before, piece=b" ")
    whole = b'{"response": {"candidates": [{"content": {"parts": [{"text": "Hello"}]}, "finishReason": "STOP"}]}}'

    def serve(connection: socket.socket) -> None:
        head = connection.recv(65_536, socket.MSG_PEEK)
        if b"generateContent" in head:
            saying(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(whole), whole)(connection)
        else:
            dripping(connection)

    first = {"email": "user0@example.com"}
    first |= {"refreshToken": "1//refresh", "projectId": "p"} if what == "token" else {"accessToken": "other"}
    with serving(serve) as server:
        token_url = server.url.replace("/v1", "/token")
        register(tmp_path, server.url, first, READY, token_url=token_url, oauth_client_id="me")
        assert text_of(door(timeout=2.0)) == "Hello"
        assert dripping.given_up.wait(30)
