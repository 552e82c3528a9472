"""Asking through a provider, and what of a request upstream and of an answer is compared."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import litellm
import pytest
from parity_cases import MESSAGES
from parity_requests import NEW, OLD, Body, Case
from serving import settings_of

import litellm_antigravity
from litellm_antigravity.simulator import ModelReply, Simulator


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
