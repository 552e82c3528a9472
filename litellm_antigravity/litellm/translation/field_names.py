"""Upstream's spelling of field names.

LiteLLM mixes snake_case and camelCase. Both are JSON spellings of protobuf fields, but only one of them is certain to
be read by this endpoint. Names inside schemas, arguments and results are the caller's and stay.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

_UNDERSCORE: Final = re.compile(r"_([a-z])")
_BLOBS: Final = ("inlineData", "fileData", "videoMetadata")


def in_camel_case(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a Gemini request with upstream's spelling of every field."""
    renamed = _renamed(body)
    if "contents" in renamed:
        # Older LiteLLM leaves the role out where a message holds the results of tools.
        renamed["contents"] = [{"role": "user", **_content(content)} for content in renamed["contents"]]
    if isinstance(renamed.get("systemInstruction"), Mapping):
        renamed["systemInstruction"] = _content(renamed["systemInstruction"])
    if isinstance(renamed.get("generationConfig"), Mapping):
        renamed["generationConfig"] = _renamed(renamed["generationConfig"])
    if "tools" in renamed:
        renamed["tools"] = [_renamed(tool) for tool in renamed["tools"]]
    if isinstance(renamed.get("toolConfig"), Mapping):
        renamed["toolConfig"] = {
            key: _renamed(value) if isinstance(value, Mapping) else value
            for key, value in _renamed(renamed["toolConfig"]).items()
        }
    return renamed


def _camel(name: str) -> str:
    return _UNDERSCORE.sub(lambda found: found.group(1).upper(), name) if "_" in name else name


def _renamed(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {_camel(key): value for key, value in fields.items()}


def _content(content: Mapping[str, Any]) -> dict[str, Any]:
    return {**content, "parts": [_part(part) for part in content.get("parts", [])]}


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    renamed = _renamed(part)
    for name in _BLOBS:
        if isinstance(renamed.get(name), Mapping):
            renamed[name] = _renamed(renamed[name])
    result = renamed.get("functionResponse")
    if isinstance(result, Mapping) and result.get("parts"):  # images and files that a tool gave
        renamed["functionResponse"] = {**result, "parts": [_part(one) for one in result["parts"]]}
    return renamed


__all__ = ["in_camel_case"]
