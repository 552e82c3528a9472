"""OpenAI requests to Gemini's and back: LiteLLM's own translation, with what it needs around it.

LiteLLM decides by model name how to translate, and upstream's names are not LiteLLM's. For names it does not know, it
assumes the newest Gemini (temperature forced to 1, thinking levels instead of budgets, made-up signatures) but one
without system prompts. So each model is translated under a name that LiteLLM knows: its nearest relative's, and for
Claude and GPT-OSS that of a Gemini model that has none of these peculiarities.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import httpx
import litellm
from litellm.types.utils import Delta, ModelResponse, ModelResponseStream, StreamingChoices, Usage

from litellm_antigravity.litellm import seams
from litellm_antigravity.models import canonical_model, family_of

_PLAIN_MODEL: Final = "gemini-2.5-pro"
_RELATIVES: Final = {
    "flash": ("gemini-3-flash-preview", "gemini-2.5-flash"),
    "pro": ("gemini-3.1-pro-preview", "gemini-3-pro-preview", "gemini-2.5-pro"),
}
_NOT_FOR_UPSTREAM: Final = ("stream", "stream_options", "max_retries")
_PASSED_ON: Final = ("top_k", "safety_settings", "thinkingConfig")
_UNDERSCORE: Final = re.compile(r"_([a-z])")
_REQUEST: Final = httpx.Request("POST", "https://antigravity.invalid/")


def translation_model(model: str) -> str:
    """Return the name under which LiteLLM is to translate requests for ``model``."""
    if family_of(model) == "claude":
        return _PLAIN_MODEL
    name = canonical_model(model)
    if _knows(name):
        return name
    if name.startswith(("gemini-1", "gemini-2")):
        return _PLAIN_MODEL
    relatives = _RELATIVES["flash" if "flash" in name else "pro"]
    return next((relative for relative in relatives if _knows(relative)), name)


def _knows(name: str) -> bool:
    return f"gemini/{name}" in litellm.model_cost


def to_gemini(model: str, messages: Sequence[Any], optional_params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the Gemini request for an OpenAI one.

    Args:
        model: upstream's name of the model.
        messages: OpenAI messages; not changed.
        optional_params: OpenAI parameters as LiteLLM hands them to a provider; not changed.

    Raises:
        litellm.BadRequestError: from LiteLLM, when something cannot be translated.
    """
    name = translation_model(model)
    given = {key: value for key, value in optional_params.items() if key not in _NOT_FOR_UPSTREAM}
    given = copy.deepcopy(given)
    mapped = seams.GoogleAIStudioGeminiConfig().map_openai_params(given, {}, name, True)
    mapped |= {key: given[key] for key in _PASSED_ON if key in given}
    body = seams.transform_request_body(
        messages=copy.deepcopy(list(messages)),
        model=name,
        optional_params=mapped,
        custom_llm_provider="gemini",
        litellm_params={},
        cached_content=None,
    )
    return _in_camel_case(body)


def from_gemini(
    reply: Mapping[str, Any],
    *,
    model: str,
    model_response: ModelResponse,
    logging_obj: Any,
    request: Mapping[str, Any],
    messages: Sequence[Any],
    optional_params: Mapping[str, Any],
) -> ModelResponse:
    """Return the OpenAI response for a whole Gemini reply.

    Args:
        reply: what was inside the envelope.
        model: the name that was asked for; it is the response's too, since LiteLLM finds the price by it.
        model_response: the response that LiteLLM has prepared.
        logging_obj: LiteLLM's logging object.
        request: the Gemini request.
        messages: the OpenAI messages.
        optional_params: the OpenAI parameters.
    """
    translated: ModelResponse = seams.VertexGeminiConfig().transform_response(
        model=translation_model(model),
        raw_response=_Parsed(reply),
        model_response=model_response,
        logging_obj=logging_obj,
        request_data=dict(request),
        messages=list(messages),
        optional_params=dict(optional_params),
        litellm_params={},
        encoding=None,
        api_key="",
    )
    translated.model = model
    return translated


class _Parsed(httpx.Response):
    """A response whose JSON has been parsed already; LiteLLM asks for its JSON and, for logs, for its text."""

    def __init__(self, reply: Mapping[str, Any]) -> None:
        super().__init__(200, request=_REQUEST)
        self._reply = dict(reply)

    def json(self, **_: Any) -> Any:
        return self._reply

    @property
    def text(self) -> str:
        return json.dumps(self._reply, ensure_ascii=False)


class ChunkTranslator:
    """Turns the Gemini replies of one stream into LiteLLM's chunks.

    LiteLLM stops at the first chunk with a finish reason and drops a content-less one's usage, while its Gemini code
    stamps a finish reason on every chunk. So the order is made: content, then usage alone, then the finish reason
    alone.

    Args:
        model: the name that was asked for.
        logging_obj: LiteLLM's logging object.
    """

    def __init__(self, model: str, logging_obj: Any) -> None:
        self._model = model
        self._parser = seams.ModelResponseIterator(streaming_response=None, sync_stream=False, logging_obj=logging_obj)
        self._usage: Usage | None = None
        self._finish: str | None = None
        self._calls_tools = False

    def chunks(self, reply: Mapping[str, Any]) -> Iterator[ModelResponseStream]:
        """Yield the content of one reply; its usage and finish reason are kept for the end."""
        chunk = self._parser.chunk_parser(dict(reply))
        if chunk is None or not chunk.choices:
            self._keep_usage(chunk)
            return
        if _really_ends(reply):
            self._finish = chunk.choices[0].finish_reason or "stop"
        self._keep_usage(chunk)
        for choice in chunk.choices:
            choice.finish_reason = None
        self._calls_tools = self._calls_tools or bool(getattr(chunk.choices[0].delta, "tool_calls", None))
        if _has_content(chunk.choices[0].delta):
            chunk.model = self._model
            yield chunk

    def last_chunks(self) -> Iterator[ModelResponseStream]:
        """Yield the usage and the finish reason, which end the stream."""
        if self._usage is not None:
            chunk = self._empty()
            chunk.usage = self._usage
            yield chunk
        finish = self._finish or "stop"
        # Older LiteLLM looks for tool calls in the last chunk only; OpenAI's clients look at the reason.
        yield self._empty("tool_calls" if finish == "stop" and self._calls_tools else finish)

    def _keep_usage(self, chunk: Any) -> None:
        usage = getattr(chunk, "usage", None)
        if usage is not None:
            self._usage = usage
            chunk.usage = None

    def _empty(self, finish_reason: str | None = None) -> ModelResponseStream:
        choice = StreamingChoices(index=0, delta=Delta(content=None), finish_reason=finish_reason)
        return litellm.ModelResponseStream(model=self._model, choices=[choice])


def _really_ends(reply: Mapping[str, Any]) -> bool:
    candidates = reply.get("candidates") or [{}]
    return "promptFeedback" in reply or bool(candidates[0].get("finishReason"))


def _has_content(delta: Any) -> bool:
    return any(
        getattr(delta, name, None)
        for name in (
            "content",
            "tool_calls",
            "reasoning_content",
            "thinking_blocks",
            "images",
            "provider_specific_fields",
        )
    )


# LiteLLM mixes snake_case and camelCase; both are JSON spellings of protobuf fields, but only one of them is certain to
# be read by this endpoint. Names inside schemas, arguments and results are the caller's and stay.


def _camel(name: str) -> str:
    return _UNDERSCORE.sub(lambda found: found.group(1).upper(), name)


def _renamed(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {_camel(key): value for key, value in fields.items()}


def _in_camel_case(body: Mapping[str, Any]) -> dict[str, Any]:
    renamed = _renamed(body)
    if "contents" in renamed:
        # Older LiteLLM leaves the role out where a message holds the results of tools.
        renamed["contents"] = [{"role": "user", **_content(content)} for content in renamed["contents"]]
    if isinstance(renamed.get("systemInstruction"), Mapping):
        renamed["systemInstruction"] = _content(renamed["systemInstruction"])
    if isinstance(renamed.get("generationConfig"), Mapping):
        renamed["generationConfig"] = _renamed(renamed["generationConfig"])
    if "tools" in renamed:
        renamed["tools"] = [_renamed(tool) for tool in renamed["tools"]]
    if isinstance(renamed.get("toolConfig"), Mapping):
        renamed["toolConfig"] = {
            key: _renamed(value) if isinstance(value, Mapping) else value
            for key, value in _renamed(renamed["toolConfig"]).items()
        }
    return renamed


def _content(content: Mapping[str, Any]) -> dict[str, Any]:
    return {**content, "parts": [_part(part) for part in content.get("parts", [])]}


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    renamed = _renamed(part)
    for name in ("inlineData", "fileData"):
        if isinstance(renamed.get(name), Mapping):
            renamed[name] = _renamed(renamed[name])
    return renamed
