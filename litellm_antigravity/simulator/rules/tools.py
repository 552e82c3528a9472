"""Rules for declared tools: their schemas and their names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from litellm_antigravity.simulator.rules.rule import ALL, CLAUDE, Asked, Broken, Rule

_UNIONS: Final = ("oneOf", "allOf", "anyOf", "one_of", "all_of", "any_of")
_SCHEMAS: Final = ("parameters", "parametersJsonSchema")
_NAME: Final = r"^[a-zA-Z0-9_-]{1,64}$"  # newer refusals say 128, older ones 64
_ID: Final = r"^[a-zA-Z0-9_-]+$"


def _schema_of(declaration: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    return next(((name, declaration[name]) for name in _SCHEMAS if name in declaration), None)


def _root(asked: Asked) -> Broken | None:
    for index, (path, declaration) in enumerate(asked.declarations()):
        found = _schema_of(declaration)
        if found is None:
            continue
        key, schema = found
        unions = [name for name in _UNIONS if name in schema]
        is_object = str(schema.get("type", "")).lower() == "object"
        if is_object and not unions:
            continue
        at = f"{path}.{key}"
        if asked.maker == "claude":
            where = f"tools.{index}.custom.input_schema"
            if unions:
                said = "input_schema does not support oneOf, allOf, or anyOf at the top level"
                return Broken(at, f"{where}: {said}")
            return Broken(
                at, f"{where}.type: " + ("Input should be 'object'" if "type" in schema else "Field required")
            )
        if unions and is_object:
            said = "schema specified other fields alongside any_of. When using any_of, it must be the only field set."
        else:
            said = "schema should be of type OBJECT."
        name = declaration.get("name")
        return Broken(at, f"Unable to submit request because `{name}` functionDeclaration `parameters` {said}")
    return None


def _input_schema(asked: Asked) -> Broken | None:
    for index, (path, declaration) in enumerate(asked.declarations()):
        if _schema_of(declaration) is None:
            return Broken(path, f"tools.{index}.custom.input_schema: Field required")
    return None


def _unique(asked: Asked) -> Broken | None:
    seen: set[str] = set()
    for path, declaration in asked.declarations():
        name = declaration["name"]
        if name in seen:
            says = "tools: Tool names must be unique."
            if asked.maker != "claude":
                says = f"Duplicate function declaration found: {name}"
            return Broken(f"{path}.name", says)
        seen.add(name)
    return None


def _names(asked: Asked) -> Broken | None:
    for index, (path, declaration) in enumerate(asked.declarations()):
        if not re.fullmatch(_NAME, declaration["name"]):
            return Broken(f"{path}.name", f"tools.{index}.custom.name: String should match pattern '{_NAME}'")
    for number, turn in enumerate(asked.turns):
        for place in turn.of("functionCall"):
            if not re.fullmatch(_NAME, place.part["functionCall"]["name"]):
                at = f"messages.{number}.content.{place.number}.tool_use.name"
                return Broken(f"{place.path}.functionCall.name", f"{at}: String should match pattern '{_NAME}'")
    return None


def _ids(asked: Asked) -> Broken | None:
    names = {"functionCall": "tool_use.id", "functionResponse": "tool_result.tool_use_id"}
    for number, turn in enumerate(asked.turns):
        for place in turn.places:
            for kind, anthropics in names.items():
                if kind not in place.part:
                    continue
                call_id, at = place.part[kind].get("id"), f"messages.{number}.content.{place.number}.{anthropics}"
                if not call_id:
                    return Broken(f"{place.path}.{kind}.id", f"{at}: Field required")
                if not re.fullmatch(_ID, str(call_id)):
                    return Broken(f"{place.path}.{kind}.id", f"{at}: String should match pattern '{_ID}'")
    return None


RULES: Final = (
    Rule(
        "schema-root",
        ALL,
        "A function's parameters are an object, without `anyOf`, `oneOf` or `allOf` at the root.",
        (
            "makenotion/notion-mcp-server#341",
            "anthropics/claude-code#5973",
            "diegosouzapw/OmniRoute#13552",
            "Vertex AI: functionDeclaration parameters schema",
        ),
        "seen",
        _root,
    ),
    Rule(
        "claude-input-schema",
        CLAUDE,
        "Every tool for Claude has a schema, be it that of an empty object.",
        ("router-for-me/CLIProxyAPI#407",),
        "seen",
        _input_schema,
    ),
    Rule(
        "tool-names-unique",
        ALL,
        "No two tools have one name.",
        (
            "liuw1535/antigravity2api-nodejs#117",
            "owndev/Open-WebUI-Functions#135",
            "google-gemini/gemini-cli#22207",
        ),
        "seen",
        _unique,
    ),
    Rule(
        "claude-tool-names",
        CLAUDE,
        "Names of Claude's tools and of the calls in its history match `^[a-zA-Z0-9_-]{1,64}$`.",
        ("openai/codex#8174", "github/copilot-cli#2581 (which says 128 characters)"),
        "seen",
        _names,
    ),
    Rule(
        "claude-call-ids",
        CLAUDE,
        "Calls and results in Claude's history have ids, of letters, digits, `_` and `-`.",
        ("justlovemaki/AIClient2API#638",),
        "seen",
        _ids,
    ),
)

__all__ = ["RULES"]
