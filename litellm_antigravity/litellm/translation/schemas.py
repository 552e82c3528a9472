"""JSON Schemas of tools, made into the subset of OpenAPI that upstream takes (Vertex AI reference, ``Schema``).

LiteLLM's converter knows part of JSON Schema: it drops ``const``, ``oneOf`` and ``allOf``, makes objects of what has no
type, and fails on boolean sub-schemas and tuples. What comes out of here it leaves as it is.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote

Schema = dict[str, Any]

MAX_DEPTH: Final = 24
"""Levels of a schema; LiteLLM gives up at 100 and upstream earlier. What is deeper keeps its type only."""

MAX_NODES: Final = 5_000
"""Sub-schemas of one schema: references inside references grow exponentially when they are written out."""

_MAX_BRANCHES: Final = 32  # of an `anyOf` that is the product of several
_TYPES: Final = ("object", "array", "string", "number", "integer", "boolean")
_NULL_ONLY: Final = "Always null."
_KEYWORDS: Final = {
    "object": ("properties", "required", "propertyOrdering", "minProperties", "maxProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "string": ("pattern", "minLength", "maxLength"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
}
_BOUNDS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "minimum": max,
    "maximum": min,
    "minLength": max,
    "maxLength": min,
    "minItems": max,
    "maxItems": min,
    "minProperties": max,
    "maxProperties": min,
}
_NOTES: Final = ("title", "description", "default", "example", "format")
_FORMATS: Final = ("enum", "date-time")  # the others LiteLLM drops, as upstream rejects some of them


_MOST_PASSES: Final = 5


def prepare_schema(schema: Any) -> Schema:
    """Return ``schema`` as upstream takes it. Idempotent; ``schema`` is not changed.

    References are written out (recursive ones end in their type), ``allOf`` is merged, ``oneOf`` becomes ``anyOf`` and
    takes in what stands beside it, ``const`` and ``enum`` become an ``enum`` of strings where they can, and else a
    range and a sentence in the description. What upstream cannot express (``not``, ``if``, ``patternProperties``, ...)
    is left out.

    Args:
        schema: JSON Schema, draft 7 or 2020-12, a boolean one included.
    """
    prepared: Any = schema
    for _ in range(_MOST_PASSES):  # what one pass has merged may be simplified by the next
        merged = _Preparation(prepared).schema(prepared, 0, ())
        following = _finished(merged if merged is not None else {})
        if following == prepared:
            break
        prepared = following
    return following


class _Preparation:
    def __init__(self, root: Any) -> None:
        self._root = root
        self._anchors: dict[str, Any] | None = None
        self._nodes = 0

    def schema(self, schema: Any, depth: int, path: tuple[int, ...]) -> Schema | None:
        """Return a schema without references and combinations, or ``None`` for one that nothing fits.

        Args:
            schema: to be prepared.
            depth: levels above it.
            path: the identities of the referenced schemas that it is in.
        """
        if schema is False:
            return None
        if not isinstance(schema, Mapping):
            return {}
        self._nodes += 1
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            return _type_only(schema)
        own = self._own(schema, depth, path)
        merged: Schema | None = own
        for part in self._parts(schema, depth, path):
            merged = None if part is None or merged is None else _merged(merged, part)
        return merged

    def _parts(self, schema: Mapping[str, Any], depth: int, path: tuple[int, ...]) -> Iterable[Schema | None]:
        """Yield what has to hold besides the schema's own keywords."""
        for keyword in ("$ref", "$dynamicRef", "$recursiveRef"):
            if isinstance(schema.get(keyword), str):
                yield self._referenced(schema[keyword], depth, path)
        for part in _list(schema.get("allOf")):
            yield self.schema(part, depth + 1, path)
        for keyword in ("anyOf", "oneOf"):
            if _list(schema.get(keyword)):
                yield self._one_of(schema[keyword], depth, path)

    def _referenced(self, reference: str, depth: int, path: tuple[int, ...]) -> Schema | None:
        target = self._resolve(reference)
        if id(target) in path:
            return _type_only(target)
        return self.schema(target, depth + 1, (*path, id(target)))

    def _resolve(self, reference: str) -> Any:
        base, _, fragment = reference.partition("#")
        if base:
            return {}  # another document's
        fragment = unquote(fragment)
        if fragment and not fragment.startswith("/"):
            return self._anchored(fragment)
        target = self._root
        for step in fragment.split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(target, Mapping) and name in target:
                target = target[name]
            elif isinstance(target, list) and name.isdigit() and int(name) < len(target):
                target = target[int(name)]
            else:
                return {}
        return target

    def _anchored(self, name: str) -> Any:
        if self._anchors is None:
            self._anchors = {}
            pending = [self._root]
            while pending:
                one = pending.pop()
                if isinstance(one, Mapping):
                    for keyword in ("$anchor", "$dynamicAnchor"):
                        if isinstance(one.get(keyword), str):
                            self._anchors.setdefault(one[keyword], one)
                    if isinstance(one.get("$id"), str) and one["$id"].startswith("#"):
                        self._anchors.setdefault(one["$id"][1:], one)
                    pending.extend(one.values())
                elif isinstance(one, list):
                    pending.extend(one)
        return self._anchors.get(name, {})

    def _one_of(self, branches: Sequence[Any], depth: int, path: tuple[int, ...]) -> Schema | None:
        prepared = [self.schema(branch, depth + 1, path) for branch in branches]
        return _any_of([branch for branch in prepared if branch is not None])

    def _own(self, schema: Mapping[str, Any], depth: int, path: tuple[int, ...]) -> Schema | None:
        types, nullable = _types(schema)
        notes = {name: schema[name] for name in _NOTES if name in schema and _is_note(name, schema[name])}
        if nullable is True and not types:
            return {**notes, "type": "string", "nullable": True, "description": _joined(notes, _NULL_ONLY)}
        values = [schema["const"]] if "const" in schema else _list(schema.get("enum")) if "enum" in schema else None
        if values is not None:
            return _enumerated(schema, values, types, nullable=nullable, notes=notes)
        kept: Schema = {"nullable": True} if nullable else {}
        if len(types) == 1:
            return {**notes, "type": types[0], **self._keywords(schema, types[0], depth, path), **kept}
        if types:
            branches = [{"type": one, **self._keywords(schema, one, depth, path)} for one in types]
            return _any_of([{**notes, **branch, **kept} for branch in branches])
        # Without a type, the keywords tell which one is meant. They hold for that type only, so several may be.
        implied = [one for one in _KEYWORDS if any(_is_used(schema, keyword) for keyword in _KEYWORDS[one])]
        if len(implied) == 1:
            return {**notes, "type": implied[0], **self._keywords(schema, implied[0], depth, path), **kept}
        return (
            _any_of([{**notes, "type": one, **self._keywords(schema, one, depth, path), **kept} for one in implied])
            if implied
            else {**notes, **kept}
        )

    def _keywords(self, schema: Mapping[str, Any], kind: str, depth: int, path: tuple[int, ...]) -> Schema:
        if kind == "object":
            return {**self._object(schema, depth, path), **_counts(schema, "minProperties", "maxProperties")}
        if kind == "array":
            return self._array(schema, depth, path)
        if kind == "string":
            pattern = {"pattern": schema["pattern"]} if isinstance(schema.get("pattern"), str) else {}
            return {**pattern, **_counts(schema, "minLength", "maxLength")}
        return _range(schema, kind) if kind in ("number", "integer") else {}

    def _object(self, schema: Mapping[str, Any], depth: int, path: tuple[int, ...]) -> Schema:
        kept: Schema = {}
        given = schema.get("properties")
        if isinstance(given, Mapping):
            prepared = {str(name): self.schema(one, depth + 1, path) for name, one in given.items()}
            kept["properties"] = {name: one for name, one in prepared.items() if one is not None}
        required = [name for name in _list(schema.get("required")) if isinstance(name, str)]
        if required:
            kept["required"] = list(dict.fromkeys(required))
        ordering = [name for name in _list(schema.get("propertyOrdering")) if isinstance(name, str)]
        if ordering:
            kept["propertyOrdering"] = ordering
        return kept

    def _array(self, schema: Mapping[str, Any], depth: int, path: tuple[int, ...]) -> Schema:
        kept = _counts(schema, "minItems", "maxItems")
        items = schema.get("items")
        first = _list(schema.get("prefixItems")) or (items if isinstance(items, list) else [])
        rest = schema.get("additionalItems") if isinstance(items, list) else items
        if first:
            positions = [self.schema(one, depth + 1, path) for one in first]
            if rest is not False:
                following = {} if rest is None else self.schema(rest, depth + 1, path)
                # Whatever may follow says nothing, and would make the tuple's own schemas say nothing.
                positions += [following] if following else []
            else:
                kept["maxItems"] = min(kept.get("maxItems", len(first)), len(first))
            one = _any_of([position for position in positions if position is not None])
            if one is not None:
                kept["items"] = one
        elif rest is False:
            kept["maxItems"] = 0
        elif isinstance(rest, Mapping):
            prepared = self.schema(rest, depth + 1, path)
            if prepared is None:
                kept["maxItems"] = 0
            else:
                kept["items"] = prepared
        return kept


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []


def _is_note(name: str, value: Any) -> bool:
    if name in ("title", "description"):
        return isinstance(value, str) and bool(value)
    if name == "format":
        return value in _FORMATS
    # LiteLLM looks for keywords inside these as if they were schemas.
    return value is not None and not isinstance(value, (Mapping, list, tuple))


def _is_used(schema: Mapping[str, Any], keyword: str) -> bool:
    value = schema.get(keyword)
    return value is not None and (keyword != "items" or isinstance(value, (Mapping, list, bool)))


def _types(schema: Mapping[str, Any]) -> tuple[list[str], bool | None]:
    """Return the types but null, and whether null is one: ``None`` where nothing is said."""
    given = schema.get("type")
    names = [one.lower() for one in ([given] if isinstance(given, str) else _list(given)) if isinstance(one, str)]
    types = [one for one in dict.fromkeys(names) if one in _TYPES]
    if "number" in types and "integer" in types:
        types.remove("integer")
    if schema.get("nullable") is True or "null" in names:
        return types, True
    return types, False if types else None


def _type_only(schema: Any) -> Schema:
    """Return what is left of a schema that is too deep, or inside itself."""
    if not isinstance(schema, Mapping):
        return {}
    types, nullable = _types(schema)
    kind = types[0] if types else next((one for one in _KEYWORDS if any(k in schema for k in _KEYWORDS[one])), None)
    kept: Schema = {"type": kind} if kind else {}
    if nullable and kind:
        kept["nullable"] = True
    if isinstance(schema.get("description"), str) and schema["description"]:
        kept["description"] = schema["description"]
    return kept


def _number(value: Any) -> float | int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return value


def _counts(schema: Mapping[str, Any], *names: str) -> Schema:
    counts = {name: _number(schema.get(name)) for name in names}
    return {name: count for name, count in counts.items() if count is not None}


def _range(schema: Mapping[str, Any], kind: str) -> Schema:
    """Return the bounds. Upstream has no exclusive ones: an integer's move by one, a number's stay."""
    kept = _counts(schema, "minimum", "maximum")
    for exclusive, name, step in (("exclusiveMinimum", "minimum", 1), ("exclusiveMaximum", "maximum", -1)):
        given = schema.get(exclusive)
        bound = _number(kept.get(name)) if given is True else _number(given)
        if bound is None:
            continue
        if kind == "integer":
            bound = math.floor(bound) + 1 if step > 0 else math.ceil(bound) - 1
        # Draft 4's `true` says that the inclusive bound is exclusive.
        kept[name] = bound if given is True or name not in kept else _BOUNDS[name](kept[name], bound)
    return kept


def _joined(notes: Mapping[str, Any], sentence: str) -> str:
    """Return the description with a sentence more, once."""
    description = notes.get("description", "")
    return description if description.endswith(sentence) else f"{description} {sentence}".strip()


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, Mapping):
        return "object"
    return "array" if isinstance(value, (list, tuple)) else "string"


def _enumerated(
    schema: Mapping[str, Any],
    values: Sequence[Any],
    types: Sequence[str],
    *,
    nullable: bool | None,
    notes: Mapping[str, Any],
) -> Schema | None:
    null = any(value is None for value in values) and nullable is not False
    null = null or (nullable is True and schema.get("nullable") is True)  # OpenAPI's says so beside the values
    groups: dict[str, list[Any]] = {}
    for value in values:
        if value is None:
            continue
        kind = _kind_of(value)
        if types and kind not in types:
            if kind != "integer" or "number" not in types:
                continue
            kind = "number"
        groups.setdefault(kind, []).append(value)
    if "number" in groups and "integer" in groups:
        groups["number"] = groups.pop("integer") + groups["number"]
    if not groups and null:
        return {**notes, "type": "string", "nullable": True, "description": _joined(notes, _NULL_ONLY)}
    branches = [_group(kind, members, notes) for kind, members in groups.items()]
    return _any_of([{**branch, "nullable": True} if null else branch for branch in branches])


def _group(kind: str, members: Sequence[Any], notes: Mapping[str, Any]) -> Schema:
    kept: Schema = {**notes, "type": kind}
    if kind == "string":
        kept.pop("format", None)
        texts = list(dict.fromkeys(member for member in members if member != ""))
        if texts:
            kept["enum"] = texts
        if "" in members:  # upstream takes no empty string in an enum
            kept["description"] = _joined(notes, "May also be empty." if texts else "Always empty.")
        return kept
    if kind in ("integer", "number"):
        kept |= {"minimum": min(members), "maximum": max(members)}
    allowed = ", ".join(dict.fromkeys(json.dumps(member, ensure_ascii=False, default=str) for member in members))
    both = kind == "boolean" and len(set(members)) == 2
    if not both and not (kind in ("integer", "number") and len(set(members)) == 1):
        kept["description"] = _joined(notes, f"One of: {allowed}." if len(members) > 1 else f"Always {allowed}.")
    return kept


def _any_of(branches: Sequence[Schema]) -> Schema | None:
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
    return schema.get("nullable") is True and str(schema.get("description", "")).endswith(_NULL_ONLY)


def _merged(first: Schema, second: Schema) -> Schema | None:
    """Return a schema for what fits both, or ``None`` when nothing does."""
    if "anyOf" in first or "anyOf" in second:
        pairs = [(one, two) for one in first.get("anyOf", [first]) for two in second.get("anyOf", [second])]
        fitting = [both for one, two in pairs[:_MAX_BRANCHES] if (both := _merged(one, two)) is not None]
        return _any_of(fitting)
    notes = {**_kept(second, _NOTES), **_kept(first, _NOTES)}
    texts = [one["description"] for one in (first, second) if one.get("description")]
    if len(set(texts)) == 2 and texts[1] not in texts[0]:
        notes["description"] = f"{texts[0]} {texts[1]}"
    constraints = [set(one) - set(_NOTES) for one in (first, second)]
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
    for name, strictest in _BOUNDS.items():
        if name in first and name in second:
            result[name] = strictest(first[name], second[name])
    if "required" in first and "required" in second:
        result["required"] = list(dict.fromkeys([*first["required"], *second["required"]]))
    if "properties" in first and "properties" in second:
        properties = {**first["properties"]}
        for name, one in second["properties"].items():
            both = _merged(properties[name], one) if name in properties else one
            if both is None:
                properties.pop(name)
            else:
                properties[name] = both
        result["properties"] = properties
    if "items" in first and "items" in second:
        items = _merged(first["items"], second["items"])
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


def _finished(schema: Schema) -> Schema:
    """Return a prepared schema as upstream takes it: with types, items, and names that exist."""
    if "anyOf" in schema:
        return _any_of([_finished(branch) for branch in schema["anyOf"]]) or {}
    result = dict(schema)
    kind = result.setdefault("type", "object")  # upstream wants one; LiteLLM says the same of what may be anything
    if kind == "array":
        result["items"] = _finished(result.get("items", {}))
    if kind != "object":
        return result
    properties = result.pop("properties", {})
    required = [name for name in result.pop("required", []) if name in properties]
    ordering = [name for name in result.pop("propertyOrdering", []) if name in properties]
    if properties:
        result["properties"] = {name: _finished(one) for name, one in properties.items()}
    if required:
        result["required"] = required
    if ordering:
        result["propertyOrdering"] = ordering
    return result


__all__ = ["MAX_DEPTH", "MAX_NODES", "prepare_schema"]
