"""Values that a schema lists: ``const`` and ``enum``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from litellm_antigravity.litellm.translation.schemas.keywords import NULL_ONLY, Schema, joined
from litellm_antigravity.litellm.translation.schemas.merging import any_of


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


def enumerated(
    schema: Mapping[str, Any],
    values: Sequence[Any],
    types: Sequence[str],
    *,
    nullable: bool | None,
    notes: Mapping[str, Any],
) -> Schema | None:
    """Return a schema for listed values: strings as an ``enum``, others as a range and a sentence.

    Args:
        schema: that lists them.
        values: that are allowed.
        types: that it allows; any when there are none.
        nullable: whether null is allowed; ``None`` where nothing is said.
        notes: what it says of itself.
    """
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
        return {**notes, "type": "string", "nullable": True, "description": joined(notes, NULL_ONLY)}
    branches = [_group(kind, members, notes) for kind, members in groups.items()]
    return any_of([{**branch, "nullable": True} if null else branch for branch in branches])


def _group(kind: str, members: Sequence[Any], notes: Mapping[str, Any]) -> Schema:
    kept: Schema = {**notes, "type": kind}
    if kind == "string":
        kept.pop("format", None)
        texts = list(dict.fromkeys(member for member in members if member != ""))
        if texts:
            kept["enum"] = texts
        if "" in members:  # upstream takes no empty string in an enum
            kept["description"] = joined(notes, "May also be empty." if texts else "Always empty.")
        return kept
    if kind in ("integer", "number"):
        kept |= {"minimum": min(members), "maximum": max(members)}
    allowed = ", ".join(dict.fromkeys(json.dumps(member, ensure_ascii=False, default=str) for member in members))
    both = kind == "boolean" and len(set(members)) == 2
    if not both and not (kind in ("integer", "number") and len(set(members)) == 1):
        kept["description"] = joined(notes, f"One of: {allowed}." if len(members) > 1 else f"Always {allowed}.")
    return kept


__all__ = ["enumerated"]
