"""A stand-in for OpenAI and Anthropic on loopback."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from typing_extensions import Self

CUT = -1
"""In place of a status: the connection ends in the middle of the reply."""


class Received(NamedTuple):
    """A request."""

    path: str
    key: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]


class OtherProviders:
    """Answers, or refuses with the statuses it was given first. Use it as a context manager.

    Attributes:
        received: every request, in order.
        statuses: of the next answers, or `CUT`; 200 when empty.
    """

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.statuses: list[int] = []
        self._lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                body = json.loads(self.rfile.read(length) or b"{}")
                with owner._lock:
                    key = self.headers.get("x-api-key") or self.headers.get("authorization") or ""
                    headers = {name.lower(): value for name, value in self.headers.items()}
                    owner.received.append(Received(self.path, key.removeprefix("Bearer "), headers, body))
                    status = owner.statuses.pop(0) if owner.statuses else 200
                kind, content = owner._answer(self.path, body, status)
                self.send_response(200 if status == CUT else status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(content)))
                self.send_header("x-request-id", "fixed")
                self.send_header("x-ratelimit-remaining-requests", "99")
                self.end_headers()
                if status != CUT:
                    self.wfile.write(content)
                    return
                self.wfile.write(content[: len(content) // 2])
                time.sleep(0.1)  # so that it is read before the end is noticed
                self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def forget(self) -> None:
        """Start anew."""
        with self._lock:
            self.received.clear()
            self.statuses.clear()

    @property
    def environment(self) -> dict[str, str]:
        """Where LiteLLM finds it, and keys for it."""
        url = f"http://127.0.0.1:{self._server.server_port}"
        return {
            "OPENAI_API_BASE": f"{url}/v1",
            "OPENAI_BASE_URL": f"{url}/v1",
            "OPENAI_API_KEY": "openai-key-1",
            "OPENAI_API_KEY_2": "openai-key-2",
            "ANTHROPIC_API_BASE": url,
            "ANTHROPIC_API_KEY": "anthropic-key",
        }

    def _answer(self, path: str, body: Mapping[str, Any], status: int) -> tuple[str, bytes]:
        model = body.get("model")
        if status not in (200, CUT):
            error = {"error": {"type": "stand_in", "message": f"told to say {status}", "code": str(status)}}
            return "application/json", json.dumps({"type": "error", **error}).encode()
        if path.endswith("/messages"):
            return _message(body)
        if path.endswith("/responses"):
            return _response(body)
        if path.endswith("/embeddings"):
            vector = {"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}
            usage = {"prompt_tokens": 1, "total_tokens": 1}
            return _whole({"object": "list", "model": model, "data": [vector], "usage": usage})
        return _completion(body)


def _whole(document: Mapping[str, Any]) -> tuple[str, bytes]:
    return "application/json", json.dumps(document).encode()


def _events(events: Iterable[Mapping[str, Any]], *, last: str = "") -> tuple[str, bytes]:
    named = [(f"event: {one['type']}\n" if "type" in one else "") + f"data: {json.dumps(one)}\n\n" for one in events]
    return "text/event-stream", "".join([*named, last]).encode()


def _message(body: Mapping[str, Any]) -> tuple[str, bytes]:
    message: dict[str, Any] = {"id": "msg_1", "type": "message", "role": "assistant", "model": body.get("model")}
    message |= {"stop_reason": "end_turn", "stop_sequence": None}
    usage = {"input_tokens": 1, "output_tokens": 1}
    if not body.get("stream"):
        return _whole({**message, "content": [{"type": "text", "text": "anthropic"}], "usage": usage})
    message |= {"stop_reason": None, "content": [], "usage": usage}
    return _events(
        [
            {"type": "message_start", "message": message},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "anthropic"}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
            {"type": "message_stop"},
        ]
    )


def _completion(body: Mapping[str, Any]) -> tuple[str, bytes]:
    base = {"id": "chatcmpl-1", "created": 1_700_000_000, "model": body.get("model")}
    if body.get("stream"):
        chunks = [{"role": "assistant", "content": "open"}, {"content": "ai"}, {}]
        choices = [{"index": 0, "delta": delta, "finish_reason": None if delta else "stop"} for delta in chunks]
        events = [{**base, "object": "chat.completion.chunk", "choices": [choice]} for choice in choices]
        return _events(events, last="data: [DONE]\n\n")
    choice = {"index": 0, "message": {"role": "assistant", "content": "openai"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return _whole({**base, "object": "chat.completion", "choices": [choice], "usage": usage})


def _response(body: Mapping[str, Any]) -> tuple[str, bytes]:
    text = {"type": "output_text", "text": "openai", "annotations": []}
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [text]}
    usage: dict[str, Any] = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    usage |= {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    begun: dict[str, Any] = {"id": "resp_1", "object": "response", "created_at": 1_700_000_000}
    begun |= {"model": body.get("model"), "status": "in_progress", "output": [], "parallel_tool_calls": True}
    begun |= {"tool_choice": "auto", "tools": [], "error": None, "incomplete_details": None, "metadata": {}}
    done = {**begun, "status": "completed", "output": [item], "usage": usage}
    if not body.get("stream"):
        return _whole(done)
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    return _events(
        [
            {"type": "response.created", "response": begun},
            {"type": "response.output_text.delta", "delta": "openai", **where},
            {"type": "response.output_text.done", "text": "openai", **where},
            {"type": "response.completed", "response": done},
        ]
    )
