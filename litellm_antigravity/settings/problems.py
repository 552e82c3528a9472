"""What is wrong with the settings, in one line per problem."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError

from litellm_antigravity.settings.names import Place, group_of, nearest, setting_places
from litellm_antigravity.settings.types import Allowed

if TYPE_CHECKING:
    from litellm_antigravity.settings.sources import Gathered

OUT_OF_ORDER = "settings_out_of_order"
"""The type of the error by which a group says that one key exceeds another."""

_LONGEST = 80
_IN_A_URL = re.compile(r"//[^/]*@|[?#].*", re.DOTALL)


def describe(model: type[BaseModel], error: ValidationError, gathered: Gathered) -> list[str]:
    """Return one line per problem that validation found.

    Args:
        model: the settings class.
        error: what validation raised.
        gathered: the values and who set them.
    """
    lines = []
    for problem in error.errors(include_url=False, include_input=False):
        place = tuple(str(part) for part in problem["loc"])[:2]
        if problem["type"] == OUT_OF_ORDER:
            context = problem["ctx"]
            lines += [_out_of_order(place[0], low, high, context["values"], gathered) for low, high in context["pairs"]]
        else:
            lines.append(_not_allowed(model, place, gathered))
    return lines


def unknown_settings(model: type[BaseModel], places: Iterable[Place], source: str) -> list[str]:
    """Return one line per name that is no setting, with the nearest that is.

    Args:
        model: the settings class.
        places: the names that are no settings.
        source: where they were written.
    """
    dotted = [".".join(place) for place in setting_places(model)]
    # A key may have been written without its group.
    by_spelling = {name.rpartition(".")[2]: name for name in reversed(dotted)} | {name: name for name in dotted}
    lines = []
    for place in places:
        name = ".".join(place)
        meant = nearest(name, by_spelling)
        if meant is None and len(place) > 1:
            meant = nearest(place[1], by_spelling)
        hint = (
            f"did you mean '{by_spelling[meant]}'?" if meant else f"the settings are {', '.join(model.model_fields)}."
        )
        lines.append(f"Unknown setting {_show(name)} in {source}; {hint}")
    return lines


def allowed_at(model: type[BaseModel], place: Place) -> str:
    """Return what the setting at ``place`` may be."""
    owner = model if len(place) == 1 else group_of(model, place[0])
    found = None if owner is None else owner.model_fields.get(place[-1])
    texts = [one.text for one in (found.metadata if found else ()) if isinstance(one, Allowed)]
    text = texts[-1] if texts else "another value"
    group = group_of(model, place[0]) if len(place) == 1 else None
    return f"{text} with {', '.join(group.model_fields)}" if group is not None else text


def _not_allowed(model: type[BaseModel], place: Place, gathered: Gathered) -> str:
    value: Any = gathered.values
    for part in place:
        value = value.get(part) if isinstance(value, Mapping) else None
    annotation = model.model_fields[place[0]].annotation
    hint = ""
    if get_origin(annotation) is Literal and isinstance(value, str):
        meant = nearest(value, get_args(annotation))
        hint = f" Did you mean '{meant}'?" if meant else ""
    shown = "its value (not shown)" if _is_secret(annotation) else _show(value)
    return (
        f"Setting {'.'.join(place)} from {gathered.origin(place)}: {shown} is not allowed; it must be "
        f"{allowed_at(model, place)}.{hint}"
    )


def _out_of_order(group: str, low: str, high: str, values: Mapping[str, float], gathered: Gathered) -> str:
    one, other = (f"{group}.{name} ({values[name]:g}, from {gathered.origin((group, name))})" for name in (low, high))
    return f"Setting {one} must not exceed {other}."


def _is_secret(annotation: Any) -> bool:
    return annotation is SecretStr or SecretStr in get_args(annotation)


def _show(value: object) -> str:
    """Return a value as its source spells it, on one line, without what a URL may carry as a password or key."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value) if value.bit_length() < 64 else "a huge number"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str):
        text = _IN_A_URL.sub(lambda match: "//***@" if match[0].startswith("//") else match[0][0] + "***", value)
        return ascii(text if len(text) <= _LONGEST else text[:_LONGEST] + "...")
    if isinstance(value, Mapping):
        return "an object"
    return "a list" if isinstance(value, (list, tuple)) else f"a {type(value).__name__}"
