"""The block ``antigravity_settings`` of a proxy's YAML, for commands that are told which one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from litellm_antigravity.errors import SettingsError

_VARIABLE = "os.environ/"


def read_block(config: Path | None) -> tuple[Mapping[str, Any], str]:
    """Return the block and what messages call it; an empty one when there is no file.

    ``os.environ/NAME`` is resolved, as the proxy does it.

    Raises:
        SettingsError: when the file cannot be read, or is no YAML.
    """
    if config is None:
        return {}, "arguments"
    source = f"antigravity_settings in {config}"
    block = read_document(config).get("antigravity_settings")
    if block is None:
        return {}, source
    if not isinstance(block, Mapping):
        msg = f"{source} must be a mapping of setting names to values, not {type(block).__name__}."
        raise SettingsError(msg)
    return {str(name): _resolved(value) for name, value in block.items()}, source


def read_document(config: Path) -> Mapping[str, Any]:
    """Return what is in a proxy's YAML; empty when that is no mapping.

    Raises:
        SettingsError: when the file cannot be read, or is no YAML.
    """
    import yaml

    try:
        document = yaml.safe_load(config.read_bytes())
        return document if isinstance(document, Mapping) else {}
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        problem = "is not YAML" + (f" (line {mark.line + 1}, column {mark.column + 1})" if mark else "")
    msg = f"The proxy's configuration {config} {problem}."
    raise SettingsError(msg)


def _resolved(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _resolved(inner) for name, inner in value.items()}
    if isinstance(value, str) and value.startswith(_VARIABLE):
        return os.environ.get(value.removeprefix(_VARIABLE))
    return value


__all__ = ["read_block", "read_document"]
