"""OpenAI requests to Gemini's: LiteLLM's own translation, with what it needs before and after."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from litellm_antigravity.errors import AntigravityError
from litellm_antigravity.litellm.errors import bad_request
from litellm_antigravity.litellm.seams import borrowed
from litellm_antigravity.litellm.seams.functions import HINTS
from litellm_antigravity.litellm.target import Target
from litellm_antigravity.litellm.translation import claude
from litellm_antigravity.litellm.translation.field_names import in_camel_case
from litellm_antigravity.litellm.translation.histories import without_twins
from litellm_antigravity.litellm.translation.media import FETCHER, Fetcher, inline_media
from litellm_antigravity.litellm.translation.messages import prepare_messages
from litellm_antigravity.litellm.translation.parameters import fit_gemini, prepare_params
from litellm_antigravity.litellm.translation.provenance import leave_out_foreign_signatures, note_refusal
from litellm_antigravity.litellm.translation.signatures import NO_SIGNATURES, THOUGHTS, SignedThoughts
from litellm_antigravity.litellm.translation.thoughts import set_thoughts_aside
from litellm_antigravity.litellm.translation.tool_names import ToolNames
from litellm_antigravity.litellm.translation.tools import prepare_tools, put_schemas_back
from litellm_antigravity.models import family_of

_NOT_FOR_UPSTREAM: Final = ("stream", "stream_options", "max_retries", *HINTS)
_OWN_OF_LITELLM: Final = "litellm_param_"
_LONGEST_REASON: Final = 300  # characters; some of LiteLLM's reasons quote a whole image
_BLANK: Final = {"role": "user", "parts": [{"text": " "}]}  # what LiteLLM sends where a message says nothing


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
    names = ToolNames.of(optional_params, family_of(model))
    params = {
        name: copy.deepcopy(value)
        for name, value in optional_params.items()
        if name not in _NOT_FOR_UPSTREAM and value is not None
    }
    mapped, schemas = _params(params, target, names)
    prepared = prepare_messages(messages, target, names)
    inline_media(prepared, model, fetcher)
    thoughts.seek(prepared, of_calls=target.is_gemini)
    leave_out_foreign_signatures(prepared, target, thoughts)
    aside: list[Any] = []
    if not target.is_gemini:
        asked = bool((mapped.get("thinkingConfig") or {}).get("includeThoughts"))
        aside = set_thoughts_aside(prepared, thoughts, thinks=asked or target.thinks_unasked, family=target.signer)
    with _callers_mistakes(model):
        translated = borrowed.transform_request_body(
            messages=prepared,
            model=target.messages_model,
            optional_params=mapped,
            custom_llm_provider="gemini",
            litellm_params={},
            cached_content=params.get("cached_content"),
        )
    body = in_camel_case(translated)
    put_schemas_back(body, schemas, target)
    without_twins(body["contents"])
    if target.is_gemini:
        _begin_with_user(body)
        if isinstance(body.get("generationConfig"), dict):
            fit_gemini(body["generationConfig"], target)
    else:
        claude.finish_request(body, aside, target)
    return body


def without_signatures(
    refused: Mapping[str, Any],
    model: str,
    messages: Sequence[Any],
    optional_params: Mapping[str, Any],
    *,
    thoughts: SignedThoughts = THOUGHTS,
) -> dict[str, Any]:
    """Return a request without any signature, in place of one that upstream has refused for one of them.

    Args:
        refused: the request that `to_gemini` has made of the same arguments.
        model: see `to_gemini`; so for the other two.
        messages: see there.
        optional_params: see there.
        thoughts: where the refusal is remembered; see `provenance`.

    Raises:
        litellm.BadRequestError: see there.
    """
    note_refusal(refused, Target.of(model), thoughts)
    return to_gemini(model, messages, optional_params, thoughts=NO_SIGNATURES)


def _params(params: dict[str, Any], target: Target, names: ToolNames) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the parameters as LiteLLM maps them for Gemini, and the schemas of the tools."""
    schemas = prepare_tools(params, target, names)
    if not target.is_gemini:
        prepare_params(params)
    before = set(params)
    config = borrowed.GoogleAIStudioGeminiConfig()
    with _callers_mistakes(target.model):
        mapped: dict[str, Any] = config.map_openai_params(params, {}, target.params_model, True)
    # What is Gemini's own (`top_k`, `safety_settings`, `extra_body`, ...) goes along, as LiteLLM's provider has it.
    if own := before - mapped.keys():  # of most requests nothing
        for name in own - {*borrowed.OPENAI_PARAMS, "max_retries"}:
            if not name.startswith(_OWN_OF_LITELLM):
                mapped[name] = params[name]
    return mapped, schemas


@contextmanager
def _callers_mistakes(model: str) -> Iterator[None]:
    """Say 400 where LiteLLM's translation fails on what it is given, as it does in many ways on what is malformed.

    LiteLLM makes an error of the connection of what it does not know: a 500 with a stack, which clients repeat.
    """
    try:
        yield
    except Exception as error:
        if hasattr(error, "status_code") or isinstance(error, AntigravityError):  # says itself what it is
            raise
        kind = "" if type(error) is Exception else f"{type(error).__name__}: "
        raise bad_request(f"The request cannot be translated: {kind}{str(error)[:_LONGEST_REASON]}", model) from None


def _begin_with_user(body: dict[str, Any]) -> None:
    """Let the conversation begin with the user, as upstream wants it."""
    contents = body.get("contents")
    if not contents or contents[0].get("role") != "user":
        body["contents"] = [copy.deepcopy(_BLANK), *(contents or [])]


__all__ = ["to_gemini", "without_signatures"]
