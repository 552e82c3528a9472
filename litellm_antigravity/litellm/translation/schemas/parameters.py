"""The parameters of a tool as a whole: one object, for every model.

Upstream and Anthropic behind it take no union at the root ("input_schema does not support oneOf, allOf, or anyOf at
the top level"; Vertex AI: "parameters schema should be of type OBJECT"). So a root becomes the object that all its
branches have in common: the properties of all of them, and only those required that every branch requires. What that
loses is said in the description.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from litellm_antigravity.litellm.translation.schemas.keywords import (
    KEYWORDS,
    Schema,
    as_list,
    joined,
    types_of,
)
from litellm_antigravity.litellm.translation.schemas.merging import any_of, merged
from litellm_antigravity.litellm.translation.schemas.preparation import (
    MAX_DEPTH,
    MAX_NODES,
    Preparation,
    prepare_schema,
)

_LONGEST_SENTENCE: Final = 600  # characters; descriptions are paid for with each request
_LONGEST_JSON: Final = 240
_EMPTY: Final[Schema] = {"type": "object"}
_SCALAR_KEYWORDS: Final = ("type", "description", "title", "format", "pattern", "enum", "required", "default")
_SUB_SCHEMAS: Final = frozenset(
    {
        "additionalItems",
        "additionalProperties",
        "const",
        "contains",
        "contentSchema",
        "default",
        "definitions",
        "dependencies",
        "dependentRequired",
        "dependentSchemas",
        "else",
        "example",
        "if",
        "items",
        "not",
        "patternProperties",
        "properties",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
_SAYS_WHAT_IT_IS: Final = ("properties", "$ref", "anyOf", "oneOf", "allOf", "$dynamicRef", "const", "enum", "items")


def prepare_parameters(schema: Any) -> Schema:
    """Return a tool's parameters as upstream takes them: an object without unions at its root.

    Names of properties, their descriptions and what is in them stay. A property that several branches have fits any of
    theirs. A bare map of properties is understood as such.

    Args:
        schema: JSON Schema; what is none, or allows no object, has no parameters. Not changed.
    """
    root = _with_properties(schema)
    flattening = _Flattening(root)
    found = flattening.object_of(root, 0, ()) or dict(_EMPTY)
    for name in ("nullable", "default", "example", "format", "minProperties", "maxProperties"):
        found.pop(name, None)
    for sentence in dict.fromkeys(flattening.sentences):
        found["description"] = joined(found, sentence)
    return prepare_schema(found)


def _with_properties(schema: Any) -> Any:
    """Return a schema for a bare map of properties, ``{"path": {"type": "string"}}``; any other one as it is."""
    if not isinstance(schema, Mapping) or types_of(schema)[0] not in ([], ["object"]):
        return schema
    if any(isinstance(schema.get(name), (Mapping, list, str)) for name in _SAYS_WHAT_IT_IS if name != "items"):
        return schema
    names = [name for name, one in schema.items() if _is_property(name, one)]
    if not names:
        return schema
    required = [name for name in names if isinstance(schema[name], Mapping) and schema[name].get("required") is True]
    required += [name for name in as_list(schema.get("required")) if name in names]
    kept = {name: value for name, value in schema.items() if name not in names}
    return {**kept, "type": "object", "properties": {name: schema[name] for name in names}, "required": required}


def _is_property(name: str, value: Any) -> bool:
    if name.startswith(("$", "x-")) or name in _SUB_SCHEMAS or not isinstance(value, Mapping):
        return False
    if name in _SCALAR_KEYWORDS:
        return True  # a property that is called like a keyword: its value could not be the keyword's
    says = (*_SCALAR_KEYWORDS, *_SAYS_WHAT_IT_IS, *(one for several in KEYWORDS.values() for one in several))
    return not value or any(one in value for one in says)


class _Flattening(Preparation):
    """Makes one object of a root, and sentences of what that loses.

    Attributes:
        sentences: for the description.
    """

    def __init__(self, root: Any) -> None:
        super().__init__(root)
        self.sentences: list[str] = []

    def object_of(self, schema: Any, depth: int, path: tuple[int, ...]) -> Schema | None:
        """Return the object that a schema allows, or ``None`` when it allows none.

        Args:
            schema: the root, or one of its branches.
            depth: combinations above it.
            path: the identities of the referenced schemas that it is in.
        """
        if schema is False:
            return None
        if not isinstance(schema, Mapping):
            return dict(_EMPTY)
        self._nodes += 1
        types, nullable = types_of(schema)
        if (types and "object" not in types) or (nullable is True and not types):
            self._say(f"Its schema is no object's: {_json(schema)}", depth)
            return None
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            return dict(_EMPTY)
        notes = {name: schema[name] for name in ("title", "description") if isinstance(schema.get(name), str)}
        found: Schema | None = {**notes, "type": "object", **self._keywords(schema, "object", depth, path)}
        for part in self._objects(schema, depth, path):
            if part is None or found is None:
                return None
            found = _both(found, part)
        for sentence in _conditions(schema):
            self._say(sentence, 0)
        return found

    def _objects(self, schema: Mapping[str, Any], depth: int, path: tuple[int, ...]) -> Iterator[Schema | None]:
        """Yield what has to hold besides the schema's own keywords."""
        for keyword in ("$ref", "$dynamicRef", "$recursiveRef"):
            if isinstance(schema.get(keyword), str):
                target = self._resolve(schema[keyword])
                if id(target) not in path:
                    yield self.object_of(target, depth, (*path, id(target)))
        for part in as_list(schema.get("allOf")):
            yield self.object_of(part, depth + 1, path)
        for keyword, words in (("anyOf", "At least one"), ("oneOf", "Exactly one")):
            branches = as_list(schema.get(keyword))
            if branches:
                yield self._one_object(branches, words, depth, path)
        optional = [schema[name] for name in ("then", "else") if name in schema and "if" in schema]
        for name in ("dependentSchemas", "dependencies"):
            given = schema.get(name)
            optional += (
                [one for one in given.values() if isinstance(one, Mapping)] if isinstance(given, Mapping) else []
            )
        for one in optional:
            found = self.object_of(one, depth + 1, path)
            if found is not None:
                yield _either([found, dict(_EMPTY)])

    def _one_object(self, branches: Sequence[Any], words: str, depth: int, path: tuple[int, ...]) -> Schema | None:
        objects = [one for branch in branches if (one := self.object_of(branch, depth + 1, path)) is not None]
        if not objects:
            return None
        shown = list(dict.fromkeys(_shown(one) for one in objects))
        if len(shown) > 1:
            self._say(f"{words} of these sets of parameters is needed: {'; '.join(shown)}.", 0)
        return _either(objects) if len(objects) > 1 else objects[0]

    def _say(self, sentence: str, depth: int) -> None:
        """Keep a sentence; one about a branch that falls away says nothing of the rest."""
        if depth == 0:
            self.sentences.append(sentence if len(sentence) <= _LONGEST_SENTENCE else _cut(sentence, _LONGEST_SENTENCE))


def _both(first: Schema, second: Schema) -> Schema:
    """Return an object for what fits both; a property that cannot be is the first one's, since its name stays."""
    result = merged(first, second) or dict(first)
    kept = {**second.get("properties", {}), **first.get("properties", {}), **result.get("properties", {})}
    order = [*first.get("properties", {}), *second.get("properties", {})]
    if kept:
        result["properties"] = {name: kept[name] for name in dict.fromkeys(order)}
    return result


def _either(objects: Sequence[Schema]) -> Schema:
    """Return an object with the properties of all, that requires what all of them require."""
    names = dict.fromkeys(name for one in objects for name in one.get("properties", {}))
    properties = {
        name: _one_of_values([one["properties"][name] for one in objects if name in one.get("properties", {})])
        for name in names
    }
    required = [
        name for name in objects[0].get("required", []) if all(name in one.get("required", []) for one in objects)
    ]
    result: Schema = {"type": "object"}
    if properties:
        result["properties"] = properties
    if required:
        result["required"] = required
    return result


def _one_of_values(schemas: Sequence[Schema]) -> Schema:
    """Return a schema that one of these fits; lists of strings are put together."""
    enums = [one for one in schemas if one.get("type") == "string" and "enum" in one]
    if len(enums) > 1 and len({bool(one.get("nullable")) for one in enums}) == 1:
        texts = list(dict.fromkeys(one["description"] for one in enums if one.get("description")))
        together = {**enums[0], "enum": list(dict.fromkeys(value for one in enums for value in one["enum"]))}
        together |= {"description": " ".join(texts)} if texts else {}
        schemas = [together, *(one for one in schemas if one not in enums)]
    return any_of(schemas) or {}


def _conditions(schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield sentences for the keywords of objects that upstream does not have."""
    if "not" in schema and schema["not"] is not False:
        yield f"Not allowed: {_json(schema['not'])}."
    if "if" in schema:
        ends = [f"{name} {_json(schema[name])}" for name in ("then", "else") if name in schema]
        if ends:
            yield f"If {_json(schema['if'])}, {', '.join(ends)}."
    for keyword in ("dependentRequired", "dependencies"):
        given = schema.get(keyword)
        for name, others in given.items() if isinstance(given, Mapping) else ():
            if isinstance(others, list):
                yield f"With {name} also: {', '.join(map(str, others))}."
    if isinstance(schema.get("patternProperties"), Mapping) and schema["patternProperties"]:
        yield f"More parameters by their names' patterns: {_json(schema['patternProperties'])}."
    if isinstance(schema.get("additionalProperties"), Mapping) and schema["additionalProperties"]:
        yield f"More parameters may be: {_json(schema['additionalProperties'])}."
    for keyword in ("const", "enum"):
        if keyword in schema:
            yield f"One of: {_json(schema[keyword])}."
    for keyword, words in (("minProperties", "At least"), ("maxProperties", "At most")):
        if isinstance(schema.get(keyword), int) and schema[keyword] > 0:
            yield f"{words} {schema[keyword]} parameters."


def _shown(branch: Schema) -> str:
    """Return a branch in short: what it is called, its required parameters, and the others with a question mark."""
    required = branch.get("required", [])
    properties = branch.get("properties", {})
    names = [
        f"{name}{_value(properties.get(name, {}))}{'' if name in required else '?'}"
        for name in dict.fromkeys([*properties, *required])
    ]
    title = branch.get("title") or branch.get("description") or ""
    return _cut(f"{title}: " if title else "", 80) + "{" + ", ".join(names) + "}"


def _value(schema: Schema) -> str:
    if len(schema.get("enum", ())) == 1:
        return f"={json.dumps(schema['enum'][0], ensure_ascii=False)}"
    if "minimum" in schema and schema["minimum"] == schema.get("maximum"):
        return f"={schema['minimum']}"
    return ""


def _json(value: Any) -> str:
    return _cut(json.dumps(value, ensure_ascii=False, default=str, separators=(",", ":")), _LONGEST_JSON)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


__all__ = ["prepare_parameters"]
