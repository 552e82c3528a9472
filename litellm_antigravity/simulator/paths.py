"""The paths at which the simulator answers; those of Cloud Code as docs/upstream.md has them."""

from __future__ import annotations

import re
from typing import Final

GENERATE_PATH: Final = "/v1internal:generateContent"
STREAM_PATH: Final = "/v1internal:streamGenerateContent"
PROJECT_PATH: Final = "/v1internal:loadCodeAssist"
MODELS_PATH: Final = "/v1internal:fetchAvailableModels"

RULE_HEADER: Final = "x-simulator-rule"
"""Beside a refusal: the name of the rule that the request breaks. Upstream has no such header."""

FIELD_HEADER: Final = "x-simulator-field"
"""Beside it: the path of what breaks the rule."""

# Of the Gemini API and of Vertex AI, for LiteLLM's own providers.
PLAIN_PATH: Final = re.compile(r"/(?:[^:]*/)?models/([^/:]+):(generateContent|streamGenerateContent)")
VERTEX_PROJECT: Final = re.compile(r"/v1(?:beta1)?/projects/([^/]+)/locations/[^/]+/publishers/google/")
