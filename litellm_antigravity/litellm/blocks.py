"""Blocks of messages that LiteLLM's converters pass over in silence: understood, or kept as text.

Clients send more kinds than any converter knows (references to tools, results of searches and of tools that ran on a
server, documents in plain text, uploads), and new ones come. What is not known goes on as compact JSON, so that the
model at least reads it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

Json = dict[str, Any]

_OPAQUE: Final = frozenset({"cache_control", "encrypted_content", "encrypted_index", "signature", "citations"})
_OPENAI: Final = {
    "user": frozenset({"text", "image_url", "input_audio", "file"}),
    "system": frozenset({"text"}),
    "assistant": frozenset({"text", "image_url"}),
    "tool": frozenset({"text", "image", "image_url", "file"}),
}
_TEXTS: Final = ("input_text", "output_text", "refusal", "summary_text", "reasoning_text")
_THINKING: Final = ("thinking", "redacted_thinking")
_SOURCES: Final = ("base64", "url")  # of images and documents; LiteLLM makes data URLs of them
_ANTHROPIC: Final = {
    "user": frozenset({"text", "image", "document", "tool_result"}),
    "assistant": frozenset({"text", "tool_use", *_THINKING}),
    "result": frozenset({"text", "image", "document"}),
}


def known_elements(content: Any, role: str) -> Any:
    """Return the content of an OpenAI message with elements that LiteLLM's converter understands.

    Args:
        content: as the caller gives it; not changed.
        role: of the message.
    """
    if not isinstance(content, list):
        return content if content is None or isinstance(content, str) else text_of(content)
    return [_element(one, role) for one in content]


def _element(element: Any, role: str) -> Json:
    if not isinstance(element, Mapping):
        return _text(element if isinstance(element, str) else text_of(element))
    kind, text = element.get("type"), element.get("text")
    known = _OPENAI["tool" if role == "function" else role]
    if kind == "text" and isinstance(text, str):
        return dict(element)
    if kind in ("input_image", "image_url") and "image_url" in known and _is_image(element.get("image_url")):
        return {**element, "type": "image_url"}
    if kind == "image" and "image_url" in known and (url := _image_url(element.get("source"))) is not None:
        return {"type": "image_url", "image_url": {"url": url}}
    if kind == "input_file" and "file" in known:
        return {"type": "file", "file": {name: value for name, value in element.items() if name != "type"}}
    if kind in known and kind not in ("text", "image_url", "image"):
        return dict(element)
    return _text(text_of(element))


def _is_image(image: Any) -> bool:
    return isinstance(image, str) or (isinstance(image, Mapping) and isinstance(image.get("url"), str))


def _image_url(source: Any) -> str | None:
    if not isinstance(source, Mapping):
        return None
    if source.get("type") == "url" and isinstance(source.get("url"), str):
        return str(source["url"])
    if source.get("type") == "base64" and isinstance(source.get("data"), str):
        return f"data:{source.get('media_type') or 'image/jpeg'};base64,{source['data']}"
    return None


def known_blocks(messages: Iterable[Any]) -> list[Any]:
    """Return Anthropic messages with blocks that LiteLLM's ``/v1/messages`` understands; none is changed."""
    return [_message(message) for message in messages]


def _message(message: Any) -> Any:
    content = message.get("content") if isinstance(message, Mapping) else None
    known = _ANTHROPIC.get(str(message.get("role"))) if isinstance(message, Mapping) else None
    if not isinstance(content, list) or known is None:
        return message
    return {**message, "content": [_block(block, known) for block in content]}


def _block(block: Any, known: frozenset[str]) -> Any:
    if not isinstance(block, Mapping):
        return _text(text_of(block))
    kind = block.get("type")
    if kind not in known or (kind in ("image", "document") and not _has_source(block)):
        return _text(text_of(block)) | {name: block[name] for name in ("cache_control",) if name in block}
    if kind == "tool_result" and isinstance(block.get("content"), list):
        return {**block, "content": [_block(one, _ANTHROPIC["result"]) for one in block["content"]]}
    if kind == "tool_result" and isinstance(block.get("content"), Mapping):
        return {**block, "content": text_of(block["content"])}
    return block


def _has_source(block: Mapping[str, Any]) -> bool:
    source = block.get("source")
    return isinstance(source, Mapping) and source.get("type") in _SOURCES and _image_url(source) is not None


def known_system(system: Any) -> Any:
    """Return Anthropic's system prompt with texts only, which is all that LiteLLM passes on."""
    if not isinstance(system, list):
        return system
    return [one if isinstance(one, Mapping) and one.get("type") == "text" else _text(text_of(one)) for one in system]


def _text(text: str) -> Json:
    return {"type": "text", "text": text}


def text_of(block: Any) -> str:
    """Return what a block says: its text where it has one, else all of it as compact JSON.

    Signatures, encrypted contents and cache marks are for machines, and left out.
    """
    if isinstance(block, str):
        return block
    if isinstance(block, Mapping):
        said = _said(block)
        if said is not None:
            return said
    return json.dumps(_readable(block), ensure_ascii=False, separators=(",", ":"), default=str)


def _said(block: Mapping[str, Any]) -> str | None:
    kind = block.get("type")
    if kind in ("text", *_TEXTS):
        given = block.get("refusal") if kind == "refusal" else block.get("text")
        return given if isinstance(given, str) else None
    source = block.get("source")
    if kind == "document" and isinstance(source, Mapping) and source.get("type") in ("text", "content"):
        return "\n".join([*_about(block), *_texts(source.get("data"), source.get("content"))])
    if kind == "search_result":
        about = [str(block[name]) for name in ("title", "source") if isinstance(block.get(name), str)]
        return "\n".join([*about, *_texts(block.get("content"))])
    return None


def _about(block: Mapping[str, Any]) -> list[str]:
    return [str(block[name]) for name in ("title", "context") if isinstance(block.get(name), str) and block[name]]


def _texts(*given: Any) -> list[str]:
    texts: list[str] = []
    for one in given:
        if isinstance(one, list):
            texts += [text_of(each) for each in one]
        elif one is not None:
            texts.append(text_of(one))
    return texts


def _readable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _readable(one) for name, one in value.items() if name not in _OPAQUE}
    return [_readable(one) for one in value] if isinstance(value, (list, tuple)) else value


__all__ = ["known_blocks", "known_elements", "known_system", "text_of"]
