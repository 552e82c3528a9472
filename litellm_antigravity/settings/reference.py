"""The settings as a table: for ``--help`` and the README."""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from litellm_antigravity.settings.model import Settings
from litellm_antigravity.settings.names import Place, group_of, setting_places
from litellm_antigravity.settings.problems import allowed_at
from litellm_antigravity.settings.sources import env_name


class SettingReference(NamedTuple):
    """What there is to know about one setting.

    Attributes:
        name: as written in files and arguments; the keys of a group as ``group.key``.
        default: as written in a settings file; ``none`` when unset.
        description: what it does.
        allowed: what it may be.
        env: its environment variable.
    """

    name: str
    default: str
    description: str
    allowed: str
    env: str


def settings_reference() -> list[SettingReference]:
    """Return every setting, in the order of docs/settings.md; groups key by key."""
    return [_refer(place) for place in setting_places(Settings) if len(place) > 1 or not group_of(Settings, place[0])]


def _refer(place: Place) -> SettingReference:
    owner: type[BaseModel] = Settings
    if len(place) > 1:
        group = group_of(Settings, place[0])
        assert group is not None  # noqa: S101 - `setting_places` only makes such places of groups
        owner = group
    found = owner.model_fields[place[-1]]
    return SettingReference(
        ".".join(place), _spell_default(found), found.description or "", allowed_at(Settings, place), env_name(place)
    )


def _spell_default(found: FieldInfo) -> str:
    if isinstance(found.json_schema_extra, dict):
        return str(found.json_schema_extra["default"])
    default: Any = found.default
    if default is None or isinstance(default, bool):
        return {None: "none", True: "true", False: "false"}[default]
    return f"{default:g}" if isinstance(default, float) else str(default)
