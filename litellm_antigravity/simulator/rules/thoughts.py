"""Rules for thoughts and signatures.

Where Claude goes on with a turn, after the results of its tools, the turn begins with a signed thought if it is to
think, and has none if it is not. A signature belongs to its family, and to its text. Gemini 3 wants the signatures of
the calls since the user's last words back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from litellm_antigravity.models import canonical_model
from litellm_antigravity.simulator.rules.rule import CLAUDE, GEMINI, Asked, Broken, Place, Rule, Turn, version_of
from litellm_antigravity.simulator.signatures import DUMMIES

_SIGNED_CALLS_FROM: Final = (3, 0)
_NOT_VALID: Final = (
    "Unable to submit request because Thought signature is not valid.. Learn more: "
    "https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/gemini"
)


def _claude_signatures(asked: Asked) -> Broken | None:
    for number, turn in enumerate(asked.turns):
        for place in turn.places:
            says = _claude_signature(asked, place, f"messages.{number}.content.{place.number}")
            if says is not None:
                return Broken(place.path, says)
    return None


def _claude_signature(asked: Asked, place: Place, at: str) -> str | None:
    signature = place.part.get("thoughtSignature")
    if place.part.get("thought"):
        if not signature:
            return f"{at}.thinking.signature: Field required"
        thought = str(place.part.get("text") or "")
        return (
            None
            if asked.given.holds("claude", signature, thought)
            else f"{at}: Invalid `signature` in `thinking` block"
        )
    if not signature or asked.given.holds("claude", signature):
        return None
    # The dummy is no thought's; on calls it comes from several gateways, and nobody reports a refusal.
    return None if "functionCall" in place.part and signature in DUMMIES else _NOT_VALID


def _gemini_signatures(asked: Asked) -> Broken | None:
    for turn in asked.turns:
        for place in turn.places:
            signature = place.part.get("thoughtSignature")
            if signature and signature not in DUMMIES and not asked.given.holds("gemini", signature):
                return Broken(f"{place.path}.thoughtSignature", "Corrupted thought signature.")
    return None


def _is_answer(content: Mapping[str, Any]) -> bool:
    return all("functionResponse" in part for part in content["parts"])


def _signed_calls(asked: Asked) -> Broken | None:
    if version_of(asked.model) < _SIGNED_CALLS_FROM:
        return None
    for index in range(len(asked.contents) - 1, -1, -1):
        content = asked.contents[index]
        if content["role"] == "user":
            if not _is_answer(content):
                return None
            continue
        first = next((part for part in content["parts"] if "functionCall" in part), None)
        if first is not None and not first.get("thoughtSignature"):
            says = (
                "Function call is missing a thought_signature in functionCall parts. This is required for tools to "
                "work correctly, and missing thought_signature may lead to degraded model performance. Additional "
                f"data, function call `default_api:{first['functionCall']['name']}` , position {index + 1}. Please "
                "refer to https://ai.google.dev/gemini-api/docs/thought-signatures for more details."
            )
            return Broken(f"request.contents[{index}].parts", says)
    return None


def _open_turn(asked: Asked) -> Iterator[tuple[int, Turn]]:
    """Yield the model's turns since the user's last words, newest first, with their numbers."""
    for number in range(len(asked.turns) - 1, -1, -1):
        turn = asked.turns[number]
        if turn.role == "model":
            yield number, turn
        elif not all("functionResponse" in place.part for place in turn.places):
            return


def _last_block(asked: Asked) -> Broken | None:
    for index, content in enumerate(asked.contents):
        if content["role"] == "model" and content["parts"][-1].get("thought"):
            says = f"messages.{index}: The final block in an assistant message cannot be `thinking`."
            return Broken(f"request.contents[{index}].parts", says)
    return None


def _beginning(asked: Asked) -> Broken | None:
    turns = list(_open_turn(asked)) if asked.thinking is not None else []
    if not turns:
        return None
    number, turn = turns[-1]
    first = turn.places[0]
    if first.part.get("thought"):
        return None
    found = "tool_use" if "functionCall" in first.part else "text"
    says = (
        f"messages.{number}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{found}`. When "
        "`thinking` is enabled, a final `assistant` message must start with a thinking block (preceeding the lastmost "
        "set of `tool_use` and `tool_result` blocks). We recommend you include thinking blocks from previous turns. To "
        "avoid this requirement, disable `thinking`. Please consult our documentation at "
        "https://docs.claude.com/en/docs/build-with-claude/extended-thinking"
    )
    return Broken(first.path, says)


def _none_when_off(asked: Asked) -> Broken | None:
    if asked.thinking is not None or "thinking" in canonical_model(asked.model):  # one that may think unasked
        return None
    for number, turn in _open_turn(asked):
        thought = next((place for place in turn.places if place.part.get("thought")), None)
        if thought is not None:
            says = (
                f"messages.{number}.content.{thought.number}: When thinking is disabled, an `assistant` message in the "
                "final position cannot contain `thinking`. To use thinking blocks, enable `thinking` in your request."
            )
            return Broken(thought.path, says)
    return None


RULES: Final = (
    Rule(
        "claude-signatures",
        CLAUDE,
        "Claude's thoughts are signed by Claude, for their very text; another family's, a cut or a re-coded signature "
        "is refused on thoughts, texts and calls.",
        (
            "lbjlaq/Antigravity-Manager#498",
            "router-for-me/CLIProxyAPI#570",
            "router-for-me/CLIProxyAPI#1535",
            "NoeFabris/opencode-antigravity-auth#368",
        ),
        "seen",
        _claude_signatures,
    ),
    Rule(
        "claude-last-block",
        CLAUDE,
        "No message of Claude's ends with a thought.",
        ("Anthropic: extended thinking",),
        "documented",
        _last_block,
    ),
    Rule(
        "claude-turn-begins-with-thought",
        CLAUDE,
        "A turn that Claude goes on with begins with a thought if it is to think.",
        ("lbjlaq/Antigravity-Manager#133", "lbjlaq/Antigravity-Manager#139"),
        "seen",
        _beginning,
    ),
    Rule(
        "claude-no-thought-when-off",
        CLAUDE,
        "A turn that Claude goes on with holds no thought if it is not to think.",
        ("Anthropic: extended thinking",),
        "documented",
        _none_when_off,
    ),
    Rule(
        "gemini-signatures",
        GEMINI,
        "A signature for Gemini is one of Gemini's and whole, or a published dummy.",
        (
            "lbjlaq/Antigravity-Manager#970",
            "router-for-me/CLIProxyAPI#3470",
            "google-gemini/gemini-cli#13467",
        ),
        "seen",
        _gemini_signatures,
    ),
    Rule(
        "gemini-3-signed-calls",
        GEMINI,
        "Since the user's last words, the first call of each of Gemini 3's messages is signed.",
        (
            "lbjlaq/Antigravity-Manager#2157",
            "lbjlaq/Antigravity-Manager#3229",
            "https://ai.google.dev/gemini-api/docs/thought-signatures",
        ),
        "seen",
        _signed_calls,
    ),
)

__all__ = ["RULES"]
