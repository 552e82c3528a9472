"""The names of the settings, as the model spells them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from pydantic import BaseModel

Place: TypeAlias = tuple[str, ...]
"""A setting's name, or a group's name and a key in it."""


def group_of(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    """Return the nested model of the setting ``name``; ``None`` for a plain setting and for no setting."""
    known = model.model_fields.get(name)
    kind = None if known is None else known.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def is_setting(model: type[BaseModel], place: Place) -> bool:
    """Return whether ``place`` is a setting, a group as a whole, or a key of a group."""
    if len(place) == 1:
        return place[0] in model.model_fields
    group = group_of(model, place[0])
    return group is not None and place[1] in group.model_fields


def setting_places(model: type[BaseModel]) -> Iterator[Place]:
    """Yield every place a value can be set at: plain settings, groups as a whole, and the keys of groups."""
    for name in model.model_fields:
        yield (name,)
        group = group_of(model, name)
        if group is not None:
            for key in group.model_fields:
                yield (name, key)


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the name in ``known`` that ``name`` was probably meant to be, or ``None``.

    Args:
        name: what was written.
        known: what could have been meant.
        cutoff: the least likeness, from 0 to 1, as `difflib.get_close_matches` measures it.
    """
    folded = {one.lower(): one for one in known}
    found = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=cutoff)
    return folded[found[0]] if found else None
