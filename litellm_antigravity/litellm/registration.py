"""`register`: make ``antigravity/...`` known to LiteLLM."""

from __future__ import annotations

from litellm_antigravity.litellm import seams
from litellm_antigravity.litellm.handler import AntigravityLLM
from litellm_antigravity.settings import Settings

handler = AntigravityLLM()
"""The provider. In the proxy's YAML: ``custom_handler: litellm_antigravity.handler``."""

seams.install()


def register(settings: Settings | None = None) -> None:
    """Make ``litellm.completion(model="antigravity/<model>", ...)`` work; calling it again does no harm.

    Args:
        settings: read from environment and files when absent.

    Raises:
        SettingsError: when a setting is wrong; the message names it, its source and what is allowed.
    """
    handler.use(settings if settings is not None else Settings())
    seams.add_provider(handler)
