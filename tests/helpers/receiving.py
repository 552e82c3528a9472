"""A receiver of webhooks on loopback."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from typing_extensions import Self


class Receiver:
    """Takes what is posted to it, or answers as it is told to.

    Attributes:
        texts: the bodies that it has taken, in order.
        status: what it answers with.
        headers: of its answers.
        tries: how often something was posted.
    """

    def __init__(self, port: int = 0) -> None:
        self.texts: list[str] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        self.tries = 0
        self._lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers["content-length"])).decode()
                with receiver._lock:
                    receiver.tries += 1
                    if 200 <= receiver.status < 300:
                        receiver.texts.append(text)
                self.send_response(receiver.status)
                for name, value in {"content-length": "0", **receiver.headers}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/services/canary-of-a-webhook-1"

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """What it has taken, as JSON."""
        return [json.loads(text) for text in self.texts]

    @property
    def told(self) -> list[tuple[str, str | None, str]]:
        """Event, account and pool of what it has taken."""
        return [(one["event"], one["account"], one["pool"]) for one in self.bodies]

    def close(self) -> None:
        """Be down."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
