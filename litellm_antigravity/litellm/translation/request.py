"""OpenAI requests to Gemini's: LiteLLM's own translation, with what it needs before and after."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Final

from litellm_antigravity.litellm import seams
from litellm_antigravity.litellm.target import Target
from litellm_antigravity.litellm.translation import claude
from litellm_antigravity.litellm.translation.media import FETCHER, Fetcher, inline_media
from litellm_antigravity.litellm.translation.messages import prepare_messages
from litellm_antigravity.litellm.translation.provenance import leave_out_foreign_signatures
from litellm_antigravity.litellm.translation.schemas import prepare_schema
from litellm_antigravity.litellm.translation.signatures import THOUGHTS, SignedThoughts
from litellm_antigravity.litellm.translation.spelling import in_camel_case
from litellm_antigravity.litellm.translation.thoughts import set_thoughts_aside
from litellm_antigravity.litellm.translation.tool_names import ToolNames, functions_of

_NOT_FOR_UPSTREAM: Final = ("stream", "stream_options", "max_retries", "service_tier")  # Cloud Code has no tiers
_OWN_OF_LITELLM: Final = "litellm_param_"
_BLANK: Final = {"role": "user", "parts": [{"text": " "}]}  # what LiteLLM sends where a message says nothing
_SCHEMA_MARK: Final = "\x00schema-"


def to_gemini(
    model: str,
    messages: Sequence[Any],
    optional_params: Mapping[str, Any],
    *,
    fetcher: Fetcher = FETCHER,
    thoughts: SignedThoughts = THOUGHTS,
) -> dict[str, Any]:
    """Return the Gemini request for an OpenAI one.

    Blocks while images and files are fetched that the messages name by URL.

    Args:
        model: upstream's name of the model.
        messages: OpenAI messages; not changed.
        optional_params: OpenAI parameters as LiteLLM hands them to a provider; not changed.
        fetcher: for images and files that are named by URL.
        thoughts: of former replies; see `signatures`.

    Raises:
        litellm.BadRequestError: when something cannot be translated or fetched.
    """
    target = Target.of(model)
    names = ToolNames.of(optional_params)
    params = {
        name: copy.deepcopy(value)
        for name, value in optional_params.items()
        if name not in _NOT_FOR_UPSTREAM and value is not None
    }
    mapped, schemas = _params(params, target, names)
    prepared = prepare_messages(messages, target, names)
    inline_media(prepared, model, fetcher)
    leave_out_foreign_signatures(prepared, target, thoughts)
    aside: list[Any] = []
    if not target.is_gemini:
        asked = bool((mapped.get("thinkingConfig") or {}).get("includeThoughts"))
        aside = set_thoughts_aside(prepared, thoughts, thinks=asked or target.thinks_unasked, family=target.signer)
    body = in_camel_case(
        seams.transform_request_body(
            messages=prepared,
            model=target.messages_model,
            optional_params=mapped,
            custom_llm_provider="gemini",
            litellm_params={},
            cached_content=params.get("cached_content"),
        )
    )
    _put_schemas_back(body, schemas)
    if target.is_gemini:
        _begin_with_user(body)
    else:
        claude.finish_request(body, aside, target)
    return body


def _params(params: dict[str, Any], target: Target, names: ToolNames) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the parameters as LiteLLM maps them for Gemini, and the schemas of the tools."""
    schemas = _take_schemas(params)
    for function in functions_of(params):
        function["name"] = names.upstream(function["name"])
    _rename_choice(params, names)
    if not target.is_gemini:
        claude.prepare_params(params)
    before = set(params)
    config = seams.GoogleAIStudioGeminiConfig()
    mapped: dict[str, Any] = config.map_openai_params(params, {}, target.params_model, True)
    # What is Gemini's own (`top_k`, `safety_settings`, `extra_body`, ...) goes along, as LiteLLM's provider has it.
    openai = set(seams.OPENAI_PARAMS) | {"max_retries"}
    for name in before - openai - mapped.keys():
        if not name.startswith(_OWN_OF_LITELLM):
            mapped[name] = params[name]
    return mapped, schemas


def _take_schemas(params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Take the schemas out of the tools, with a mark in the place of each.

    LiteLLM takes ``strict`` and ``additionalProperties`` out of tools wherever it finds them, names of properties
    included.
    """
    schemas: list[dict[str, Any]] = []
    for function in functions_of(params):
        if isinstance(function.get("parameters"), (Mapping, bool)):
            schema = prepare_schema(function["parameters"])
            # The parameters as a whole are an object's.
            schemas.append(schema if schema.get("type") == "object" or "anyOf" in schema else {"type": "object"})
            function["parameters"] = {"type": "object", "title": f"{_SCHEMA_MARK}{len(schemas) - 1}"}
        elif "parameters" in function and not function["parameters"]:
            function.pop("parameters")
    return schemas


def _put_schemas_back(body: dict[str, Any], schemas: Sequence[dict[str, Any]]) -> None:
    for tool in body.get("tools") or ():
        for declaration in tool.get("functionDeclarations") or ():
            title = (declaration.get("parameters") or {}).get("title", "")
            if isinstance(title, str) and title.startswith(_SCHEMA_MARK):
                declaration["parameters"] = schemas[int(title.removeprefix(_SCHEMA_MARK))]


def _rename_choice(params: dict[str, Any], names: ToolNames) -> None:
    old = params.pop("function_call", None)  # what `tool_choice` was called once; LiteLLM's Gemini does not know it
    if old is not None:
        params.setdefault("tool_choice", {"type": "function", "function": old} if isinstance(old, dict) else old)
    choice = params.get("tool_choice")
    function = choice.get("function") if isinstance(choice, dict) else None
    if isinstance(function, dict) and isinstance(function.get("name"), str):
        function["name"] = names.upstream(function["name"])


def _begin_with_user(body: dict[str, Any]) -> None:
    """Let the conversation begin with the user, as upstream wants it."""
    contents = body.get("contents")
    if not contents or contents[0].get("role") != "user":
        body["contents"] = [copy.deepcopy(_BLANK), *(contents or [])]


__all__ = ["to_gemini"]
