"""What Anthropic checks of thoughts, behind upstream, for Claude models.

The words are Anthropic's own, as pasted in public issues, and so are the rules: where the model goes on with a turn,
after the results of its tools, the turn begins with a signed thought if it is to think and has none if it is not; a
signature belongs to its text; no message ends with a thought.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from litellm_antigravity.models import canonical_model
from litellm_antigravity.simulator.validation import InvalidRequestError

MIN_BUDGET: Final = 1024
_KEPT_SIGNATURES: Final = 20_000


def _is_claude(model: str) -> bool:
    return "claude" in canonical_model(model)


class GivenThoughts:
    """The signed thoughts that Claude models gave; safe for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._texts: OrderedDict[str, str] = OrderedDict()

    def add(self, model: str, parts: Sequence[Mapping[str, Any]]) -> None:
        """Take note of the thoughts of a model's reply; a signature is of all pieces before it."""
        if not _is_claude(model):
            return
        said = ""
        for part in parts:
            if not part.get("thought"):
                continue
            said += str(part.get("text") or "")
            if part.get("thoughtSignature"):
                with self._lock:
                    self._texts[part["thoughtSignature"]] = said
                    while len(self._texts) > _KEPT_SIGNATURES:
                        self._texts.popitem(last=False)
                said = ""

    def holds(self, part: Mapping[str, Any]) -> bool:
        """Return whether a thought is one that the model gave; any is while it has given none."""
        with self._lock:
            return not self._texts or self._texts.get(str(part["thoughtSignature"])) == part.get("text")


def check_thinking(model: str, request: Mapping[str, Any], given: GivenThoughts, at: str = "request") -> None:
    """Check a request for a Claude model; others have no such rules.

    Args:
        model: that it asks for.
        request: a valid Gemini request.
        given: the thoughts that the model gave.
        at: where it is in the body, for messages.

    Raises:
        InvalidRequestError: names the first thing that is wrong.
    """
    if not _is_claude(model):
        return
    contents = request["contents"]
    for number, content in enumerate(contents):
        _check_thoughts(content["parts"], given, f"{at}.contents[{number}].parts")
    config = request.get("generationConfig", {})
    budget = _budget(config)
    if budget is not None:
        _check_budget(budget, config.get("maxOutputTokens"), f"{at}.generationConfig")
        _check_beginning(contents, f"{at}.contents")
    elif "thinking" not in canonical_model(model):  # one that may think unasked
        _check_none(contents, f"{at}.contents")


def _budget(config: Mapping[str, Any]) -> Any:
    thinking = config.get("thinkingConfig", {})
    return thinking.get("thinkingBudget", 0) if thinking.get("includeThoughts") else None


def _check_budget(budget: Any, limit: Any, at: str) -> None:
    path = f"{at}.thinkingConfig.thinkingBudget"
    if not isinstance(budget, int) or budget < MIN_BUDGET:
        message = f"thinking.enabled.budget_tokens: Input should be greater than or equal to {MIN_BUDGET}"
        raise InvalidRequestError(path, message)
    if isinstance(limit, int) and limit <= budget:
        raise InvalidRequestError(path, "`max_tokens` must be greater than `thinking.budget_tokens`.")


def _check_thoughts(parts: Sequence[Mapping[str, Any]], given: GivenThoughts, at: str) -> None:
    for number, part in enumerate(parts):
        if not part.get("thought"):
            continue
        path = f"{at}[{number}]"
        if not part.get("thoughtSignature"):
            raise InvalidRequestError(path, "thinking.signature: Field required")
        if not given.holds(part):
            raise InvalidRequestError(path, "Invalid `signature` in `thinking` block")
    if parts[-1].get("thought"):
        raise InvalidRequestError(at, "The final block in an assistant message cannot be `thinking`.")


def _open_turn(contents: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the model's messages since the user's last words, newest first, with their numbers."""
    for number in range(len(contents) - 1, -1, -1):
        content = contents[number]
        if content["role"] == "model":
            yield number, content
        elif not all("functionResponse" in part for part in content["parts"]):
            return


def _check_beginning(contents: Sequence[Mapping[str, Any]], at: str) -> None:
    turn = list(_open_turn(contents))
    if not turn:
        return
    number, content = turn[-1]
    first = content["parts"][0]
    if not first.get("thought"):
        found = "tool_use" if "functionCall" in first else "text"
        message = (
            f"Expected `thinking` or `redacted_thinking`, but found `{found}`. When `thinking` is enabled, a final "
            "`assistant` message must start with a thinking block (preceeding the lastmost set of `tool_use` and "
            "`tool_result` blocks)."
        )
        raise InvalidRequestError(f"{at}[{number}].parts[0]", message)


def _check_none(contents: Sequence[Mapping[str, Any]], at: str) -> None:
    for number, content in _open_turn(contents):
        if any(part.get("thought") for part in content["parts"]):
            message = (
                "When thinking is disabled, an `assistant` message in the final position cannot contain `thinking`. "
                "To use thinking blocks, enable `thinking` in your request."
            )
            raise InvalidRequestError(f"{at}[{number}].parts", message)


__all__ = ["GivenThoughts", "check_thinking"]
