"""OpenAI requests to Gemini's and back: LiteLLM's own translation, with what it needs around it."""

from litellm_antigravity.litellm.target import translation_model
from litellm_antigravity.litellm.translation.chunks import ChunkTranslator
from litellm_antigravity.litellm.translation.media import names_remote_media
from litellm_antigravity.litellm.translation.request import to_gemini
from litellm_antigravity.litellm.translation.response import from_gemini

__all__ = ["ChunkTranslator", "from_gemini", "names_remote_media", "to_gemini", "translation_model"]
