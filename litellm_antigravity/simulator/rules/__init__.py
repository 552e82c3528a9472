"""What upstream refuses although the envelope is in order: a module per group of rules, and the table of them all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from litellm_antigravity.simulator.rules import parameters, thoughts, tools, turns
from litellm_antigravity.simulator.rules.rule import Asked, Broken, Rule

RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {rule.name: rule for rule in (*tools.RULES, *turns.RULES, *parameters.RULES, *thoughts.RULES)}
)
"""All rules by name, in the order in which they are checked."""


def known_rules(names: Iterable[str]) -> frozenset[str]:
    """Return the names of rules.

    Raises:
        ValueError: when there is no rule of one of these names.
    """
    chosen = frozenset(names)
    unknown = sorted(chosen - RULES.keys())
    if unknown:
        msg = f"no such rule: {unknown[0]!r}; there are {', '.join(sorted(RULES))}"
        raise ValueError(msg)
    return chosen


def first_broken(asked: Asked, *, without: frozenset[str] = frozenset()) -> tuple[Rule, Broken] | None:
    """Return the first rule that a request breaks, and how; ``None`` when it breaks none.

    Args:
        asked: the request.
        without: names of rules that are switched off.
    """
    for rule in RULES.values():
        if asked.maker in rule.makers and rule.name not in without:
            broken = rule.check(asked)
            if broken is not None:
                return rule, broken
    return None


__all__ = ["RULES", "Asked", "Broken", "Rule", "first_broken", "known_rules"]
