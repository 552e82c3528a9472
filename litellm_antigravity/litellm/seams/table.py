"""The private names of LiteLLM that this package uses: where each is, why it is used, and what is lost without it.

A name that a release no longer has disables what needs it and nothing else; one warning at registration says so.
Seen with the names below: 1.90.0, 1.106.2, 1.108.7 and 1.110.2.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from litellm_antigravity.errors import UnsupportedLiteLLMError
from litellm_antigravity.litellm.releases import NEWEST_TRIED, OLDEST, spelled
from litellm_antigravity.logs import LOGGER

SEEN: Final = f"{spelled(OLDEST)} to {spelled(NEWEST_TRIED)}"
"""The releases of LiteLLM that were tried."""

_PROXY: Final = "litellm.proxy.proxy_server"


@dataclass(frozen=True, slots=True)
class Seam:
    """A private name.

    Attributes:
        places: where it may be, as ``module:name`` or ``module:Class.name``; the first that exists counts.
        why: what it is used for.
        without: what does not work where no place has it; a sentence.
        within: the module without which it does not matter, such as the proxy's; ``None`` when it always does.
    """

    places: tuple[str, ...]
    why: str
    without: str
    within: str | None = None


_TRANSLATION: Final = "Requests to antigravity/... cannot be translated, and fail."
_MESSAGES: Final = "adapters.handler:LiteLLMMessagesToCompletionTransformationHandler"
_IMAGES: Final = "Images and files that a request names by address are refused."

SEAMS: Final[Mapping[str, Seam]] = {
    # Taken over as they are; see `borrowed`.
    "GoogleAIStudioGeminiConfig": Seam(
        ("litellm.llms.gemini.chat.transformation:GoogleAIStudioGeminiConfig",),
        "parameters as LiteLLM's own gemini/ takes them",
        _TRANSLATION,
    ),
    "VertexGeminiConfig": Seam(
        ("litellm.llms.vertex_ai.gemini.vertex_and_google_ai_studio_gemini:VertexGeminiConfig",),
        "replies as LiteLLM's own gemini/ reads them",
        _TRANSLATION,
    ),
    "ModelResponseIterator": Seam(
        ("litellm.llms.vertex_ai.gemini.vertex_and_google_ai_studio_gemini:ModelResponseIterator",),
        "chunks as LiteLLM's own gemini/ reads them",
        "Streams of antigravity/... cannot be translated, and fail.",
    ),
    "transform_request_body": Seam(
        (  # public since some release after 1.90; the private name is older and has the same parameters
            "litellm.llms.vertex_ai.gemini.transformation:transform_request_body",
            "litellm.llms.vertex_ai.gemini.transformation:_transform_request_body",
        ),
        "messages and tools as LiteLLM's own gemini/ sends them",
        _TRANSLATION,
    ),
    "CustomStreamWrapper": Seam(
        ("litellm.litellm_core_utils.streaming_handler:CustomStreamWrapper",),
        "LiteLLM's streams, to open ours before they are returned",
        "What keeps a stream from opening shows with its first chunk only.",
    ),
    "safe_get": Seam(
        ("litellm.litellm_core_utils.url_utils:safe_get",),
        "addresses that a request names are fetched without reaching private networks",
        _IMAGES,
    ),
    "infer_content_type_from_url_and_content": Seam(
        ("litellm.litellm_core_utils.prompt_templates.common_utils:infer_content_type_from_url_and_content",),
        "what kind of file an address holds",
        _IMAGES,
    ),
    "image_cache": Seam(
        ("litellm.litellm_core_utils.prompt_templates.image_handling:in_memory_cache",),
        "files that were fetched a moment ago",
        _IMAGES,
    ),
    "SIGNATURE_IN_ID": Seam(
        ("litellm.litellm_core_utils.prompt_templates.factory:THOUGHT_SIGNATURE_SEPARATOR",),
        "the signature that LiteLLM puts into a tool call's id",
        "Signatures in the ids of tool calls may not be found.",
    ),
    "OPENAI_PARAMS": Seam(
        ("litellm.constants:OPENAI_CHAT_COMPLETION_PARAMS",), "OpenAI's names of parameters", _TRANSLATION
    ),
    "DEFAULT_PARAMS": Seam(
        ("litellm.constants:DEFAULT_CHAT_COMPLETION_PARAM_VALUES",),
        "which parameters a caller has given",
        "Parameters that upstream does not take are not refused.",
    ),
    "MAX_IMAGE_URL_DOWNLOAD_SIZE_MB": Seam(
        ("litellm.constants:MAX_IMAGE_URL_DOWNLOAD_SIZE_MB",),
        "how long a fetched file may be",
        "Fetched files may have 50 MB.",
    ),
    # Wrapped; see `functions`.
    "get_optional_params": Seam(
        ("litellm.main:get_optional_params",),
        "parameters that LiteLLM refuses for custom providers reach ours",
        "LiteLLM refuses reasoning_effort, thinking and what it knows of OpenAI's parameters only.",
    ),
    "get_supported_openai_params": Seam(
        ("litellm.utils:get_supported_openai_params", "litellm:get_supported_openai_params"),
        "LiteLLM tells which parameters we take",
        "/utils/supported_openai_params names OpenAI's parameters instead of ours.",
    ),
    "messages_handler": Seam(
        (  # the newest first: old ones may warn
            f"litellm.llms.anthropic.messages.{_MESSAGES}",
            f"litellm.llms.anthropic.pass_through.{_MESSAGES}",
            f"litellm.llms.anthropic.experimental_pass_through.{_MESSAGES}",
        ),
        "/v1/messages passes on blocks that LiteLLM does not know",
        "/v1/messages leaves out blocks that LiteLLM does not know.",
    ),
    "completion": Seam(
        ("litellm.main:completion",),
        "acompletion waits until a stream has opened",
        "What keeps a stream from opening shows with its first chunk only.",
    ),
    "get_llm_provider": Seam(
        ("litellm.main:get_llm_provider",),
        "a model written as OpenCode's plugin writes it is told how it is written here",
        "A model's name with the plugin's prefix is an unknown provider to LiteLLM, which says no more than that.",
    ),
    "fetch_stream": Seam(
        ("litellm.litellm_core_utils.streaming_handler:CustomStreamWrapper.fetch_stream",),
        "streams of pinned deployments that fail to open are noted",
        "Limits that other providers' streams meet are not remembered.",
    ),
    "CompletionTimeout": Seam(
        ("litellm.main:CompletionTimeout",),
        "a time-out that is none is the caller's fault (400)",
        "A time-out that is no number is answered with 500.",
    ),
    # The Router's; see `router`.
    "model_list_holder": Seam(
        ("litellm.router_rust.surface.registry:HostRegistry", "litellm:Router"),
        "deployments that differ in nothing but the account get ids of their own",
        "Deployments of a pinned group are one and the same to LiteLLM, unless they have ids (model_info.id).",
    ),
    "synchronous_choice": Seam(
        ("litellm:Router.register_plugin", "litellm:Router._filter_blocked_deployments"),
        "a Router's synchronous calls ask our strategies, after LiteLLM's own filters",
        "litellm_antigravity.install(router) raises; asynchronous calls, and the proxy's, are routed all the same.",
    ),
    # Its optional pre-call checks; see `filters`.
    "DeploymentAffinityCheck": Seam(
        ("litellm.router_utils.pre_call_checks.deployment_affinity_check:DeploymentAffinityCheck",),
        "session_affinity and deployment_affinity bind where every process sees it",
        "LiteLLM's own bindings, which each process has for itself, come before ours.",
    ),
    "PromptCachingDeploymentCheck": Seam(
        ("litellm.router_utils.pre_call_checks.prompt_caching_deployment_check:PromptCachingDeploymentCheck",),
        "prompt_caching binds where every process sees it",
        "LiteLLM's own bindings, which each process has for itself, come before ours.",
    ),
    "ModelRateLimitingCheck": Seam(
        ("litellm.router_utils.pre_call_checks.model_rate_limit_check:ModelRateLimitingCheck",),
        "a deployment that has reached its own rpm or tpm leaves its turn to the next account",
        "With enforce_model_rate_limits a request fails that meets such a limit, though other accounts are free.",
    ),
    # Its metrics; see `cooldown_metrics`.
    "router_cooldown_event_callback": Seam(
        ("litellm.router_utils.cooldown_callbacks:router_cooldown_event_callback",),
        "cooldowns of ours count in LiteLLM's metrics",
        "With disable_cooldowns LiteLLM's metric of cooled deployments stays empty.",
    ),
    "get_deployments_for_tag": Seam(
        ("litellm.router_strategy.tag_based_routing:get_deployments_for_tag",),
        "tags are looked at before an account is chosen",
        "Tags are looked at after an account has been chosen, which may leave no deployment.",
    ),
    "get_redis_client": Seam(
        ("litellm._redis:get_redis_client",),
        "Redis is reached as LiteLLM reaches it",
        "Redis is reached by redis-py alone, without what LiteLLM knows of REDIS_* and of the clouds' sign-ins.",
        "litellm._redis",
    ),
    # The proxy's; see `proxy`.
    "proxy_config": Seam(
        (f"{_PROXY}:proxy_config",),
        "antigravity_settings in the proxy's YAML",
        "antigravity_settings in the proxy's YAML are not read.",
        _PROXY,
    ),
    "initialize_callbacks_on_proxy": Seam(
        (f"{_PROXY}:initialize_callbacks_on_proxy",),
        "our hook stays single when the configuration is loaded again",
        "Requests of pinned groups count twice after the configuration was loaded again.",
        _PROXY,
    ),
    "delete_deployment": Seam(
        (f"{_PROXY}:ProxyConfig._delete_deployment",),
        "a proxy with a database keeps our deployments",
        "A proxy that keeps models in its database drops pinned deployments without ids.",
        _PROXY,
    ),
    "get_config": Seam(
        (f"{_PROXY}:ProxyConfig.get_config",),
        "a proxy with a database keeps our deployments",
        "A proxy that keeps models in its database drops pinned deployments without ids.",
        _PROXY,
    ),
    "remove_sensitive_info_from_deployment": Seam(
        (f"{_PROXY}:remove_sensitive_info_from_deployment",),
        "/model/info masks the account's e-mail",
        "/model/info shows model_info.account as the model list has it, an e-mail perhaps.",
        _PROXY,
    ),
    "app": Seam(
        (f"{_PROXY}:app",),
        "status and metrics over HTTP",
        "There is no /antigravity/status, and none of its neighbours.",
        _PROXY,
    ),
    "user_api_key_auth": Seam(
        (f"{_PROXY}:user_api_key_auth",),
        "LiteLLM says who may see the status",
        "There is no /antigravity/status, and none of its neighbours.",
        _PROXY,
    ),
    "self_managed_routes": Seam(
        (f"{_PROXY}:LiteLLMRoutes.self_managed_routes",),
        "keys that are no admin's may ask for their own view",
        "/antigravity/usage is for admins only.",
        _PROXY,
    ),
    "slack_alerting_instance": Seam(
        (f"{_PROXY}:proxy_logging_obj.slack_alerting_instance",),
        "what happens to accounts is told by LiteLLM's own alerting",
        "What happens to accounts is told by alert_webhook_url only.",
        _PROXY,
    ),
    "ProxyException": Seam(
        (f"{_PROXY}:ProxyException",),
        "/v1/messages passes on Retry-After",
        "/v1/messages answers 429 without Retry-After.",
        _PROXY,
    ),
}


def find(name: str) -> Any:
    """Return what a seam of the table names; ``None`` when this LiteLLM has it in none of its places."""
    seam = SEAMS[name]
    for place in seam.places:
        module, _, path = place.partition(":")
        try:
            # Of what only matters where it is loaded, nothing is loaded here.
            found: Any = importlib.import_module(module) if seam.within is None else sys.modules[module]
            for attribute in path.split("."):
                found = getattr(found, attribute)
        except (ImportError, KeyError, AttributeError):
            continue
        return found
    return None


def missing() -> dict[str, Seam]:
    """Return the seams that this LiteLLM lacks, of those that matter in this process, by name."""
    return {
        name: seam
        for name, seam in SEAMS.items()
        if (seam.within is None or seam.within in sys.modules) and find(name) is None
    }


_told: set[str] = set()


def warn_of_missing() -> None:
    """Log one warning for each seam that is missing, once in a process."""
    for name, seam in missing().items():
        if name not in _told:
            _told.add(name)
            LOGGER.warning("%s", about_missing(seam))


def about_missing(seam: Seam) -> str:
    """Return what to tell people of a seam that this LiteLLM lacks."""
    return (
        f"LiteLLM {litellm_version()} has no {seam.places[0].replace(':', '.')} ({seam.why}). {seam.without} "
        f"Everything else works. Tried were the releases {SEEN}; a newer litellm-antigravity may know this one."
    )


def litellm_version() -> str:
    """Return the release of LiteLLM that is installed."""
    try:
        return importlib.metadata.version("litellm")
    except importlib.metadata.PackageNotFoundError:
        return "(unknown)"


class _Missing(type):
    """The class of stand-ins: nothing is one of them, and whoever uses one learns what is missing."""

    about: str

    def __call__(cls, *_: Any, **__: Any) -> NoReturn:
        raise UnsupportedLiteLLMError(cls.about)

    def __getattr__(cls, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise UnsupportedLiteLLMError(cls.about)

    def __iter__(cls) -> NoReturn:
        raise UnsupportedLiteLLMError(cls.about)


def borrow(name: str) -> Any:
    """Return what a seam names, or a stand-in whose use raises `UnsupportedLiteLLMError`."""
    found = find(name)
    return found if found is not None else _Missing(name, (), {"about": about_missing(SEAMS[name])})


__all__ = ["SEAMS", "SEEN", "Seam", "about_missing", "borrow", "find", "litellm_version", "missing", "warn_of_missing"]
