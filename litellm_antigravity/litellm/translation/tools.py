"""Tools on their way upstream: names, schemas, doubles, and those that a model does not have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from litellm_antigravity.litellm.target import Target
from litellm_antigravity.litellm.translation.schemas import prepare_parameters
from litellm_antigravity.litellm.translation.tool_names import ToolNames, function_in, functions_of, is_built_in
from litellm_antigravity.logs import LOGGER, not_told

_SCHEMA_MARK: Final = "\x00schema-"
_NO_PARAMETERS: Final = {"type": "object", "properties": {}}
_ONE_TEXT: Final = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
_ABOUT_TOOLS: Final = ("tools", "functions", "tool_choice", "parallel_tool_calls")


def prepare_tools(params: dict[str, Any], target: Target, names: ToolNames) -> list[dict[str, Any]]:
    """Make a request's tools ones that upstream takes, in place, and take their schemas out.

    LiteLLM takes ``strict`` and ``additionalProperties`` out of tools wherever it finds them, names of properties
    included; so there is a mark in the place of each schema.

    Args:
        params: OpenAI parameters; our own copy.
        target: the model.
        names: of the tools.

    Returns:
        list: the schemas, for `put_schemas_back`.
    """
    _search_as_openai_names_it(params)
    _custom_as_functions(params)
    if not target.is_gemini:
        _leave_out_googles(params, target)
    _last_of_each_name(params)
    for function in functions_of(params):
        function["name"] = names.upstream(function["name"])
    _rename_choice(params, names)
    return _take_schemas(params)


def _search_as_openai_names_it(params: dict[str, Any]) -> None:
    for tool in params.get("tools") or ():
        if isinstance(tool, dict) and is_built_in(tool) and str(tool["type"]).startswith("web_search_"):
            tool["type"] = "web_search_preview"  # Anthropic's have a date in the name


def _custom_as_functions(params: dict[str, Any]) -> None:
    """Make OpenAI's custom tools, whose argument is one text, functions of a text, as `histories` has their calls.

    LiteLLM itself refuses a choice of one.
    """
    tools = params.get("tools")
    if isinstance(tools, list):
        params["tools"] = [_as_function(tool) for tool in tools]


def _as_function(tool: Any) -> Any:
    custom = tool.get("custom") if isinstance(tool, dict) and tool.get("type") == "custom" else None
    if not isinstance(custom, dict):
        return tool
    function = {key: custom[key] for key in ("name", "description") if key in custom}
    return {"type": "function", "function": {**function, "parameters": _ONE_TEXT}}


def _leave_out_googles(params: dict[str, Any], target: Target) -> None:
    """Leave out the tools that Google runs itself: nothing says that other makers' models have them here."""
    left_out = ["web_search_options"] if params.pop("web_search_options", None) is not None else []
    tools = params.get("tools")
    if isinstance(tools, list):
        kept = [tool for tool in tools if not isinstance(tool, dict) or function_in(tool) is not None]
        left_out += [_kind(tool) for tool in tools if tool not in kept]
        params["tools"] = kept
        if not kept:
            for name in _ABOUT_TOOLS if not params.get("functions") else ("tools",):
                params.pop(name, None)
    if left_out and (new := not_told("google's", left_out)):
        LOGGER.warning(
            "%s has no tools of Google's; left out, now and whenever they come: %s.", target.model, ", ".join(new)
        )


def _kind(tool: Mapping[str, Any]) -> str:
    return str(tool.get("type") or next(iter(tool), "an empty tool"))


def _last_of_each_name(params: dict[str, Any]) -> None:
    """Leave out all but the last of the tools that have one name, which upstream refuses."""
    declared: set[str] = set()
    twice: list[str] = []
    for place in ("functions", "tools"):  # from behind: LiteLLM declares `tools` first
        tools = params.get(place)
        if isinstance(tools, list):
            kept = [tool for tool in reversed(tools) if _is_new(function_in(tool), declared, twice)]
            params[place] = kept[::-1]
    if new := not_told("twice", reversed(twice)):
        LOGGER.warning("Requests declare tools twice; the last one is taken of each: %s.", ", ".join(new))


def _is_new(function: Mapping[str, Any] | None, declared: set[str], twice: list[str]) -> bool:
    if function is None:
        return True
    if function["name"] in declared:
        twice.append(function["name"])
        return False
    declared.add(function["name"])
    return True


def _rename_choice(params: dict[str, Any], names: ToolNames) -> None:
    old = params.pop("function_call", None)  # what `tool_choice` was called once; LiteLLM's Gemini does not know it
    if old is not None:
        params.setdefault("tool_choice", {"type": "function", "function": old} if isinstance(old, dict) else old)
    choice = params.get("tool_choice")
    function = choice.get("function") if isinstance(choice, dict) else None
    if isinstance(function, dict) and isinstance(function.get("name"), str):
        function["name"] = names.upstream(function["name"])


def _take_schemas(params: Mapping[str, Any]) -> list[dict[str, Any]]:
    schemas: list[dict[str, Any]] = []
    for function in functions_of(params):
        given = function.pop("input_schema", None)  # what Anthropic calls it
        given = function.pop("parameters", given)
        if given is None or given == "":
            continue
        function["parameters"] = {"type": "object", "title": f"{_SCHEMA_MARK}{len(schemas)}"}
        schemas.append(prepare_parameters(given))
    return schemas


def put_schemas_back(body: dict[str, Any], schemas: Sequence[dict[str, Any]], target: Target) -> None:
    """Put the schemas into the declarations of a translated request, in place.

    A tool of Claude's has one in any case ("input_schema: Field required").

    Args:
        body: LiteLLM's translation.
        schemas: that `prepare_tools` has returned.
        target: the model.
    """
    for tool in body.get("tools") or ():
        for declaration in tool.get("functionDeclarations") or ():
            title = (declaration.get("parameters") or {}).get("title", "")
            if isinstance(title, str) and title.startswith(_SCHEMA_MARK):
                declaration["parameters"] = schemas[int(title.removeprefix(_SCHEMA_MARK))]
            elif not target.is_gemini and not declaration.get("parameters"):
                declaration["parameters"] = dict(_NO_PARAMETERS)


def forces_a_tool(body: Mapping[str, Any]) -> bool:
    """Return whether a translated request leaves the model no choice but to call a tool."""
    calling = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    return bool(calling.get("mode") == "ANY")


__all__ = ["forces_a_tool", "prepare_tools", "put_schemas_back"]
