"""Where values come from: environment and files, merged key by key, each remembered with its source."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource

from litellm_antigravity.errors import SettingsError
from litellm_antigravity.logs import LOGGER
from litellm_antigravity.settings.files import read_object
from litellm_antigravity.settings.names import Place, group_of, is_setting, nearest, setting_places
from litellm_antigravity.settings.places import spell_path, user_config_dir

ENV_PREFIX = "LITELLM_ANTIGRAVITY_"
PROJECT_FILE = Path(".opencode/antigravity.json")
"""Relative to the working folder."""

USER_FILE_NAME = "antigravity.json"

OPENCODE_VARIABLES = {
    "pid_offset_enabled": "OPENCODE_ANTIGRAVITY_PID_OFFSET_ENABLED",
    "account_selection_strategy": "OPENCODE_ANTIGRAVITY_ACCOUNT_SELECTION_STRATEGY",
    "debug": "OPENCODE_ANTIGRAVITY_DEBUG",
}

BEHAVIOUR = frozenset(
    {
        "account_selection_strategy",
        "pid_offset_enabled",
        "offset_source",
        "max_rate_limit_wait_seconds",
        "max_retry_after_seconds",
        "switch_on_first_rate_limit",
        "sticky_wait_seconds",
        "failure_ttl_seconds",
        "health_score",
        "token_bucket",
        "debug",
    }
)
"""What a project file may set. A list of what is allowed, so that a new setting starts out forbidden there."""


@dataclass(slots=True)
class Gathered:
    """The merged values, and who set each."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[Place, str] = field(default_factory=dict)
    unknown: list[Place] = field(default_factory=list)

    def origin(self, place: Place) -> str:
        """Return what set ``place``: the source of its value, else of the group around it, else ``default``."""
        return self.origins.get(place) or self.origins.get(place[:1]) or "default"

    def put(self, place: Place, value: Any, source: str) -> None:
        """Set one value over whatever a lower source said."""
        name = place[0]
        if len(place) == 1:
            for known in [known for known in self.origins if known[0] == name]:
                del self.origins[known]
            self.values[name] = value
        else:
            if not isinstance(self.values.get(name), dict):
                self.origins.pop((name,), None)
                self.values[name] = {}
            self.values[name][place[1]] = value
        self.origins[place] = source


def env_name(place: Place) -> str:
    """Return the environment variable of a setting."""
    return ENV_PREFIX + "__".join(place).upper()


def gather(model: type[BaseSettings], arguments: Mapping[str, Any], source: str) -> Gathered:
    """Merge every source, lowest first.

    Args:
        model: the settings class.
        arguments: the highest source; its unknown names are returned, those of the others are ignored.
        source: what messages call the arguments.

    Raises:
        SettingsError: a settings file is unreadable or broken.
    """
    gathered = Gathered()
    user_file = _user_file()
    if user_file is not None:
        _merge(gathered, model, read_object(user_file) or {}, f"user file {spell_path(user_file)}")
    if user_file is None or not _is_same_file(user_file, PROJECT_FILE):
        _merge(gathered, model, _project_settings(model), f"project file {spell_path(PROJECT_FILE)}")
    for name, variable in OPENCODE_VARIABLES.items():
        if value := os.environ.get(variable):
            gathered.put((name,), value, f"environment variable {variable}")
    _merge_environment(gathered, model)
    gathered.unknown = _merge(gathered, model, arguments, source)
    return gathered


def _user_file() -> Path | None:
    try:
        return user_config_dir() / USER_FILE_NAME
    except SettingsError:  # no home: an error only for those who need the folder
        return None


def _is_same_file(one: Path, other: Path) -> bool:
    # $OPENCODE_CONFIG_DIR may name the project's own folder; then the user has chosen to trust it.
    try:
        return one.samefile(other)
    except OSError:
        return False


def _project_settings(model: type[BaseSettings]) -> dict[str, Any]:
    found = read_object(PROJECT_FILE) or {}
    refused = [
        name for name in found if name not in BEHAVIOUR and (name in model.model_fields or "command" in name.lower())
    ]
    if refused:
        LOGGER.warning(
            "Ignored in project file %s: %s. A project file may set behaviour only; set these in the user file, the "
            "environment or the proxy configuration.",
            spell_path(PROJECT_FILE),
            ", ".join(ascii(name[:60]) for name in refused[:10]),
        )
    return {name: value for name, value in found.items() if name in BEHAVIOUR}


def _merge(gathered: Gathered, model: type[BaseSettings], layer: Mapping[str, Any], source: str) -> list[Place]:
    """Put a layer over the lower ones and return the places in it that are no settings."""
    unknown = []
    for place, value in _places(model, layer):
        if is_setting(model, place):
            gathered.put(place, value, source)
        else:
            unknown.append(place)
    return unknown


def _places(model: type[BaseSettings], layer: Mapping[str, Any]) -> Iterator[tuple[Place, Any]]:
    for name, value in layer.items():
        if group_of(model, name) is not None and isinstance(value, Mapping):
            for key, inner in value.items():
                yield (name, str(key)), inner
        else:
            yield (name,), value


class _Environment(EnvSettingsSource):
    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        # A group that is not JSON is refused with every other bad value, by the model.
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value


def _merge_environment(gathered: Gathered, model: type[BaseSettings]) -> None:
    present = {name.upper() for name, value in os.environ.items() if value}
    for place, value in _places(model, _Environment(model)()):
        if is_setting(model, place):
            variable = env_name(place) if env_name(place) in present else env_name(place[:1])
            gathered.put(place, value, f"environment variable {variable}")
    known = {env_name(place) for place in setting_places(model)}
    for variable in sorted(present):
        if variable.startswith(ENV_PREFIX) and variable not in known:
            meant = nearest(variable, known, cutoff=0.85)
            if meant is not None:
                LOGGER.warning("The environment variable %s sets nothing; did you mean %s?", variable, meant)
