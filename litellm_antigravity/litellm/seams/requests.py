"""Where LiteLLM keeps what it knows of deployments and requests: plain dictionaries, which callers may fill too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

Deployment: TypeAlias = Mapping[str, Any]
"""An entry of a model list."""

TARGET_ORDER: Final = "_target_order"
"""Of a Router's request: the ``order`` that is its turn. LiteLLM's own filter for it runs after ours."""

EXCLUDED: Final = ("_excluded_deployment_ids", "_retry_skipped_deployment_ids")
"""Of a Router's request: deployments that failed. LiteLLM's own filter for them runs after ours."""


def info_of(deployment: Deployment) -> Mapping[str, Any]:
    """Return a deployment's ``model_info``; empty when it has none."""
    return _mapping(deployment.get("model_info"))


def params_of(deployment: Deployment) -> Mapping[str, Any]:
    """Return a deployment's ``litellm_params``; empty when it has none."""
    return _mapping(deployment.get("litellm_params"))


def model_of(deployment: Deployment) -> str:
    """Return what a deployment asks for, such as ``antigravity/claude-sonnet-4-6``; empty when it names nothing."""
    return str(params_of(deployment).get("model", ""))


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


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


__all__ = ["EXCLUDED", "TARGET_ORDER", "Deployment", "account_named", "info_of", "model_of", "params_of", "served_by"]
