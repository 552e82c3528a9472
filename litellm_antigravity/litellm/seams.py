"""The private names of LiteLLM that this package uses, each with the reason.

Those of its Router are in `router_seams`, those of its proxy in `proxy_seams`.
Checked on LiteLLM 1.90.0, 1.106.2, 1.108.7 and 1.110.2. Public names are imported where they are needed.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

import litellm
import litellm.main
import litellm.utils
from litellm.constants import DEFAULT_CHAT_COMPLETION_PARAM_VALUES, MAX_IMAGE_URL_DOWNLOAD_SIZE_MB
from litellm.constants import OPENAI_CHAT_COMPLETION_PARAMS as OPENAI_PARAMS
from litellm.litellm_core_utils.prompt_templates.common_utils import infer_content_type_from_url_and_content
from litellm.litellm_core_utils.prompt_templates.factory import THOUGHT_SIGNATURE_SEPARATOR as SIGNATURE_IN_ID
from litellm.litellm_core_utils.prompt_templates.image_handling import in_memory_cache as image_cache
from litellm.litellm_core_utils.streaming_handler import CustomStreamWrapper
from litellm.litellm_core_utils.url_utils import safe_get
from litellm.llms.gemini.chat.transformation import GoogleAIStudioGeminiConfig
from litellm.llms.vertex_ai import common_utils as _schemas
from litellm.llms.vertex_ai.gemini import transformation as _gemini
from litellm.llms.vertex_ai.gemini.vertex_and_google_ai_studio_gemini import ModelResponseIterator, VertexGeminiConfig

from litellm_antigravity.litellm.blocks import known_blocks, known_system
from litellm_antigravity.litellm.target import translation_model
from litellm_antigravity.litellm.timeouts import check_timeouts
from litellm_antigravity.litellm.wrapping import wrap
from litellm_antigravity.masking import shown
from litellm_antigravity.models import PROVIDER, family_of

# Public since some release after 1.90; the private name is older and has the same parameters.
transform_request_body: Callable[..., Any] = (
    getattr(_gemini, "transform_request_body", None) or _gemini._transform_request_body
)

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
_ABOUT_PARAMS = (
    "model",
    "custom_llm_provider",
    "api_version",
    "drop_params",
    "allowed_openai_params",
    "additional_drop_params",
    "messages",
    "metadata",
)

build_vertex_schema: Callable[..., Any] = (
    getattr(_schemas, "build_vertex_schema", None) or _schemas._build_vertex_schema
)


def parsers_logging(logging_obj: Any) -> Any:
    """Return a call's logging object with all that LiteLLM's Gemini parsers read of it.

    Since 1.110 they read ``litellm_params`` too (for ``thought_signature_in_tool_call_id``), and fail without it.
    """
    if not hasattr(logging_obj, "litellm_params"):
        logging_obj.litellm_params = {}
    return logging_obj


def signature_of(call: Mapping[str, Any]) -> Any:
    """Return the signature that LiteLLM finds in a tool call of the history: in its fields or in its id."""
    function = call.get("function")
    for holder in (call, function if isinstance(function, Mapping) else {}):
        fields = holder.get("provider_specific_fields")
        if isinstance(fields, Mapping) and fields.get("thought_signature"):
            return fields["thought_signature"]
    return str(call.get("id") or "").partition(SIGNATURE_IN_ID)[2]


class OpensLater:
    """A stream that an event loop has to open; `install` makes `litellm.acompletion` wait for it."""

    async def open(self) -> None:
        """Open the stream; raises what keeps it from opening."""
        raise NotImplementedError


def install() -> None:
    """Put the wrappers below around LiteLLM's functions, once; none touches another provider's calls."""
    wrap(litellm.main, "get_optional_params", _taking_what_gemini_takes)
    for module in _ASKED_FOR_PARAMS:
        holder = litellm if module == "litellm" else sys.modules.get(module)
        wrap(holder, "get_supported_openai_params", _saying_what_is_taken)
    wrap(_messages_handler(), "_prepare_completion_kwargs", _keeping_blocks)
    wrap(litellm.main, "completion", _opening_streams)
    wrap(CustomStreamWrapper, "fetch_stream", _noting_failures)
    wrap(getattr(litellm.main, "CompletionTimeout", None), "resolve", _refusing_odd_timeouts)


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


def _saying_what_is_taken(original: Callable[..., Any]) -> Callable[..., Any]:
    """Have LiteLLM name the parameters that we take; for any custom provider it names OpenAI's own."""

    def get_supported_openai_params(model: str, custom_llm_provider: Any = None, *args: Any, **kwargs: Any) -> Any:
        kind = kwargs.get("request_type", args[0] if args else "chat_completion")
        ours = custom_llm_provider == PROVIDER or (not custom_llm_provider and model.startswith(f"{PROVIDER}/"))
        if ours and kind == "chat_completion":
            taken = _supported(model) | {*ALWAYS_ALLOWED_PARAMS}
            return sorted(taken if family_of(model) == "gemini" else taken - {*_GOOGLES_OWN})
        return original(model, custom_llm_provider, *args, **kwargs)

    return get_supported_openai_params


def _messages_handler() -> Any:
    """Return what makes chat completions of ``/v1/messages``; it has moved since 1.90."""
    for name in ("messages", "pass_through", "experimental_pass_through"):  # the newest first: old ones may warn
        with contextlib.suppress(ImportError):
            module = importlib.import_module(f"litellm.llms.anthropic.{name}.adapters.handler")
            return getattr(module, "LiteLLMMessagesToCompletionTransformationHandler", None)
    return None


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


def _as_for_gemini(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    model = str(kwargs.get("model") or "")
    supported = _supported(model)
    allowed = list(kwargs.get("allowed_openai_params") or ())
    dropped = kwargs.get("additional_drop_params") or ()
    given = [
        name
        for name, default in DEFAULT_CHAT_COMPLETION_PARAM_VALUES.items()
        if name not in _ABOUT_PARAMS and name not in dropped and kwargs.get(name) not in (None, default)
    ]
    rejected = [name for name in given if name not in supported and name not in allowed]
    if kwargs.get("n") == 1 and "n" in rejected:  # some clients always send it
        rejected.remove("n")
    if rejected and not (litellm.drop_params is True or kwargs.get("drop_params") is True):
        msg = (
            f"{PROVIDER} does not support parameters: {rejected}, for model={model}. To drop these, set "
            "`litellm.drop_params=True` or pass `drop_params=True`."
        )
        raise litellm.UnsupportedParamsError(message=shown(msg), model=shown(model), llm_provider=PROVIDER)
    taken = dict(kwargs) | dict.fromkeys(rejected)
    # Only what was given: older LiteLLM passes on an allowed one that is None.
    taken["allowed_openai_params"] = [*allowed, *(one for one in (*ALWAYS_ALLOWED_PARAMS, *HINTS) if one in given)]
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
            info = (details.get("litellm_params") or {}).get("model_info")
            if isinstance(info, Mapping) and info.get("account"):
                for hook in litellm.callbacks:
                    if (note := getattr(hook, "note_unopened_stream", None)) is not None:
                        await note(details, error)
            raise

    return fetch_stream


def _opening_streams(original: Callable[..., Any]) -> Callable[..., Any]:
    """Have `litellm.acompletion` open our streams before it returns them, as it does for its own providers.

    It awaits a coroutine that the synchronous function returns, but for a custom provider's stream there is none, so
    errors would come with the first chunk: unmapped, not retried by the Router, and without a Retry-After header.
    """

    def completion(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        if isinstance(result, CustomStreamWrapper) and isinstance(result.completion_stream, OpensLater):
            return _opened(result)
        return result

    return completion


async def _opened(wrapper: Any) -> Any:
    await wrapper.completion_stream.open()
    return wrapper


__all__ = [
    "ALWAYS_ALLOWED_PARAMS",
    "HINTS",
    "MAX_IMAGE_URL_DOWNLOAD_SIZE_MB",
    "OPENAI_PARAMS",
    "SIGNATURE_IN_ID",
    "CustomStreamWrapper",
    "GoogleAIStudioGeminiConfig",
    "ModelResponseIterator",
    "OpensLater",
    "VertexGeminiConfig",
    "add_provider",
    "build_vertex_schema",
    "image_cache",
    "infer_content_type_from_url_and_content",
    "install",
    "parsers_logging",
    "safe_get",
    "signature_of",
    "transform_request_body",
]
