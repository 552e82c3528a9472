"""Under which name LiteLLM translates for a model.

LiteLLM decides by model name how to translate, and upstream's names are not LiteLLM's. For names it does not know, it
assumes the newest Gemini (temperature forced to 1, thinking levels instead of budgets, made-up signatures) but one
without system prompts. So each model is translated under a name that LiteLLM knows: its nearest relative's, and for
Claude and GPT-OSS that of a Gemini model that has none of these peculiarities.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import litellm

from litellm_antigravity.models import canonical_model, family_of

_PLAIN_MODEL: Final = "gemini-2.5-pro"
_CLAUDE_VERSION: Final = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?!\d)(?:[.-](\d{1,2})(?!\d))?")
_LAST_WITH_PREFILL: Final = (4, 5)  # "This model does not support assistant message prefill" since Claude 4.6
_RELATIVES: Final = {
    "flash": ("gemini-3-flash-preview", "gemini-2.5-flash"),
    "pro": ("gemini-3.1-pro-preview", "gemini-3-pro-preview", "gemini-2.5-pro"),
}


@dataclass(frozen=True, slots=True)
class Target:
    """How LiteLLM is to translate for one model.

    Attributes:
        model: upstream's name.
        params_model: the name under which parameters and replies are translated.
        messages_model: the name under which messages are translated. For Claude a newer one than ``params_model``:
            LiteLLM writes the ids of tool calls for Gemini 3 only.
        is_gemini: whether it is a Gemini model; else Claude's rules hold (`claude`).
        is_anthropic: whether Anthropic's own checks of thoughts wait behind upstream; not so for GPT-OSS.
        thinks_unasked: whether its name says that it thinks (``claude-...-thinking``), perhaps without being asked to.
        takes_prefill: whether it goes on with a last turn of its own; Claude 4.6 and newer refuse that.
    """

    model: str
    params_model: str
    messages_model: str
    is_gemini: bool
    is_anthropic: bool = False
    thinks_unasked: bool = False
    takes_prefill: bool = True

    @property
    def signer(self) -> str:
        """The family whose signatures the model takes back; narrower than the quota family."""
        if self.is_gemini:
            return "gemini"
        return "claude" if self.is_anthropic else "gpt-oss"

    @classmethod
    def of(cls, model: str) -> Target:
        """Return how to translate for ``model``, with or without the provider's prefix."""
        name = canonical_model(model)
        if family_of(model) == "claude":
            anthropic = "claude" in name
            return cls(
                model,
                _PLAIN_MODEL,
                _nearest("gemini-3-pro"),
                is_gemini=False,
                is_anthropic=anthropic,
                thinks_unasked=anthropic and "thinking" in name,
                takes_prefill=not anthropic or _takes_prefill(name),
            )
        nearest = _relative(name)
        return cls(model, nearest, nearest, is_gemini=True)


def translation_model(model: str) -> str:
    """Return the name under which LiteLLM is to translate parameters and replies for ``model``."""
    return _PLAIN_MODEL if family_of(model) == "claude" else _relative(canonical_model(model))


def _relative(name: str) -> str:
    """Return the name of a Gemini model that LiteLLM knows."""
    return name if _knows(name) else _nearest(name)


def _takes_prefill(name: str) -> bool:
    found = _CLAUDE_VERSION.search(name)
    return found is not None and (int(found[1]), int(found[2] or 0)) <= _LAST_WITH_PREFILL


def _nearest(name: str) -> str:
    if name.startswith(("gemini-1", "gemini-2")):
        return _PLAIN_MODEL
    relatives = _RELATIVES["flash" if "flash" in name else "pro"]
    return next((relative for relative in relatives if _knows(relative)), name)


def _knows(name: str) -> bool:
    # A Router enters its deployments' models, too, of which LiteLLM knows no more than the name: their values are None.
    return (litellm.model_cost.get(f"gemini/{name}") or {}).get("mode") is not None


__all__ = ["Target", "translation_model"]
