"""What is taken over from LiteLLM as it is: its Gemini translation, and what surrounds it. Reasons: `table`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from litellm_antigravity.litellm.seams.table import borrow, find

CustomStreamWrapper = borrow("CustomStreamWrapper")
GoogleAIStudioGeminiConfig = borrow("GoogleAIStudioGeminiConfig")
ModelResponseIterator = borrow("ModelResponseIterator")
VertexGeminiConfig = borrow("VertexGeminiConfig")
image_cache = borrow("image_cache")
infer_content_type_from_url_and_content = borrow("infer_content_type_from_url_and_content")
safe_get = borrow("safe_get")
transform_request_body = borrow("transform_request_body")

OPENAI_PARAMS: Any = borrow("OPENAI_PARAMS")
DEFAULT_PARAMS: Mapping[str, Any] = find("DEFAULT_PARAMS") or {}
MAX_IMAGE_URL_DOWNLOAD_SIZE_MB: float = find("MAX_IMAGE_URL_DOWNLOAD_SIZE_MB") or 50.0
SIGNATURE_IN_ID: str = find("SIGNATURE_IN_ID") or "__thought__"


def parsers_logging(logging_obj: Any) -> Any:
    """Return a call's logging object with all that LiteLLM's Gemini parsers read of it.

    Since 1.110 they read ``litellm_params`` too (for ``thought_signature_in_tool_call_id``), and fail without it.
    """
    if not hasattr(logging_obj, "litellm_params"):
        logging_obj.litellm_params = {}
    return logging_obj


def signature_of(call: Mapping[str, Any]) -> Any:
    """Return the signature that LiteLLM finds in a tool call of the history: in its fields or in its id."""
    function = call.get("function")
    for holder in (call, function if isinstance(function, Mapping) else {}):
        fields = holder.get("provider_specific_fields")
        if isinstance(fields, Mapping) and fields.get("thought_signature"):
            return fields["thought_signature"]
    return str(call.get("id") or "").partition(SIGNATURE_IN_ID)[2]


__all__ = [
    "DEFAULT_PARAMS",
    "MAX_IMAGE_URL_DOWNLOAD_SIZE_MB",
    "OPENAI_PARAMS",
    "SIGNATURE_IN_ID",
    "CustomStreamWrapper",
    "GoogleAIStudioGeminiConfig",
    "ModelResponseIterator",
    "VertexGeminiConfig",
    "image_cache",
    "infer_content_type_from_url_and_content",
    "parsers_logging",
    "safe_get",
    "signature_of",
    "transform_request_body",
]
