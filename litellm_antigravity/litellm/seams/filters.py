"""LiteLLM's filters of deployments: the callbacks that narrow a group before one of it is chosen, ours among them.

LiteLLM asks them for asynchronous requests only, one after the other, and shows them the deployments that its own
cooldowns have left. Whoever lists a check in ``optional_pre_call_checks`` has one of them: its affinities, its budgets.
Our hook stands at their head, so that none of them sees a deployment whose account is limited, and looks ahead at what
they will keep, so that it chooses an account that they leave.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import litellm
from litellm.integrations.custom_logger import CustomLogger

from litellm_antigravity.litellm.seams.requests import TARGET_ORDER, account_named, checked, info_of
from litellm_antigravity.litellm.seams.router import core_of, router_of
from litellm_antigravity.litellm.seams.table import find
from litellm_antigravity.litellm.seams.wrapping import wrap

_filters_nothing = CustomLogger.async_filter_deployments


def install() -> None:
    """Have our hook told when a deployment has reached the limits that its own ``litellm_params`` give it; once."""
    check = find("ModelRateLimitingCheck")
    wrap(check, "async_pre_call_check", _telling_of_own_limits)
    wrap(check, "pre_call_check", _telling_of_own_limits_sync)


# Order


def put_first(hook: object) -> None:
    """Have LiteLLM ask ``hook`` before its other callbacks, if it asks it at all.

    The list is a new one: LiteLLM may just be going through the old one.
    """
    callbacks = litellm.callbacks
    if callbacks[:1] != [hook] and any(one is hook for one in callbacks):
        litellm.callbacks = [hook, *(one for one in callbacks if one is not hook)]


def beside(hook: object, deployments: Sequence[Any]) -> list[Any]:
    """Return the filters that LiteLLM asks for these deployments' Router besides ``hook``, in order.

    A proxy of newer releases asks those of the Router, too, which are in no list of LiteLLM's then.
    """
    own = getattr(core_of(router_of(deployments)), "optional_callbacks", None) or ()
    found = {id(one): one for one in (*litellm.callbacks, *own) if one is not hook and _filters(one)}
    return list(found.values())


def _filters(callback: object) -> bool:
    return isinstance(callback, CustomLogger) and type(callback).async_filter_deployments is not _filters_nothing


# Looking ahead


async def kept_by(
    filters: Iterable[Any],
    model: str,
    deployments: Sequence[Any],
    messages: Any,
    request_kwargs: Any,
    parent_otel_span: Any,
    *,
    is_bound: bool,
) -> list[Any]:
    """Return the deployments that the filters keep; raises what they raise.

    Args:
        filters: see `beside`.
        model: this and what follows is what LiteLLM would tell them.
        deployments: those whose accounts are free.
        messages: of the request.
        request_kwargs: of the request.
        parent_otel_span: of the request.
        is_bound: whether we keep the request's conversation on its account. LiteLLM's own bindings do not count then,
            which each process has for itself; what a request names (``previous_response_id``) does.
    """
    kept, request_kwargs = list(deployments), checked(request_kwargs)
    for one in filters:
        if not kept:
            break
        asked = request_kwargs
        if is_bound and _is(one, "PromptCachingDeploymentCheck"):
            continue
        if is_bound and _is(one, "DeploymentAffinityCheck"):
            asked = {name: (request_kwargs or {}).get(name) for name in ("previous_response_id", TARGET_ORDER)}
        kept = list(
            await one.async_filter_deployments(
                model=model,
                healthy_deployments=kept,
                messages=messages,
                request_kwargs=asked,
                parent_otel_span=parent_otel_span,
            )
        )
    return kept


class Switches(NamedTuple):
    """Which of LiteLLM's own bindings are switched on for a group.

    Attributes:
        session: a session's (``session_affinity``).
        caller: an API key's (``deployment_affinity``).
        prompt: a cached prompt's (``prompt_caching``).
    """

    session: bool = False
    caller: bool = False
    prompt: bool = False


def switches_for(filters: Iterable[Any], group: str) -> Switches:
    """Return what LiteLLM's checks, among the filters, bind in a group; ``model_group_affinity_config`` comes first.

    Args:
        filters: see `beside`.
        group: the ``model_name`` of its deployments.
    """
    session = caller = prompt = False
    for one in filters:
        if _is(one, "PromptCachingDeploymentCheck"):
            prompt = True
        elif _is(one, "DeploymentAffinityCheck"):
            own = (getattr(one, "model_group_affinity_config", None) or {}).get(group)
            session |= bool(one.enable_session_id_affinity if own is None else "session_affinity" in own)
            caller |= bool(one.enable_user_key_affinity if own is None else "deployment_affinity" in own)
    return Switches(session, caller, prompt)


def _is(callback: object, seam: str) -> bool:
    known = _class(seam)
    return known is not None and isinstance(callback, known)


_class = functools.cache(find)


# Limits that a model list gives to its deployments (enforce_model_rate_limits)


def _telling_of_own_limits(original: Callable[..., Any]) -> Callable[..., Any]:
    """Tell our hook when LiteLLM refuses a pinned deployment for its own ``rpm``, ``tpm``, ``itpm`` or ``otpm``.

    No other callback comes of it, and LiteLLM knows of no other deployment to ask.
    """

    async def async_pre_call_check(check: Any, deployment: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await original(check, deployment, *args, **kwargs)
        except litellm.RateLimitError as error:
            _tell(deployment, error)
            raise

    return async_pre_call_check


def _telling_of_own_limits_sync(original: Callable[..., Any]) -> Callable[..., Any]:
    """Do the same for synchronous calls."""

    def pre_call_check(check: Any, deployment: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return original(check, deployment, *args, **kwargs)
        except litellm.RateLimitError as error:
            _tell(deployment, error)
            raise

    return pre_call_check


def _tell(deployment: Any, error: Exception) -> None:
    if account_named(info_of(deployment)) is None:
        return
    for hook in litellm.callbacks:
        if (note := getattr(hook, "note_own_limit", None)) is not None:
            note(deployment, error)


__all__ = ["Switches", "beside", "install", "kept_by", "put_first", "switches_for"]
