"""Model names: what upstream calls a model, and which quota pool it draws on."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, TypeAlias

ModelFamily: TypeAlias = Literal["claude", "gemini"]
"""The two pools that upstream meters separately: Claude with GPT-OSS, and Gemini."""

FAMILIES: tuple[ModelFamily, ...] = ("claude", "gemini")

PROVIDER = "antigravity"
"""The LiteLLM provider name; ``antigravity/<model>`` in a model string."""


@lru_cache(maxsize=1024)
def canonical_model(model: str) -> str:
    """Return the name under which a model's cooldowns are written and read.

    The provider prefix is dropped and the case folded, so that a refusal recorded under one spelling is found under
    every other one.
    """
    return model.strip().removeprefix(f"{PROVIDER}/").lower()


@lru_cache(maxsize=1024)
def family_of(model: str) -> ModelFamily:
    """Return the quota family of ``model``: ``claude`` for Claude and GPT-OSS models, else ``gemini``."""
    name = canonical_model(model)
    return "claude" if "claude" in name or "gpt-oss" in name else "gemini"
