"""LiteLLM's own metrics of cooled deployments, told of our cooldowns where LiteLLM's are switched off.

``disable_cooldowns`` leaves cooldowns to us, and would leave ``litellm_deployment_cooled_down`` and
``litellm_deployment_state`` of its Prometheus callback without a source.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import Any

from litellm_antigravity.litellm.seams.router import core_of, router_of, routing_context
from litellm_antigravity.litellm.seams.table import find
from litellm_antigravity.logs import LOGGER


def counts_for(deployment_id: str) -> Any:
    """Return the Router whose cooldowns we have to tell of, a deployment's; ``None`` where LiteLLM keeps its own."""
    router = router_of([{"model_info": {"id": deployment_id}}])
    settings = getattr(router, "settings", None)
    of = settings() if callable(settings) else core_of(router)
    return router if getattr(of, "disable_cooldowns", None) else None


async def cooled_down(router: Any, deployment_id: str, status: int | str, seconds: float | None) -> None:
    """Tell LiteLLM's metrics that a deployment cools down; nothing that goes wrong there matters to a request.

    Args:
        router: that has it.
        deployment_id: its ``model_info.id``.
        status: of the refusal.
        seconds: for how long; ``None`` when nobody knows.
    """
    tell = find("router_cooldown_event_callback")
    if tell is None:
        return
    where: Mapping[str, Any] = {"litellm_router_instance": router}
    if "ctx" in _parameters(tell):
        where = {"ctx": routing_context(router)}
    try:
        await tell(**where, deployment_id=deployment_id, exception_status=status, cooldown_time=seconds)
    except Exception as error:  # noqa: BLE001 - a metric is not worth a request
        LOGGER.debug("LiteLLM's metrics were not told of a cooldown: %s: %s", type(error).__name__, error)


@functools.cache
def _parameters(function: Any) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters


__all__ = ["cooled_down", "counts_for"]
