"""Whole Gemini replies to OpenAI's: LiteLLM's own translation, with what it needs before and after."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import httpx
from litellm.types.utils import ModelResponse

from litellm_antigravity.litellm.seams import borrowed
from litellm_antigravity.litellm.target import Target
from litellm_antigravity.litellm.translation.provenance import signatures_in
from litellm_antigravity.litellm.translation.replies import CUT_OFF, failed_finish, prepare_reply
from litellm_antigravity.litellm.translation.signatures import THOUGHTS, SignedThoughts
from litellm_antigravity.litellm.translation.tool_names import ToolNames
from litellm_antigravity.models import family_of

_REQUEST: Final = httpx.Request("POST", "https://antigravity.invalid/")

_NO_USAGE: Final = {"promptTokenCount": 0, "candidatesTokenCount": 0, "totalTokenCount": 0}


def from_gemini(
    reply: Mapping[str, Any],
    *,
    model: str,
    model_response: ModelResponse,
    logging_obj: Any,
    request: Mapping[str, Any],
    messages: Sequence[Any],
    optional_params: Mapping[str, Any],
    thoughts: SignedThoughts = THOUGHTS,
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
        thoughts: where signed thoughts are kept for later requests; see `signatures`.
    """
    target = Target.of(model)
    prepared = prepare_reply(reply, ToolNames.of(optional_params, family_of(model)), join_thoughts=not target.is_gemini)
    prepared.setdefault("usageMetadata", _NO_USAGE)  # LiteLLM fails without it
    translated: ModelResponse = borrowed.VertexGeminiConfig().transform_response(
        model=target.params_model,
        raw_response=_Parsed(prepared),
        model_response=model_response,
        logging_obj=borrowed.parsers_logging(logging_obj),
        request_data=dict(request),
        messages=list(messages),
        optional_params=dict(optional_params),
        litellm_params={},
        encoding=None,
        api_key="",
    )
    translated.model = model
    for signature in signatures_in(prepared.get("candidates")):
        thoughts.note_maker(signature, target.signer)
    for choice, candidate in zip(translated.choices, prepared.get("candidates") or (), strict=False):
        if (reason := failed_finish(candidate)) is not None:
            choice.finish_reason = CUT_OFF
            fields = getattr(choice, "provider_specific_fields", None) or {}
            choice.provider_specific_fields = {**fields, "native_finish_reason": reason}
    for choice in translated.choices:
        calls = getattr(choice.message, "tool_calls", None) or ()
        if target.is_gemini:
            thoughts.remember_calls(calls)
        else:
            blocks = getattr(choice.message, "thinking_blocks", None) or ()
            thoughts.remember(blocks, [call.id for call in calls], target.signer)
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


__all__ = ["from_gemini"]
