"""Schemas put together: one of several, or all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from litellm_antigravity.litellm.translation.schemas.keywords import BOUNDS, NOTES, NULL_ONLY, Schema

_MAX_BRANCHES: Final = 32  # of an `anyOf` that is the product of several


def any_of(branches: Sequence[Schema]) -> Schema | None:
    """Return a schema that one of the branches has to fit; flat, without doubles."""
    flat: list[Schema] = []
    for branch in branches:
        for one in branch.get("anyOf", [branch]):
            if one not in flat:
                flat.append(one)
    nulls = [one for one in flat if _is_null_only(one)]
    if nulls and len(nulls) < len(flat):
        flat = [{**one, "nullable": True} if one else one for one in flat if one not in nulls]
        unique: list[Schema] = []
        for one in flat:
            if one not in unique:
                unique.append(one)
        flat = unique
    if not flat:
        return None
    return flat[0] if len(flat) == 1 else {"anyOf": flat}


def _is_null_only(schema: Schema) -> bool:
    return schema.get("nullable") is True and str(schema.get("description", "")).endswith(NULL_ONLY)


def merged(first: Schema, second: Schema) -> Schema | None:
    """Return a schema for what fits both, or ``None`` when nothing does."""
    if "anyOf" in first or "anyOf" in second:
        pairs = [(one, two) for one in first.get("anyOf", [first]) for two in second.get("anyOf", [second])]
        fitting = [both for one, two in pairs[:_MAX_BRANCHES] if (both := merged(one, two)) is not None]
        return any_of(fitting)
    notes = {**_kept(second, NOTES), **_kept(first, NOTES)}
    texts = [one["description"] for one in (first, second) if one.get("description")]
    if len(set(texts)) == 2 and texts[1] not in texts[0]:
        notes["description"] = f"{texts[0]} {texts[1]}"
    constraints = [set(one) - set(NOTES) for one in (first, second)]
    if not constraints[0] or not constraints[1]:
        return {**second, **first, **notes}
    kind = _common_type(first.get("type"), second.get("type"))
    if kind is None:
        return None
    result: Schema = {**second, **first, **notes}
    if kind:
        result["type"] = kind
    if not (_may_be_null(first) and _may_be_null(second)):
        result.pop("nullable", None)
    if "enum" in first and "enum" in second:
        result["enum"] = [value for value in first["enum"] if value in second["enum"]]
        if not result["enum"]:
            return None
    for name, strictest in BOUNDS.items():
        if name in first and name in second:
            result[name] = strictest(first[name], second[name])
    if "required" in first and "required" in second:
        result["required"] = list(dict.fromkeys([*first["required"], *second["required"]]))
    if "properties" in first and "properties" in second:
        properties = {**first["properties"]}
        for name, one in second["properties"].items():
            both = merged(properties[name], one) if name in properties else one
            if both is None:
                properties.pop(name)
            else:
                properties[name] = both
        result["properties"] = properties
    if "items" in first and "items" in second:
        items = merged(first["items"], second["items"])
        if items is None:
            result["maxItems"] = 0
        else:
            result["items"] = items
    return result


def _kept(schema: Schema, names: Iterable[str]) -> Schema:
    return {name: schema[name] for name in names if name in schema}


def _may_be_null(schema: Schema) -> bool:
    return schema.get("nullable") is True or "type" not in schema


def _common_type(first: str | None, second: str | None) -> str | None:
    """Return the type of what fits both; empty where neither says one, ``None`` where nothing fits both."""
    if first is None or second is None:
        return first or second or ""
    if first == second:
        return first
    return "integer" if {first, second} == {"integer", "number"} else None


__all__ = ["any_of", "merged"]
