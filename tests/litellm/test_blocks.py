"""Blocks of messages that nobody knows: none is lost in silence."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from litellm_antigravity.litellm.blocks import known_blocks, known_elements, known_system, text_of
from litellm_antigravity.litellm.translation import to_gemini
from litellm_antigravity.litellm.translation.signatures import SignedThoughts

Json = dict[str, Any]

MODELS = ["claude-sonnet-4-6", "gemini-3-flash"]
PNG = "iVBORw0KGgo="
DATA_URL = f"data:image/png;base64,{PNG}"

# A block, and what the model has to read of it.
BLOCKS: dict[str, tuple[Json, list[str]]] = {
    "a reference to a tool": ({"type": "tool_reference", "tool_name": "deploy_site"}, ["deploy_site"]),
    "a search's result": (
        {
            "type": "search_result",
            "source": "https://example.com/a",
            "title": "Weather",
            "content": [{"type": "text", "text": "It rains."}],
        },
        ["https://example.com/a", "Weather", "It rains."],
    ),
    "a document in plain text": (
        {
            "type": "document",
            "title": "Notes",
            "source": {"type": "text", "media_type": "text/plain", "data": "Buy milk."},
        },
        ["Notes", "Buy milk."],
    ),
    "a document of blocks": (
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "Buy milk."}]}},
        ["Buy milk."],
    ),
    "a document by file": ({"type": "document", "source": {"type": "file", "file_id": "file_12"}}, ["file_12"]),
    "an upload": ({"type": "container_upload", "file_id": "file_13"}, ["file_13"]),
    "a server's call": (
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "rain"}},
        ["web_search", "rain"],
    ),
    "a server's result": (
        {
            "type": "web_search_tool_result",
            "tool_use_id": "srvtoolu_1",
            "content": [{"type": "web_search_result", "url": "https://example.com", "encrypted_content": "Zm9v" * 99}],
        },
        ["https://example.com"],
    ),
    "something new": ({"type": "hologram", "payload": {"depth": 3}}, ["hologram", "depth"]),
    "something without a type": ({"payload": "seven"}, ["seven"]),
}
every_block = pytest.mark.parametrize(("block", "words"), BLOCKS.values(), ids=BLOCKS)


def texts(model: str, messages: list[Json]) -> str:
    """Return all that upstream gets."""
    body = to_gemini(model, messages, {}, thoughts=SignedThoughts())
    return json.dumps([body["contents"], body.get("systemInstruction")], ensure_ascii=False)


@every_block
@pytest.mark.parametrize("role", ["user", "assistant", "tool", "system"])
@pytest.mark.parametrize("model", MODELS)
def test_an_unknown_element_is_read_as_text(block: Json, words: list[str], role: str, model: str) -> None:
    """Before, LiteLLM left it out in silence, or failed."""
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    before = [{"role": "assistant", "content": None, "tool_calls": [call]}] if role == "tool" else []
    more = {"tool_call_id": "c1"} if role == "tool" else {}
    message = {"role": role, "content": [{"type": "text", "text": "See:"}, block], **more}
    given = copy.deepcopy(message)
    sent = texts(model, [{"role": "user", "content": "Hello"}, *before, message])
    assert message == given
    assert all(word in sent for word in ("See:", *words))
    assert "Zm9v" not in sent


@every_block
@pytest.mark.parametrize("role", ["user", "assistant"])
def test_an_unknown_block_of_anthropics_becomes_text(block: Json, words: list[str], role: str) -> None:
    """Before, LiteLLM's ``/v1/messages`` left it out in silence."""
    message = {"role": role, "content": [{"type": "text", "text": "See:"}, block]}
    given = copy.deepcopy(message)
    (known,) = known_blocks([message])
    assert message == given
    first, second = known["content"]
    assert first == message["content"][0]
    assert second["type"] == "text"
    assert all(word in second["text"] for word in words)


@every_block
def test_so_does_one_within_a_tools_result(block: Json, words: list[str]) -> None:
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "See:"}, block]}
    (known,) = known_blocks([{"role": "user", "content": [result]}])
    (first, second) = known["content"][0]["content"]
    assert first == {"type": "text", "text": "See:"}
    assert second["type"] == "text"
    assert all(word in second["text"] for word in words)


KNOWN: list[Json] = [
    {"role": "user", "content": "Hello"},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "Hello", "cache_control": {"type": "ephemeral"}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
            {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": "grey", "is_error": True},
            {"type": "tool_result", "tool_use_id": "toolu_2"},
        ],
    },
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "c2ln"},
            {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}},
        ],
    },
]


def test_blocks_that_litellm_knows_stay_as_they_are() -> None:
    assert known_blocks(KNOWN) == KNOWN
    system = [{"type": "text", "text": "Be brief."}]
    assert known_system(system) == system
    assert known_system("Be brief.") == "Be brief."


@pytest.mark.parametrize(
    "element",
    [
        {"type": "input_image", "image_url": DATA_URL},
        {"type": "image_url", "image_url": {"url": DATA_URL}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
    ],
    ids=["responses", "chat", "messages"],
)
@pytest.mark.parametrize("role", ["user", "tool"])
def test_a_picture_is_one_in_any_api_s_form(element: Json, role: str) -> None:
    (known,) = known_elements([element], role)
    image = known["image_url"]
    assert known["type"] == "image_url"
    assert (image if isinstance(image, str) else image["url"]) == DATA_URL


@pytest.mark.parametrize("kind", ["input_text", "output_text", "refusal"])
def test_words_are_words_in_any_api_s_form(kind: str) -> None:
    name = "refusal" if kind == "refusal" else "text"
    assert known_elements([{"type": kind, name: "No."}], "assistant") == [{"type": "text", "text": "No."}]
    assert known_elements(["No."], "user") == [{"type": "text", "text": "No."}]
    assert text_of("No.") == "No."
