"""What upstream takes as a tool's schema, and schemas that several tests use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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
