"""The simulator stands in for Google: what it serves, what it rejects, what it refuses on demand."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import FakeClock

from litellm_antigravity.accounts.parsing import decode_document, parse_document
from litellm_antigravity.simulator import LoggedRequest, ModelReply, Served, SimulatedAccount, Simulator, serve_forever
from litellm_antigravity.simulator.bodies import spell_duration_proto, spell_go_duration

# The package's entry point brings this fixture when it is installed; the import makes it known when it is not.
from litellm_antigravity.simulator.pytest_plugin import antigravity_simulator  # noqa: F401 - a fixture
from litellm_antigravity.simulator.signatures import signature_for
from litellm_antigravity.simulator.validation import InvalidRequestError, check_envelope

pytestmark = pytest.mark.once

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


# The token endpoint


def test_a_refresh_token_is_exchanged_for_an_access_token(client: Client) -> None:
    answer = client.refresh()
    assert answer.status_code == 200
    fields = answer.json()
    assert fields["access_token"].startswith("sim-")
    assert (fields["expires_in"], fields["token_type"]) == (3600, "Bearer")
    assert "refresh_token" not in fields
    assert client.refresh().json()["access_token"] != fields["access_token"]


@pytest.mark.parametrize(
    ("changed", "status", "error"),
    [
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"client_id": "another"}, 401, "invalid_client"),
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_secret": ""}, 401, "invalid_client"),
        ({"refresh_token": "1//unknown"}, 400, "invalid_grant"),
        ({"refresh_token": ""}, 400, "invalid_request"),
    ],
)
def test_the_token_endpoint_refuses_as_oauth_says(
    client: Client, changed: dict[str, str], status: int, error: str
) -> None:
    answer = client.refresh(**changed)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert client.simulator.log[-1].kind == error


def test_the_token_endpoint_takes_forms_only(client: Client) -> None:
    assert client.http.post("/token", json={"grant_type": "refresh_token"}).json()["error"] == "invalid_request"


def test_another_simulator_has_other_secrets() -> None:
    one, other = Simulator(), Simulator()
    assert one.client_id != other.client_id
    assert one.client_secret != other.client_secret
    assert one.accounts[0].refresh_token != other.accounts[0].refresh_token


def test_a_revoked_login_gets_invalid_grant_and_its_access_tokens_die(client: Client) -> None:
    assert client.ask().status_code == 200
    client.simulator.revoke(FIRST)
    assert client.ask().status_code == 401
    refused = client.refresh()
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert client.simulator.log[-1].email == FIRST
    assert client.ask(SECOND).status_code == 200


def test_signing_in_again_ends_a_revocation_with_a_new_refresh_token(client: Client) -> None:
    old = client.simulator.account(FIRST).refresh_token
    client.simulator.revoke(FIRST)
    new = client.simulator.sign_in(FIRST)
    assert new != old
    assert client.refresh().status_code == 200
    assert client.refresh(refresh_token=old).json()["error"] == "invalid_grant"


def test_rotation_returns_a_new_refresh_token_and_keeps_the_old_one_valid(client: Client) -> None:
    old = client.simulator.account(FIRST).refresh_token
    client.simulator.rotate_refresh_tokens = True
    new = client.refresh().json()["refresh_token"]
    assert new == client.simulator.account(FIRST).refresh_token != old
    assert client.refresh(refresh_token=old).status_code == 200


def test_rotation_can_end_the_old_refresh_token(client: Client) -> None:
    old = client.simulator.account(FIRST).refresh_token
    client.simulator.rotate_refresh_tokens = True
    client.simulator.keep_old_refresh_tokens = False
    new = client.refresh().json()["refresh_token"]
    assert client.refresh(refresh_token=old).json()["error"] == "invalid_grant"
    assert client.refresh(refresh_token=new).status_code == 200


def test_token_calls_are_counted_per_account_whether_they_succeed_or_not(client: Client) -> None:
    client.refresh()
    client.refresh(client_id="another")
    client.refresh(SECOND)
    assert client.simulator.token_calls() == 3
    assert client.simulator.token_calls(FIRST) == 2
    client.simulator.clear_log()
    assert client.simulator.token_calls() == 0
    assert client.simulator.log == []


# Access tokens and projects


def test_an_unknown_token_is_unauthenticated(client: Client) -> None:
    for headers in ({}, {"authorization": "Bearer sim-made-up"}, {"authorization": f"Basic {client.signed()}"}):
        answer = client.http.post(GENERATE, json=client.envelope(), headers=headers)
        assert answer.status_code == 401
        assert answer.json()["error"]["status"] == "UNAUTHENTICATED"
        assert client.simulator.log[-1].email is None


def test_an_access_token_lives_as_long_as_its_endpoint_said(client: Client, clock: FakeClock) -> None:
    client.signed()
    clock.advance(3599)
    assert client.ask().status_code == 200
    clock.advance(1)
    assert client.ask().status_code == 401


def test_expired_tokens_are_those_of_one_account_or_of_all(client: Client) -> None:
    assert client.ask().status_code == client.ask(SECOND).status_code == 200
    client.simulator.expire_tokens(FIRST)
    assert [client.ask().status_code, client.ask(SECOND).status_code] == [401, 200]
    client.simulator.expire_tokens()
    assert client.ask(SECOND).status_code == 401
    client.tokens.clear()
    assert client.ask(SECOND).status_code == 200


def test_a_project_of_another_account_is_denied_without_details(client: Client) -> None:
    body = client.envelope() | {"project": client.simulator.account(SECOND).project}
    answer = client.ask(body=body)
    assert answer.status_code == 403
    assert answer.json()["error"]["status"] == "PERMISSION_DENIED"
    assert "details" not in answer.json()["error"]
    assert client.simulator.log[-1].kind == "wrong-project"


def test_the_project_is_told_as_a_string_or_as_an_object_or_not_at_all() -> None:
    accounts = [
        SimulatedAccount("a@example.com", project="one"),
        SimulatedAccount("b@example.com", project="two", project_form="object"),
        SimulatedAccount("c@example.com", project=None),
    ]
    with Simulator(accounts) as simulator:
        client = Client(simulator)
        told = [client.ask(one.email, path=PROJECT, body={"metadata": {}}).json() for one in accounts]
        assert client.http.post(PROJECT, json={}).status_code == 401
        assert client.ask("c@example.com", body=_with_project(client)).status_code == 403
    assert told[0]["cloudaicompanionProject"] == "one"
    assert told[1]["cloudaicompanionProject"] == {"id": "two"}
    assert "cloudaicompanionProject" not in told[2]


def _with_project(client: Client) -> Json:
    return client.envelope("c@example.com") | {"project": "invented"}


# Strictness


def _change(path: str, value: Any) -> Callable[[Json], None]:
    def change(body: Json) -> None:
        *names, last = [int(name) if name.isdigit() else name for name in path.split(".")]
        place: Any = body
        for name in names:
            place = place[name]
        if value is ...:
            del place[last]
        else:
            place[last] = value

    return change


TOOL: Json = {"functionDeclarations": [{"name": "get_weather", "parameters": {"type": "object"}}]}
PARAMETERS: Json = {"type": "object", "additional_properties": False}
CALL: Json = {"role": "model", "parts": [{"functionCall": {"name": "get_weather", "args": {}}}]}
RESULT: Json = {"role": "user", "parts": [{"functionResponse": {"name": "get_weather", "response": {"is": "sunny"}}}]}
HELLO: Json = {"role": "user", "parts": [{"text": "hello"}]}


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("project", ..., "project"),
        ("model", ..., "model"),
        ("request", ..., "request"),
        ("userAgent", ..., "userAgent"),
        ("requestId", ..., "requestId"),
        ("project", 7, "project"),
        ("project", "", "project"),
        ("request", [], "request"),
        ("user_agent", "x", "user_agent"),
        ("requestType", "agent", "requestType"),
        ("request.contents", ..., "request.contents"),
        ("request.contents", [], "request.contents"),
        ("request.contents.0.role", ..., "request.contents[0].role"),
        ("request.contents.0.role", "assistant", "request.contents[0].role"),
        ("request.contents.0.role", "model", "request.contents[0].role"),
        ("request.contents.0.parts", [], "request.contents[0].parts"),
        ("request.contents.0.parts.0", "text", "request.contents[0].parts[0]"),
        ("request.contents.0.parts.0", {}, "request.contents[0].parts[0]"),
        ("request.contents.0.parts.0", {"text": "a", "inlineData": {}}, "request.contents[0].parts[0]"),
        ("request.contents.0.parts.0", {"text": 1}, "request.contents[0].parts[0].text"),
        ("request.contents.0.parts.0", {"txt": "a"}, "request.contents[0].parts[0].txt"),
        ("request.contents.0.parts.0", {"inline_data": {}}, "request.contents[0].parts[0].inline_data"),
        ("request.contents.0.parts.0", {"inlineData": {"mimeType": "a"}}, "request.contents[0].parts[0].inlineData"),
        ("request.system_instruction", {"parts": []}, "request.system_instruction"),
        ("request.systemInstruction", {"parts": []}, "request.systemInstruction.parts"),
        ("request.generationConfig", {"max_output_tokens": 1}, "request.generationConfig.max_output_tokens"),
        ("request.generationConfig", {"thinkingConfig": {"budget": 1}}, "request.generationConfig.thinkingConfig"),
        ("request.tools", [{"function_declarations": []}], "request.tools[0].function_declarations"),
        ("request.tools", [{"functionDeclarations": []}], "request.tools[0].functionDeclarations"),
        ("request.tools", [{"functionDeclarations": [{}]}], "request.tools[0].functionDeclarations[0].name"),
        (
            "request.tools",
            [{"functionDeclarations": [{"name": "a", "parameters": {}, "parametersJsonSchema": {}}]}],
            "request.tools[0].functionDeclarations[0]",
        ),
        ("request.toolConfig", {"functionCallingConfig": {"mode": "auto"}}, "request.toolConfig.functionCallingConfig"),
    ],
)
def test_a_wrong_envelope_is_rejected_by_the_name_of_what_is_wrong(
    client: Client, path: str, value: Any, named: str
) -> None:
    body = copy.deepcopy(client.envelope())
    _change(path, value)(body)
    answer = client.ask(body=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"
    field = details_of(answer)["BadRequest"]["fieldViolations"][0]["field"]
    assert field.startswith(named)
    assert client.simulator.log[-1].kind == "invalid-request"


def test_a_rejected_snake_case_name_comes_with_the_right_one(client: Client) -> None:
    answer = client.ask(body=client.envelope(system_instruction={"parts": [{"text": "a"}]}))
    assert '"systemInstruction"' in answer.json()["error"]["message"]


def test_a_full_request_in_order_is_accepted(client: Client) -> None:
    body = client.envelope(
        model=GEMINI,  # Claude's thoughts have rules of their own: tests/litellm/test_thinking_rules.py
        contents=[
            HELLO,
            {
                "role": "model",
                "parts": [
                    {"text": "hm", "thought": True},
                    {
                        "functionCall": {"name": "get_weather", "args": {"snake_case": 1}},
                        "thoughtSignature": signature_for(GEMINI),
                    },
                ],
            },
            RESULT,
            {"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": "aGk="}}]},
        ],
        systemInstruction={"parts": [{"text": "be brief"}]},
        tools=[{"functionDeclarations": [{"name": "get_weather", "parameters": PARAMETERS}]}],
        toolConfig={"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["get_weather"]}},
        generationConfig={"maxOutputTokens": 10, "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 100}},
        safetySettings=[{"category": "a", "threshold": "b"}],
    )
    answer = client.ask(body=body)
    assert answer.status_code == 200, answer.text
    assert client.simulator.log[-1].body == body


def test_only_post_on_the_known_paths_is_served(client: Client) -> None:
    assert client.http.get(GENERATE).status_code == 405
    assert client.http.post("/v1internal:deleteEverything").status_code == 404


def test_content_type_user_agent_and_alt_are_checked(client: Client) -> None:
    sent = json.dumps(client.envelope())
    as_text = client.http.post(GENERATE, content=sent, headers=client.signed() | {"content-type": "text/plain"})
    nameless = _without_user_agent(client)
    no_alt = client.ask(path="/v1internal:streamGenerateContent")
    broken = client.http.post(
        GENERATE, content=sent[:-1], headers=client.signed() | {"content-type": "application/json"}
    )
    for answer, word in ((as_text, "Content-Type"), (nameless, "User-Agent"), (no_alt, "alt=sse"), (broken, "JSON")):
        assert answer.status_code == 400
        assert word in answer.json()["error"]["message"]


def _without_user_agent(client: Client) -> httpx.Response:
    request = client.http.build_request("POST", GENERATE, json=client.envelope(), headers=client.signed())
    del request.headers["user-agent"]
    return client.http.send(request)


def test_an_unknown_model_is_not_found_unless_it_was_added() -> None:
    with Simulator(models=["gemini-9"]) as simulator:
        client = Client(simulator)
        assert client.ask(model="gemini-9").status_code == 200
        answer = client.ask(model="gemini-10")
    assert answer.status_code == 404
    assert answer.json()["error"]["status"] == "NOT_FOUND"


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["contents", "parts", "role", "text", "functionCall", "functionResponse", "name", "tools"])
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def accepted_or_none(body: Any) -> Json | None:
    try:
        return check_envelope(body)
    except InvalidRequestError:
        return None


@given(value=JSON_VALUES, contents=JSON_VALUES)
def test_a_body_of_any_shape_is_either_in_order_or_rejected(value: Any, contents: Any) -> None:
    envelope = {"project": "a", "model": "b", "userAgent": "c", "requestId": "d"}
    for body in (value, envelope | {"request": value}, envelope | {"request": {"contents": contents}}):
        accepted = accepted_or_none(body)
        if accepted is not None:
            assert accepted["request"]["contents"][0]["role"] == "user"


# Replies


def test_a_reply_names_the_account_and_the_model_and_counts_tokens(client: Client) -> None:
    reply = client.ask(SECOND).json()
    inner = reply["response"]
    assert inner["candidates"][0]["content"] == {
        "role": "model",
        "parts": [{"text": f"Served by {SECOND} with {CLAUDE}."}],
    }
    assert inner["candidates"][0]["finishReason"] == "STOP"
    usage = inner["usageMetadata"]
    assert usage["totalTokenCount"] == usage["promptTokenCount"] + usage["candidatesTokenCount"]
    assert usage["promptTokenCount"] > 0
    assert inner["modelVersion"] == CLAUDE
    assert reply["traceId"] != client.ask().json()["traceId"]


def test_a_stream_says_the_same_in_chunks_counts_in_each_and_ends_with_finish_reason(client: Client) -> None:
    whole = client.ask().json()
    chunks = client.stream()
    assert len(chunks) >= 3
    assert text_of(chunks) == text_of([whole])
    for chunk in chunks[:-1]:
        assert "finishReason" not in chunk["response"]["candidates"][0]
    counts = [chunk["response"]["usageMetadata"]["totalTokenCount"] for chunk in chunks]
    assert counts == sorted(set(counts))
    last = chunks[-1]["response"]
    assert last["candidates"][0]["finishReason"] == "STOP"
    assert last["usageMetadata"] == whole["response"]["usageMetadata"]
    assert len({chunk["response"]["responseId"] for chunk in chunks}) == 1


def test_a_stream_is_sent_chunk_by_chunk(client: Client) -> None:
    client.simulator.set_latency(0, per_chunk=30)
    with client.http.stream("POST", STREAM, json=client.envelope(), headers=client.signed()) as answer:
        assert next(answer.iter_raw()).startswith(b"data: ")  # while the others are half a minute away


@given(text=st.text(min_size=1))
def test_any_text_survives_its_cutting_into_chunks(text: str) -> None:
    from litellm_antigravity.simulator.replies import reply_chunks, reply_to

    served = Served(FIRST, CLAUDE, {"contents": [HELLO]})
    chunks = reply_chunks(served, reply_to(served, text), "1")
    assert text_of([{"response": chunk} for chunk in chunks]) == text
    assert len(chunks) >= min(3, len(text))


def test_the_model_calls_a_tool_when_it_is_told_to(client: Client) -> None:
    asked = {"role": "user", "parts": [{"text": 'please call get_weather {"city": "Oslo"} now'}]}
    body = client.envelope(contents=[asked], tools=[TOOL])
    expected = [{"functionCall": {"name": "get_weather", "args": {"city": "Oslo"}}}]
    assert client.ask(body=body).json()["response"]["candidates"][0]["content"]["parts"] == expected
    (chunk,) = client.stream(body=body)
    assert chunk["response"]["candidates"][0]["content"]["parts"] == expected


@pytest.mark.parametrize("model", [GEMINI, CLAUDE])
def test_what_the_model_calls_by_default_may_be_sent_back(client: Client, model: str) -> None:
    """Before, the call was not signed, and the next turn refused for it with "missing a thought_signature"."""
    asked = {"role": "user", "parts": [{"text": "please call get_weather now"}]}
    said = client.ask(body=client.envelope(model=model, contents=[asked], tools=[TOOL])).json()["response"]
    (call,) = said["candidates"][0]["content"]["parts"]
    assert ("thoughtSignature" in call) is (model == GEMINI)
    call["functionCall"]["id"] = "call-1"
    result = {"functionResponse": {"id": "call-1", "name": "get_weather", "response": {"content": "grey"}}}
    history = [asked, {"role": "model", "parts": [call]}, {"role": "user", "parts": [result]}]
    answer = client.ask(body=client.envelope(model=model, contents=history, tools=[TOOL]))
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("text", ["call get_weather_forecast", "get_weather", "recall get_weather"])
def test_the_model_calls_no_tool_that_was_not_named(client: Client, text: str) -> None:
    body = client.envelope(contents=[{"role": "user", "parts": [{"text": text}]}], tools=[TOOL])
    assert "text" in client.ask(body=body).json()["response"]["candidates"][0]["content"]["parts"][0]


def test_replies_can_be_scripted_as_text_parts_or_function(client: Client) -> None:
    def shout(served: Served) -> str:
        return f"{served.email} {served.model} {served.request['contents'][0]['parts'][0]['text'].upper()}"

    client.simulator.reply_with("a fixed text")
    assert text_of(client.stream()) == "a fixed text"
    client.simulator.reply_with(shout)
    assert text_of([client.ask(model=GEMINI).json()]) == f"{FIRST} {GEMINI} HELLO"
    parts: list[Json] = [{"text": "why so", "thought": True}, {"text": "therefore", "thoughtSignature": "c2ln"}]
    client.simulator.reply_with(ModelReply(parts, "MAX_TOKENS", {"cachedContentTokenCount": 1}))
    whole = client.ask().json()["response"]
    assert whole["candidates"][0]["content"]["parts"] == parts
    assert whole["candidates"][0]["finishReason"] == "MAX_TOKENS"
    assert whole["usageMetadata"]["cachedContentTokenCount"] == 1
    assert whole["usageMetadata"]["thoughtsTokenCount"] > 0
    streamed = [chunk["response"]["candidates"][0]["content"]["parts"][0] for chunk in client.stream()]
    assert [part for part in streamed if "thoughtSignature" in part] == streamed[-1:]
    client.simulator.reply_with(None)
    assert text_of([client.ask().json()]).startswith("Served by")


def test_the_gemini_api_with_keys_is_served_without_the_envelope(client: Client) -> None:
    account = client.simulator.account(SECOND)
    body = {"contents": [HELLO], "system_instruction": {"parts": [{"text": "a"}]}}
    path = f"/v1beta/models/{GEMINI}"
    whole = client.http.post(f"{path}:generateContent", json=body, headers={"x-goog-api-key": account.api_key})
    assert text_of([{"response": whole.json()}]) == f"Served by {SECOND} with {GEMINI}."
    streamed = client.http.post(f"{path}:streamGenerateContent?alt=sse&key={account.api_key}", json=body)
    assert text_of([{"response": event} for event in events(streamed.text)]) == f"Served by {SECOND} with {GEMINI}."
    assert client.http.post(f"{path}:generateContent?key=wrong", json=body).status_code == 400
    client.simulator.drain(SECOND, "gemini")
    refused = client.http.post(f"{path}:generateContent", json=body, headers={"x-goog-api-key": account.api_key})
    assert refused.status_code == 429
    assert account.api_key not in repr(client.simulator.log)


# Quotas


def test_a_drained_pool_is_refused_with_the_remaining_time_in_every_form(client: Client, clock: FakeClock) -> None:
    client.simulator.drain(FIRST, "claude", reset_seconds=4000.5)
    clock.advance(100.25)
    answer = client.ask()
    assert answer.status_code == 429
    error, details = answer.json()["error"], details_of(answer)
    assert error["status"] == "RESOURCE_EXHAUSTED"
    assert error["message"].endswith("Resets in 1h5m0s.")
    assert details["RetryInfo"]["retryDelay"] == "3900.25s"
    info = details["ErrorInfo"]
    assert (info["reason"], info["domain"]) == ("QUOTA_EXHAUSTED", "cloudcode-pa.googleapis.com")
    assert info["metadata"] == {
        "uiMessage": "true",
        "model": CLAUDE,
        "quotaResetDelay": "1h5m0.25s",
        "quotaResetTimeStamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(math.ceil(clock.time() + 3900.25))),
    }


def test_a_drained_pool_blocks_neither_its_sibling_nor_another_account_and_comes_back(
    client: Client, clock: FakeClock
) -> None:
    client.simulator.drain(FIRST, "claude", reset_seconds=60)
    statuses = [client.ask(*who).status_code for who in ((FIRST, CLAUDE), (FIRST, GEMINI), (SECOND, CLAUDE))]
    assert statuses == [429, 200, 200]
    assert client.ask(FIRST, "gpt-oss-120b-medium").status_code == 429
    clock.advance(60)
    assert client.ask().status_code == 200


def test_both_families_can_be_drained_at_once(client: Client) -> None:
    client.simulator.drain(FIRST, None)
    assert [client.ask(model=model).status_code for model in (CLAUDE, GEMINI)] == [429, 429]
    client.simulator.heal()
    assert client.ask().status_code == 200


def test_a_quota_is_spent_per_account_and_family_and_comes_back_with_the_next_window() -> None:
    clock = FakeClock()
    with Simulator(quota=2, quota_window_seconds=100, clock=clock) as simulator:
        client = Client(simulator)
        assert [client.ask().status_code for _ in range(3)] == [200, 200, 429]
        assert [client.ask(model=GEMINI).status_code, client.ask(SECOND).status_code] == [200, 200]
        clock.advance(40)
        assert details_of(client.ask())["RetryInfo"]["retryDelay"] == "60s"
        clock.advance(60)
        assert client.ask().status_code == 200
        simulator.set_quota(FIRST, "claude", None)
        assert [client.ask().status_code for _ in range(5)] == [200] * 5
        simulator.set_quota(FIRST, "claude", 1, window_seconds=10)
        assert [client.ask().status_code for _ in range(2)] == [200, 429]


def test_a_refused_request_costs_no_quota(client: Client) -> None:
    client.simulator.set_quota(FIRST, "claude", 1)
    client.simulator.refuse("server-error", times=3)
    assert [client.ask().status_code for _ in range(5)] == [500, 500, 500, 200, 429]


@given(nanos=st.integers(min_value=0, max_value=400 * 3600 * 10**9))
def test_durations_are_spelled_so_that_they_can_be_read_back(nanos: int) -> None:
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3}
    for spelled in (spell_go_duration(nanos / 1e9), spell_duration_proto(nanos / 1e9)):
        assert re.fullmatch(r"(\d+h)?(\d+m)?\d+(\.\d+)?m?s", spelled)
        found = re.findall(r"([\d.]+)(ms|h|m|s)", spelled)
        assert sum(float(number) * units[unit] for number, unit in found) == pytest.approx(nanos / 1e9)


@pytest.mark.parametrize(
    ("seconds", "spelled"),
    [(0, "0s"), (0.290979975, "290.979975ms"), (39, "39s"), (4560.667, "1h16m0.667s"), (256527.5, "71h15m27.5s")],
)
def test_durations_look_like_upstreams(seconds: float, spelled: str) -> None:
    assert spell_go_duration(seconds) == spelled


# Refusals on demand


@pytest.mark.parametrize(
    ("kind", "options", "status", "grpc", "reason", "message"),
    [
        ("quota", {"reset_seconds": 90}, 429, "RESOURCE_EXHAUSTED", "QUOTA_EXHAUSTED", "Resets in 1m30s"),
        ("quota", {"reset_seconds": None}, 429, "RESOURCE_EXHAUSTED", "QUOTA_EXHAUSTED", "Individual quota reached"),
        ("rate", {}, 429, "RESOURCE_EXHAUSTED", "RATE_LIMIT_EXCEEDED", "per minute"),
        ("refused-request", {}, 429, "RESOURCE_EXHAUSTED", None, "Resource has been exhausted (e.g. check quota)."),
        ("capacity", {}, 503, "UNAVAILABLE", "MODEL_CAPACITY_EXHAUSTED", "No capacity available for model"),
        ("capacity", {"status": 429}, 429, "RESOURCE_EXHAUSTED", "MODEL_CAPACITY_EXHAUSTED", "No capacity"),
        ("capacity", {"status": 529}, 529, "UNAVAILABLE", "MODEL_CAPACITY_EXHAUSTED", "No capacity"),
        ("server-error", {}, 500, "INTERNAL", None, "Internal error"),
        ("server-error", {"status": 502}, 502, "UNAVAILABLE", None, ""),
        ("server-error", {"status": 504}, 504, "DEADLINE_EXCEEDED", None, ""),
        ("unauthorized", {}, 401, "UNAUTHENTICATED", None, "invalid authentication credentials"),
        ("verification", {}, 403, "PERMISSION_DENIED", "VALIDATION_REQUIRED", "Verify your account"),
        ("banned", {}, 403, "PERMISSION_DENIED", "TOS_VIOLATION", "violation of Terms of Service"),
        ("banned-old-text", {}, 403, "PERMISSION_DENIED", None, "violation of Terms of\n\t\tService"),
        ("not-available", {}, 404, "NOT_FOUND", None, "Requested entity was not found."),
        ("not-available", {"status": 403}, 403, "PERMISSION_DENIED", None, ""),
        ("bad-request", {"message": "no"}, 400, "INVALID_ARGUMENT", None, "no"),
    ],
)
@pytest.mark.parametrize("path", [GENERATE, STREAM])
def test_every_refusal_has_its_status_and_its_body(
    client: Client, path: str, kind: Any, options: Json, status: int, grpc: str, reason: str | None, message: str
) -> None:
    client.simulator.refuse(kind, times=1, **options)
    answer = client.ask(path=path)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["status"]) == (status, status, grpc)
    assert message in error["message"]
    if reason is None:
        assert "details" not in error
    else:
        assert details_of(answer)["ErrorInfo"]["reason"] == reason
    assert (client.simulator.log[-1].kind, client.simulator.log[-1].status) == (kind, status)
    assert client.ask(path=path).status_code == 200


@pytest.mark.parametrize(
    ("kind", "option"), [("quota", "reset_seconds"), ("rate", "retry_seconds"), ("capacity", "retry_seconds")]
)
def test_retry_hints_can_be_chosen_and_left_out(client: Client, kind: Any, option: str) -> None:
    for hint in (7.5, None):
        options: Json = {option: hint}
        client.simulator.refuse(kind, times=1, **options)
    assert details_of(client.ask())["RetryInfo"]["retryDelay"] == "7.5s"
    assert set(details_of(client.ask())) == {"ErrorInfo"}


def test_a_refusal_can_carry_headers(client: Client) -> None:
    client.simulator.refuse("refused-request", headers={"retry-after": "33"})
    assert client.ask().headers["retry-after"] == "33"


def test_verification_and_ban_tell_where_to_go(client: Client) -> None:
    client.simulator.refuse("verification", times=1)
    client.simulator.refuse("banned", times=1)
    metadata = [details_of(client.ask())["ErrorInfo"]["metadata"] for _ in range(2)]
    assert metadata[0]["validation_url"].startswith("https://accounts.google.com/signin/continue?")
    assert metadata[1]["appeal_url"].startswith("https://")


def test_pages_come_instead_of_json(client: Client) -> None:
    client.simulator.refuse("html", times=1)
    client.simulator.refuse("html-error", times=1)
    answers = [client.ask(path=STREAM) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 502]
    for answer in answers:
        assert answer.headers["content-type"].startswith("text/html")
        assert "<html" in answer.text


def test_an_empty_candidate_list_comes_whole_and_streamed(client: Client) -> None:
    client.simulator.refuse("empty-candidates", times=2)
    assert client.ask().json()["response"]["candidates"] == []
    assert [chunk["response"]["candidates"] for chunk in client.stream()] == [[]]


def test_an_unsupported_version_is_said_as_a_models_text(client: Client) -> None:
    client.simulator.refuse("version-unsupported", times=2)
    answers = [client.ask().json(), client.stream()[0]]
    assert all(text_of([answer]).startswith("This version of Antigravity is no longer") for answer in answers)


def test_a_truncated_stream_ends_cleanly_but_without_a_finish_reason(client: Client) -> None:
    client.simulator.refuse("truncated-stream", after_chunks=2, times=1)
    assert client.ask().status_code == 200  # a request that does not stream is not for this refusal
    chunks = client.stream()
    assert len(chunks) == 2
    assert all("finishReason" not in chunk["response"]["candidates"][0] for chunk in chunks)
    assert len(client.stream()) == 3


def test_a_truncated_stream_never_has_its_last_chunk(client: Client) -> None:
    client.simulator.refuse("truncated-stream", after_chunks=99, times=1)
    assert "finishReason" not in json.dumps(client.stream())


def test_a_truncated_stream_can_end_by_a_lost_connection(client: Client) -> None:
    client.simulator.refuse("truncated-stream", abrupt=True)
    received = client.received_before(httpx.RemoteProtocolError)
    assert received.count(b"data: ") == 1


def test_an_error_can_come_after_content(client: Client) -> None:
    client.simulator.refuse("mid-stream-error", status=503)
    first, second = client.stream()
    assert first["response"]["candidates"]
    assert second["error"]["code"] == 503


@pytest.mark.parametrize("path", [GENERATE, STREAM])
def test_a_dropped_connection_has_no_answer(client: Client, path: str) -> None:
    client.simulator.refuse("drop", times=1)
    client.signed()
    with pytest.raises(httpx.RemoteProtocolError):
        client.ask(path=path)
    assert (client.simulator.log[-1].kind, client.simulator.log[-1].status) == ("drop", 0)
    assert client.ask(path=path).status_code == 200


@pytest.mark.parametrize("path", [GENERATE, STREAM])
def test_a_hanging_request_is_in_flight_until_its_client_goes(client: Client, path: str) -> None:
    client.simulator.refuse("hang", times=1)
    client.signed()
    with pytest.raises(httpx.ReadTimeout):
        client.ask(path=path, timeout=0.05)
    assert (client.simulator.log[-1].kind, client.simulator.log[-1].status) == ("hang", 0)
    wait_until(lambda: client.ask().status_code == 200 and client.simulator.log[-1].in_flight == 1)


def test_a_stream_can_hang_after_content(client: Client) -> None:
    client.simulator.refuse("hang", after_chunks=1)
    received = client.received_before(httpx.ReadTimeout, timeout=0.3)
    assert received.count(b"data: ") == 1


def test_refusals_are_for_whom_they_name_and_queue_up(client: Client) -> None:
    simulator = client.simulator
    simulator.refuse("capacity", model="antigravity/Claude-Sonnet-4-6")
    simulator.refuse("verification", email=SECOND)
    simulator.refuse("not-available", family="gemini", times=2)
    asked = ((FIRST, CLAUDE), (SECOND, CLAUDE), (SECOND, GEMINI), (FIRST, GEMINI), (FIRST, GEMINI), (FIRST, GEMINI))
    assert [client.ask(*who).status_code for who in asked] == [503, 503, 403, 404, 404, 200]
    simulator.heal()
    assert client.ask().status_code == client.ask(SECOND).status_code == 200


def test_a_wrong_envelope_does_not_use_up_a_refusal(client: Client) -> None:
    client.simulator.refuse("capacity", times=1)
    assert client.ask(body={}).status_code == 400
    assert client.ask().status_code == 503


def test_the_token_endpoint_and_the_project_can_be_refused_too(client: Client) -> None:
    client.signed()
    client.simulator.refuse("server-error", target="token", status=503, times=1)
    client.simulator.refuse("html-error", target="project", times=1)
    client.simulator.refuse("drop", target="token", email=SECOND, times=1)
    assert client.refresh().status_code == 503
    assert client.refresh().status_code == 200
    with pytest.raises(httpx.RemoteProtocolError):
        client.refresh(SECOND)
    assert client.ask(path=PROJECT, body={}).status_code == 502
    assert client.ask(path=PROJECT, body={}).status_code == 200
    assert client.ask().status_code == 200


def test_heal_ends_a_revocation(client: Client) -> None:
    client.simulator.revoke(FIRST)
    client.simulator.heal()
    assert client.refresh().status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        lambda simulator: simulator.refuse("teapot"),
        lambda simulator: simulator.refuse("rate", reset_seconds=3),
        lambda simulator: simulator.refuse("rate", email="nobody@example.com"),
        lambda simulator: simulator.refuse("rate", family="gpt"),
        lambda simulator: simulator.refuse("rate", times=0),
        lambda simulator: simulator.refuse("rate", target="nowhere"),
        lambda simulator: simulator.refuse("version-unsupported", target="token"),
        lambda simulator: simulator.drain("nobody@example.com", "claude"),
        lambda simulator: simulator.drain(FIRST, "gpt"),
        lambda simulator: simulator.set_quota(FIRST, "gpt", 1),
        lambda simulator: simulator.revoke("nobody@example.com"),
        lambda _: Simulator(0),
        lambda _: Simulator([]),
        lambda _: Simulator([SimulatedAccount(FIRST), SimulatedAccount(FIRST)]),
    ],
)
def test_a_mistake_in_steering_is_an_error_at_once(wrong: Callable[[Any], object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        wrong(Simulator())


# Watching


def test_the_log_tells_who_asked_what_and_how_it_was_answered(client: Client, clock: FakeClock) -> None:
    client.simulator.drain(FIRST, "claude")
    client.ask()
    client.stream(SECOND, GEMINI)
    token, refused, token_of_second, served = client.simulator.log
    assert (token.path, token.email, token.kind, token.model) == ("/token", FIRST, "token", None)
    assert (refused.path, refused.email, refused.status, refused.kind) == (GENERATE, FIRST, 429, "quota")
    assert (refused.model, refused.family, refused.stream, refused.at) == (CLAUDE, "claude", False, clock.time())
    assert token_of_second.email == SECOND
    assert (served.email, served.status, served.family, served.stream) == (SECOND, 200, "gemini", True)
    assert served.body["userAgent"] == "tests"
    assert served.headers["content-type"] == "application/json"
    assert client.simulator.requests("generateContent", status=200) == [served]
    assert client.simulator.requests("/token", email=FIRST) == [token]
    assert client.simulator.requests(kind="quota") == [refused]


def test_no_secret_is_in_the_log_or_in_a_repr(client: Client) -> None:
    client.ask()
    client.refresh(client_secret="wrong-canary")
    simulator = client.simulator
    shown = repr((simulator.log, simulator, simulator.accounts, [dict(entry.headers) for entry in simulator.log]))
    account = simulator.account(FIRST)
    secrets = (client.tokens[FIRST], simulator.client_secret, account.refresh_token, account.api_key, "wrong-canary")
    assert [secret for secret in secrets if secret in shown] == []


def test_requests_in_flight_are_counted_per_account(client: Client) -> None:
    client.signed(), client.signed(SECOND)
    client.simulator.clear_log()
    client.simulator.refuse("hang")

    def ask(email: str) -> None:
        with (
            contextlib.suppress(httpx.HTTPError),  # the simulator is closed with the requests still open
            httpx.Client(base_url=client.simulator.url, timeout=30, trust_env=False) as http,
        ):
            http.post(GENERATE, json=client.envelope(email), headers=client.signed(email))

    threads = [threading.Thread(target=ask, args=(email,)) for email in (FIRST, FIRST, SECOND, FIRST)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(client.simulator.log) == 4)
    assert sorted(entry.in_flight for entry in client.simulator.requests(email=FIRST)) == [1, 2, 3]
    assert [entry.in_flight for entry in client.simulator.requests(email=SECOND)] == [1]
    client.simulator.close()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def test_the_log_keeps_the_newest() -> None:
    with Simulator(log_limit=3) as simulator:
        client = Client(simulator)
        for _ in range(5):
            client.refresh()
        client.ask()
        assert [entry.path for entry in simulator.log] == ["/token", "/token", GENERATE]
        assert simulator.token_calls() == 6


def test_every_request_is_reported_as_it_comes() -> None:
    seen: list[LoggedRequest] = []
    with Simulator(on_request=seen.append) as simulator:
        Client(simulator).ask()
        assert seen == simulator.log


# Running


def test_latency_is_for_what_is_served_and_refusals_come_at_once(client: Client) -> None:
    client.simulator.drain(SECOND, "claude")
    client.signed(SECOND)
    client.simulator.set_latency(60)
    assert client.ask(SECOND).status_code == 429
    client.signed()
    with pytest.raises(httpx.ReadTimeout):
        client.ask(timeout=0.05)
    client.simulator.set_latency(0, refused=60)
    assert client.ask().status_code == 200
    with pytest.raises(httpx.ReadTimeout):
        client.ask(SECOND, timeout=0.05)


def test_the_token_endpoint_has_a_latency_of_its_own(client: Client) -> None:
    client.simulator.set_token_latency(60)
    client.http.timeout = httpx.Timeout(0.05)
    with pytest.raises(httpx.ReadTimeout):
        client.refresh()
    assert client.simulator.token_calls() == 1


def test_closing_ends_the_thread_frees_the_port_and_cuts_off_what_hangs() -> None:
    simulator = Simulator().start()
    port = int(simulator.url.rpartition(":")[2])
    client = Client(simulator)
    client.signed()
    simulator.refuse("hang")
    failed: list[Exception] = []

    def ask() -> None:
        try:
            failed.append(RuntimeError(client.ask(timeout=30).status_code))
        except httpx.HTTPError as error:
            failed.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    wait_until(lambda: bool(simulator.requests(kind="hang")))
    simulator.close()
    simulator.close()
    thread.join(60)
    assert len(failed) == 1
    assert [other.name for other in threading.enumerate() if other.name == "antigravity-simulator"] == []
    with Simulator(port=port) as again:
        assert again.url == f"http://127.0.0.1:{port}"


def test_a_taken_port_is_an_error_and_leaves_no_thread() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        simulator = Simulator(port=taken.getsockname()[1])
        with pytest.raises(OSError, match="address"):
            simulator.start()
    assert [other.name for other in threading.enumerate() if other.name == "antigravity-simulator"] == []


def test_a_simulator_that_does_not_run_has_no_url() -> None:
    simulator = Simulator()
    assert "not running" in repr(simulator)
    with pytest.raises(RuntimeError, match="start it"):
        _ = simulator.url


def test_it_runs_once_at_a_time_and_can_be_started_again() -> None:
    simulator = Simulator()
    with simulator:
        client = Client(simulator)
        assert client.refresh().status_code == 200
        with pytest.raises(RuntimeError, match="running already"):
            simulator.start()
    with simulator:
        assert Client(simulator).refresh().status_code == 200


def test_another_process_reaches_it_by_the_environment_it_is_given(client: Client, tmp_path: Path) -> None:
    accounts_file = client.simulator.write_accounts_file(tmp_path / "accounts.json")
    environment = client.simulator.environment(accounts_file, tmp_path / "state")
    program = """
import json, os, urllib.parse, urllib.request
prefix = "LITELLM_ANTIGRAVITY_"
account = json.load(open(os.environ[prefix + "ACCOUNTS_FILE"]))["accounts"][1]
form = {"grant_type": "refresh_token", "refresh_token": account["refreshToken"],
        "client_id": os.environ[prefix + "OAUTH_CLIENT_ID"],
        "client_secret": os.environ[prefix + "OAUTH_CLIENT_SECRET"]}
data = urllib.parse.urlencode(form).encode()
token = json.load(urllib.request.urlopen(os.environ[prefix + "TOKEN_URL"], data))["access_token"]
body = {"project": account["projectId"], "model": "claude-sonnet-4-6", "userAgent": "child", "requestId": "1",
        "request": {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}}
request = urllib.request.Request(
    os.environ[prefix + "ENDPOINT"] + "/v1internal:generateContent", json.dumps(body).encode(),
    {"authorization": "Bearer " + token, "content-type": "application/json"})
print(json.load(urllib.request.urlopen(request))["response"]["candidates"][0]["content"]["parts"][0]["text"])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == f"Served by {SECOND} with {CLAUDE}.", done.stderr
    assert client.simulator.log[-1].body["userAgent"] == "child"


def test_where_there_is_a_proxy_loopback_is_exempted_from_it(
    client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    assert "NO_PROXY" not in client.simulator.environment(tmp_path, tmp_path)
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    assert client.simulator.environment(tmp_path, tmp_path)["NO_PROXY"] == "127.0.0.1"
    monkeypatch.setenv("no_proxy", "intranet")
    assert client.simulator.environment(tmp_path, tmp_path)["no_proxy"] == "intranet,127.0.0.1"


# The accounts file


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_the_accounts_file_is_one_that_the_package_reads(simulator: Simulator, tmp_path: Path, version: int) -> None:
    path = simulator.write_accounts_file(tmp_path / "new" / "accounts.json", version)
    parsed = parse_document(decode_document(path.read_bytes(), path), path, time.time())
    assert parsed.version == version
    assert [(one.email, one.project) for one in parsed.accounts] == [
        (one.email, one.project) for one in simulator.accounts
    ]
    assert parsed.warnings == ()
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["accounts.json"]


def test_entries_and_top_level_fields_of_the_accounts_file_can_be_chosen(simulator: Simulator, tmp_path: Path) -> None:
    path = simulator.write_accounts_file(
        tmp_path / "accounts.json",
        projects=False,
        entries={SECOND: {"enabled": False}},
        activeIndexByFamily={"claude": 2, "gemini": 1},
    )
    parsed = parse_document(decode_document(path.read_bytes(), path), path, time.time())
    assert parsed.base_index == {"claude": 2, "gemini": 1}
    assert [one.enabled for one in parsed.accounts] == [True, False, True, True]
    assert {one.project for one in parsed.accounts} == {None}
    with pytest.raises(ValueError, match="nobody@example"):
        simulator.write_accounts_file(path, entries={"nobody@example.com": {}})


# For the command line and for pytest


def test_serving_for_ever_announces_how_to_use_it_and_removes_what_it_made() -> None:
    told: list[str] = []
    stop = threading.Event()
    thread = threading.Thread(target=lambda: serve_forever(accounts=2, quota=5, announce=told.append, stop=stop))
    thread.start()
    wait_until(lambda: bool(told))
    url = re.search(r"http://127\.0\.0\.1:\d+", told[0])
    assert url
    assert httpx.get(url[0], trust_env=False).status_code == 405
    accounts_file = re.search(r"ACCOUNTS_FILE='?([^'\n]+)", told[0])
    assert accounts_file
    assert len(json.loads(Path(accounts_file[1]).read_text("utf-8"))["accounts"]) == 2
    stop.set()
    thread.join(60)
    assert not thread.is_alive()
    assert not Path(accounts_file[1]).parent.exists()


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT as a terminal does on Ctrl-C")
def test_ctrl_c_ends_serving_for_ever_without_a_traceback(tmp_path: Path) -> None:
    program = (
        "from litellm_antigravity.simulator import serve_forever\n"
        f"serve_forever(announce=lambda text: print('ready', flush=True), folder={str(tmp_path)!r})\n"
        "print('done')\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGINT)
        out, errors = child.communicate(timeout=60)
    finally:
        child.kill()
    assert (child.returncode, out, errors) == (0, "done\n", "")


def test_the_fixture_gives_a_running_simulator_with_four_accounts(antigravity_simulator: Simulator) -> None:  # noqa: F811 - the fixture
    assert len(antigravity_simulator.accounts) == 4
    assert Client(antigravity_simulator).ask().status_code == 200


def test_loading_the_plugin_imports_no_server_and_no_litellm() -> None:
    program = (
        "import sys\n"
        "import litellm_antigravity.simulator.pytest_plugin\n"
        "print(sorted({'aiohttp', 'litellm', 'httpx', 'pydantic', 'diskcache'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
