"""A server that answers both of LiteLLM's Gemini routes and Cloud Code's with the same reply, and does nothing else."""

from __future__ import annotations

import json
import sys
from typing import Any

from aiohttp import web

REPLY: dict[str, Any] = {
    "candidates": [
        {"content": {"role": "model", "parts": [{"text": "Hello there. " * 20}]}, "finishReason": "STOP", "index": 0}
    ],
    "usageMetadata": {"promptTokenCount": 12, "candidatesTokenCount": 80, "totalTokenCount": 92},
    "modelVersion": "gemini-2.5-flash",
}
CHUNKS = 20


def _chunks() -> list[dict[str, Any]]:
    chunks = []
    for number in range(CHUNKS):
        candidate: dict[str, Any] = {"content": {"role": "model", "parts": [{"text": "Hello there. "}]}, "index": 0}
        chunk: dict[str, Any] = {"candidates": [candidate], "modelVersion": "gemini-2.5-flash"}
        if number == CHUNKS - 1:
            candidate["finishReason"] = "STOP"
            chunk["usageMetadata"] = REPLY["usageMetadata"]
        chunks.append(chunk)
    return chunks


WHOLE = {True: json.dumps({"response": REPLY}).encode(), False: json.dumps(REPLY).encode()}
EVENTS = {
    wrapped: [
        b"data: " + json.dumps({"response": chunk} if wrapped else chunk).encode() + b"\r\n\r\n" for chunk in _chunks()
    ]
    for wrapped in (True, False)
}


async def _answer(request: web.Request) -> web.StreamResponse:
    await request.read()
    wrapped = "v1internal" in request.path
    if "streamGenerateContent" not in request.path:
        return web.Response(body=WHOLE[wrapped], content_type="application/json")
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for event in EVENTS[wrapped]:
        await response.write(event)
    return response


def main() -> None:
    """Serve on the port of the first argument."""
    app = web.Application()
    app.router.add_post("/{path:.*}", _answer)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)


if __name__ == "__main__":
    main()
