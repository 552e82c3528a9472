"""What follows from the settings once they are settled: prices, shared thoughts, and what is counted."""

from __future__ import annotations

from litellm_antigravity.litellm.model_info import register_models
from litellm_antigravity.litellm.observing import OBSERVER
from litellm_antigravity.litellm.seams.proxy import proxy_config
from litellm_antigravity.litellm.translation.signatures import THOUGHTS
from litellm_antigravity.settings import Settings
from litellm_antigravity.settings.costs import model_costs


def take_effect(settings: Settings) -> None:
    """Let settings act on what belongs to the process rather than to one pool."""
    register_models(model_costs(settings.model_costs))
    THOUGHTS.share(
        settings.state_dir / "thoughts", on_network=settings.state_dir_on_network, backend=settings.state_backend
    )
    OBSERVER.use(settings, in_proxy=proxy_config() is not None)


__all__ = ["take_effect"]
