"""`antigravity/<model>` against LiteLLM's own `gemini/<model>`: the same request upstream, the same answer.

Every request of `CASES` goes whole and streamed through both providers to one simulator. What arrives there and what
comes back is compared after these differences, and no others:

1. Spelling: ours is camelCase throughout; LiteLLM mixes it with snake_case.
2. Schemas of tools: ours pass `prepare_schema` first (see `test_schemas.py`); where LiteLLM makes something else
   of one, the case says what is expected.
3. A conversation that begins with the assistant gets a blank user turn first.
4. Names of tools that upstream rejects are written in its alphabet, and come back as the caller's.
5. Empty arguments of a call in the history stay empty; LiteLLM writes ``{"type": "object"}``.
6. A stream's deltas carry ``thinking_blocks`` with signatures, and a thought begins with an empty delta; LiteLLM's
   Gemini streams have only the text.
7. A call that nobody answered is answered, and calls of old (``function_call``) get an id, and their results the same.
8. Hints that change no answer (``prompt_cache_key``, ``store``, ``verbosity``, ...) are taken and go nowhere, since
   agents send them with every request; LiteLLM refuses them.
9. Made-up ids (``call_<random>``) and creation times are random, the model is the name that was asked for, and LiteLLM
   adds a price.

For Claude and GPT-OSS models see `test_parity_claude.py`: the same table against stated expectations.

LiteLLM's own tests of its Gemini provider were the model for what is here: in its repository
``tests/test_litellm/llms/vertex_ai/gemini``, ``tests/test_litellm/llms/gemini`` and
``tests/llm_translation/test_gemini.py``. Of what they show, covered:

- parameters and what is dropped or refused; ``reasoning_effort`` at every level and as an object; thinking by level and
  budget, none and adaptive (``test_gemini_thinking_param``); seeds, penalties, several answers, log probabilities;
- response formats: JSON, schemas with references and lists, pydantic models, beside tools;
- tools in every form: functions, search, maps with a place, URLs, code, computer use, search beside functions, Gemini's
  own declarations, sixty of them; server-side calls (``test_context_circulation``); choices in all forms;
- messages: system anywhere, empty, blank and absent contents, merged turns, very long ones, names, objects;
- images, PDF, audio and video by data URL, kinds, detail and media resolution, video metadata, images of the
  assistant's and in results (``test_image_in_tool_result``), files of the Files API by URI;
- histories with tools: parallel and repeated calls, results in another order, without calls after text
  (``test_tool_call_followed_by_text_assistant``), empty and deep arguments
  (``test_function_call_args_serialization``);
- thought signatures in ids, fields, texts, and once only (``test_thought_signature_in_tool_call_id``);
- replies: calls with and without ids, text before and after thoughts and calls, images, code and its output
  (``test_code_execution``), grounding with annotations, citations, ratings, log probabilities, every finish reason,
  finish reasons after calls in streams, tokens cached, of reasoning and by kind (``test_gemini_token_usage``).

Deliberately not here:

- context caching with its TTLs: Cloud Code has no such endpoint; ``cache_control`` is ignored, see
  `test_cache_markers_are_ignored`;
- service tiers, labels from metadata, Vertex paths, regions and credentials, ``gs://`` files, fine-tuned models;
- images and files fetched from URLs: ours are fetched by other rules (``test_remote_media.py``);
- ``streamFunctionCallArguments``, which LiteLLM's request does not turn on; blocked prompts
  (``test_streaming.py``); candidates without content and broken streams, which are a failure of upstream's here
  (``test_wire.py``); calls without a result, which upstream refuses (``test_upstream_rules.py``);
- errors and their mapping (``test_litellm_errors.py``), time-outs (``test_bad_input.py``), costs
  (``test_models.py``), counting tokens;
- embeddings, image generation and editing, speech, transcription, video and realtime, which are not offered.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx
import litellm
import pytest
from pydantic import BaseModel
from serving import settings_of
from test_schemas import ANYTHING

import litellm_antigravity
from litellm_antigravity.litellm.translation.histories import CANCELLED
from litellm_antigravity.litellm.translation.operator_notes import NOTE
from litellm_antigravity.simulator import ModelReply, Simulator
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


CASES = [
    # Parameters
    Case("nothing but a message"),
    Case("nothing but a message, older model", model=OLD),
    param("temperature", temperature=0.2),
    param("temperature", OLD, temperature=0.2),
    param("temperature zero", OLD, temperature=0),
    param("top_p", top_p=0.9),
    param("top_k", top_k=20),
    param("top_k", OLD, top_k=20),
    param("max_tokens", max_tokens=100),
    param("max_completion_tokens", max_completion_tokens=100),
    param("one stop", stop="END"),
    param("stops", stop=["END", "STOP"]),
    param("stops", OLD, stop=["END", "STOP"]),
    param("seed", seed=7, drop_params=True),  # LiteLLM 1.90 does not know that Gemini takes it
    param("seed", OLD, seed=7, drop_params=True),
    param("n", n=2),
    param("n", OLD, n=2),
    param("n of one", n=1),
    param("penalties", OLD, frequency_penalty=0.5, presence_penalty=0.25),
    param("penalties", frequency_penalty=0.5, presence_penalty=0.25),
    param("logprobs", OLD, logprobs=True),
    param("modalities", modalities=["text", "image"]),
    param("modality", OLD, modalities=["text"]),
    param("imageConfig", imageConfig={"aspectRatio": "16:9"}),
    param("speechConfig", speechConfig={"languageCode": "no"}),
    param("safety_settings", safety_settings=[{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]),
    param("extra_body", extra_body={"labels": {"team": "a"}}),
    param("max_retries", max_retries=0),
    param("max_retries of two", max_retries=2),
    param("timeout", timeout=30.0),
    param("timeout of httpx", timeout=httpx.Timeout(30.0, connect=5.0)),
    param("request_timeout", request_timeout=30),
    param("extra_headers", extra_headers={"x-extra": "1"}),
    param("headers", headers={"x-extra": "1"}),
    param("user dropped", user="somebody", drop_params=True),
    param("logit_bias dropped", logit_bias={"1": 1}, drop_params=True),
    *(
        param(f"reasoning_effort {effort}", reasoning_effort=effort)
        for effort in ("none", "minimal", "low", "medium", "high", "disable")
    ),
    *(
        param(f"reasoning_effort {effort}", OLD, reasoning_effort=effort)
        for effort in ("none", "minimal", "low", "medium", "high", "disable")
    ),
    param("reasoning_effort as an object", reasoning_effort={"effort": "low", "summary": "auto"}),
    param("thinking", thinking={"type": "enabled", "budget_tokens": 2000}),
    param("thinking", OLD, thinking={"type": "enabled", "budget_tokens": 2000}),
    param("thinking disabled", OLD, thinking={"type": "disabled"}),
    param("thinking disabled", thinking={"type": "disabled"}),
    param("thinking of no tokens", OLD, thinking={"type": "enabled", "budget_tokens": 0}),
    param("thinking without a budget", OLD, thinking={"type": "enabled"}),
    param("thinking adaptive", thinking={"type": "adaptive"}),
    param("thinking adaptive", OLD, thinking={"type": "adaptive"}),
    param(
        "thinking and reasoning_effort",
        OLD,
        thinking={"type": "enabled", "budget_tokens": 2000},
        reasoning_effort="low",
    ),
    param("thinkingConfig", thinkingConfig={"thinkingLevel": "low"}),
    param("json_object", response_format={"type": "json_object"}),
    param("response_format text", response_format={"type": "text"}),
    param(
        "json_schema",
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}},
    ),
    param("json_schema", OLD, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}),
    param("response_schema", response_format={"type": "json_object", "response_schema": SCHEMA}),
    param("a pydantic model", response_format=Answer),
    param("a pydantic model", OLD, response_format=Answer),
    param("a pydantic model in another", response_format=Report),
    param("a pydantic model in another", OLD, response_format=Report),
    param("json_schema with references", response_format=json_schema(REFERRED)),
    param("json_schema with references", OLD, response_format=json_schema(REFERRED)),
    param("json_schema of a list", response_format=json_schema({"type": "array", "items": {"type": "string"}})),
    param("json_object and a tool", response_format={"type": "json_object"}, tools=[WEATHER]),
    param("json_schema and a tool", OLD, response_format=json_schema(SCHEMA), tools=[WEATHER]),
    param("web_search_options", web_search_options={"search_context_size": "low"}),
    param("web_search_options", OLD, web_search_options={}),
    param("web_search_options and a tool", web_search_options={}, tools=[WEATHER]),
    # Tools
    Case("a tool", {"tools": [WEATHER]}),
    Case("a tool, older model", {"tools": [WEATHER]}, model=OLD),
    Case("two tools", {"tools": [WEATHER, CLOCK]}),
    Case("a tool without parameters", {"tools": [BARE]}),
    Case("a tool with empty parameters", {"tools": [tool("ping", "Ping.", properties={})]}),
    Case("a strict tool", {"tools": [{"type": "function", "function": {**WEATHER["function"], "strict": True}}]}),
    Case(
        "sixty tools", {"tools": [tool(f"tool_{number}", properties={"x": {"type": "string"}}) for number in range(60)]}
    ),
    Case("functions", {"functions": [WEATHER["function"]]}),
    Case("googleMaps", {"tools": [{"googleMaps": {"enableWidget": True}}]}),
    Case(
        "googleMaps at a place",
        {"tools": [{"googleMaps": {"latitude": 37.7, "longitude": -122.4, "languageCode": "en"}}]},
    ),
    Case("enterpriseWebSearch", {"tools": [{"enterpriseWebSearch": {}}]}),
    Case("computer use", {"tools": [{"type": "computer_use", "environment": "browser"}]}),
    Case("search and a tool", {"tools": [{"googleSearch": {}}, WEATHER]}),
    Case("search and a tool, older model", {"tools": [{"googleSearch": {}}, WEATHER]}, model=OLD),
    Case("two searches", {"tools": [{"googleSearch": {}}, {"codeExecution": {}}]}),
    Case(
        "server-side calls reported",
        {"tools": [{"googleSearch": {}}, WEATHER], "include_server_side_tool_invocations": True},
    ),
    Case("declarations in Gemini's own form", {"tools": [{"functionDeclarations": [WEATHER["function"]]}]}),
    Case("a tool name with dots", {"tools": [tool("mcp.weather-now:v1")]}),
    Case("googleSearch", {"tools": [{"googleSearch": {}}]}),
    Case("google_search_retrieval", {"tools": [{"googleSearchRetrieval": {}}]}),
    Case("code_execution", {"tools": [{"codeExecution": {}}]}),
    Case("urlContext", {"tools": [{"urlContext": {}}]}),
    Case("OpenAI's web search", {"tools": [{"type": "web_search_preview"}]}),
    *(
        Case(f"tool_choice {choice}", {"tools": [WEATHER, CLOCK], "tool_choice": choice})
        for choice in ("auto", "none", "required")
    ),
    Case(
        "tool_choice of one",
        {"tools": [WEATHER, CLOCK], "tool_choice": {"type": "function", "function": {"name": "clock"}}},
    ),
    Case("tool_choice as an object", {"tools": [WEATHER], "tool_choice": {"type": "auto"}}),
    Case("tool_choice without tools", {"tool_choice": "auto"}),
    Case("parallel_tool_calls", {"tools": [WEATHER], "parallel_tool_calls": True}),
    Case("no parallel_tool_calls of two tools", {"tools": [WEATHER, CLOCK], "parallel_tool_calls": False}),
    Case("no parallel_tool_calls", {"tools": [WEATHER], "parallel_tool_calls": False}),
    Case("a name that upstream rejects", {"tools": [tool("weather in town")]}, change=_rename),
    with_schema("string", {"type": "string"}),
    with_schema("bounds", {"type": "integer", "minimum": 1, "maximum": 5}),
    with_schema("pattern", {"type": "string", "pattern": "^a", "minLength": 1, "maxLength": 3}),
    with_schema("array", {"type": "array", "items": {"type": "string"}, "minItems": 1}),
    with_schema(
        "array of objects", {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "number"}}}}
    ),
    with_schema("array of anything", {"type": "array"}, {"type": "array", "items": ANYTHING}),
    with_schema(
        "nested objects",
        {"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {"type": "boolean"}}}}},
    ),
    with_schema("enum", {"type": "string", "enum": ["a", "b"], "default": "a"}),
    with_schema("date-time", {"type": "string", "format": "date-time"}),
    with_schema("another format", {"type": "string", "format": "uuid"}),
    with_schema("anyOf", {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
    with_schema("anything", {}, ANYTHING),
    with_schema("title and description", {"type": "string", "title": "T", "description": "D"}),
    with_schema(
        "additionalProperties",
        {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False},
    ),
    with_schema("nullable", {"type": ["string", "null"]}, {"type": "string", "nullable": True}),
    with_schema(
        "anyOf with null", {"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": "string", "nullable": True}
    ),
    with_schema("const", {"const": "a"}, {"type": "string", "enum": ["a"]}),
    with_schema("untyped enum", {"enum": ["a", "b"]}, {"type": "string", "enum": ["a", "b"]}),
    with_schema(
        "enum of integers",
        {"type": "integer", "enum": [1, 5]},
        {"type": "integer", "minimum": 1, "maximum": 5, "description": "One of: 1, 5."},
    ),
    with_schema(
        "oneOf",
        {"oneOf": [{"type": "string"}, {"type": "integer"}]},
        {"anyOf": [{"type": "string"}, {"type": "integer"}]},
    ),
    with_schema("allOf", {"allOf": [{"type": "string"}, {"minLength": 2}]}, {"type": "string", "minLength": 2}),
    Case(
        "schema: references",
        {"tools": [REFERRING]},
    ),
    Case(
        "schema: a property named strict",
        {"tools": [tool(properties={"strict": {"type": "boolean"}})]},
        change=_set_schema({"type": "object", "properties": {"strict": {"type": "boolean"}}}),
    ),
    # Messages
    Case("a system message", says({"role": "system", "content": "Be brief."}, user("Hello"))),
    Case(
        "system messages anywhere",
        says(
            user("Hello"),
            {"role": "system", "content": "Be brief."},
            assistant("Hi"),
            user("More"),
            {"role": "system", "content": "Rhyme."},
        ),
        change=_keep_system_messages,
    ),
    Case(
        "a system message in parts",
        says({"role": "system", "content": [text("Be brief."), text("Rhyme.")]}, user("Hello")),
    ),
    Case("a system message alone", says({"role": "system", "content": "Be brief."})),
    Case("turns", says(user("Hello"), assistant("Hi"), user("How are you?"))),
    Case(
        "turns to be merged", says(user("Hello"), user("You there?"), assistant("Hi"), assistant("Yes"), user("Good"))
    ),
    Case(
        "a conversation that the assistant begins",
        says(assistant("Hi, I am here."), user("Hello")),
        change=_begin_with_user,
    ),
    Case("a conversation that the assistant ends", says(user("Rhyme"), assistant("Roses are"))),
    Case("text in parts", says(user([text("One."), text("Two.")]))),
    Case("an empty message", says(user(""))),
    Case("a blank message", says(user("  \n"))),
    Case("a message of nothing", says(user(None))),
    Case("a message of no parts", says(user([]))),
    Case("an empty part", says(user([text(""), text("Hello")]))),
    Case("an empty system message", says({"role": "system", "content": ""}, user("Hello"))),
    Case("a system message of no parts", says({"role": "system", "content": []}, user("Hello"))),
    Case("an assistant that says nothing", says(user("Hello"), assistant(""), user("Hello?"))),
    Case("an assistant that says None", says(user("Hello"), assistant(None), user("Hello?"))),
    Case("no calls", says(user("Hello"), assistant("Hi", tool_calls=[]), user("Good"))),
    Case("a refusal in the history", says(user("Hello"), assistant("No.", refusal=None, annotations=[]), user("Why?"))),
    Case("a name", says({**user("Hello"), "name": "ada"})),
    Case("messages as objects", says(litellm.Message(role="user", content="Hello"))),
    Case("two hundred turns", says(*[user("And?"), assistant("Well.")] * 100, user("So?"))),
    Case("a very long system message", says({"role": "system", "content": "rule " * 50_000}, user("Hello"))),
    Case("many parts", says(user([text(f"{number}. ") for number in range(500)]))),
    Case("a very long message", says(user("word " * 50_000))),
    Case("text of many scripts", says(user("Grüße, 世界, \U0001f600 \u2028 \x7f"))),
    Case("the assistant's text in parts", says(user("Hello"), assistant([text("Hi")]), user("Good"))),
    Case("reasoning in the history", says(user("Hello"), assistant("Hi", reasoning_content="I greet."), user("Good"))),
    # Media
    Case("an image", says(user([text("What is it?"), {"type": "image_url", "image_url": {"url": PNG_URL}}]))),
    Case("an image as a string", says(user([text("What is it?"), {"type": "image_url", "image_url": PNG_URL}]))),
    Case("an image alone", says(user([{"type": "image_url", "image_url": {"url": PNG_URL}}]))),
    Case(
        "an image in detail",
        says(user([text("?"), {"type": "image_url", "image_url": {"url": PNG_URL, "detail": "high"}}])),
        model=OLD,
    ),
    Case(
        "an image in detail, newer model",
        says(user([text("?"), {"type": "image_url", "image_url": {"url": PNG_URL, "detail": "high"}}])),
    ),
    *(
        Case(
            f"an image in {detail} detail",
            says(user([{"type": "image_url", "image_url": {"url": PNG_URL, "detail": detail}}])),
        )
        for detail in ("auto", "low", "medium", "ultra_high")
    ),
    *(
        Case(f"an image of kind {kind}", says(user([text("?"), picture(f"data:image/{kind};base64,{PNG}")])))
        for kind in ("jpeg", "webp", "gif", "heic")
    ),
    Case(
        "an image whose kind is told",
        says(user([text("?"), {"type": "image_url", "image_url": {"url": PNG_URL, "format": "image/webp"}}])),
    ),
    Case("images between texts", says(user([text("A:"), picture(PNG_URL), text("B:"), picture(PNG_URL), text("?")]))),
    Case("a video", says(user([text("?"), picture("data:video/mp4;base64,AAAAIGZ0eXA=")]))),
    Case(
        "a video as a file",
        says(
            user(
                [
                    text("?"),
                    {
                        "type": "file",
                        "file": {
                            "file_data": "data:video/mp4;base64,AAAAIGZ0eXA=",
                            "format": "video/mp4",
                            "detail": "low",
                            "video_metadata": {"fps": 5, "start_offset": "1s", "end_offset": "9s"},
                        },
                    },
                ]
            )
        ),
    ),
    Case(
        "a file of Gemini's own",
        says(
            user(
                [
                    text("?"),
                    {
                        "type": "file",
                        "file": {
                            "file_id": "https://generativelanguage.googleapis.com/v1beta/files/abc",
                            "format": "application/pdf",
                        },
                    },
                ]
            )
        ),
    ),
    Case(
        "a PDF with a name",
        says(user([text("Sum up."), {"type": "file", "file": {"file_data": PDF_URL, "filename": "a.pdf"}}])),
    ),
    Case("a text file", says(user([{"type": "file", "file": {"file_data": "data:text/plain;base64,aGVsbG8="}}]))),
    Case(
        "audio as MP3",
        says(user([text("?"), {"type": "input_audio", "input_audio": {"data": "SUQzBAA=", "format": "mp3"}}])),
    ),
    Case("a PDF", says(user([text("Sum up."), {"type": "file", "file": {"file_data": PDF_URL}}]))),
    Case("a PDF as an image", says(user([text("Sum up."), {"type": "image_url", "image_url": PDF_URL}]))),
    Case(
        "audio",
        says(
            user([text("What is said?"), {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}])
        ),
    ),
    Case(
        "an image that the assistant made",
        says(user("Draw"), assistant("There.", images=[picture(PNG_URL)]), user("Again")),
    ),
    Case(
        "an image in the assistant's parts",
        says(user("Draw"), assistant([text("There."), picture(PNG_URL)]), user("Again")),
    ),
    # Histories with tools
    Case("a tool result", history(assistant(tool_calls=[call("1")]), result("1"))),
    Case("a tool result, older model", history(assistant(tool_calls=[call("1")]), result("1")), model=OLD),
    Case("text and a call", history(assistant("I look.", tool_calls=[call("1")]), result("1"), user("Thanks"))),
    Case(
        "parallel calls",
        history(assistant(tool_calls=[call("1"), call("2", arguments='{"place": "Rome"}')]), result("1"), result("2")),
    ),
    Case(
        "results in another order",
        history(assistant(tool_calls=[call("1"), call("2", arguments='{"place": "Rome"}')]), result("2"), result("1")),
    ),
    Case(
        "calls in a row",
        history(
            assistant(tool_calls=[call("1")]),
            result("1"),
            assistant(tool_calls=[call("2")]),
            result("2"),
            user("Thanks"),
        ),
    ),
    Case("a result that is text", history(assistant(tool_calls=[call("1")]), result("1", "grey"))),
    Case("a result that is a list", history(assistant(tool_calls=[call("1")]), result("1", "[1, 2]"))),
    Case("an empty result", history(assistant(tool_calls=[call("1")]), result("1", ""))),
    Case("a result of no parts", history(assistant(tool_calls=[call("1")]), result("1", []))),
    Case("a very long result", history(assistant(tool_calls=[call("1")]), result("1", "line\n" * 50_000))),
    Case("a result that names its tool", history(assistant(tool_calls=[call("1")]), result("1", name="weather"))),
    Case("a result and words", history(assistant(tool_calls=[call("1")]), result("1"), user("And Rome?"))),
    Case("a call without a result", history(assistant(tool_calls=[call("1")]), user("Never mind.")), change=_cancel),
    Case("one id for two calls", history(*[assistant(tool_calls=[call("1")]), result("1")] * 2)),
    Case(
        "deep arguments",
        history(
            assistant(tool_calls=[call("1", arguments='{"a": {"b": [1, {"c": null}], "snake_case": "\\u00e5"}}')]),
            result("1"),
        ),
    ),
    Case("a result in parts", history(assistant(tool_calls=[call("1")]), result("1", [text("grey"), text("wet")]))),
    Case(
        "a result with an image",
        history(
            assistant(tool_calls=[call("1")]),
            result("1", [text("See"), {"type": "image_url", "image_url": {"url": PNG_URL}}]),
        ),
    ),
    Case(
        "a result with a PDF",
        history(assistant(tool_calls=[call("1")]), result("1", [{"type": "file", "file": {"file_data": PDF_URL}}])),
    ),
    Case(
        "a call without arguments",
        history(assistant(tool_calls=[call("1", arguments="")]), result("1")),
        change=_no_arguments,
    ),
    Case(
        "a function call of old",
        says(
            user("Weather?"),
            assistant(function_call={"name": "weather", "arguments": "{}"}),
            {"role": "function", "name": "weather", "content": "grey"},
        )
        | {"functions": [WEATHER["function"]]},
        change=_with_ids,
    ),
    Case(
        "a signature in the id",
        history(assistant(tool_calls=[call(f"1__thought__{SIGNATURE}")]), result(f"1__thought__{SIGNATURE}")),
    ),
    Case(
        "a signature in the fields",
        history(
            assistant(tool_calls=[call("1", provider_specific_fields={"thought_signature": SIGNATURE})]), result("1")
        ),
    ),
    Case(
        "a signature in the function's fields",
        history(
            assistant(
                tool_calls=[
                    {
                        "id": "1",
                        "type": "function",
                        "function": {
                            "name": "weather",
                            "arguments": "{}",
                            "provider_specific_fields": {"thought_signature": SIGNATURE},
                        },
                    }
                ]
            ),
            result("1"),
        ),
    ),
    Case(
        "a signature of the first of parallel calls",
        history(
            assistant("I look.", tool_calls=[call(f"1__thought__{SIGNATURE}"), call("2", arguments="{}")]),
            result(f"1__thought__{SIGNATURE}"),
            result("2"),
        ),
    ),
    Case(
        "one signature for text and call",
        history(
            assistant(
                "I look.",
                tool_calls=[call(f"1__thought__{SIGNATURE}")],
                provider_specific_fields={"thought_signatures": [SIGNATURE]},
            ),
            result(f"1__thought__{SIGNATURE}"),
        ),
    ),
    Case(
        "unsigned calls, older model",
        history(assistant("I look.", tool_calls=[call("1"), call("2", arguments="{}")]), result("1"), result("2")),
        model=OLD,
    ),
    Case(
        "a signature of a text",
        says(
            user("Hello"), assistant("Hi", provider_specific_fields={"thought_signatures": [SIGNATURE]}), user("Good")
        ),
    ),
    # Replies
    Case("reply: a call", {"tools": [WEATHER]}, CALLED),
    Case(
        "reply: a call with an id",
        {"tools": [WEATHER]},
        [{"functionCall": {"id": "fc_1", "name": "weather", "args": {}}}],
    ),
    Case("reply: a signed call", {"tools": [WEATHER]}, SIGNED),
    Case(
        "reply: parallel calls",
        {"tools": [WEATHER]},
        [*SIGNED, {"functionCall": {"name": "weather", "args": {"place": "Rome"}}}],
    ),
    Case("reply: text and a call", {"tools": [WEATHER]}, [{"text": "I look it up."}, *CALLED]),
    Case("reply: a function call of old", {"functions": [WEATHER["function"]]}, CALLED),
    Case("reply: thoughts", {"reasoning_effort": "low"}, ModelReply(THOUGHT)),
    Case("reply: thoughts and a call", {"tools": [WEATHER]}, [THOUGHT[0], *SIGNED]),
    Case("reply: a signed text", {}, [{"text": "Signed words, four of them.", "thoughtSignature": SAID}]),
    Case("reply: an image", {"modalities": ["image"]}, [{"inlineData": {"mimeType": "image/png", "data": PNG}}]),
    Case("reply: of many scripts", {}, "Grüße, 世界, \U0001f600."),  # LiteLLM breaks synchronous streams at U+2028
    Case("reply: cut off", {}, ModelReply([{"text": "Not the whole"}], "MAX_TOKENS")),
    Case("reply: filtered", {}, ModelReply([{"text": "I will not"}], "SAFETY")),
    Case("reply: recitation", {}, ModelReply([{"text": "Once upon"}], "RECITATION")),
    *(
        Case(f"reply: {reason}", {}, ModelReply([{"text": "Not all"}], reason))
        for reason in (
            "PROHIBITED_CONTENT",
            "BLOCKLIST",
            "SPII",
            "OTHER",
            "LANGUAGE",
            "IMAGE_SAFETY",
        )
    ),
    Case("reply: text before and after a thought", {}, [{"text": "Well. "}, THOUGHT[0], {"text": "Here it is."}]),
    Case("reply: text after a call", {"tools": [WEATHER]}, [*CALLED, {"text": "I have asked."}]),
    Case("reply: text and an image", {}, [{"text": "There."}, {"inlineData": {"mimeType": "image/png", "data": PNG}}]),
    Case("reply: a cut-off thought", {}, ModelReply(THOUGHT[:1], "MAX_TOKENS")),
    Case(
        "reply: code and what it printed",
        {"tools": [{"codeExecution": {}}]},
        [
            {"text": "I compute. "},
            {"executableCode": {"language": "PYTHON", "code": "print(6 * 7)"}},
            {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "42\n"}},
            {"text": "It is 42."},
        ],
    ),
    Case("reply: grounded", {"web_search_options": {}}, ModelReply([{"text": "It rains in Oslo."}], about=GROUNDED)),
    Case("reply: cited", {}, ModelReply([{"text": "Once upon a time"}], about=CITED)),
    Case("reply: rated", {}, ModelReply([{"text": "Mild words."}], about=RATED)),
    Case("reply: probable", {"logprobs": True}, ModelReply([{"text": "Yes."}], about=PROBABLE), OLD),
    Case(
        "reply: cached tokens",
        {},
        ModelReply([{"text": "Cheap words."}], usage={"promptTokenCount": 90, "cachedContentTokenCount": 60}),
    ),
    Case("reply: reasoning tokens", {}, ModelReply(THOUGHT, usage={"thoughtsTokenCount": 40})),
    Case(
        "reply: tokens by kind",
        {},
        ModelReply(
            [{"text": "Many words."}],
            usage={
                "promptTokenCount": 300,
                "cachedContentTokenCount": 60,
                "toolUsePromptTokenCount": 7,
                "promptTokensDetails": [
                    {"modality": "TEXT", "tokenCount": 42},
                    {"modality": "IMAGE", "tokenCount": 258},
                ],
                "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 60}],
                "candidatesTokensDetails": [{"modality": "TEXT", "tokenCount": 3}],
            },
        ),
    ),
]

MESSAGES = [user("Hello")]


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with Simulator(2, models=(NEW, OLD)) as simulator:
        folder: Path = tmp_path_factory.mktemp("parity")
        litellm_antigravity.register(settings_of(simulator, folder, account_selection_strategy="sticky"))
        yield simulator


@dataclass(frozen=True)
class Outcome:
    """What arrived upstream, and what came back."""

    body: Body
    answer: dict[str, Any]


def ask(simulator: Simulator, case: Case, *, stream: bool, provider: str) -> Outcome:
    params = {"messages": MESSAGES, **case.params}
    before = _snapshot(params)
    more: dict[str, Any] = {"model": f"{provider}/{case.model}"}
    if provider == "gemini":
        more |= {"api_key": simulator.accounts[0].api_key, "api_base": f"{simulator.url}/v1beta/models/{case.model}"}
    if stream:
        more |= {"stream": True, "stream_options": {"include_usage": True}}
    simulator.clear_log()
    simulator.reply_with(_counted(case.reply))
    if provider == "gemini":
        params = copy.deepcopy(params)  # LiteLLM changes tools in place
    response = litellm.completion(**params, **more)
    answer = _built(list(response), params["messages"]) if stream else response.model_dump()
    if provider == "antigravity":
        assert _snapshot(params) == before, "the caller's objects were changed"
    (request,) = simulator.requests(kind="served")
    body = request.body["request"] if provider == "antigravity" else request.body
    return Outcome(body, answer)


def _counted(reply: Any) -> ModelReply:
    """Return a reply with the same count of prompt tokens, however the request is spelled."""
    said = (
        reply if isinstance(reply, ModelReply) else ModelReply([{"text": reply}] if isinstance(reply, str) else reply)
    )
    return ModelReply(
        said.parts, said.finish_reason, {"promptTokenCount": 11, "cachedContentTokenCount": 0, **said.usage}, said.about
    )


def _snapshot(params: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy(params)


def _built(chunks: list[Any], messages: Any) -> dict[str, Any]:
    """Return what LiteLLM builds of a stream, and the stream's own deltas."""
    built: Any = litellm.stream_chunk_builder(chunks, messages=messages)
    answer: dict[str, Any] = built.model_dump()
    choices = [choice for chunk in chunks for choice in chunk.choices]
    answer["roles"] = [choice.delta.role for choice in choices if choice.delta.get("role")]
    deltas = [choice.delta.model_dump(exclude_none=True, exclude={"role", "thinking_blocks"}) for choice in choices]
    answer["deltas"] = [delta for delta in deltas if delta != {"reasoning_content": ""}]
    answer["finish"] = [choice.finish_reason for choice in choices if choice.finish_reason]
    extra = [pair for chunk in chunks for pair in (chunk.model_extra or {}).items()]
    answer |= {name: value for name, value in extra if name.startswith("vertex_ai") and value}
    answer["usages"] = sum(1 for chunk in chunks if getattr(chunk, "usage", None))
    return answer


SPELLINGS = {
    "system_instruction": "systemInstruction",
    "function_declarations": "functionDeclarations",
    "function_calling_config": "functionCallingConfig",
    "allowed_function_names": "allowedFunctionNames",
    "function_call": "functionCall",
    "function_response": "functionResponse",
    "inline_data": "inlineData",
    "file_data": "fileData",
    "file_uri": "fileUri",
    "video_metadata": "videoMetadata",
    "mime_type": "mimeType",
    "media_resolution": "mediaResolution",
    "max_output_tokens": "maxOutputTokens",
    "candidate_count": "candidateCount",
    "stop_sequences": "stopSequences",
    "frequency_penalty": "frequencyPenalty",
    "presence_penalty": "presencePenalty",
    "code_execution": "codeExecution",
    "url_context": "urlContext",
    "top_p": "topP",
    "top_k": "topK",
    "response_mime_type": "responseMimeType",
    "response_json_schema": "responseJsonSchema",
    "response_schema": "responseSchema",
}
CALLERS_OWN = ("args", "response", "parameters", "responseJsonSchema", "responseSchema", "labels")


def spelled(value: Any) -> Any:
    """Return a body of LiteLLM's in camelCase, but for what is the caller's."""
    if isinstance(value, list):
        return [spelled(one) for one in value]
    if not isinstance(value, dict):
        return value
    renamed = {SPELLINGS.get(name, name): one for name, one in value.items()}
    return {name: one if name in CALLERS_OWN else spelled(one) for name, one in renamed.items()}


def with_roles(body: Body) -> Body:
    """Return a body of older LiteLLM's with the roles that it leaves out."""
    return {**body, "contents": [{"role": "user", **content} for content in body["contents"]]}


MADE_UP_ID = re.compile(r"call_[0-9a-f]{24}")


def with_made_up_ids(body: Body) -> Body:
    """Return a body with one id in the place of all that the package makes up."""
    made_up: Body = json.loads(MADE_UP_ID.sub("call_made_up", json.dumps(body)))
    return made_up


RANDOM_ID = re.compile(r"call_[0-9a-f]{28}")


def comparable(answer: dict[str, Any]) -> Any:
    """Return an answer without what is random, or has to differ."""
    kept = {name: one for name, one in answer.items() if name not in ("id", "created", "model")}
    kept["usage"].pop("cost", None)  # theirs is not free
    for choice in kept["choices"]:
        choice["message"].pop("thinking_blocks", None)
    return json.loads(RANDOM_ID.sub("call_", json.dumps(kept, default=str)))


@pytest.mark.parametrize("stream", [pytest.param(False, id="whole"), pytest.param(True, id="streamed")])
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_the_same_request_arrives_and_the_same_answer_comes_back(
    simulator: Simulator, case: Case, *, stream: bool
) -> None:
    theirs = ask(simulator, case, stream=stream, provider="gemini")
    ours = ask(simulator, case, stream=stream, provider="antigravity")
    expected = with_roles(spelled(theirs.body))
    if case.change is not None:
        case.change(expected)
    assert with_made_up_ids(ours.body) == expected
    assert comparable(ours.answer) == comparable(theirs.answer)


def test_the_table_is_large_enough() -> None:
    assert len(CASES) >= 200
    assert len({case.name for case in CASES}) == len(CASES)


def _refused(simulator: Simulator, params: dict[str, Any], provider: str) -> bool:
    try:
        ask(simulator, Case("refused", params), stream=False, provider=provider)
    except litellm.UnsupportedParamsError:
        return True
    return False


UNSUPPORTED: list[dict[str, Any]] = [
    {"logit_bias": {"1": 1}},
    {"top_logprobs": 3},
    {"audio": {"voice": "Kore", "format": "pcm16"}},
]


@pytest.mark.parametrize("params", [pytest.param(one, id=next(iter(one))) for one in UNSUPPORTED])
def test_a_parameter_that_gemini_lacks_is_refused_unless_dropped(simulator: Simulator, params: dict[str, Any]) -> None:
    # Older LiteLLM does not know all of them, and lets its own provider ignore those.
    assert _refused(simulator, params, "antigravity") == _refused(simulator, params, "gemini")
    assert "logit_bias" not in params or _refused(simulator, params, "antigravity")
    dropped = Case("dropped", {**params, "drop_params": True})
    ours = ask(simulator, dropped, stream=False, provider="antigravity")
    assert ours.body == ask(simulator, Case("plain"), stream=False, provider="antigravity").body


@pytest.mark.parametrize("effort", ["xhigh", "max", "utmost"])
def test_an_effort_that_gemini_lacks_is_refused_in_the_same_way(simulator: Simulator, effort: str) -> None:
    raised = []
    for provider in ("gemini", "antigravity"):
        with pytest.raises(Exception, match="effort") as error:
            ask(simulator, Case("x", {"reasoning_effort": effort}), stream=False, provider=provider)
        raised.append(error.type)
    assert raised[0] is raised[1]


@pytest.mark.parametrize("choice", ["auto", "none", {"name": "weather"}], ids=["auto", "none", "one"])
def test_function_call_means_what_tool_choice_does(simulator: Simulator, choice: Any) -> None:
    functions = {"functions": [WEATHER["function"]]}
    now = choice if isinstance(choice, str) else {"type": "function", "function": choice}
    bodies = [
        ask(simulator, Case("x", functions | one), stream=False, provider="antigravity").body
        for one in ({"function_call": choice}, {"tool_choice": now})
    ]
    assert bodies[0] == bodies[1]
    assert bodies[0]["toolConfig"]["functionCallingConfig"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_the_callers_headers_go_along_but_for_ours(simulator: Simulator, *, stream: bool) -> None:
    theirs = {"X-Extra": "1", "x-trace": 7, "x-none": None}
    ours = {"Authorization": "Bearer other", "User-Agent": "other", "X-Goog-User-Project": "other", "Host": "other"}
    ask(simulator, Case("x", {"extra_headers": theirs | ours}), stream=stream, provider="antigravity")
    (request,) = simulator.requests(kind="served")  # so the token was not the caller's
    assert request.headers["x-extra"] == "1"
    assert request.headers["x-trace"] == "7"
    assert "other" not in request.headers.values()


@pytest.mark.parametrize("headers", [{"x-extra": "a\r\nx-other: b"}, {"x extra": "1"}, {"x-extra": "å"}])
def test_a_header_that_cannot_be_sent_is_the_callers_mistake(simulator: Simulator, headers: dict[str, str]) -> None:
    with pytest.raises(litellm.BadRequestError, match="header"):
        ask(simulator, Case("x", {"extra_headers": headers}), stream=False, provider="antigravity")
    assert simulator.log == []


def test_cache_markers_are_ignored(simulator: Simulator) -> None:
    marked = says(user([{**text("Long ago."), "cache_control": {"type": "ephemeral"}}]))
    plain = says(user([text("Long ago.")]))
    bodies = [ask(simulator, Case("x", one), stream=False, provider="antigravity").body for one in (marked, plain)]
    assert bodies[0] == bodies[1]


HINTS: dict[str, Any] = {
    "prompt_cache_key": "conversation-1",
    "prompt_cache_retention": "24h",
    "store": False,
    "safety_identifier": "user-1",
    "verbosity": "low",
    "service_tier": "auto",
    "prediction": {"type": "content", "content": "x"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "user": "somebody",
}


@pytest.mark.parametrize("model", [NEW, OLD, "claude-sonnet-4-6", "gpt-oss-120b-medium"])
@pytest.mark.parametrize("name", HINTS)
def test_a_hint_that_changes_no_answer_is_taken_and_goes_nowhere(simulator: Simulator, name: str, model: str) -> None:
    """Before, all but two were a 400 (``UnsupportedParamsError``) unless ``drop_params`` was set."""
    bodies = [
        ask(simulator, Case("x", params, model=model), stream=False, provider="antigravity").body
        for params in ({}, {name: HINTS[name]}, HINTS)
    ]
    assert bodies[0] == bodies[1] == bodies[2]


@pytest.mark.parametrize("model", [NEW, OLD, "claude-sonnet-4-6"])
def test_what_litellm_is_told_of_the_parameters_is_what_is_taken(model: str) -> None:
    """Before, LiteLLM named those of OpenAI itself: without ``thinking``, and with ``logit_bias``."""
    for asked in ((model, "antigravity"), (f"antigravity/{model}", None)):
        taken = litellm.get_supported_openai_params(*asked)
        assert taken is not None
        assert {"reasoning_effort", "thinking", "tools", "max_tokens", *HINTS} <= set(taken)
        assert not {"logit_bias", "audio", "top_logprobs"} & set(taken)
    others = litellm.get_supported_openai_params("some-model", "openai")
    assert others is not None
    assert "logit_bias" in others


def test_a_renamed_tool_comes_back_under_the_callers_name(simulator: Simulator) -> None:
    reply = [{"functionCall": {"name": "weather_in_town", "args": {}}}]
    case = Case("x", {"tools": [tool("weather in town")]}, reply)
    for stream in (False, True):
        answer = ask(simulator, case, stream=stream, provider="antigravity").answer
        assert answer["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "weather in town"
