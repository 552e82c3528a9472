"""Wrappers around LiteLLM's functions. None touches another provider's calls. Reasons: `table`."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

import litellm
import litellm.main
import litellm.utils

from litellm_antigravity.litellm.blocks import known_blocks, known_system
from litellm_antigravity.litellm.errors import ours, written_as_plugins
from litellm_antigravity.litellm.seams.borrowed import (
    DEFAULT_PARAMS,
    CustomStreamWrapper,
    GoogleAIStudioGeminiConfig,
    VertexGeminiConfig,
)
from litellm_antigravity.litellm.seams.requests import account_named, info_of, served_by
from litellm_antigravity.litellm.seams.table import find
from litellm_antigravity.litellm.seams.wrapping import wrap
from litellm_antigravity.litellm.target import translation_model
from litellm_antigravity.litellm.timeouts import check_timeouts
from litellm_antigravity.masking import shown
from litellm_antigravity.models import PROVIDER, ModelFamily, family_of, plugins_name

ALWAYS_ALLOWED_PARAMS = ("reasoning_effort", "thinking", "include_server_side_tool_invocations")
"""OpenAI parameters that LiteLLM rejects for custom providers, though ours takes them."""

HINTS = (
    "context_management",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "verbosity",
)
"""OpenAI parameters that change nothing in what an answer means; agents send them with every request.

LiteLLM's Gemini refuses most of them (`litellm #20989`). Ours takes them, and upstream, which knows none, gets none.
"""

_GOOGLES_OWN = ("web_search_options", "include_server_side_tool_invocations")
"""Not rejected for other makers' models, since agents send them unasked; left out, and so not named as taken."""

_NEVER_REJECTED = ("user", "stream", "stream_options", "max_retries", "extra_headers", "tool_choice", "function_call")
_ASKED_FOR_PARAMS = (
    "litellm.litellm_core_utils.get_supported_openai_params",
    "litellm.utils",
    "litellm",
    "litellm.responses.litellm_completion_transformation.transformation",
    "litellm.proxy.common_request_processing",
)
_ABOUT_PARAMS = frozenset(
    {
        "model",
        "custom_llm_provider",
        "api_version",
        "drop_params",
        "allowed_openai_params",
        "additional_drop_params",
        "messages",
        "metadata",
    }
)
_KNOWN_HERE = frozenset({*ALWAYS_ALLOWED_PARAMS, *HINTS, *_GOOGLES_OWN})


_OPENED_EARLY: Final = "_litellm_antigravity_opened_early"


class OpensLater:
    """A stream that an event loop has to open; `install` makes `litellm.acompletion` wait for it."""

    async def open(self) -> None:
        """Open the stream; raises what keeps it from opening."""
        raise NotImplementedError


def install() -> None:
    """Put the wrappers below around LiteLLM's functions, once."""
    wrap(litellm.main, "get_optional_params", _taking_what_gemini_takes)
    for module in _ASKED_FOR_PARAMS:
        holder = litellm if module == "litellm" else sys.modules.get(module)
        wrap(holder, "get_supported_openai_params", _saying_what_is_taken)
    wrap(find("messages_handler"), "_prepare_completion_kwargs", _keeping_blocks)
    wrap(litellm.main, "completion", _opening_streams)
    wrap(find("CustomStreamWrapper"), "fetch_stream", _noting_failures)
    wrap(find("CompletionTimeout"), "resolve", _refusing_odd_timeouts)
    wrap(litellm.main, "get_llm_provider", _knowing_plugins_names)


def add_callback(hook: Any) -> None:
    """Have LiteLLM call ``hook``, once, beside the callbacks there are."""
    if hook not in litellm.callbacks:
        litellm.logging_callback_manager.add_litellm_callback(hook)


def add_provider(handler: object) -> None:
    """Make ``antigravity/...`` go to ``handler``; other providers in the map stay as they are."""
    others = [entry for entry in litellm.custom_provider_map if entry["provider"] != PROVIDER]
    litellm.custom_provider_map = [*others, {"provider": PROVIDER, "custom_handler": handler}]
    litellm.utils.custom_llm_setup()


def _taking_what_gemini_takes(original: Callable[..., Any]) -> Callable[..., Any]:
    """Have LiteLLM accept, drop and reject the parameters that it does for ``gemini/...``."""

    def get_optional_params(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("custom_llm_provider") == PROVIDER:
            kwargs = _as_for_gemini(kwargs)
        return original(*args, **kwargs)

    return get_optional_params


def _supported(model: str) -> frozenset[str]:
    return _supported_by(translation_model(model))


@functools.lru_cache(maxsize=64)  # LiteLLM asks twice per request; there are a handful of names to translate under
def _supported_by(name: str) -> frozenset[str]:
    config = GoogleAIStudioGeminiConfig()
    return frozenset((*config.get_supported_openai_params(name), *_NEVER_REJECTED, *HINTS))


@functools.lru_cache(maxsize=64)
def _named_as_taken(name: str, family: ModelFamily) -> tuple[str, ...]:
    taken = _supported_by(name) | {*ALWAYS_ALLOWED_PARAMS}
    return tuple(sorted(taken if family == "gemini" else taken - {*_GOOGLES_OWN}))


def _saying_what_is_taken(original: Callable[..., Any]) -> Callable[..., Any]:
    """Have LiteLLM name the parameters that we take; for any custom provider it names OpenAI's own."""

    def get_supported_openai_params(model: str, custom_llm_provider: Any = None, *args: Any, **kwargs: Any) -> Any:
        kind = kwargs.get("request_type", args[0] if args else "chat_completion")
        ours = custom_llm_provider == PROVIDER or (not custom_llm_provider and model.startswith(f"{PROVIDER}/"))
        if ours and kind == "chat_completion":
            return list(_named_as_taken(translation_model(model), family_of(model)))
        return original(model, custom_llm_provider, *args, **kwargs)

    return get_supported_openai_params


def _keeping_blocks(original: Callable[..., Any]) -> Callable[..., Any]:
    """Have ``/v1/messages`` pass on blocks that LiteLLM does not know, as text; it leaves them out."""

    def prepare_completion_kwargs(**kwargs: Any) -> Any:
        provider = (kwargs.get("extra_kwargs") or {}).get("custom_llm_provider")
        if provider == PROVIDER or (not provider and str(kwargs.get("model")).startswith(f"{PROVIDER}/")):
            kwargs["messages"] = known_blocks(kwargs.get("messages") or ())
            kwargs["system"] = known_system(kwargs.get("system"))
        return original(**kwargs)

    return prepare_completion_kwargs


def _refusing_odd_timeouts(original: Callable[..., Any]) -> Callable[..., Any]:
    """Have LiteLLM refuse a time-out that is none (400), before it fails to make a number of it (500)."""

    def resolve(model_timeout: Any, kwargs: Any, custom_llm_provider: Any, *args: Any, **more: Any) -> Any:
        if custom_llm_provider == PROVIDER:
            given = {} if model_timeout is None else {"timeout": model_timeout}
            check_timeouts({**(kwargs or {}), **given}, PROVIDER)
        return original(model_timeout, kwargs, custom_llm_provider, *args, **more)

    return resolve


def _knowing_plugins_names(original: Callable[..., Any]) -> Callable[..., Any]:
    """Have LiteLLM say how a model is written that is written as OpenCode's plugin does, where it finds no provider."""

    def get_llm_provider(*args: Any, **kwargs: Any) -> Any:
        try:
            return original(*args, **kwargs)
        except litellm.BadRequestError:
            model = str(kwargs.get("model", args[0] if args else ""))
            meant = plugins_name(model)
            if meant is None:
                raise
            raise written_as_plugins(shown(model), meant) from None

    return get_llm_provider


def _as_for_gemini(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    model = str(kwargs.get("model") or "")
    supported = _supported(model)
    allowed = list(kwargs.get("allowed_openai_params") or ())
    dropped = kwargs.get("additional_drop_params") or ()
    given = [
        name
        for name, default in DEFAULT_PARAMS.items()
        if kwargs.get(name) not in (None, default) and name not in _ABOUT_PARAMS and name not in dropped
    ]
    rejected = [name for name in given if name not in supported and name not in allowed]
    if kwargs.get("n") == 1 and "n" in rejected:  # some clients always send it
        rejected.remove("n")
    if rejected and not (litellm.drop_params is True or kwargs.get("drop_params") is True):
        msg = (
            f"{PROVIDER} does not support parameters: {rejected}, for model={model}. To drop these, set "
            "`litellm.drop_params=True` or pass `drop_params=True`."
        )
        raise ours(litellm.UnsupportedParamsError(message=shown(msg), model=shown(model), llm_provider=PROVIDER))
    taken = dict(kwargs) | dict.fromkeys(rejected)
    # Only what was given: older LiteLLM passes on an allowed one that is None.
    taken["allowed_openai_params"] = [*allowed, *(one for one in given if one in _KNOWN_HERE and one not in rejected)]
    if isinstance(taken.get("response_format"), type):
        # For others LiteLLM writes OpenAI's strict schema, in which everything is required.
        taken["response_format"] = VertexGeminiConfig().get_json_schema_from_pydantic_object(taken["response_format"])
    return taken


def _noting_failures(original: Callable[..., Any]) -> Callable[..., Any]:
    """Tell our hook of pinned deployments' streams that fail to open: newer Routers open them without any callback."""

    async def fetch_stream(wrapper: Any) -> Any:
        try:
            return await original(wrapper)
        except Exception as error:
            details = getattr(getattr(wrapper, "logging_obj", None), "model_call_details", None) or {}
            is_told = getattr(wrapper, _OPENED_EARLY, False)  # by the failure of the call itself
            if not is_told and account_named(served_by(details)) is not None:
                for hook in litellm.callbacks:
                    if (note := getattr(hook, "note_unopened_stream", None)) is not None:
                        await note(details, error)
            raise

    return fetch_stream


def _opening_streams(original: Callable[..., Any]) -> Callable[..., Any]:
    """Have `litellm.acompletion` open our streams before it returns them, and those of pinned deployments.

    It awaits a coroutine that the synchronous function returns. For a custom provider's stream there is none:
    errors would come with the first chunk: unmapped, not retried by the Router, and without a Retry-After header.
    """

    def completion(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        if isinstance(result, CustomStreamWrapper) and isinstance(result.completion_stream, OpensLater):
            return _opened(result)
        if asyncio.iscoroutine(result) and kwargs.get("stream") and account_named(info_of(kwargs)) is not None:
            return _opened_early(result)
        return result

    return completion


async def _opened(wrapper: Any) -> Any:
    await wrapper.completion_stream.open()
    return wrapper


async def _opened_early(pending: Coroutine[Any, Any, Any]) -> Any:
    """Open the stream of another provider's pinned deployment, as the Router does for some of its doors.

    Where LiteLLM does not, as for ``/v1/messages`` and ``/v1/responses``, a refusal would come inside the stream: too
    late for another account.
    """
    wrapper = await pending
    if isinstance(wrapper, CustomStreamWrapper) and wrapper.completion_stream is None:
        setattr(wrapper, _OPENED_EARLY, True)
        await wrapper.fetch_stream()
    return wrapper


__all__ = ["ALWAYS_ALLOWED_PARAMS", "HINTS", "OpensLater", "add_callback", "add_provider", "install"]
