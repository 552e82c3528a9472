"""Which settings hold here, and where each comes from: for ``config show`` and ``doctor``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import SecretStr

from litellm_antigravity.settings.model import Settings
from litellm_antigravity.settings.names import Place, group_of, setting_places
from litellm_antigravity.settings.places import spell_path
from litellm_antigravity.settings.sources import DEFAULT_ORIGIN, gather

HIDDEN = "***"
"""What is shown of a secret that is set."""


class EffectiveSetting(NamedTuple):
    """One setting as it holds here.

    Attributes:
        name: as written in files; the keys of a group as ``group.key``.
        value: a plain value, fit to be shown: secrets are hidden, of a table only its length is told.
        source: what set it, ``default`` if nothing did.
    """

    name: str
    value: str | float | bool | None
    source: str

    @property
    def is_set(self) -> bool:
        """Whether something set it."""
        return self.source != DEFAULT_ORIGIN


def effective_settings(
    block: Mapping[str, Any] | None = None, source: str = "arguments"
) -> tuple[Settings, tuple[EffectiveSetting, ...]]:
    """Return the settings, and every one of them with its value and source, in the order of the reference.

    Args:
        block: settings above all other sources, as ``antigravity_settings`` of a proxy's configuration.
        source: what the block is called.

    Raises:
        SettingsError: as `Settings`.
    """
    settings = Settings.from_mapping(block, source)
    gathered = gather(Settings, {str(name): value for name, value in (block or {}).items()}, source, quiet=True)
    places = [one for one in setting_places(Settings) if len(one) > 1 or not group_of(Settings, one[0])]
    return settings, tuple(
        EffectiveSetting(".".join(place), _shown(settings, place), gathered.origin(place)) for place in places
    )


def _shown(settings: Settings, place: Place) -> str | float | bool | None:
    value: Any = settings
    for part in place:
        value = getattr(value, part)
    if isinstance(value, SecretStr):
        return HIDDEN
    if isinstance(value, Path):
        return spell_path(value)
    if isinstance(value, Mapping):
        return f"a table of {len(value)} model(s)"
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)


__all__ = ["EffectiveSetting", "effective_settings"]
