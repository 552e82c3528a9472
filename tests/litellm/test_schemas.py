"""Tool schemas on their way upstream: valid for it, nothing lost that it can express, nobody's object changed."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from litellm.llms.vertex_ai import common_utils
from tool_schemas import ANYTHING, TYPES, assert_upstream_takes, levels
from upstream_rules import check_rules

from litellm_antigravity.litellm.translation.schemas import MAX_DEPTH, MAX_NODES, prepare_parameters, prepare_schema
from litellm_antigravity.simulator.validation import check_request

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
    build_vertex_schema = getattr(common_utils, "build_vertex_schema", None) or common_utils._build_vertex_schema
    assert build_vertex_schema(copy.deepcopy(prepared)) == prepared


# The root: a tool's parameters


def assert_upstream_takes_as_parameters(schema: dict[str, Any]) -> None:
    """Check with the simulator's own rules, for all makers."""
    assert_upstream_takes(schema)
    assert schema["type"] == "object"
    declaration = {"name": "f", "parameters": schema}
    for model in ("claude-sonnet-4-6", "gemini-3-flash", "gpt-oss-120b-medium"):
        body = {
            "contents": [{"role": "user", "parts": [{"text": "?"}]}],
            "tools": [{"functionDeclarations": [declaration]}],
        }
        check_request(body, "request")
        check_rules(model, body)


TEXT: dict[str, Any] = {"type": "string"}
PATHS_OR_SCOPES: dict[str, Any] = {
    "type": "object",
    "properties": {"paths": {"type": "array", "items": TEXT}, "scopes": {**TEXT, "description": "Which."}},
    "anyOf": [{"required": ["paths"]}, {"required": ["scopes"]}],
}
CREATE = {
    "type": "object",
    "title": "Create",
    "properties": {"action": {"const": "create"}, "body": TEXT},
    "required": ["action", "body"],
}
CLOSE = {
    "type": "object",
    "properties": {"action": {"const": "close"}, "body": {"type": "integer"}},
    "required": ["action"],
}
ACTIONS = {"action": {"type": "string", "enum": ["create", "close"]}, "body": {"anyOf": [TEXT, {"type": "integer"}]}}
EITHER = 'Create: {action="create", body}; {action="close", body?}.'

# Properties, what is required, and words of the description.
ROOTS: list[tuple[str, Any, dict[str, Any], list[str], list[str]]] = [
    ("required by turns", PATHS_OR_SCOPES, PATHS_OR_SCOPES["properties"], [], ["{paths}", "{scopes}"]),
    ("anyOf as the whole input", {"anyOf": [CREATE, CLOSE]}, ACTIONS, ["action"], [EITHER]),
    ("oneOf", {"oneOf": [CREATE, CLOSE], "description": "Acts."}, ACTIONS, ["action"], ["Acts.", EITHER]),
    (
        "allOf",
        {"allOf": [CREATE, {"properties": {"x": TEXT}, "required": ["x"]}]},
        {"x": TEXT},
        ["action", "body", "x"],
        [],
    ),
    (
        "unions within allOf",
        {"allOf": [{"anyOf": [CREATE, CLOSE]}, {"properties": {"x": TEXT}, "required": ["x"]}]},
        {**ACTIONS, "x": TEXT},
        ["action", "x"],
        [EITHER],
    ),
    (
        "a union beside properties",
        {"properties": {"x": TEXT}, "oneOf": [CREATE, CLOSE]},
        {"x": TEXT, **ACTIONS},
        ["action"],
        [],
    ),
    ("an object or a string", {"type": ["object", "string"], "properties": {"x": TEXT}}, {"x": TEXT}, [], []),
    ("an object or null", {"type": ["object", "null"], "properties": {"x": TEXT}}, {"x": TEXT}, [], []),
    ("a union with a string", {"anyOf": [{"type": "string"}, CREATE]}, {"body": TEXT}, ["action", "body"], []),
    (
        "a reference",
        {"$ref": "#/$defs/A", "$defs": {"A": {"oneOf": [CREATE, CLOSE, {"$ref": "#/$defs/A"}]}}},
        ACTIONS,
        [],
        ["Create: {"],
    ),
    ("no type", {"properties": {"x": TEXT}}, {"x": TEXT}, [], []),
    (
        "a bare map of properties",
        {"path": TEXT, "depth": {"type": "integer"}},
        {"path": TEXT, "depth": {"type": "integer"}},
        [],
        [],
    ),
    (
        "a bare map named like keywords",
        {"type": TEXT, "description": TEXT},
        {"type": TEXT, "description": TEXT},
        [],
        [],
    ),
    ("a bare map beside a type", {"type": "object", "path": TEXT, "required": ["path"]}, {"path": TEXT}, ["path"], []),
    ("a bare map of draft 3", {"path": {**TEXT, "required": True}}, {"path": TEXT}, ["path"], []),
    (
        "conditions",
        {
            "type": "object",
            "properties": {"mode": TEXT},
            "if": {"properties": {"mode": {"const": "fast"}}},
            "then": {"properties": {"speed": TEXT}, "required": ["speed"]},
            "else": {"properties": {"care": TEXT}},
            "not": {"required": ["nothing"]},
            "dependentRequired": {"mode": ["speed"]},
            "dependentSchemas": {"mode": {"properties": {"why": TEXT}, "required": ["why"]}},
        },
        {"mode": TEXT, "speed": TEXT, "care": TEXT, "why": TEXT},
        [],
        ["fast", "nothing", "With mode also: speed."],
    ),
    ("more than is named", {"type": "object", "additionalProperties": TEXT}, {}, [], ["More parameters may be"]),
    ("a list", {"type": "array", "items": TEXT}, {}, [], ["array"]),
    ("nothing", None, {}, [], []),
    ("true", True, {}, [], []),
    ("false", False, {}, [], []),
    ("a text as schema", "string", {}, [], []),
    ("a list as schema", [TEXT], {}, [], []),
    ("an empty one", {}, {}, [], []),
    ("not even an object", {"not": {"type": "object"}}, {}, [], ["Not allowed"]),
]


@pytest.mark.parametrize(
    ("schema", "properties", "required", "words"), [pytest.param(*one, id=name) for name, *one in ROOTS]
)
def test_parameters_are_one_object_whatever_the_root(
    schema: Any, properties: dict[str, Any], required: list[str], words: list[str]
) -> None:
    """Before, unions stayed at the root (refused by all makers), and a bare map lost its properties."""
    before = copy.deepcopy(schema)
    prepared = prepare_parameters(schema)
    assert schema == before
    assert_upstream_takes_as_parameters(prepared)
    found = prepared.get("properties", {})
    assert properties.items() <= found.items()
    assert sorted(prepared.get("required", [])) == sorted(required)
    assert all(word in prepared["description"] for word in words)


def test_a_long_union_keeps_all_its_properties() -> None:
    """Before, a product of unions ended after 32 branches."""
    first = [{"properties": {f"a{number}": TEXT}} for number in range(12)]
    second = [{"properties": {f"b{number}": TEXT}} for number in range(12)]
    prepared = prepare_parameters({"allOf": [{"oneOf": first}, {"anyOf": second}]})
    assert set(prepared["properties"]) == {f"{letter}{number}" for letter in "ab" for number in range(12)}
    assert len(prepared["description"]) < 1500


def test_what_is_unlike_in_branches_stays_beside_what_is_alike() -> None:
    nested = {"type": "object", "properties": {"inner": {**TEXT, "description": "Deep."}}, "required": ["inner"]}
    one: dict[str, Any] = {"type": "object", "properties": {"x": {**nested, "description": "Far."}, "y": TEXT}}
    prepared = prepare_parameters(
        {"anyOf": [one, {"type": "object", "properties": {"x": {"type": "array", "items": TEXT}}}]}
    )
    assert prepared["properties"] == {
        "x": {"anyOf": [one["properties"]["x"], {"type": "array", "items": TEXT}]},
        "y": TEXT,
    }


def _names(schema: Any, found: set[str]) -> set[str]:
    """Return the properties that a schema names at its root, in any of its branches."""
    if isinstance(schema, dict):
        given = schema.get("properties")
        found |= {name for name, one in given.items() if one is not False} if isinstance(given, dict) else set()
        for keyword in ("anyOf", "oneOf", "allOf"):
            for one in schema.get(keyword, ()):
                _names(one, found)
    return found


def _objects(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.fixed_dictionaries(
            {},
            optional={
                "type": st.just("object"),
                "properties": st.dictionaries(st.sampled_from(["a", "b", "c", "type"]), values, max_size=3),
                "required": st.lists(st.sampled_from(["a", "b", "c"]), max_size=2, unique=True),
                "description": st.just("About it."),
            },
        ),
        lambda inner: st.fixed_dictionaries(
            {}, optional={name: st.lists(inner, min_size=1, max_size=3) for name in ("anyOf", "oneOf", "allOf")}
        ),
        max_leaves=8,
    )


@random_schemas
@given(st.one_of(JSON_SCHEMAS, _objects(JSON_SCHEMAS)))
def test_the_simulator_takes_any_schema_as_parameters(schema: Any) -> None:
    before = copy.deepcopy(schema)
    prepared = prepare_parameters(schema)
    assert_upstream_takes_as_parameters(prepared)
    assert schema == before
    assert prepare_parameters(prepared) == prepared


VALUES = st.sampled_from([TEXT, {"type": "integer"}, {"const": "x"}, {"enum": ["y", 1]}, {}, True, {"type": "object"}])


@random_schemas
@given(_objects(VALUES))
def test_no_propertys_name_is_lost(schema: Any) -> None:
    prepared = prepare_parameters(schema)
    assert set(prepared.get("properties", {})) == _names(schema, set())
