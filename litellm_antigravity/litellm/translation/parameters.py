"""Parameters that are right alone and wrong together: what upstream refuses of them is made to fit.

Thinking wins over sampling, and a forced tool over thinking. The thinking budget shrinks to fit under the output limit,
which is the model's at most. Sources: Anthropic's documentation of extended thinking ("feature compatibility", "budget
tokens"), Vertex AI's of thinking (budgets of Gemini 2.5), and the refusals users have met: "`temperature` may only be
set to 1 when thinking is enabled" (danny-avila/LibreChat #11949), "Thinking may not be enabled when tool_choice forces
tool use." (langchain-ai/langchain-google #1712), "You can only set only one of thinking budget and thinking level."
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from litellm_antigravity.litellm.target import Target
from litellm_antigravity.models import canonical_model, facts_of

logger = logging.getLogger("litellm_antigravity")

MIN_THINKING_BUDGET: Final = 1024
"""Tokens; Anthropic's documentation of extended thinking."""

ADAPTIVE_BUDGET: Final = 8192
"""Tokens for ``thinking: {"type": "adaptive"}``, which leaves the amount to the model."""

ANSWER_TOKENS: Final = 16_384
"""Output tokens beside the thinking budget when the caller names no limit."""

_EFFORTS: Final = {"xhigh": 16_384, "max": 32_768}  # tokens; LiteLLM's Gemini rules end at `high`
_ADAPTIVE_EFFORTS: Final = {  # tokens; `high` is Anthropic's default
    "none": 0,
    "disable": 0,
    "minimal": MIN_THINKING_BUDGET,
    "low": 2048,
    "medium": 4096,
    "high": ADAPTIVE_BUDGET,
    **_EFFORTS,
}
_THINKING_SHARE: Final = 0.75  # of an output limit that the budget would exceed
_LOWEST_TOP_P: Final = 0.95  # beside thinking
_GEMINI_BUDGETS: Final = {"gemini-2.5-pro": 32_768, "gemini-2.5-flash": 24_576}  # tokens at most

Config = dict[str, Any]


def prepare_params(params: dict[str, Any]) -> None:
    """Turn the ways to ask Claude for thinking that Gemini has not into a budget, in place."""
    thinking = params.get("thinking")
    effort = params.get("reasoning_effort")
    if isinstance(effort, Mapping):
        effort = effort.get("effort")
    if isinstance(thinking, Mapping) and thinking.get("type") == "adaptive":
        budget = _ADAPTIVE_EFFORTS.get(effort, ADAPTIVE_BUDGET) if isinstance(effort, str) else ADAPTIVE_BUDGET
        thinking = params["thinking"] = {"type": "enabled", "budget_tokens": budget}
    elif effort in _EFFORTS:
        params.pop("reasoning_effort")
        params.setdefault("thinking", {"type": "enabled", "budget_tokens": _EFFORTS[effort]})
        return
    if isinstance(thinking, Mapping) and effort is not None:
        params.pop("reasoning_effort")  # a budget says more than a level


def settle_thinking(config: Config, target: Target, *, forced: bool) -> None:
    """Leave thinking out of a config, in place, where it is none or cannot be.

    Args:
        config: of a request for Claude or GPT-OSS.
        target: the model.
        forced: whether the request forces a tool, beside which Claude takes no thinking.
    """
    thinking = config.get("thinkingConfig")
    if not isinstance(thinking, Mapping) or not thinking.get("includeThoughts") or thinking.get("thinkingBudget") == 0:
        config.pop("thinkingConfig", None)
        return
    config["thinkingConfig"] = {name: value for name, value in thinking.items() if name != "thinkingLevel"}
    limit = _limit_of(config, target)
    if forced and target.is_anthropic:
        config.pop("thinkingConfig")
        logger.debug("A tool is forced; the model does not think this time.")
    elif limit is not None and limit <= MIN_THINKING_BUDGET:
        config.pop("thinkingConfig")
        logger.debug("An output limit of %s tokens is too low to think; the model does not think this time.", limit)


def fit_limits(config: Config, target: Target) -> None:
    """Keep the output limit within the model's, and the thinking budget below it, in place.

    What the caller says of the limit holds; a budget that does not fit gets three quarters of it.
    """
    limit, most = _limit_of(config, target), facts_of(target.model).max_output_tokens
    thinking = config.get("thinkingConfig")
    if thinking is not None:
        budget = thinking.get("thinkingBudget")
        if not isinstance(budget, int) or budget < 0:  # Gemini's -1: as much as the model likes
            budget = ADAPTIVE_BUDGET
        budget = max(budget, MIN_THINKING_BUDGET)
        if limit is None:
            budget = min(budget, most - ANSWER_TOKENS)
            limit = budget + ANSWER_TOKENS
        elif budget >= limit:
            budget = max(int(limit * _THINKING_SHARE), MIN_THINKING_BUDGET)
        config["thinkingConfig"] = {**thinking, "thinkingBudget": budget}
    if limit is not None:
        config["maxOutputTokens"] = limit


def _limit_of(config: Mapping[str, Any], target: Target) -> int | None:
    given = config.get("maxOutputTokens")
    return min(given, facts_of(target.model).max_output_tokens) if isinstance(given, int) else None


def fit_sampling(config: Config, target: Target) -> None:
    """Leave out what Claude takes no sampling of beside thinking, in place; also where only its name says it thinks."""
    if not target.is_anthropic or not ("thinkingConfig" in config or target.thinks_unasked):
        return
    allowed: dict[str, Callable[[Any], bool]] = {
        "temperature": lambda value: bool(value == 1),
        "topK": lambda _: False,
        "topP": lambda value: isinstance(value, (int, float)) and _LOWEST_TOP_P <= value <= 1,
    }
    left_out = [name for name, fits in allowed.items() if name in config and not fits(config[name])]
    for name in left_out:
        config.pop(name)
    if left_out:
        logger.debug("The model thinks, so that these are left out: %s.", ", ".join(left_out))


def fit_gemini(config: Config, target: Target) -> None:
    """Keep a Gemini model's parameters within what it takes, in place."""
    limit = _limit_of(config, target)
    if limit is not None:
        config["maxOutputTokens"] = limit
    thinking = config.get("thinkingConfig")
    if not isinstance(thinking, Mapping):
        return
    kept, name = dict(thinking), canonical_model(target.model)
    if "thinkingLevel" in kept and "thinkingBudget" in kept:
        kept.pop("thinkingBudget" if not name.startswith(("gemini-1", "gemini-2")) else "thinkingLevel")
    most = next((most for prefix, most in _GEMINI_BUDGETS.items() if name.startswith(prefix)), None)
    if most is not None and isinstance(kept.get("thinkingBudget"), int):
        kept["thinkingBudget"] = min(kept["thinkingBudget"], most)
    config["thinkingConfig"] = kept


__all__ = [
    "ADAPTIVE_BUDGET",
    "ANSWER_TOKENS",
    "MIN_THINKING_BUDGET",
    "fit_gemini",
    "fit_limits",
    "fit_sampling",
    "prepare_params",
    "settle_thinking",
]
