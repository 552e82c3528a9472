"""The simulator's rules, for tests that look at requests without sending them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from litellm_antigravity.simulator.rules import RULES, Asked, first_broken
from litellm_antigravity.simulator.rules import thoughts as thought_rules
from litellm_antigravity.simulator.signatures import GivenSignatures

THOUGHTS = frozenset(rule.name for rule in thought_rules.RULES) | {"claude-thinking-budget"}


class BrokenRuleError(Exception):
    """A request breaks a rule of upstream's."""

    def __init__(self, rule: str, field: str, message: str) -> None:
        super().__init__(f"{rule}: {message} ({field})")
        self.rule = rule
        self.field = field
        self.message = message


class AnySignature(GivenSignatures):
    """Takes any signature for one that the model gave: for requests whose signatures a test made up."""

    def holds(self, *_: Any, **__: Any) -> bool:
        """Return True."""
        return True


def given(model: str, *parts: Mapping[str, Any]) -> GivenSignatures:
    """Return the signatures of a reply."""
    signatures = GivenSignatures()
    signatures.add(model, parts)
    return signatures


def check_rules(
    model: str, request: Mapping[str, Any], signatures: GivenSignatures | None = None, *, only: Iterable[str] = RULES
) -> None:
    """Check a Gemini request.

    Args:
        model: that it is for.
        request: in a valid envelope.
        signatures: that the models gave before; any when absent.
        only: the rules to check.

    Raises:
        BrokenRuleError: for the first rule that it breaks.
    """
    asked = Asked(model, request, signatures or AnySignature())
    found = first_broken(asked, without=frozenset(RULES) - frozenset(only))
    if found is not None:
        rule, broken = found
        raise BrokenRuleError(rule.name, broken.field, broken.message)


def by_turns(*parts: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    """Return a Gemini request; the user begins, and then it is the model's turn and the user's in turn."""
    roles = ("user", "model")
    return {"contents": [{"role": roles[number % 2], "parts": list(said)} for number, said in enumerate(parts)], **more}
