"""The names of the settings, as the model spells them."""

from __future__ import annotations

import difflib
import re
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


_ALIKE = 0.85
"""From here on two names are one and its misspelling, whatever else might be meant."""

_SHORT = 4  # words of fewer letters are alike by accident


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the name in ``known`` that ``name`` was probably meant to be, or ``None``.

    A name that is a part of another one was meant to be that: ``strategy`` is nearer to ``account_selection_strategy``
    than to ``state_dir``, of which it has more letters.

    Args:
        name: what was written.
        known: what could have been meant.
        cutoff: the least likeness, from 0 to 1, as `difflib.get_close_matches` measures it.
    """
    folded = {one.lower(): one for one in known}
    found = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=max(cutoff, _ALIKE))
    found = found or _with_its_words(name.lower(), folded)
    found = found or difflib.get_close_matches(name.lower(), folded, n=1, cutoff=cutoff)
    return folded[found[0]] if found else None


def _with_its_words(name: str, known: Iterable[str]) -> list[str]:
    """Return the names that have every word of ``name``, those with the fewest others first."""
    words = _words(name)
    found = [one for one in known if words and all(_is_among(word, _words(one)) for word in words)]
    return sorted(found, key=lambda one: (len(_words(one)), -difflib.SequenceMatcher(None, name, one).ratio()))


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", name)


def _is_among(word: str, words: list[str]) -> bool:
    return word in words or (len(word) >= _SHORT and bool(difflib.get_close_matches(word, words, n=1, cutoff=_ALIKE)))
