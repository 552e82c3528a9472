"""What a request of the comparison with `gemini/` is made of: tools, messages, replies and stated differences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel

from litellm_antigravity.litellm.translation.histories import CANCELLED
from litellm_antigravity.litellm.translation.operator_notes import NOTE
from litellm_antigravity.simulator.signatures import signature_for

NEW = "gemini-3-flash-preview"
OLD = "gemini-2.5-pro"
SIGNATURE = signature_for(NEW)
SAID = signature_for(NEW, "said")  # in replies: who has given a signature is remembered from test to test

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PNG_URL = f"data:image/png;base64,{PNG}"
PDF_URL = "data:application/pdf;base64,JVBERi0xLjQK"

Body = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One request.

    Attributes:
        name: of the test.
        params: of `litellm.completion`.
        reply: what the model says.
        model: the model.
        change: makes LiteLLM's request what ours is expected to be: a stated difference.
    """

    name: str
    params: dict[str, Any] = field(default_factory=dict)
    reply: Any = "Four words for you."
    model: str = NEW
    change: Callable[[Body], None] | None = None


def tool(
    name: str = "weather", description: str | None = "The weather at a place.", **parameters: Any
) -> dict[str, Any]:
    function: dict[str, Any] = {"name": name}
    if description is not None:
        function["description"] = description
    if parameters:
        function["parameters"] = {"type": "object", **parameters}
    return {"type": "function", "function": function}


def call(call_id: str, name: str = "weather", arguments: str = '{"place": "Oslo"}', **more: Any) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}, **more}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def text(content: str) -> dict[str, Any]:
    return {"type": "text", "text": content}


def says(*messages: dict[str, Any]) -> dict[str, Any]:
    return {"messages": list(messages)}


def assistant(content: Any = None, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


def result(call_id: str, content: Any = '{"sky": "grey"}', **more: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content, **more}


def history(*messages: dict[str, Any]) -> dict[str, Any]:
    return says(user("Weather?"), *messages) | {"tools": [WEATHER]}


class Answer(BaseModel):
    city: str
    degrees: int | None = None


class Report(BaseModel):
    answers: list[Answer]
    kind: Literal["short", "long"] = "short"
    by_city: dict[str, int] = {}
    next: Report | None = None


def json_schema(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


def picture(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


WEATHER = tool(properties={"place": {"type": "string", "description": "Where."}}, required=["place"])
CLOCK = tool("clock", "What time it is.", properties={"zone": {"type": "string", "enum": ["UTC", "CET"]}})
BARE = tool("ping", None)
REFERRING = tool(properties={"x": {"$ref": "#/$defs/X"}})
REFERRING["function"]["parameters"]["$defs"] = {"X": {"type": "string"}}
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
REFERRED = {
    "type": "object",
    "properties": {"cities": {"type": "array", "items": {"$ref": "#/$defs/City"}}},
    "$defs": {"City": {"type": "object", "properties": {"name": {"type": "string"}, "size": {"enum": ["S", "L"]}}}},
}
GROUNDED = {
    "groundingMetadata": {
        "webSearchQueries": ["weather Oslo"],
        "groundingChunks": [{"web": {"uri": "https://weather.example", "title": "Weather"}}],
        "groundingSupports": [
            {"segment": {"startIndex": 0, "endIndex": 8, "text": "It rains"}, "groundingChunkIndices": [0]}
        ],
    }
}
CITED = {"citationMetadata": {"citations": [{"startIndex": 0, "endIndex": 4, "uri": "https://tales.example"}]}}
RATED = {"safetyRatings": [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE"}]}
PROBABLE = {
    "avgLogprobs": -0.1,
    "logprobsResult": {
        "chosenCandidates": [{"token": "Yes.", "logProbability": -0.1}],
        "topCandidates": [{"candidates": [{"token": "Yes.", "logProbability": -0.1}]}],
    },
}
CALLED = [{"functionCall": {"name": "weather", "args": {"place": "Oslo"}}}]
SIGNED = [{"functionCall": {"name": "weather", "args": {"place": "Oslo"}}, "thoughtSignature": SAID}]
THOUGHT: list[dict[str, Any]] = [{"text": "Let me think about this.", "thought": True}, {"text": "Here is the answer."}]


def _set_schema(schema: dict[str, Any]) -> Callable[[Body], None]:
    def change(body: Body) -> None:
        body["tools"][0]["functionDeclarations"][0]["parameters"] = schema

    return change


def _begin_with_user(body: Body) -> None:
    body["contents"].insert(0, {"role": "user", "parts": [{"text": " "}]})


def _keep_system_messages(body: Body) -> None:
    for content, part in zip(body["contents"][::2], body.pop("systemInstruction")["parts"], strict=True):
        content["parts"].append({"text": f"{NOTE}\n\n{part['text']}"})


def _no_arguments(body: Body) -> None:
    body["contents"][1]["parts"][0]["functionCall"]["args"] = {}


def _rename(body: Body) -> None:
    body["tools"][0]["functionDeclarations"][0]["name"] = "weather_in_town"


def _cancel(body: Body) -> None:
    called = body["contents"][1]["parts"][0]["functionCall"]
    said = {"id": called["id"], "name": called["name"], "response": {"content": CANCELLED}}
    body["contents"].insert(2, {"role": "user", "parts": [{"functionResponse": said}]})


def _with_ids(body: Body) -> None:
    body["contents"][1]["parts"][0]["functionCall"]["id"] = "call_made_up"
    body["contents"][2]["parts"][0]["functionResponse"]["id"] = "call_made_up"


def with_schema(name: str, schema: dict[str, Any], expected: dict[str, Any] | None = None) -> Case:
    change = None if expected is None else _set_schema({"type": "object", "properties": {"x": expected}})
    return Case(f"schema: {name}", {"tools": [tool(properties={"x": schema})]}, change=change)


def param(name: str, model: str = NEW, **params: Any) -> Case:
    return Case(f"{name} on {model}", params, model=model)
