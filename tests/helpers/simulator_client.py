"""A client of the simulator, as strict as the package; names of accounts and models, and how to read answers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from support import FakeClock

from litellm_antigravity.simulator import Simulator

GENERATE = "/v1internal:generateContent"
STREAM = "/v1internal:streamGenerateContent?alt=sse"
PROJECT = "/v1internal:loadCodeAssist"
FIRST, SECOND = "user1@example.com", "user2@example.com"
CLAUDE, GEMINI = "claude-sonnet-4-6", "gemini-3-flash"

Json = dict[str, Any]


class Client:
    """A client of one simulator, as strict as the package: every call is signed for one account."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.http = httpx.Client(base_url=simulator.url, timeout=10, trust_env=False)
        self.tokens: dict[str, str] = {}

    def refresh(self, email: str = FIRST, **changed: str) -> httpx.Response:
        form = {
            "grant_type": "refresh_token",
            "refresh_token": self.simulator.account(email).refresh_token,
            "client_id": self.simulator.client_id,
            "client_secret": self.simulator.client_secret,
        }
        return self.http.post("/token", data=form | changed)

    def signed(self, email: str = FIRST) -> dict[str, str]:
        if email not in self.tokens:
            self.tokens[email] = self.refresh(email).json()["access_token"]
        return {"authorization": f"Bearer {self.tokens[email]}"}

    def envelope(self, email: str = FIRST, model: str = CLAUDE, **request: Any) -> Json:
        contents = [{"role": "user", "parts": [{"text": "hello"}]}]
        return {
            "project": self.simulator.account(email).project,
            "model": model,
            "request": {"contents": contents} | request,
            "userAgent": "tests",
            "requestId": "1",
        }

    def ask(
        self, email: str = FIRST, model: str = CLAUDE, *, path: str = GENERATE, body: Any = None, **options: Any
    ) -> httpx.Response:
        sent = self.envelope(email, model) if body is None else body
        return self.http.post(path, json=sent, headers=self.signed(email), **options)

    def stream(self, email: str = FIRST, model: str = CLAUDE, body: Any = None) -> list[Json]:
        answer = self.ask(email, model, path=STREAM, body=body)
        assert answer.status_code == 200, answer.text
        return events(answer.text)

    def received_before(self, error: type[httpx.HTTPError], timeout: float = 10) -> bytes:
        """Return what a stream brings before it fails as expected."""
        received: list[bytes] = []
        signed, body = self.signed(), self.envelope()
        with (
            pytest.raises(error),
            self.http.stream("POST", STREAM, json=body, headers=signed, timeout=timeout) as answer,
        ):
            received.extend(answer.iter_raw())
        return b"".join(received)


def events(text: str) -> list[Json]:
    assert text.endswith("\r\n\r\n")
    return [json.loads(event.removeprefix("data: ")) for event in text.split("\r\n\r\n")[:-1]]


def text_of(replies: list[Json]) -> str:
    parts = [part for reply in replies for part in reply["response"]["candidates"][0]["content"]["parts"]]
    return "".join(part["text"] for part in parts)


def details_of(answer: httpx.Response) -> dict[str, Json]:
    return {detail["@type"].rpartition(".")[2]: detail for detail in answer.json()["error"]["details"]}


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that another thread does; the limit only keeps a failing test from hanging."""
    limit = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.002)


@pytest.fixture
def simulator(clock: FakeClock) -> Iterator[Simulator]:
    with Simulator(clock=clock) as running:
        yield running


@pytest.fixture
def client(simulator: Simulator) -> Iterator[Client]:
    made = Client(simulator)
    yield made
    made.http.close()


def _with_project(client: Client) -> Json:
    return client.envelope("c@example.com") | {"project": "invented"}


TOOL: Json = {"functionDeclarations": [{"name": "get_weather", "parameters": {"type": "object"}}]}
HELLO: Json = {"role": "user", "parts": [{"text": "hello"}]}
