"""A server that answers both of LiteLLM's Gemini routes and Cloud Code's with the same reply, and does nothing else.

The events of its streams have the fields of the Gemini API's: each says what has been counted so far.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from aiohttp import web

MODEL = "gemini-2.5-flash"
CHUNKS = 20

USAGE = {
    "promptTokenCount": 12,
    "candidatesTokenCount": 80,
    "totalTokenCount": 92,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 12}],
}
REPLY: dict[str, Any] = {
    "candidates": [
        {"content": {"role": "model", "parts": [{"text": "Hello there. " * 20}]}, "finishReason": "STOP", "index": 0}
    ],
    "usageMetadata": USAGE,
    "modelVersion": MODEL,
}


def _chunks(count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        text = f"Hello there, {number}. "  # each another one: LiteLLM takes many of the same for a model gone astray
        candidate: dict[str, Any] = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
        if number == count - 1:
            candidate["finishReason"] = "STOP"
        yield {
            "candidates": [candidate],
            "usageMetadata": USAGE,
            "modelVersion": MODEL,
            "responseId": "a-benchmarks-reply-000",
        }


def _application(count: int) -> web.Application:
    whole = {True: json.dumps({"response": REPLY}).encode(), False: json.dumps(REPLY).encode()}
    events = {
        wrapped: [
            b"data: " + json.dumps({"response": chunk} if wrapped else chunk).encode() + b"\r\n\r\n"
            for chunk in _chunks(count)
        ]
        for wrapped in (True, False)
    }

    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        wrapped = "v1internal" in request.path
        if "streamGenerateContent" not in request.path:
            return web.Response(body=whole[wrapped], content_type="application/json")
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for event in events[wrapped]:
            await response.write(event)
        return response

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    return app


@contextlib.contextmanager
def started(chunks: int = CHUNKS) -> Iterator[str]:
    """Start it in a process of its own, with streams of that many chunks; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = subprocess.Popen([sys.executable, "-m", "tests.benchmarks.server", str(port), str(chunks)])
    try:
        _wait_for(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    msg = "the benchmark's server did not start"
    raise RuntimeError(msg)


def main() -> None:
    """Serve on the port of the first argument, with streams of as many chunks as the second one says."""
    web.run_app(_application(int(sys.argv[2])), host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)


if __name__ == "__main__":
    main()
