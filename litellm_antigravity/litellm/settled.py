"""What follows from the settings once they are settled: prices, shared thoughts, what is counted and told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from litellm_antigravity.litellm.alerting import ALERTING
from litellm_antigravity.litellm.model_info import register_models
from litellm_antigravity.litellm.observing import OBSERVER
from litellm_antigravity.litellm.seams.proxy import proxy_config
from litellm_antigravity.litellm.translation.signatures import THOUGHTS
from litellm_antigravity.settings import Settings
from litellm_antigravity.settings.costs import model_costs

if TYPE_CHECKING:
    from litellm_antigravity.litellm.handler import AntigravityLLM
    from litellm_antigravity.state.joined_thoughts import JoinedThoughts


def take_effect(settings: Settings, handler: AntigravityLLM) -> None:
    """Let settings act on what belongs to the process rather than to one pool.

    Args:
        settings: in use.
        handler: whose settings they are.
    """
    register_models(model_costs(settings.model_costs))
    THOUGHTS.share(
        settings.state_dir / "thoughts",
        on_network=settings.state_dir_on_network,
        backend=settings.state_backend,
        among_hosts=_thoughts_of_hosts(settings),
    )
    in_proxy = proxy_config() is not None
    OBSERVER.use(settings, in_proxy=in_proxy)
    ALERTING.use(settings, handler, in_proxy=in_proxy)


def _thoughts_of_hosts(settings: Settings) -> JoinedThoughts | None:
    if settings.redis is None or settings.share_tokens != "redis":
        return None
    from litellm_antigravity.state.joined_thoughts import JoinedThoughts

    return JoinedThoughts.of(settings)


__all__ = ["take_effect"]
