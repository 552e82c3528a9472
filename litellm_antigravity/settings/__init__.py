"""Settings: one frozen model, filled from arguments, environment and files (DESIGN, section 3)."""

from __future__ import annotations

from litellm_antigravity.settings.model import (
    HealthScoreSettings,
    OffsetSource,
    Settings,
    Strategy,
    TokenBucketSettings,
)
from litellm_antigravity.settings.places import user_config_dir
from litellm_antigravity.settings.reference import SettingReference, settings_reference

__all__ = [
    "HealthScoreSettings",
    "OffsetSource",
    "SettingReference",
    "Settings",
    "Strategy",
    "TokenBucketSettings",
    "settings_reference",
    "user_config_dir",
]
