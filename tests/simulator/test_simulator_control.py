"""The control endpoint: who may steer a simulator over HTTP, and what it does then."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from simulator_client import CLAUDE, FIRST, GEMINI, Client

from litellm_antigravity.simulator import Simulator

pytestmark = pytest.mark.once


class Operator:
    """Somebody who steers a simulator."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.token = {"authorization": f"Bearer {simulator.control_token}"}

    def send(self, method: str, path: str = "", content: Any = None, **headers: str) -> httpx.Response:
        url = f"{self.simulator.url}/control{path}"
        content = content if isinstance(content, (str, bytes)) or content is None else json.dumps(content)
        return httpx.request(
            method,
            url,
            content=content,
            headers=self.token | {name.replace("_", "-"): value for name, value in headers.items()},
            trust_env=False,
        )

    def act(self, actions: Any) -> httpx.Response:
        return self.send("POST", "/actions", actions)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(2) as running:
        yield running


@pytest.fixture
def operator(simulator: Simulator) -> Operator:
    return Operator(simulator)


@pytest.fixture
def client(simulator: Simulator) -> Iterator[Client]:
    made = Client(simulator)
    yield made
    made.http.close()


def words(answer: httpx.Response) -> str:
    said: str = answer.json()["response"]["candidates"][0]["content"]["parts"][0]["text"]
    return said


# Who may


@pytest.mark.parametrize("token", ["", "Bearer", "Bearer wrong", "Basic {token}", "Bearer {token}x", "{token}"])
@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", "/actions"), ("PUT", "/script"), ("GET", "/x")])
def test_nobody_steers_without_the_token(operator: Operator, token: str, method: str, path: str) -> None:
    shown = token.replace("{token}", operator.simulator.control_token)
    answer = operator.send(method, path, {"heal": True}, authorization=shown)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "token" in answer.json()["problems"][0]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil", ""])
def test_a_host_that_is_no_name_of_loopback_is_refused_even_with_the_token(operator: Operator, host: str) -> None:
    assert operator.send("GET", host=host).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:9999", "localhost:1", "LOCALHOST"])
def test_every_name_of_loopback_is_taken(operator: Operator, host: str) -> None:
    assert operator.send("GET", host=host).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-origin"},
        {"referer": "http://evil.example/"},
    ],
)
def test_no_page_in_a_browser_steers(operator: Operator, simulator: Simulator, headers: dict[str, str]) -> None:
    assert operator.send("POST", "/actions", {"refuse": {"kind": "banned"}}, **headers).status_code == 403
    assert simulator.refusals == []


def test_each_simulator_has_a_token_of_its_own_that_nothing_shows(simulator: Simulator, operator: Operator) -> None:
    with Simulator(1) as other:
        assert other.control_token != simulator.control_token
        assert Operator(other).send("GET", authorization=operator.token["authorization"]).status_code == 401
    assert simulator.control_token not in repr(simulator)
    assert simulator.control_token not in operator.send("GET").text
    assert simulator.log == []  # nor is it among the requests


def test_a_body_that_is_too_long_is_refused(operator: Operator) -> None:
    assert operator.send("PUT", "/script", b"#" * ((1 << 20) + 1)).status_code == 413


# What it does


def test_refusals_quotas_and_paces_change_while_it_runs(operator: Operator, client: Client) -> None:
    assert client.ask().status_code == 200
    assert operator.act({"refuse": {"kind": "capacity", "times": 1}}).json() == {"done": 1}
    assert [client.ask().status_code, client.ask().status_code] == [503, 200]
    quota = {"quota": {"account": 1, "family": "claude", "requests": 0}}
    assert operator.act([quota, {"pace": {"seconds": 0.001}}]).json() == {"done": 2}
    assert [client.ask().status_code, client.ask(model=GEMINI).status_code] == [429, 200]
    operator.act("quota: {account: user1@example.com, requests: null}")
    assert client.ask().status_code == 200
    operator.act({"drain": {"account": 1, "seconds": 60}})
    assert client.ask().status_code == 429
    operator.act({"heal": True})
    assert client.ask().status_code == 200


def test_the_script_changes_while_it_runs(operator: Operator, client: Client, simulator: Simulator) -> None:
    notes: list[str] = []
    simulator.play(None, on_note=notes.append)
    events = "events: [{at_request: 1, do: [{note: N}]}]"
    script = f"version: 1\nabout: Mine\nconversations: [{{replies: [{{text: Mine}}]}}]\n{events}"
    assert operator.send("PUT", "/script", script).json() == {"script": "Mine"}
    assert words(client.ask()) == "Mine"
    assert notes == ["N"]
    assert operator.send("PUT", "/script/day-of-limits").status_code == 400  # it has four accounts
    assert words(client.ask()) == "Mine"
    assert operator.send("PUT", "/script/agent-session").status_code == 200
    assert words(client.ask()) == "A rehearsal"
    assert operator.send("DELETE", "/script").json() == {"script": None}
    assert words(client.ask()) == f"Served by {FIRST} with {CLAUDE}."


def test_the_state_is_told(operator: Operator, client: Client, simulator: Simulator) -> None:
    simulator.set_quota(FIRST, "claude", 4)
    operator.send("PUT", "/script/agent-session")
    operator.act({"refuse": {"kind": "banned", "account": 2, "times": None}})
    client.ask()
    told = operator.send("GET").json()
    assert told["accounts"][0] == {"email": FIRST, "quota_left": {"claude": 0.75, "gemini": 1.0}}
    assert told["refusals"] == [
        {"kind": "banned", "account": "user2@example.com", "model": None, "family": None, "times": None}
    ]
    assert (told["script"]["requests"], told["script"]["events_to_come"]) == (1, 0)
    assert set(told["ready_scripts"]) == {"agent-session", "day-of-limits"}
    assert "refresh" not in json.dumps(told)


@pytest.mark.parametrize(
    ("actions", "problem"),
    [
        ({"refuse": {"kind": "bannd"}}, "the body, line 1: refuse.kind: cannot be 'bannd'; did you mean banned?"),
        ([{"heal": True}, {}], "the body, line 1: [1]: has to be exactly one of"),
        ([{"refuse": {"kind": "rate"}}, {"drain": {"account": 9}}], "there is no account 9; there are 2"),
        ({"drain": {"account": "serving"}}, "no request is being answered"),
        ("{", "the body, line 1, column 2: neither YAML nor JSON"),
        ("", "the body: has to be an object."),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_done(
    operator: Operator, simulator: Simulator, actions: Any, problem: str
) -> None:
    answer = operator.act(actions)
    assert answer.status_code == 400
    assert answer.json()["problems"][0].startswith(problem)
    assert simulator.refusals == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/actions"),
        ("POST", ""),
        ("GET", "/nothing"),
        ("PUT", "/script/../x"),
        ("PUT", "/script/%2Fetc%2Fpasswd"),
    ],
)
def test_nothing_else_is_there_and_no_name_reaches_a_file(operator: Operator, method: str, path: str) -> None:
    assert operator.send(method, path).status_code in (400, 404)


def test_the_simulated_google_has_no_such_path_for_others(client: Client) -> None:
    assert client.http.post("/controls").status_code == 404
