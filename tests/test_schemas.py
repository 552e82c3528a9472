"""Tool schemas on their way upstream: valid for it, nothing lost that it can express, nobody's object changed."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from litellm_antigravity.litellm import seams
from litellm_antigravity.litellm.translation.schemas import MAX_DEPTH, MAX_NODES, prepare_schema

ALLOWED = {
    "type",
    "format",
    "title",
    "description",
    "nullable",
    "default",
    "items",
    "minItems",
    "maxItems",
    "enum",
    "properties",
    "propertyOrdering",
    "required",
    "minProperties",
    "maxProperties",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "example",
    "anyOf",
}
TYPES = {"object", "array", "string", "number", "integer", "boolean"}


def levels(schema: dict[str, Any], depth: int = 0) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield every sub-schema with its depth."""
    yield schema, depth
    for one in schema.get("properties", {}).values():
        yield from levels(one, depth + 1)
    if "items" in schema:
        yield from levels(schema["items"], depth + 1)
    for one in schema.get("anyOf", ()):
        yield from levels(one, depth + 1)


def assert_upstream_takes(schema: dict[str, Any]) -> None:
    for one, _ in levels(schema):
        assert set(one) <= ALLOWED
        if "anyOf" in one:
            assert set(one) == {"anyOf"}
            assert len(one["anyOf"]) > 1
            continue
        assert one["type"] in TYPES
        assert ("items" in one) == (one["type"] == "array")
        assert set(one.get("required", ())) <= set(one.get("properties", ()))
        if "enum" in one:
            assert one["type"] == "string"
            assert one["enum"]
            assert all(isinstance(value, str) and value for value in one["enum"])
        if "properties" in one:
            assert one["type"] == "object"
            assert one["properties"]


SIMPLE: list[dict[str, Any]] = [{"type": kind} for kind in ("string", "number", "boolean", "object")]
ANYTHING: dict[str, Any] = {
    "anyOf": [
        {"description": "Any JSON value.", "type": "string"},
        *SIMPLE[1:],
        {"type": "array", "items": {"anyOf": SIMPLE}},
    ]
}

# What becomes of each keyword

# What becomes of each; `...` stands for the same again.
TABLE: list[tuple[str, Any, Any]] = [
    ("a plain object stays", {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}, ...),
    ("bounds stay", {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1, "maxItems": 3}, ...),
    ("an empty object", {"type": "object", "properties": {}}, {"type": "object"}),
    ("nothing said", {}, ANYTHING),
    ("true", True, ANYTHING),
    ("false", False, {"type": "object"}),
    ("type in upper case", {"type": "STRING"}, {"type": "string"}),
    ("const", {"const": "a"}, {"type": "string", "enum": ["a"]}),
    ("const of a number", {"const": 3}, {"type": "integer", "minimum": 3, "maximum": 3}),
    ("const of a boolean", {"const": True}, {"type": "boolean", "description": "Always true."}),
    ("const null", {"const": None}, {"type": "string", "nullable": True, "description": "Always null."}),
    ("enum without a type", {"enum": ["a", "b"]}, {"type": "string", "enum": ["a", "b"]}),
    (
        "enum of integers",
        {"type": "integer", "enum": [1, 2, 5]},
        {"type": "integer", "minimum": 1, "maximum": 5, "description": "One of: 1, 2, 5."},
    ),
    (
        "enum of numbers keeps its description",
        {"enum": [0.5, 1], "description": "A share."},
        {"type": "number", "minimum": 0.5, "maximum": 1, "description": "A share. One of: 1, 0.5."},
    ),
    ("enum with null", {"enum": ["a", None]}, {"type": "string", "enum": ["a"], "nullable": True}),
    ("enum of booleans", {"enum": [True, False]}, {"type": "boolean"}),
    (
        "enum of several types",
        {"enum": ["auto", 1]},
        {"anyOf": [{"type": "string", "enum": ["auto"]}, {"type": "integer", "minimum": 1, "maximum": 1}]},
    ),
    ("enum within its type", {"type": "string", "enum": ["a", 1]}, {"type": "string", "enum": ["a"]}),
    (
        "enum with an empty string",
        {"enum": ["", "a"]},
        {"type": "string", "enum": ["a"], "description": "May also be empty."},
    ),
    ("a nullable type", {"type": ["string", "null"]}, {"type": "string", "nullable": True}),
    ("OpenAPI's nullable", {"type": "string", "nullable": True}, {"type": "string", "nullable": True}),
    ("null only", {"type": "null"}, {"type": "string", "nullable": True, "description": "Always null."}),
    (
        "several types",
        {"type": ["string", "array"], "items": {"type": "string"}, "maxLength": 3},
        {"anyOf": [{"type": "string", "maxLength": 3}, {"type": "array", "items": {"type": "string"}}]},
    ),
    (
        "anyOf with null",
        {"anyOf": [{"type": "string"}, {"type": "null"}], "description": "A name."},
        {"type": "string", "nullable": True, "description": "A name."},
    ),
    (
        "oneOf",
        {"oneOf": [{"type": "string"}, {"type": "integer"}]},
        {"anyOf": [{"type": "string"}, {"type": "integer"}]},
    ),
    (
        "what stands beside anyOf holds in each branch",
        {
            "type": "object",
            "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
            "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
        },
        {
            "anyOf": [
                {
                    "type": "object",
                    "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
                    "required": [name],
                }
                for name in ("a", "b")
            ]
        },
    ),
    (
        "allOf",
        {
            "allOf": [
                {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}, "required": ["a"]},
                {"properties": {"a": {"maximum": 9}, "b": {"type": "string"}}, "required": ["b"]},
            ]
        },
        {
            "type": "object",
            "properties": {"a": {"type": "integer", "minimum": 1, "maximum": 9}, "b": {"type": "string"}},
            "required": ["a", "b"],
        },
    ),
    ("allOf of enums", {"allOf": [{"enum": ["a", "b"]}, {"enum": ["b", "c"]}]}, {"type": "string", "enum": ["b"]}),
    (
        "a reference",
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"type": "string"}}},
        {"type": "object", "properties": {"a": {"type": "string"}}},
    ),
    (
        "a reference to a definition of draft 7, with a description of its own",
        {
            "type": "object",
            "properties": {"a": {"$ref": "#/definitions/A", "description": "Mine."}},
            "definitions": {"A": {"type": "string", "description": "Theirs."}},
        },
        {"type": "object", "properties": {"a": {"type": "string", "description": "Mine. Theirs."}}},
    ),
    (
        "a recursive reference ends in its type",
        {
            "$ref": "#/$defs/Node",
            "$defs": {
                "Node": {
                    "type": "object",
                    "properties": {
                        "value": {"type": "string"},
                        "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
                    },
                }
            },
        },
        {
            "type": "object",
            "properties": {
                "value": {"type": "string"},
                "children": {"type": "array", "items": {"type": "object"}},
            },
        },
    ),
    (
        "an anchor",
        {
            "type": "object",
            "properties": {"a": {"$ref": "#here"}},
            "$defs": {"A": {"$anchor": "here", "type": "number"}},
        },
        {"type": "object", "properties": {"a": {"type": "number"}}},
    ),
    ("a reference that leads nowhere", {"$ref": "#/$defs/Missing"}, ANYTHING),
    (
        "a tuple of draft 7",
        {"type": "array", "items": [{"type": "string"}, {"type": "integer"}], "additionalItems": False},
        {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}, "maxItems": 2},
    ),
    (
        "a tuple of 2020-12",
        {"type": "array", "prefixItems": [{"type": "number"}, {"type": "number"}], "items": False, "minItems": 2},
        {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
    ),
    ("an array of anything", {"type": "array"}, {"type": "array", "items": ANYTHING}),
    (
        "an array of nothing",
        {"type": "array", "items": False},
        {"type": "array", "items": {"type": "object"}, "maxItems": 0},
    ),
    (
        "boolean properties",
        {"type": "object", "properties": {"a": True, "b": False}, "required": ["a", "b"]},
        {"type": "object", "properties": {"a": ANYTHING}, "required": ["a"]},
    ),
    (
        "required names that do not exist",
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a", "b"]},
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
    ),
    (
        "exclusive bounds of an integer",
        {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 10},
        {"type": "integer", "minimum": 1, "maximum": 9},
    ),
    (
        "exclusive bounds of draft 4",
        {"type": "integer", "minimum": 0, "exclusiveMinimum": True},
        {"type": "integer", "minimum": 1},
    ),
    (
        "a type that keywords imply",
        {"properties": {"a": {"minLength": 1}}},
        {"type": "object", "properties": {"a": {"type": "string", "minLength": 1}}},
    ),
    (
        "what upstream does not know",
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {"a": {"type": "string", "format": "uuid"}},
            "additionalProperties": False,
            "not": {"required": ["b"]},
        },
        {"type": "object", "properties": {"a": {"type": "string"}}},
    ),
    (
        "properties that are named like keywords",
        {
            "type": "object",
            "properties": {
                name: {"type": "string"} for name in ("strict", "additionalProperties", "$ref", "type", "items")
            },
            "required": ["strict"],
        },
        ...,
    ),
]


@pytest.mark.parametrize(("schema", "expected"), [pytest.param(*case, id=name) for name, *case in TABLE])
def test_a_schema_becomes_what_upstream_takes(schema: Any, expected: Any) -> None:
    prepared = prepare_schema(schema)
    assert prepared == (schema if expected is ... else expected)
    assert_upstream_takes(prepared)


def test_references_inside_references_do_not_grow_without_end() -> None:
    definitions: dict[str, Any] = {
        f"D{number}": {
            "type": "object",
            "properties": {name: {"$ref": f"#/$defs/D{number + 1}"} for name in ("a", "b", "c")},
        }
        for number in range(20)
    }
    prepared = prepare_schema({"$ref": "#/$defs/D0", "$defs": definitions})
    assert_upstream_takes(prepared)
    assert sum(1 for _ in levels(prepared)) <= MAX_NODES * 4


def test_a_very_deep_schema_ends() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(300):
        schema = {"type": "object", "properties": {"deeper": schema}}
    prepared = prepare_schema(schema)
    assert_upstream_takes(prepared)
    assert max(depth for _, depth in levels(prepared)) <= MAX_DEPTH + 1


# Whatever JSON Schema comes

NAMES = st.sampled_from(["a", "b", "strict", "type", "$ref", "items", "enum", "properties"])
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-9, 9), st.sampled_from([0.5, 1.0]), st.sampled_from(["", "x", "y"])
)
TYPE_NAMES = st.sampled_from([*sorted(TYPES), "null"])
REFERENCES = st.sampled_from(
    ["#", "#/$defs/A", "#/definitions/B", "#/properties/a", "#/$defs/None", "#anchor", "https://example.com/x"]
)


def _schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(inner, max_size=3)
    keywords: dict[str, st.SearchStrategy[Any]] = {
        "type": st.one_of(TYPE_NAMES, st.lists(TYPE_NAMES, max_size=3, unique=True)),
        "const": SCALARS,
        "enum": st.lists(st.one_of(SCALARS, st.just({"k": 1}), st.just([1])), max_size=4),
        "properties": st.dictionaries(NAMES, inner, max_size=3),
        "required": st.lists(NAMES, max_size=3, unique=True),
        "additionalProperties": inner,
        "patternProperties": st.dictionaries(st.just("^x"), inner, max_size=1),
        "items": st.one_of(inner, several),
        "prefixItems": several,
        "additionalItems": inner,
        "minItems": st.integers(0, 3),
        "maxItems": st.integers(0, 3),
        "minimum": st.integers(-3, 3),
        "exclusiveMinimum": st.integers(-3, 3),
        "maximum": st.one_of(st.integers(-3, 3), st.just(2.5)),
        "pattern": st.just("^a"),
        "minLength": st.integers(0, 3),
        "format": st.sampled_from(["date-time", "uuid"]),
        "anyOf": several,
        "oneOf": several,
        "allOf": several,
        "not": inner,
        "if": inner,
        "$ref": REFERENCES,
        "$anchor": st.just("anchor"),
        "$defs": st.dictionaries(st.just("A"), inner, max_size=1),
        "definitions": st.dictionaries(st.just("B"), inner, max_size=1),
        "title": st.just("Title"),
        "description": st.just("About it."),
        "default": SCALARS,
        "nullable": st.booleans(),
    }
    return st.lists(st.sampled_from(sorted(keywords)), max_size=5, unique=True).flatmap(
        lambda chosen: st.fixed_dictionaries({name: keywords[name] for name in chosen})
    )


JSON_SCHEMAS: st.SearchStrategy[Any] = st.recursive(st.one_of(st.booleans(), st.just({})), _schemas, max_leaves=12)
random_schemas = settings(max_examples=150, deadline=None)


@random_schemas
@given(JSON_SCHEMAS)
def test_any_schema_becomes_one_that_upstream_takes(schema: Any) -> None:
    before = copy.deepcopy(schema)
    prepared = prepare_schema(schema)
    assert_upstream_takes(prepared)
    assert schema == before


@random_schemas
@given(JSON_SCHEMAS)
def test_preparing_twice_is_preparing_once(schema: Any) -> None:
    once = prepare_schema(schema)
    assert prepare_schema(once) == once


@random_schemas
@given(JSON_SCHEMAS)
def test_litellms_converter_has_nothing_left_to_change(schema: Any) -> None:
    prepared = prepare_schema(schema)
    if any("$ref" in one.get("properties", ()) for one, _ in levels(prepared)):
        return  # it takes a property of this name for a reference, and fails
    assert seams.build_vertex_schema(copy.deepcopy(prepared)) == prepared
