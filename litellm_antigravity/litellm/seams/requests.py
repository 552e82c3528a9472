"""Where LiteLLM keeps what it knows of deployments and requests: plain dictionaries, which callers may fill too."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

Deployment: TypeAlias = Mapping[str, Any]
"""An entry of a model list."""

TARGET_ORDER: Final = "_target_order"
"""Of a Router's request: the ``order`` that is its turn. LiteLLM's own filter for it runs after ours."""

EXCLUDED: Final = ("_excluded_deployment_ids", "_retry_skipped_deployment_ids")
"""Of a Router's request: deployments that failed. LiteLLM's own filter for them runs after ours."""

METADATA: Final = ("litellm_metadata", "metadata")
"""Of a request: where callers put metadata and LiteLLM its own. The first is the proxy's on some of its routes."""

_FALLBACKS: Final = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")

_PREVIOUS: Final = "previous_response_id"

GENERATED_SESSION: Final = "litellm_session_id_generated"
"""Of metadata: that LiteLLM has made up the session's id, another one for each request."""


def info_of(deployment: Deployment) -> Mapping[str, Any]:
    """Return a deployment's ``model_info``; empty when it has none."""
    return _mapping(deployment.get("model_info"))


def params_of(deployment: Deployment) -> Mapping[str, Any]:
    """Return a deployment's ``litellm_params``; empty when it has none."""
    return _mapping(deployment.get("litellm_params"))


def model_of(deployment: Deployment) -> str:
    """Return what a deployment asks for, such as ``antigravity/claude-sonnet-4-6``; empty when it names nothing."""
    return str(params_of(deployment).get("model", ""))


def meant(model: str, requested: str) -> str:
    """Return the model that a request asks of a deployment: a wildcard stands for the one that its caller names.

    Args:
        model: the deployment's, without the provider.
        requested: the model that the caller asks for.
    """
    return requested if "*" in model else model


def served_by(call: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return ``model_info`` of the deployment that a call goes to; empty outside a Router.

    Args:
        call: the keyword arguments of a provider, a hook's ``kwargs``, or the details of LiteLLM's logging object.
    """
    return _mapping(params_of(call).get("model_info"))


def account_named(info: Mapping[str, Any]) -> str | None:
    """Return the account that a ``model_info`` names."""
    name = info.get("account")
    return name if isinstance(name, str) and name.strip() else None


def caller_of(kwargs: Mapping[str, Any]) -> str:
    """Return who has sent a request to the proxy, by its key or else its user or team; empty outside of the proxy.

    Only what the proxy's authentication has left counts: an object, which no JSON of a caller's can be. Strings of the
    same meaning beside it might be the caller's.
    """
    for auth in _auths_in(kwargs):
        for kind in ("token", "api_key", "user_id", "team_id"):
            who = getattr(auth, kind, None)
            if isinstance(who, str) and who:
                return f"{kind} {who}"
    return ""


def priority_of(kwargs: Mapping[str, Any]) -> object:
    """Return the ``priority`` that the proxy's administrator has given a caller's team, or else its key.

    LiteLLM's rate limits read it there, in that order. The ``priority`` of a body is the caller's own, and another.
    """
    for auth in _auths_in(kwargs):
        for kind in ("team_metadata", "metadata"):
            if (priority := _mapping(getattr(auth, kind, None)).get("priority")) is not None:
                return priority
    return None


def _auths_in(kwargs: Mapping[str, Any]) -> list[object]:
    found = [_mapping(kwargs.get(where)).get("user_api_key_auth") for where in METADATA]
    return [auth for auth in found if auth is not None and not isinstance(auth, (str, int, float, list, Mapping))]


def chose_by_id(kwargs: Mapping[str, Any]) -> bool:
    """Return whether a request of the proxy's asks for a deployment by its id, though its caller is no administrator.

    LiteLLM serves such a request from that deployment, past every group and strategy. Without a master key everybody
    is an administrator, and so is whoever calls a Router.

    Args:
        kwargs: of a call, after its deployment has been chosen.
    """
    deployment_id = info_of(kwargs).get("id")
    asked = [_mapping(kwargs.get(where)).get("model_group") for where in METADATA]  # one of them is the caller's
    if deployment_id is None or deployment_id not in asked:
        return False
    keyed = getattr(sys.modules.get("litellm.proxy.proxy_server"), "master_key", None) is not None
    roles = [getattr(auth, "user_role", None) for auth in _auths_in(kwargs)]
    return keyed and bool(roles) and not any(str(getattr(role, "value", role)) == "proxy_admin" for role in roles)


def drop_exclusions(data: dict[str, Any]) -> None:
    """Take out of a request what its Router alone may say: which deployments have failed, and whose turn it is.

    LiteLLM takes some of it from callers too, who would choose an account so, by the ids that the others have.

    Args:
        data: a request as a client of the proxy has sent it; changed.
    """
    within: list[object] = [data.get(name) for name in _FALLBACKS]  # each may be a request with fields of its own
    while within:
        one = within.pop()
        if isinstance(one, dict):
            _drop_own(one)
            within.extend(one.values())
        elif isinstance(one, list):
            within.extend(one)
    _drop_own(data)


def _drop_own(fields: dict[str, Any]) -> None:
    for name in (*EXCLUDED, TARGET_ORDER):
        fields.pop(name, None)


def checked(kwargs: Any) -> Any:
    """Return a request without the name of a response that nobody has checked: it would choose a deployment.

    The proxy looks who was given a ``previous_response_id``, by itself (``ResponsesIDSecurity``), for the Responses API
    alone. With any other request it is whatever its caller has made up, and means nothing else.

    Args:
        kwargs: the request as the Router has it, if there is one.
    """
    if not kwargs or kwargs.get(_PREVIOUS) is None or not kwargs.get("proxy_server_request"):
        return kwargs
    route = getattr(kwargs.get("litellm_logging_obj"), "call_type", None)
    return kwargs if "responses" in str(route) else {name: one for name, one in kwargs.items() if name != _PREVIOUS}


def client_of(kwargs: Mapping[str, Any]) -> tuple[dict[str, str], Mapping[str, Any] | None]:
    """Return headers, their names in lower case, and body of what a client sent; ``None`` outside of the proxy."""
    sent = _mapping(kwargs.get("proxy_server_request"))
    headers = _mapping(sent.get("headers") or kwargs.get("headers") or kwargs.get("extra_headers"))
    body = sent.get("body")
    named = {str(name).lower(): value for name, value in headers.items() if isinstance(value, str)}
    return named, body if isinstance(body, Mapping) else None


def group_of(call: Mapping[str, Any]) -> str:
    """Return the ``model_name`` of the deployment that a Router has chosen for a call; empty outside of a Router."""
    params = params_of(call)
    names = (_mapping(params.get(where)).get("deployment_model_name") for where in METADATA)
    return next((name for name in names if isinstance(name, str)), "")


def is_routed(call: Mapping[str, Any]) -> bool:
    """Return whether a Router or the proxy has sent a call; else a program asks a provider by itself."""
    return bool(served_by(call).get("id")) or bool(params_of(call).get("proxy_server_request"))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, (dict, Mapping)) else {}  # `dict` is known at once; every request asks often


__all__ = [
    "EXCLUDED",
    "GENERATED_SESSION",
    "METADATA",
    "TARGET_ORDER",
    "Deployment",
    "account_named",
    "caller_of",
    "checked",
    "chose_by_id",
    "client_of",
    "drop_exclusions",
    "group_of",
    "info_of",
    "is_routed",
    "meant",
    "model_of",
    "params_of",
    "priority_of",
    "served_by",
]
