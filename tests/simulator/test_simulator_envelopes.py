"""What the simulator rejects: envelopes, paths and headers that upstream would not take."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulator_client import GEMINI, GENERATE, HELLO, Client, Json, client, details_of, simulator

from litellm_antigravity.simulator import Simulator
from litellm_antigravity.simulator.signatures import signature_for
from litellm_antigravity.simulator.validation import InvalidRequestError, check_envelope

__all__ = ["client", "simulator"]  # fixtures

pytestmark = pytest.mark.once


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


PARAMETERS: Json = {"type": "object", "additional_properties": False}
CALL: Json = {"role": "model", "parts": [{"functionCall": {"name": "get_weather", "args": {}}}]}
RESULT: Json = {"role": "user", "parts": [{"functionResponse": {"name": "get_weather", "response": {"is": "sunny"}}}]}


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


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_has_not_is_no_json(client: Client, number: str) -> None:
    """Before: Python's JSON took it."""
    body = json.dumps(client.envelope() | {"requestId": "..."}).replace('"..."', number)
    answer = client.http.post(GENERATE, content=body, headers=client.signed() | {"content-type": "application/json"})
    assert answer.status_code == 400
    assert "JSON" in answer.json()["error"]["message"]


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
