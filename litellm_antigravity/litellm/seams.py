"""The private names of LiteLLM that this package uses, in one place, each with the reason.

Checked on LiteLLM 1.90.0 and 1.106.2. Public names are imported where they are needed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import litellm
import litellm.main
import litellm.utils
from litellm.litellm_core_utils.streaming_handler import CustomStreamWrapper
from litellm.llms.gemini.chat.transformation import GoogleAIStudioGeminiConfig
from litellm.llms.vertex_ai.gemini import transformation as _gemini
from litellm.llms.vertex_ai.gemini.vertex_and_google_ai_studio_gemini import ModelResponseIterator, VertexGeminiConfig

from litellm_antigravity.models import PROVIDER

# Public since some release after 1.90; the private name is older and has the same parameters.
transform_request_body: Callable[..., Any] = (
    getattr(_gemini, "transform_request_body", None) or _gemini._transform_request_body
)

ALWAYS_ALLOWED_PARAMS = ("reasoning_effort", "thinking")
"""OpenAI parameters that LiteLLM rejects for custom providers, though ours takes them."""

_MARK = "_litellm_antigravity"


class OpensLater:
    """A stream that an event loop has to open; `install` makes `litellm.acompletion` wait for it."""

    async def open(self) -> None:
        """Open the stream; raises what keeps it from opening."""
        raise NotImplementedError


def install() -> None:
    """Put the two wrappers below around LiteLLM's functions, once; neither touches another provider's calls."""
    _wrap(litellm.main, "get_optional_params", _allowing_reasoning)
    _wrap(litellm.main, "completion", _opening_streams)


def add_provider(handler: object) -> None:
    """Make ``antigravity/...`` go to ``handler``; other providers in the map stay as they are."""
    others = [entry for entry in litellm.custom_provider_map if entry["provider"] != PROVIDER]
    litellm.custom_provider_map = [*others, {"provider": PROVIDER, "custom_handler": handler}]
    litellm.utils.custom_llm_setup()


def _wrap(module: Any, name: str, wrapper: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    known = getattr(module, name, None)
    if known is None or hasattr(known, _MARK):
        return
    wrapped = functools.wraps(known)(wrapper(known))
    setattr(wrapped, _MARK, True)
    setattr(module, name, wrapped)


def _allowing_reasoning(original: Callable[..., Any]) -> Callable[..., Any]:
    """Let ``reasoning_effort`` and ``thinking`` through without ``allowed_openai_params`` in every call."""

    def get_optional_params(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("custom_llm_provider") == PROVIDER:
            allowed = kwargs.get("allowed_openai_params") or []
            # Only what was given: older LiteLLM passes on an allowed one that is None.
            given = [one for one in ALWAYS_ALLOWED_PARAMS if kwargs.get(one) is not None and one not in allowed]
            kwargs["allowed_openai_params"] = [*allowed, *given]
        return original(*args, **kwargs)

    return get_optional_params


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
    "CustomStreamWrapper",
    "GoogleAIStudioGeminiConfig",
    "ModelResponseIterator",
    "OpensLater",
    "VertexGeminiConfig",
    "add_provider",
    "install",
    "transform_request_body",
]
