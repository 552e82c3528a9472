"""Rules for Claude's parameters, most of them for requests with thinking."""

from __future__ import annotations

from typing import Final

from litellm_antigravity.models import canonical_model, facts_of
from litellm_antigravity.simulator.rules.rule import CLAUDE, Asked, Broken, Rule

MIN_BUDGET: Final = 1024
_MIN_TOP_P: Final = 0.95
_CONFIG: Final = "request.generationConfig"
_EXTENDED: Final = "https://docs.claude.com/en/docs/build-with-claude/extended-thinking"


def _temperature(asked: Asked) -> Broken | None:
    temperature = asked.config.get("temperature")
    if not asked.may_think or temperature in (None, 1):
        return None
    says = (
        "`temperature` may only be set to 1 when thinking is enabled. Please consult our documentation at "
        f"{_EXTENDED}#important-considerations-when-using-extended-thinking"
    )
    return Broken(f"{_CONFIG}.temperature", says)


def _top_k(asked: Asked) -> Broken | None:
    if not asked.may_think or asked.config.get("topK") is None:
        return None
    return Broken(f"{_CONFIG}.topK", "`top_k` must be unset when thinking is enabled or in adaptive mode")


def _top_p(asked: Asked) -> Broken | None:
    top_p = asked.config.get("topP")
    if not asked.may_think or top_p is None or _MIN_TOP_P <= top_p <= 1:
        return None
    says = "`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled or in adaptive mode"
    return Broken(f"{_CONFIG}.topP", says)


def _forced_tool(asked: Asked) -> Broken | None:
    calling = (asked.request.get("toolConfig") or {}).get("functionCallingConfig") or {}
    if asked.thinking is None or calling.get("mode") != "ANY":
        return None
    path = "request.toolConfig.functionCallingConfig.mode"
    return Broken(path, "Thinking may not be enabled when tool_choice forces tool use.")


def _output_limit(asked: Asked) -> Broken | None:
    limit, most = asked.config.get("maxOutputTokens"), facts_of(asked.model).max_output_tokens
    if not isinstance(limit, int) or limit <= most:
        return None
    says = (
        f"max_tokens: {limit} > {most}, which is the maximum allowed number of output tokens for "
        f"{canonical_model(asked.model)}"
    )
    return Broken(f"{_CONFIG}.maxOutputTokens", says)


def _budget(asked: Asked) -> Broken | None:
    if asked.thinking is None:
        return None
    budget, limit = asked.thinking.get("thinkingBudget", 0), asked.config.get("maxOutputTokens")
    path = f"{_CONFIG}.thinkingConfig.thinkingBudget"
    if not isinstance(budget, int) or budget < MIN_BUDGET:
        says = f"thinking.enabled.budget_tokens: Input should be greater than or equal to {MIN_BUDGET}"
        return Broken(path, says)
    if isinstance(limit, int) and limit <= budget:
        says = (
            "`max_tokens` must be greater than `thinking.budget_tokens`. Please consult our documentation at "
            f"{_EXTENDED}#max-tokens-and-context-window-size"
        )
        return Broken(path, says)
    return None


RULES: Final = (
    Rule(
        "claude-thinking-temperature",
        CLAUDE,
        "With thinking, Claude takes no temperature but 1; also where only the model's name says that it thinks.",
        ("MartialBE/one-hub#529", "danny-avila/LibreChat#11949"),
        "seen",
        _temperature,
    ),
    Rule(
        "claude-thinking-top-k",
        CLAUDE,
        "With thinking, Claude takes no `topK`; also where only the model's name says that it thinks.",
        ("Anthropic: extended thinking, feature compatibility",),
        "documented",
        _top_k,
    ),
    Rule(
        "claude-thinking-top-p",
        CLAUDE,
        "With thinking, Claude takes a `topP` from 0.95 to 1; also where only the model's name says that it thinks.",
        ("Anthropic: extended thinking, feature compatibility",),
        "documented",
        _top_p,
    ),
    Rule(
        "claude-thinking-forced-tool",
        CLAUDE,
        "A request that asks Claude to think forces no tool.",
        ("langchain-ai/langchain-google#1712", "usestrix/strix#503"),
        "seen",
        _forced_tool,
    ),
    Rule(
        "claude-output-limit",
        CLAUDE,
        "`maxOutputTokens` is at most the model's limit: 64,000 for Claude.",
        ("router-for-me/CLIProxyAPI#1535", "Anthropic: model limits"),
        "seen",
        _output_limit,
    ),
    Rule(
        "claude-thinking-budget",
        CLAUDE,
        "Claude's thinking budget is 1,024 at least and below `maxOutputTokens`.",
        ("Anthropic: extended thinking, budget tokens",),
        "documented",
        _budget,
    ),
)

__all__ = ["MIN_BUDGET", "RULES"]
