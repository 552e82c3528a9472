"""Where values come from: environment and files, merged key by key, each remembered with its source."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

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

DEFAULT_ORIGIN = "default"
"""What nothing has set."""

BEHAVIOUR = frozenset(
    {
        "account_selection_strategy",
        "pid_offset_enabled",
        "offset_source",
        "max_rate_limit_wait_seconds",
        "max_retry_after_seconds",
        "switch_on_first_rate_limit",
        "sticky_wait_seconds",
        "sticky_scope",
        "conversation_ttl_seconds",
        "failure_ttl_seconds",
        "affinity_subagents",
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
        return self.origins.get(place) or self.origins.get(place[:1]) or DEFAULT_ORIGIN

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


def gather(model: type[BaseModel], arguments: Mapping[str, Any], source: str, *, quiet: bool = False) -> Gathered:
    """Merge every source, lowest first.

    Args:
        model: the settings class.
        arguments: the highest source; its unknown names are returned, those of the others are ignored.
        source: what messages call the arguments.
        quiet: give no warning; somebody has had them already.

    Raises:
        SettingsError: a settings file is unreadable or broken.
    """
    gathered = Gathered()
    user_file = _user_file()
    if user_file is not None:
        _merge(gathered, model, read_object(user_file) or {}, f"user file {spell_path(user_file)}")
    if user_file is None or not _is_same_file(user_file, PROJECT_FILE):
        _merge(gathered, model, _project_settings(model, quiet=quiet), f"project file {spell_path(PROJECT_FILE)}")
    for name, variable in OPENCODE_VARIABLES.items():
        if value := os.environ.get(variable):
            gathered.put((name,), value, f"environment variable {variable}")
    _merge_environment(gathered, model)
    for variable, meant in () if quiet else idle_variables(model):
        if meant is not None:
            LOGGER.warning("The environment variable %s sets nothing; did you mean %s?", variable, meant)
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


def _project_settings(model: type[BaseModel], *, quiet: bool) -> dict[str, Any]:
    found = read_object(PROJECT_FILE) or {}
    refused = [
        name for name in found if name not in BEHAVIOUR and (name in model.model_fields or "command" in name.lower())
    ]
    if refused and not quiet:
        LOGGER.warning(
            "Ignored in project file %s: %s. A project file may set behaviour only; set these in the user file, the "
            "environment or the proxy configuration.",
            spell_path(PROJECT_FILE),
            ", ".join(ascii(name[:60]) for name in refused[:20]),
        )
    return {name: value for name, value in found.items() if name in BEHAVIOUR}


def _merge(gathered: Gathered, model: type[BaseModel], layer: Mapping[str, Any], source: str) -> list[Place]:
    """Put a layer over the lower ones and return the places in it that are no settings."""
    unknown = []
    for place, value in _places(model, layer):
        if is_setting(model, place):
            gathered.put(place, value, source)
        else:
            unknown.append(place)
    return unknown


def _places(model: type[BaseModel], layer: Mapping[str, Any]) -> Iterator[tuple[Place, Any]]:
    for name, value in layer.items():
        if group_of(model, name) is not None and isinstance(value, Mapping):
            for key, inner in value.items():
                yield (name, str(key)), inner
        else:
            yield (name,), value


def _environment(model: type[BaseModel], present: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings that variables hold, whatever the case of their names, groups key by key.

    A value that begins like a JSON object is one, if it can be read; else the model refuses it with every other.
    """
    found: dict[str, Any] = {}
    for place in setting_places(model):  # a group comes before its keys, which stand above what it holds
        value: Any = present.get(env_name(place))
        if value is None:
            continue
        if value.lstrip().startswith("{"):
            with contextlib.suppress(ValueError, RecursionError):
                value = json.loads(value)
        if len(place) == 1:
            found[place[0]] = value
        elif isinstance(group := found.setdefault(place[0], {}), dict):
            group[place[1]] = value
        else:
            found[place[0]] = {place[1]: value}
    return found


def _merge_environment(gathered: Gathered, model: type[BaseModel]) -> None:
    present = {name.upper(): value for name, value in os.environ.items() if value}
    for place, value in _places(model, _environment(model, present)):
        if is_setting(model, place):
            variable = env_name(place) if env_name(place) in present else env_name(place[:1])
            gathered.put(place, value, f"environment variable {variable}")


def idle_variables(model: type[BaseModel]) -> list[tuple[str, str | None]]:
    """Return the variables with our prefix that set nothing, each with the one that was probably meant, if any."""
    # Without the prefix, which all have in common: else everything is like everything.
    known = {env_name(place).removeprefix(ENV_PREFIX): env_name(place) for place in setting_places(model)}
    found = []
    for variable in sorted(name.upper() for name, value in os.environ.items() if value):
        name = variable.removeprefix(ENV_PREFIX)
        if name != variable and name not in known:
            meant = nearest(name, known, cutoff=0.85)
            found.append((variable, None if meant is None else known[meant]))
    return found


def misspelt_keys(model: type[BaseModel]) -> list[tuple[str, str, str]]:
    """Return the keys of the settings files that were probably meant to be settings: file, key, and which setting.

    Other keys belong to other tools, which share the files.
    """
    user_file, found = _user_file(), []
    for file in (user_file, PROJECT_FILE):
        if file is None or (file is PROJECT_FILE and user_file is not None and _is_same_file(user_file, file)):
            continue
        for place, _ in _places(model, read_object(file) or {}):
            names = [one[-1] for one in setting_places(model) if len(one) == len(place) and one[:-1] == place[:-1]]
            meant = None if is_setting(model, place) else nearest(place[-1], names, cutoff=0.85)
            if meant is not None:
                found.append((spell_path(file), ".".join(place), ".".join((*place[:-1], meant))))
    return found
