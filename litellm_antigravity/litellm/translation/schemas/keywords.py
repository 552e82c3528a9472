"""Reading the keywords of a JSON Schema."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

Schema = dict[str, Any]

TYPES: Final = ("object", "array", "string", "number", "integer", "boolean")
NULL_ONLY: Final = "Always null."
KEYWORDS: Final = {
    "object": ("properties", "required", "propertyOrdering", "minProperties", "maxProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "string": ("pattern", "minLength", "maxLength"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
}
BOUNDS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "minimum": max,
    "maximum": min,
    "minLength": max,
    "maxLength": min,
    "minItems": max,
    "maxItems": min,
    "minProperties": max,
    "maxProperties": min,
}
NOTES: Final = ("title", "description", "default", "example", "format")
_FORMATS: Final = ("enum", "date-time")  # the others LiteLLM drops, as upstream rejects some of them


def as_list(value: Any) -> list[Any]:
    """Return a list, and nothing for what is none."""
    return list(value) if isinstance(value, (list, tuple)) else []


def is_note(name: str, value: Any) -> bool:
    """Return whether a value is one that a keyword which only says something may have."""
    if name in ("title", "description"):
        return isinstance(value, str) and bool(value)
    if name == "format":
        return value in _FORMATS
    # LiteLLM looks for keywords inside these as if they were schemas.
    return value is not None and not isinstance(value, (Mapping, list, tuple))


def is_used(schema: Mapping[str, Any], keyword: str) -> bool:
    """Return whether a keyword says something."""
    value = schema.get(keyword)
    return value is not None and (keyword != "items" or isinstance(value, (Mapping, list, bool)))


def types_of(schema: Mapping[str, Any]) -> tuple[list[str], bool | None]:
    """Return the types but null, and whether null is one: ``None`` where nothing is said."""
    given = schema.get("type")
    names = [one.lower() for one in ([given] if isinstance(given, str) else as_list(given)) if isinstance(one, str)]
    types = [one for one in dict.fromkeys(names) if one in TYPES]
    if "number" in types and "integer" in types:
        types.remove("integer")
    if schema.get("nullable") is True or "null" in names:
        return types, True
    return types, False if types else None


def type_only(schema: Any) -> Schema:
    """Return what is left of a schema that is too deep, or inside itself."""
    if not isinstance(schema, Mapping):
        return {}
    types, nullable = types_of(schema)
    kind = types[0] if types else next((one for one in KEYWORDS if any(k in schema for k in KEYWORDS[one])), None)
    kept: Schema = {"type": kind} if kind else {}
    if nullable and kind:
        kept["nullable"] = True
    if isinstance(schema.get("description"), str) and schema["description"]:
        kept["description"] = schema["description"]
    return kept


def number(value: Any) -> float | int | None:
    """Return a finite number, or nothing."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return value


def counts(schema: Mapping[str, Any], *names: str) -> Schema:
    """Return those of the keywords that are numbers."""
    counts = {name: number(schema.get(name)) for name in names}
    return {name: count for name, count in counts.items() if count is not None}


def bounds_of(schema: Mapping[str, Any], kind: str) -> Schema:
    """Return the bounds. Upstream has no exclusive ones: an integer's move by one, a number's stay."""
    kept = counts(schema, "minimum", "maximum")
    for exclusive, name, step in (("exclusiveMinimum", "minimum", 1), ("exclusiveMaximum", "maximum", -1)):
        given = schema.get(exclusive)
        bound = number(kept.get(name)) if given is True else number(given)
        if bound is None:
            continue
        if kind == "integer":
            bound = math.floor(bound) + 1 if step > 0 else math.ceil(bound) - 1
        # Draft 4's `true` says that the inclusive bound is exclusive.
        kept[name] = bound if given is True or name not in kept else BOUNDS[name](kept[name], bound)
    return kept


def joined(notes: Mapping[str, Any], sentence: str) -> str:
    """Return the description with a sentence more, once."""
    description = notes.get("description", "")
    return description if description.endswith(sentence) else f"{description} {sentence}".strip()


__all__ = [
    "BOUNDS",
    "KEYWORDS",
    "NOTES",
    "NULL_ONLY",
    "Schema",
    "as_list",
    "bounds_of",
    "counts",
    "is_note",
    "is_used",
    "joined",
    "number",
    "type_only",
    "types_of",
]
