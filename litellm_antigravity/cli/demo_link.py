"""How the demo and its workers talk: lines of JSON on connections of loopback, each of which begins with a token."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from typing_extensions import Self  # pydantic brings it; typing has it from Python 3.11 on

HOST = "127.0.0.1"
BEAT_SECONDS = 1.0
_STRANGER_SECONDS = 10.0

Source: TypeAlias = tuple[str, int]
"""``("worker", 2)``, or ``("starter", 1)`` for the process that makes workers, by the first of them."""


class Link:
    """One connection. Any thread may speak; one listens."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lines = connection.makefile("r", encoding="ascii")
        self._lock = threading.Lock()

    @classmethod
    def to_demo(cls, port: int, token: str, source: Source, **more: object) -> Link:
        """Connect to the demo and say who it is.

        Raises:
            OSError: when there is no demo any more.
        """
        link = cls(socket.create_connection((HOST, port)))
        link.say(token=token, source=source, **more)
        return link

    def say(self, **message: object) -> None:
        """Send a message; lost when nobody listens, which the listener finds out."""
        with self._lock, contextlib.suppress(OSError):
            self._connection.sendall(json.dumps(message).encode("ascii") + b"\n")

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield what the other side says, to its end."""
        with contextlib.suppress(OSError, ValueError):  # cut off, perhaps in the middle of a line
            for line in self._lines:
                yield json.loads(line)

    def close(self) -> None:
        """End it: the other side's listener ends."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()


class Beat:
    """Says every second how much processor time this process has used, for whoever waits to see that it moves.

    Use it as a context manager.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            self._link.say(used=time.process_time() - time.thread_time())  # all but what the beat itself has used

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


class Switchboard:
    """The demo's side: takes connections, and puts what comes into one inbox. Use it as a context manager.

    Attributes:
        inbox: who said what; ``None`` when they have ended.
        port: where it listens.
        token: what a connection has to begin with: other programs on this machine could connect, too.
    """

    def __init__(self) -> None:
        self.inbox: SimpleQueue[tuple[Source, dict[str, Any] | None]] = SimpleQueue()
        self.token = secrets.token_hex(16)
        self._links: dict[Source, Link] = {}
        self._server = socket.create_server((HOST, 0))
        self.port: int = self._server.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for connections
        self._server.close()
        for link in list(self._links.values()):
            link.close()

    def say(self, source: Source, message: Mapping[str, Any]) -> None:
        """Send a message to somebody who has connected; their end is told in the inbox."""
        self._links[source].say(**message)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                connection, _ = self._server.accept()
                threading.Thread(target=self._listen, args=(connection,), daemon=True).start()

    def _listen(self, connection: socket.socket) -> None:
        connection.settimeout(_STRANGER_SECONDS)
        link = Link(connection)
        messages = iter(link)
        hello: Any = next(messages, None)  # a stranger may say anything
        told = str(hello.get("token")) if isinstance(hello, dict) else ""
        if not secrets.compare_digest(told.encode(), self.token.encode()):
            link.close()
            return
        connection.settimeout(None)
        kind, number = hello["source"]
        source = (str(kind), int(number))
        self._links[source] = link
        self.inbox.put((source, {**hello, "hello": True}))
        for message in messages:
            self.inbox.put((source, message))
        self.inbox.put((source, None))
