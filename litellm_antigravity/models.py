"""Model names: what upstream calls a model, which quota pool it draws on, and what it can do."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

ModelFamily: TypeAlias = Literal["claude", "gemini"]
"""The two pools that upstream meters separately: Claude with GPT-OSS, and Gemini."""

FAMILIES: tuple[ModelFamily, ...] = ("claude", "gemini")

PROVIDER = "antigravity"
"""The LiteLLM provider name; ``antigravity/<model>`` in a model string."""


MAX_NAME_CHARS: Final = 256
"""Of a model's name; upstream's have a tenth of it."""

_SHOWN_CHARS: Final = 60


def canonical_model(model: str) -> str:
    """Return the name under which a model's cooldowns are written and read: short and printable whatever was given.

    The provider prefix is dropped and the case folded, so that a refusal recorded under one spelling is found under
    every other one.
    """
    return _canonical(model) if len(model) <= MAX_NAME_CHARS else _canonical.__wrapped__(model)


def family_of(model: str) -> ModelFamily:
    """Return the quota family of ``model``: ``claude`` for Claude and GPT-OSS models, else ``gemini``."""
    return _family(model) if len(model) <= MAX_NAME_CHARS else _family.__wrapped__(model)


# Names are the callers': what is remembered is bounded in number here, and in length above.


@lru_cache(maxsize=1024)
def _canonical(model: str) -> str:
    name = _plain(model)
    if len(name) <= MAX_NAME_CHARS and name.isprintable():
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{_short(name)}#{digest}"


@lru_cache(maxsize=1024)
def _family(model: str) -> ModelFamily:
    name = _plain(model)
    return "claude" if "claude" in name or "gpt-oss" in name else "gemini"


def _plain(model: str) -> str:
    return model.strip().removeprefix(f"{PROVIDER}/").lower()


def _short(model: str) -> str:
    """Return a model's name for a message: whatever a caller gave, it is short and printable."""
    short = model if len(model) <= MAX_NAME_CHARS else f"{model[:_SHOWN_CHARS]}..."
    return short if short.isprintable() else "".join(one if one.isprintable() else "?" for one in short)


def problem_with_name(model: str) -> str | None:
    """Return why no model can have this name, to be put behind "the model's name"; ``None`` when one may have it."""
    if len(model.removeprefix(f"{PROVIDER}/")) > MAX_NAME_CHARS:
        return f"has {len(model):,} characters; {MAX_NAME_CHARS} is the most"
    if not model.isprintable():
        return "has characters that cannot be printed"
    return None if _plain(model) else "is empty"


_PLUGINS: Final = re.compile(rf"(?:google/|{PROVIDER}/)?{PROVIDER}-(?=(?:claude|gemini|gpt-oss)-)", re.IGNORECASE)


def plugins_name(model: str) -> str | None:
    """Return how a model is written here that is written as opencode-antigravity-auth does; ``None`` for any other.

    That plugin tells its models from others by a prefix, as in ``google/antigravity-claude-sonnet-4-6``.
    """
    found = _PLUGINS.match(model)
    if found is None:
        return None
    name = model[found.end() :].lower()
    if name not in BUILT_IN_MODELS:
        name = next(iter(difflib.get_close_matches(name, BUILT_IN_MODELS, n=1, cutoff=0.75)), name)
    return f"{PROVIDER}/{name}"


Feature: TypeAlias = Literal[
    "audio_input",
    "function_calling",
    "parallel_function_calling",
    "pdf_input",
    "prompt_caching",
    "reasoning",
    "response_schema",
    "system_messages",
    "tool_choice",
    "video_input",
    "vision",
    "web_search",
]
"""What a model can do; LiteLLM's names, there with ``supports_`` before them."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known of a model.

    Attributes:
        max_input_tokens: the context window.
        max_output_tokens: the longest answer, thinking included.
        features: what it can do.
    """

    max_input_tokens: int
    max_output_tokens: int
    features: frozenset[Feature]


_TOOLS: Final[frozenset[Feature]] = frozenset(
    {"function_calling", "parallel_function_calling", "system_messages", "tool_choice"}
)
# Upstream publishes no limits. These are the makers' own for the same models (LiteLLM's model table); for Claude the
# smaller window that needs no beta header, as clients of this endpoint use it.
_GEMINI: Final = ModelFacts(
    1_048_576,
    65_536,
    _TOOLS
    | {
        "audio_input",
        "pdf_input",
        "prompt_caching",
        "reasoning",
        "response_schema",
        "video_input",
        "vision",
        "web_search",
    },
)
_GEMINI_IMAGE: Final = ModelFacts(65_536, 65_536, frozenset({"prompt_caching", "system_messages", "vision"}))
_CLAUDE: Final = ModelFacts(
    200_000, 64_000, _TOOLS | {"pdf_input", "prompt_caching", "reasoning", "response_schema", "vision"}
)
_GPT_OSS: Final = ModelFacts(131_072, 32_768, _TOOLS | {"reasoning"})

BUILT_IN_MODELS: Final[Mapping[str, ModelFacts]] = MappingProxyType(
    {
        "claude-opus-4-6-thinking": _CLAUDE,
        "claude-sonnet-4-6": _CLAUDE,
        "gemini-3-flash": _GEMINI,
        "gemini-3-flash-agent": _GEMINI,
        "gemini-3.1-pro-low": _GEMINI,
        "gemini-pro-agent": _GEMINI,
        "gemini-3.1-flash-lite": _GEMINI,
        "gemini-3.1-flash-image": _GEMINI_IMAGE,
        "gemini-3.5-flash-low": _GEMINI,
        "gemini-3.5-flash-extra-low": _GEMINI,
        "gemini-3.6-flash-high": _GEMINI,
        "gemini-3.7-flash-high": _GEMINI,
        "gemini-3.8-flash": _GEMINI,
        "gpt-oss-120b-medium": _GPT_OSS,
    }
)
"""The models upstream is known to have had. They change monthly; any other name is passed on too.

Source: router-for-me/CLIProxyAPI's list of 2026-08-22, and later threads of the same project.
"""


def facts_of(model: str) -> ModelFacts:
    """Return what is known of ``model``; for a name that is not built in, what its relatives have in common."""
    name = canonical_model(model)
    known = BUILT_IN_MODELS.get(name)
    if known is not None:
        return known
    if family_of(name) == "claude":
        return _GPT_OSS if "gpt-oss" in name else _CLAUDE
    return _GEMINI_IMAGE if "image" in name else _GEMINI
