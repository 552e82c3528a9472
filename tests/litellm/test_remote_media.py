"""Images named by URL: fetched over real HTTP, and slow ones hold up nobody else."""

from __future__ import annotations

import asyncio
import base64
import queue
import secrets
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import litellm
import pytest
from serving import MESSAGES, settings_of, text_of
from support import HANG_SECONDS

import litellm_antigravity
from litellm_antigravity.simulator import Simulator

MODEL = "antigravity/gemini-3-flash"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SLOW = 40


class Images:
    """A server of images, on loopback; it answers when `release` has been called.

    Attributes:
        host: with its port.
        asked: the names of those that have been asked for.
    """

    def __init__(self) -> None:
        self.asked: queue.Queue[str] = queue.Queue()
        self._folder = f"/{secrets.token_hex(8)}/"
        self._released = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if not self.path.startswith(owner._folder):
                    self.send_error(404)  # a stranger, who takes us for the server that had this port before
                    return
                owner.asked.put(self.path.removeprefix(owner._folder))
                owner._released.wait(HANG_SECONDS)
                self.send_response(200)
                self.send_header("content-type", "image/png")
                self.send_header("content-length", str(len(PNG)))
                self.end_headers()
                self.wfile.write(PNG)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_port}"

    def url(self, name: str) -> str:
        """Return the address of an image; nobody else can know it."""
        return f"http://{self.host}{self._folder}{name}"

    def release(self) -> None:
        self._released.set()

    def __enter__(self) -> Images:  # noqa: PYI034 - typing.Self came with Python 3.11
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch) -> Iterator[Images]:
    with Images() as started:
        monkeypatch.setattr(litellm, "user_url_allowed_hosts", [started.host], raising=False)
        yield started


def looking_at(images: Images, number: int) -> list[dict[str, Any]]:
    image = {"type": "image_url", "image_url": {"url": images.url(f"{number}.png")}}
    return [{"role": "user", "content": [{"type": "text", "text": "Look"}, image]}]


def parts_sent(simulator: Simulator) -> list[dict[str, Any]]:
    bodies = [entry.body for entry in simulator.log if entry.model is not None]
    return [part for body in bodies for part in body["request"]["contents"][0]["parts"] if "inlineData" in part]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_requests_whose_images_are_slow_hold_up_nobody_else(
    stream: bool, images: Images, antigravity_simulator: Simulator, tmp_path: Path
) -> None:
    litellm_antigravity.register(settings_of(antigravity_simulator, tmp_path))

    async def ask(messages: list[dict[str, Any]]) -> str:
        reply = await litellm.acompletion(model=MODEL, messages=messages, stream=stream)
        return text_of([chunk async for chunk in reply] if stream else reply)

    async def run() -> list[str]:
        slow = [asyncio.create_task(ask(looking_at(images, number))) for number in range(SLOW)]
        for _ in range(8):  # more than the event loop has threads on a small machine
            await asyncio.to_thread(images.asked.get, timeout=HANG_SECONDS)
        first = await asyncio.wait_for(ask(MESSAGES), 30)
        assert not any(task.done() for task in slow)
        images.release()
        return [first, *await asyncio.gather(*slow)]

    assert all(text.startswith("Served by") for text in asyncio.run(run()))
    assert len(parts_sent(antigravity_simulator)) == SLOW


def test_an_image_that_may_not_be_fetched_is_the_callers_mistake(
    images: Images, antigravity_simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    litellm_antigravity.register(settings_of(antigravity_simulator, tmp_path))
    monkeypatch.setattr(litellm, "user_url_allowed_hosts", [])
    for stream in (False, True):
        with pytest.raises(litellm.BadRequestError, match="cannot be fetched"):
            asyncio.run(litellm.acompletion(model=MODEL, messages=looking_at(images, 1), stream=stream))
        with pytest.raises(litellm.BadRequestError, match="cannot be fetched"):
            litellm.completion(model=MODEL, messages=looking_at(images, 1), stream=stream)
    assert images.asked.empty(), images.asked.get()
    assert antigravity_simulator.log == []
