"""What a request must look like. Stricter than upstream is known to be, so that a wrong envelope shows in tests.

Names are checked wherever they are upstream's; inside schemas, arguments, results and labels they are the caller's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

_ENVELOPE: Final = {"project": str, "model": str, "request": dict, "userAgent": str, "requestId": str}
_REQUEST: Final = frozenset(
    {
        "contents",
        "systemInstruction",
        "tools",
        "toolConfig",
        "generationConfig",
        "safetySettings",
        "labels",
        "cachedContent",
        "sessionId",
    }
)
_PART_DATA: Final = frozenset(
    {
        "text",
        "inlineData",
        "fileData",
        "functionCall",
        "functionResponse",
        "executableCode",
        "codeExecutionResult",
    }
)
_PART: Final = _PART_DATA | {"thought", "thoughtSignature", "videoMetadata", "mediaResolution"}
_GENERATION_CONFIG: Final = frozenset(
    {
        "temperature",
        "topP",
        "topK",
        "candidateCount",
        "maxOutputTokens",
        "stopSequences",
        "responseMimeType",
        "responseSchema",
        "responseJsonSchema",
        "responseModalities",
        "presencePenalty",
        "frequencyPenalty",
        "seed",
        "responseLogprobs",
        "logprobs",
        "thinkingConfig",
        "mediaResolution",
        "speechConfig",
        "imageConfig",
        "audioTimestamp",
    }
)
_THINKING: Final = frozenset({"includeThoughts", "thinkingBudget", "thinkingLevel"})
_TOOLS: Final = frozenset(
    {
        "functionDeclarations",
        "googleSearch",
        "googleSearchRetrieval",
        "enterpriseWebSearch",
        "googleMaps",
        "urlContext",
        "codeExecution",
        "computerUse",
    }
)
_DECLARATION: Final = frozenset({"name", "description", "parameters", "parametersJsonSchema", "response"})
_CALLING_MODES: Final = frozenset({"MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"})
_FUNCTION_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}")
_UNDERSCORE: Final = re.compile(r"_([a-z0-9])")


class InvalidRequestError(Exception):
    """A request is malformed.

    Attributes:
        field: the path of what is wrong, such as ``request.contents[0].parts``.
        message: what is wrong with it.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


def check_envelope(body: Any) -> dict[str, Any]:
    """Return a Cloud Code envelope if it is one (docs/upstream.md, "Hosts and paths").

    Raises:
        InvalidRequestError: names the first thing that is wrong.
    """
    if not isinstance(body, dict):
        raise InvalidRequestError("", "The body must be a JSON object.")
    _known(body, _ENVELOPE, "")
    for name, kind in _ENVELOPE.items():
        if name not in body:
            raise InvalidRequestError(name, f'Missing field "{name}".')
        if not isinstance(body[name], kind):
            raise InvalidRequestError(name, f'Invalid value at "{name}": {_NAMES[kind]} is expected.')
        if kind is str and not body[name].strip():
            raise InvalidRequestError(name, f'Invalid value at "{name}": it must not be empty.')
    check_request(body["request"], "request")
    return body


def check_request(request: Mapping[str, Any], at: str) -> None:
    """Check a Gemini request.

    Args:
        request: contents, tools, generationConfig, ...
        at: where it is in the body, for messages.

    Raises:
        InvalidRequestError: names the first thing that is wrong.
    """
    _known(request, _REQUEST, at)
    contents = _list(request, "contents", at, empty=False)
    for index, content in enumerate(contents):
        _content(content, f"{at}.contents[{index}]", needs_role=True)
    if contents[0]["role"] != "user":
        raise InvalidRequestError(f"{at}.contents[0].role", "The first content must be of role user.")
    if "systemInstruction" in request:
        _content(_object(request, "systemInstruction", at), f"{at}.systemInstruction", needs_role=False)
    if "tools" in request:
        for index, tool in enumerate(_list(request, "tools", at)):
            _tool(tool, f"{at}.tools[{index}]")
    if "toolConfig" in request:
        _tool_config(_object(request, "toolConfig", at), f"{at}.toolConfig")
    if "generationConfig" in request:
        config = _object(request, "generationConfig", at)
        _known(config, _GENERATION_CONFIG, f"{at}.generationConfig")
        if "thinkingConfig" in config:
            thinking = _object(config, "thinkingConfig", f"{at}.generationConfig")
            _known(thinking, _THINKING, f"{at}.generationConfig.thinkingConfig")
    if "safetySettings" in request:
        for index, setting in enumerate(_list(request, "safetySettings", at)):
            _known(_is_object(setting, f"{at}.safetySettings[{index}]"), {"category", "threshold"}, at)


_NAMES: Final = {str: "a string", dict: "an object", list: "a list"}


def _known(fields: Mapping[str, Any], known: Iterable[str], at: str) -> None:
    names = set(known)
    for name in fields:
        if name not in names:
            camel = _UNDERSCORE.sub(lambda found: found.group(1).upper(), name)
            hint = f' Is "{camel}" meant?' if camel in names else ""
            path = f"{at}.{name}" if at else name
            where = f" at '{at}'" if at else ""
            raise InvalidRequestError(path, f'Unknown name "{name}"{where}: there is no such field.{hint}')


def _is_object(value: Any, at: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRequestError(at, f"Invalid value at '{at}': an object is expected.")
    return value


def _object(fields: Mapping[str, Any], name: str, at: str) -> dict[str, Any]:
    return _is_object(fields[name], f"{at}.{name}")


def _list(fields: Mapping[str, Any], name: str, at: str, *, empty: bool = True) -> list[Any]:
    path = f"{at}.{name}"
    value = fields.get(name)
    if not isinstance(value, list) or not (value or empty):
        what = "a list is expected" if empty else "a list of at least one is expected"
        raise InvalidRequestError(path, f"Invalid value at '{path}': {what}.")
    return value


def _content(content: Any, at: str, *, needs_role: bool) -> None:
    _known(_is_object(content, at), {"role", "parts"}, at)
    if (needs_role or "role" in content) and content.get("role") not in (
        ("user", "model") if needs_role else ("user", "system")
    ):
        raise InvalidRequestError(f"{at}.role", f"Invalid value at '{at}.role': user or model is expected.")
    for index, part in enumerate(_list(content, "parts", at, empty=False)):
        _part(part, f"{at}.parts[{index}]")


def _part(part: Any, at: str) -> None:
    _known(_is_object(part, at), _PART, at)
    data = _PART_DATA & part.keys()
    if len(data) != 1:
        names = ", ".join(sorted(data)) or "none"
        raise InvalidRequestError(at, f"Invalid value at '{at}': exactly one kind of data is expected, not {names}.")
    if "text" in part and not isinstance(part["text"], str):
        raise InvalidRequestError(f"{at}.text", f"Invalid value at '{at}.text': a string is expected.")
    if "thought" in part and not isinstance(part["thought"], bool):
        raise InvalidRequestError(f"{at}.thought", f"Invalid value at '{at}.thought': a boolean is expected.")
    if "thoughtSignature" in part and not (isinstance(part["thoughtSignature"], str) and part["thoughtSignature"]):
        path = f"{at}.thoughtSignature"
        raise InvalidRequestError(path, f"Invalid value at '{path}': a string is expected.")
    for name, value_field in (("functionCall", "args"), ("functionResponse", "response")):
        if name in part:
            _function(_object(part, name, at), value_field, f"{at}.{name}")
    for name, known, required in (
        ("inlineData", {"mimeType", "data", "displayName"}, ("mimeType", "data")),
        ("fileData", {"mimeType", "fileUri", "displayName"}, ("fileUri",)),
    ):
        if name in part:
            value = _object(part, name, at)
            _known(value, known, f"{at}.{name}")
            for wanted in required:
                if not isinstance(value.get(wanted), str) or not value[wanted]:
                    path = f"{at}.{name}.{wanted}"
                    raise InvalidRequestError(path, f"Invalid value at '{path}': a string is expected.")


def _function(value: Mapping[str, Any], value_field: str, at: str) -> None:
    _known(value, {"id", "name", value_field, *(("parts",) if value_field == "response" else ())}, at)
    _function_name(value.get("name"), at)
    if value_field == "response" and value_field not in value:
        raise InvalidRequestError(f"{at}.response", f"Missing field '{at}.response'.")
    if value_field in value:
        _object(value, value_field, at)


def _function_name(name: Any, at: str) -> None:
    if not isinstance(name, str) or not _FUNCTION_NAME.fullmatch(name):
        raise InvalidRequestError(f"{at}.name", f"Invalid value at '{at}.name': a function name is expected.")


def _tool(tool: Any, at: str) -> None:
    _known(_is_object(tool, at), _TOOLS, at)
    if not tool:
        raise InvalidRequestError(at, f"Invalid value at '{at}': a tool is expected.")
    for name in tool:
        if name != "functionDeclarations":
            _object(tool, name, at)
            continue
        for index, declaration in enumerate(_list(tool, name, at, empty=False)):
            path = f"{at}.{name}[{index}]"
            _known(_is_object(declaration, path), _DECLARATION, path)
            _function_name(declaration.get("name"), path)
            if not isinstance(declaration.get("description", ""), str):
                raise InvalidRequestError(f"{path}.description", f"'{path}.description' must be a string.")
            schemas = [key for key in ("parameters", "parametersJsonSchema") if key in declaration]
            for key in schemas:
                _object(declaration, key, path)
            if len(schemas) == 2:
                message = f"'{path}' has both parameters and parametersJsonSchema."
                raise InvalidRequestError(path, message)


def _tool_config(config: Mapping[str, Any], at: str) -> None:
    _known(config, {"functionCallingConfig", "retrievalConfig", "includeServerSideToolInvocations"}, at)
    if "functionCallingConfig" in config:
        calling, path = _object(config, "functionCallingConfig", at), f"{at}.functionCallingConfig"
        _known(calling, {"mode", "allowedFunctionNames", "streamFunctionCallArguments"}, path)
        if calling.get("mode", "AUTO") not in _CALLING_MODES:
            raise InvalidRequestError(f"{path}.mode", f"Invalid value at '{path}.mode'.")


def check_plain_request(body: Any) -> dict[str, Any]:
    """Return a request of the Gemini API if it has messages. Both spellings of names pass, as upstream lets them.

    Raises:
        InvalidRequestError: names the first thing that is wrong.
    """
    request = _is_object(body, "request")
    for index, content in enumerate(_list(request, "contents", "request", empty=False)):
        path = f"request.contents[{index}]"
        for part in _list(_is_object(content, path), "parts", path, empty=False):
            _is_object(part, f"{path}.parts")
    return request
