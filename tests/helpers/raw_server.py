"""A server of raw bytes, for answers that are no HTTP, or come as no HTTP server would send them."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator

CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def event(text: str, *, last: bool = False) -> bytes:
    candidate = {"content": {"parts": [{"text": text}]}, **({"finishReason": "STOP"} if last else {})}
    return b"data: " + json.dumps({"response": {"candidates": [candidate]}}).encode() + b"\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


WHOLE = CHUNKED + chunk(event("a")) + chunk(event("b", last=True)) + chunk(b"")


class Server:
    """Does with each connection what it is told; raw, since what it does is no HTTP."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self.connections = 0
        self.done = threading.Event()
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with connection:
            with contextlib.suppress(OSError):  # the client has gone
                self._serve(connection)
            self.done.set()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@contextlib.contextmanager
def serving(serve: Callable[[socket.socket], None]) -> Iterator[Server]:
    server = Server(serve)
    try:
        yield server
    finally:
        server.close()


def asked(connection: socket.socket) -> bool:
    """Read one request without looking at it; false when the client has closed the connection instead."""
    received = b""
    while b"\r\n\r\n" not in received:
        more = connection.recv(65_536)
        if not more:
            return False
        received += more
    head, _, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    left = int(length[1]) - len(body) if length else 0
    while left > 0:
        left -= len(connection.recv(65_536)) or left
    return True


def saying(*pieces: bytes) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        asked(connection)
        for piece in pieces:
            connection.sendall(piece)

    return serve


def resetting(*pieces: bytes) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        saying(*pieces)(connection)
        if pieces:
            threading.Event().wait(0.5)  # else the reset overtakes what was said
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return serve


def silent(*pieces: bytes) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        saying(*pieces)(connection)
        connection.recv(1)  # until the client gives up

    return serve


class Dripping:
    """Says something small again and again, for long enough to be called endless.

    Args:
        before: what comes at once.
        piece: what comes again and again.

    Attributes:
        given_up: set when the client has gone, rather than waited for the end.
    """

    PAUSE_SECONDS = 0.05
    SECONDS = 20.0

    def __init__(self, *before: bytes, piece: bytes) -> None:
        self.given_up = threading.Event()
        self._before = before
        self._piece = piece

    def __call__(self, connection: socket.socket) -> None:
        saying(*self._before)(connection)
        connection.settimeout(self.PAUSE_SECONDS)
        try:
            for _ in range(int(self.SECONDS / self.PAUSE_SECONDS)):
                with contextlib.suppress(TimeoutError):
                    if connection.recv(1) == b"":
                        break
                connection.sendall(self._piece)
            else:
                return
        except OSError:
            pass
        self.given_up.set()


class Flood:
    """Says something again and again, as fast as it is read, up to a size that nobody should take.

    Args:
        before: what comes at once.
        piece: what comes again and again.

    Attributes:
        sent: bytes, when it is over.
    """

    MOST = 500_000_000

    def __init__(self, *before: bytes, piece: bytes) -> None:
        self.sent = 0
        self._before = before
        self._piece = piece

    def __call__(self, connection: socket.socket) -> None:
        saying(*self._before)(connection)
        while self.sent < self.MOST:
            connection.sendall(self._piece)
            self.sent += len(self._piece)


def without_a_chunk(connection: socket.socket) -> None:
    saying(CHUNKED, chunk(event("a")), chunk(event("b")))(connection)
    threading.Event().wait(0.5)  # what has come should be read first
    connection.sendall(b"zz\r\n")
    connection.recv(1)


def paused(ended: threading.Semaphore) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        saying(CHUNKED, chunk(event("a")))(connection)
        assert connection.recv(1) == b""
        ended.release()

    return serve
