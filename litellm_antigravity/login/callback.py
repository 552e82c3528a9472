"""Where the browser brings the answer: a server on loopback, for one question and no longer than that.

RFC 8252, section 7.3: any port of ``127.0.0.1``, which is preferred to ``localhost`` (section 8.3).
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import parse_qs, urlsplit

from litellm_antigravity.errors import SignInError
from litellm_antigravity.logs import LOGGER

FIRST_PORT: Final = 51121
"""Where opencode-antigravity-auth listens too; whoever comes second takes the next one that is free."""

PATH: Final = "/oauth-callback"

_HOST: Final = "127.0.0.1"
_PORTS: Final = 50
_POLL_SECONDS: Final = 0.25  # a wait without a time-out hides Ctrl-C on Windows

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>litellm-antigravity</title>
<body style="font: 1.1rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 4rem auto; padding: 0 1rem">
<h1 style="font-size: 1.4rem">{title}</h1><p>{text}</p></body></html>
"""
_THANKS = _PAGE.format(title="Thank you", text="You can close this page and go back to the terminal.")
_DECLINED = _PAGE.format(title="Nothing has changed", text="The sign-in was not allowed. You can close this page.")
_NOT_THIS = _PAGE.format(
    title="This answer belongs to another sign-in",
    text="It was ignored. Open the address that the terminal shows now.",
)


class Callback:
    """The answers that came; see `listening`.

    Attributes:
        redirect_uri: the address to be told to the authorization endpoint.
    """

    def __init__(self, port: int) -> None:
        self.redirect_uri = redirect_uri(port)
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.accepts: Callable[[str], bool] = lambda _: False

    def take(self, answer: str) -> None:
        """Take an answer that belongs to the question."""
        self._answers.put(answer)

    def expect(self, accepts: Callable[[str], bool]) -> None:
        """Take the answers to a question from now on: before the page is opened, since a browser may be quick.

        Args:
            accepts: whether an answer belongs to it; called from the server's threads.
        """
        self.accepts = accepts

    def wait(self, seconds: float) -> str:
        """Return the first answer to the question that is expected.

        Args:
            seconds: to wait at most.

        Raises:
            SignInError: when none has come.
        """
        left = seconds
        while left > 0:
            with contextlib.suppress(queue.Empty):
                return self._answers.get(timeout=min(_POLL_SECONDS, left))
            left -= _POLL_SECONDS
        msg = f"No answer has come within {seconds / 60:.0f} minutes. Nothing has changed."
        raise SignInError(msg)


def redirect_uri(port: int = FIRST_PORT) -> str:
    """Return the address that the browser is sent to."""
    return f"http://{_HOST}:{port}{PATH}"


@contextlib.contextmanager
def listening(first_port: int = FIRST_PORT) -> Iterator[Callback]:
    """Listen on loopback for as long as the block runs.

    Args:
        first_port: the port to try first; then the next ones, then any that is free.

    Raises:
        SignInError: when no port can be had.
    """
    server = _bound(first_port)
    thread = threading.Thread(
        target=server.serve_forever, args=(_POLL_SECONDS,), name="antigravity-sign-in", daemon=True
    )
    thread.start()
    try:
        yield server.callback
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    """Threads, since a browser may open a connection and say nothing on it."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = os.name != "nt"  # there it would share the port with whoever listens already

    def __init__(self, port: int) -> None:
        super().__init__((_HOST, port), _Handler)
        self.callback = Callback(self.server_address[1])


class _Handler(BaseHTTPRequestHandler):
    timeout = 10.0
    server: _Server

    def do_GET(self) -> None:
        found = urlsplit(self.path)
        if found.path != PATH:
            self._show(404, _PAGE.format(title="Nothing here", text=""))
        elif self.server.callback.accepts(found.query):
            try:
                self._show(200, _DECLINED if "error" in parse_qs(found.query) else _THANKS)
            finally:  # not before: with the answer the program may end, and the browser would show an error
                self.server.callback.take(found.query)
        else:
            LOGGER.warning("An answer that belongs to another sign-in was ignored.")
            self._show(400, _NOT_THIS)

    def _show(self, status: int, page: str) -> None:
        body = page.encode()
        self.send_response(status)
        self.send_header("content-type", "text/html; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.send_header("cache-control", "no-store")
        self.send_header("referrer-policy", "no-referrer")  # the code is in this page's address
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's signature
        """Say nothing: the code is in the request line."""


def _bound(first_port: int) -> _Server:
    """Return a server on the first port that is free."""
    problem: OSError | None = None
    for port in (*range(first_port, min(first_port + _PORTS, 65_536)), 0):
        tried = _tried(port)
        if isinstance(tried, _Server):
            return tried
        problem = tried
    msg = f"No port of {_HOST} can be listened on ({problem}). Sign in with --no-browser."
    raise SignInError(msg)


def _tried(port: int) -> _Server | OSError:
    try:
        return _Server(port)
    except OSError as error:
        return error
