"""JSON Schemas, made into the subset of OpenAPI that upstream takes (Vertex AI reference, ``Schema``).

LiteLLM's converter knows part of JSON Schema: it drops ``const``, ``oneOf`` and ``allOf``, makes objects of what has no
type, and fails on boolean sub-schemas and tuples. What comes out of here it leaves as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote

from litellm_antigravity.litellm.translation.schemas.keywords import (
    KEYWORDS,
    NOTES,
    NULL_ONLY,
    Schema,
    as_list,
    bounds_of,
    counts,
    is_note,
    is_used,
    joined,
    type_only,
    types_of,
)
from litellm_antigravity.litellm.translation.schemas.merging import any_of, merged
from litellm_antigravity.litellm.translation.schemas.values import enumerated

MAX_DEPTH: Final = 24
"""Levels of a schema; LiteLLM gives up at 100 and upstream earlier. What is deeper keeps its type only."""

MAX_NODES: Final = 5_000
"""Sub-schemas of one schema: references inside references grow exponentially when they are written out."""

_MOST_PASSES: Final = 5
_ANY_VALUE: Final = "Any JSON value."


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
        found = Preparation(prepared).schema(prepared, 0, ())
        following = finished(found if found is not None else {"type": "object"})
        if following == prepared:
            break
        prepared = following
    return following


class Preparation:
    """One pass over a schema.

    Args:
        root: the whole schema, in which references are looked up.
    """

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
            return type_only(schema)
        own = self._own(schema, depth, path)
        result: Schema | None = own
        for part in self._parts(schema, depth, path):
            result = None if part is None or result is None else merged(result, part)
        return result

    def _parts(self, schema: Mapping[str, Any], depth: int, path: tuple[int, ...]) -> Iterable[Schema | None]:
        """Yield what has to hold besides the schema's own keywords."""
        for keyword in ("$ref", "$dynamicRef", "$recursiveRef"):
            if isinstance(schema.get(keyword), str):
                yield self._referenced(schema[keyword], depth, path)
        for part in as_list(schema.get("allOf")):
            yield self.schema(part, depth + 1, path)
        for keyword in ("anyOf", "oneOf"):
            if as_list(schema.get(keyword)):
                yield self._one_of(schema[keyword], depth, path)

    def _referenced(self, reference: str, depth: int, path: tuple[int, ...]) -> Schema | None:
        target = self._resolve(reference)
        if id(target) in path:
            return type_only(target)
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
        return any_of([branch for branch in prepared if branch is not None])

    def _own(self, schema: Mapping[str, Any], depth: int, path: tuple[int, ...]) -> Schema | None:
        types, nullable = types_of(schema)
        notes = {name: schema[name] for name in NOTES if name in schema and is_note(name, schema[name])}
        if nullable is True and not types:
            return {**notes, "type": "string", "nullable": True, "description": joined(notes, NULL_ONLY)}
        values = [schema["const"]] if "const" in schema else as_list(schema.get("enum")) if "enum" in schema else None
        if values is not None:
            return enumerated(schema, values, types, nullable=nullable, notes=notes)
        kept: Schema = {"nullable": True} if nullable else {}
        if len(types) == 1:
            return {**notes, "type": types[0], **self._keywords(schema, types[0], depth, path), **kept}
        if types:
            branches = [{"type": one, **self._keywords(schema, one, depth, path)} for one in types]
            return any_of([{**notes, **branch, **kept} for branch in branches])
        # Without a type, the keywords tell which one is meant. They hold for that type only, so several may be.
        implied = [one for one in KEYWORDS if any(is_used(schema, keyword) for keyword in KEYWORDS[one])]
        if len(implied) == 1:
            return {**notes, "type": implied[0], **self._keywords(schema, implied[0], depth, path), **kept}
        return (
            any_of([{**notes, "type": one, **self._keywords(schema, one, depth, path), **kept} for one in implied])
            if implied
            else {**notes, **kept}
        )

    def _keywords(self, schema: Mapping[str, Any], kind: str, depth: int, path: tuple[int, ...]) -> Schema:
        if kind == "object":
            return {**self._object(schema, depth, path), **counts(schema, "minProperties", "maxProperties")}
        if kind == "array":
            return self._array(schema, depth, path)
        if kind == "string":
            pattern = {"pattern": schema["pattern"]} if isinstance(schema.get("pattern"), str) else {}
            return {**pattern, **counts(schema, "minLength", "maxLength")}
        return bounds_of(schema, kind) if kind in ("number", "integer") else {}

    def _object(self, schema: Mapping[str, Any], depth: int, path: tuple[int, ...]) -> Schema:
        kept: Schema = {}
        given = schema.get("properties")
        if isinstance(given, Mapping):
            prepared = {str(name): self.schema(one, depth + 1, path) for name, one in given.items()}
            kept["properties"] = {name: one for name, one in prepared.items() if one is not None}
        required = [name for name in as_list(schema.get("required")) if isinstance(name, str)]
        if required:
            kept["required"] = list(dict.fromkeys(required))
        ordering = [name for name in as_list(schema.get("propertyOrdering")) if isinstance(name, str)]
        if ordering:
            kept["propertyOrdering"] = ordering
        return kept

    def _array(self, schema: Mapping[str, Any], depth: int, path: tuple[int, ...]) -> Schema:
        kept = counts(schema, "minItems", "maxItems")
        items = schema.get("items")
        first = as_list(schema.get("prefixItems")) or (items if isinstance(items, list) else [])
        rest = schema.get("additionalItems") if isinstance(items, list) else items
        if first:
            positions = [self.schema(one, depth + 1, path) for one in first]
            if rest is not False:
                following = {} if rest is None else self.schema(rest, depth + 1, path)
                # Whatever may follow says nothing, and would make the tuple's own schemas say nothing.
                positions += [following] if following else []
            else:
                kept["maxItems"] = min(kept.get("maxItems", len(first)), len(first))
            one = any_of([position for position in positions if position is not None])
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


def _anything(schema: Schema) -> Schema:
    """Return a schema for any JSON value: upstream wants a type in each, and takes none for "any" (Vertex AI's words).

    An array in it holds anything but arrays, since there has to be an end.
    """
    simple: list[Schema] = [{"type": kind} for kind in ("string", "number", "boolean", "object")]
    branches: list[Schema] = [*simple, {"type": "array", "items": {"anyOf": simple}}]
    if schema.get("nullable"):
        branches = [{**one, "nullable": True} for one in branches]
    # Beside `anyOf` nothing may stand, and five times the same would be paid for five times.
    title = {"title": schema["title"]} if "title" in schema else {}
    branches[0] = {**title, "description": joined(schema, _ANY_VALUE), **branches[0]}
    return {"anyOf": branches}


def finished(schema: Schema) -> Schema:
    """Return a prepared schema as upstream takes it: with types, items, and names that exist."""
    if "anyOf" in schema:
        return any_of([finished(branch) for branch in schema["anyOf"]]) or {}
    if "type" not in schema:
        return _anything(schema)
    result = dict(schema)
    kind = result["type"]
    if kind == "array":
        nothing = result.get("maxItems") == 0
        result["items"] = finished(result.get("items", {"type": "object"} if nothing else {}))
    if kind != "object":
        return result
    properties = result.pop("properties", {})
    required = [name for name in result.pop("required", []) if name in properties]
    ordering = [name for name in result.pop("propertyOrdering", []) if name in properties]
    if properties:
        result["properties"] = {name: finished(one) for name, one in properties.items()}
    if required:
        result["required"] = required
    if ordering:
        result["propertyOrdering"] = ordering
    return result


__all__ = ["MAX_DEPTH", "MAX_NODES", "Preparation", "finished", "prepare_schema"]
