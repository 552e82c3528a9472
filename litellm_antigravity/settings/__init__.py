"""Settings: one frozen model, filled from arguments, environment and files.

The model is loaded when it is first asked for: whoever needs a place only, such as a shell's completion, is not to wait
for pydantic.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from litellm_antigravity.settings.places import user_config_dir

if TYPE_CHECKING:
    from litellm_antigravity.settings.model import (
        HealthScoreSettings,
        OffsetSource,
        Settings,
        Strategy,
        TokenBucketSettings,
    )
    from litellm_antigravity.settings.reference import SettingReference, settings_reference

_WHERE = {
    "HealthScoreSettings": "model",
    "OffsetSource": "model",
    "SettingReference": "reference",
    "Settings": "model",
    "Strategy": "model",
    "TokenBucketSettings": "model",
    "settings_reference": "reference",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    return value


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
