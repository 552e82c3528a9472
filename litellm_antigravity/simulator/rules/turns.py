"""Rules for the order of a conversation: calls, their results, and who has the last word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from litellm_antigravity.simulator.rules.rule import ALL, CLAUDE, GEMINI, Asked, Broken, Place, Rule, Turn, version_of

_NO_PREFILL: Final = (4, 6)  # Claude's versions from here on

_EACH_CALL: Final = "Each `tool_use` block must have a corresponding `tool_result` block in the next message."
_EACH_RESULT: Final = "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
_COUNT: Final = (
    "Please ensure that the number of function response parts is equal to the number of function call parts of the "
    "function call turn."
)
_RESPONSE_TURN: Final = "Please ensure that function response turn comes immediately after a function call turn."
_CALL_TURN: Final = (
    "Please ensure that function call turn comes immediately after a user turn or after a function response turn."
)


def _first_results(turn: Turn | None) -> list[Place]:
    """Return the results that a turn begins with."""
    found: list[Place] = []
    for place in () if turn is None else turn.places:
        if "functionResponse" not in place.part:
            break
        found.append(place)
    return found


def _open_calls(calls: Sequence[Place], results: Sequence[Place]) -> tuple[list[Place], list[Place]]:
    """Return the calls without a result and the results without a call; both by id where both have one."""
    left = list(calls)
    orphans = []
    for result in results:
        said = result.part["functionResponse"]
        match = next((call for call in left if _belongs(said, call.part["functionCall"])), None)
        if match is None:
            orphans.append(result)
        else:
            left.remove(match)
    return left, orphans


def _belongs(result: Mapping[str, Any], call: Mapping[str, Any]) -> bool:
    if result.get("id") and call.get("id"):
        return bool(result["id"] == call["id"])
    return bool(result["name"] == call["name"])


def _answered(asked: Asked) -> Broken | None:
    turns = asked.turns
    for number, turn in enumerate(turns):
        calls = turn.of("functionCall")
        if turn.role != "model" or not calls:
            continue
        following = turns[number + 1] if number + 1 < len(turns) else None
        results = _first_results(following)
        left, _ = _open_calls(calls, results)
        if asked.maker == "claude":
            if left:
                ids = ", ".join(str(call.part["functionCall"].get("id", "")) for call in left)
                says = f"`tool_use` ids were found without `tool_result` blocks immediately after: {ids}. {_EACH_CALL}"
                return Broken(left[0].path, f"messages.{number}: {says}")
        elif len(results) != len(calls):
            return Broken(turn.path, _COUNT)
    return None


def _results(asked: Asked) -> Broken | None:
    turns = asked.turns
    for number, turn in enumerate(turns):
        results = turn.of("functionResponse")
        if not results:
            continue
        if turn.role != "user":
            says = f"messages.{number}: `tool_result` blocks can only be in `user` messages"
            return Broken(results[0].path, says if asked.maker == "claude" else _RESPONSE_TURN)
        calls = turns[number - 1].of("functionCall") if number else []
        _, orphans = _open_calls(calls, results)
        if orphans:
            place = orphans[0]
            if asked.maker != "claude":
                return Broken(f"{place.path}.functionResponse", _RESPONSE_TURN)
            call_id = place.part["functionResponse"].get("id", "")
            says = f"unexpected `tool_use_id` found in `tool_result` blocks: {call_id}. {_EACH_RESULT}"
            return Broken(f"{place.path}.functionResponse", f"messages.{number}.content.{place.number}: {says}")
    return None


def _call_ids_unique(asked: Asked) -> Broken | None:
    ids: Counter[str] = Counter()
    for number, turn in enumerate(asked.turns):
        for place in turn.of("functionCall"):
            call_id = place.part["functionCall"].get("id")
            if call_id:
                ids[call_id] += 1
                if ids[call_id] > 1:
                    says = f"messages.{number}.content.{place.number}: `tool_use` ids must be unique"
                    return Broken(f"{place.path}.functionCall.id", says)
    return None


def _call_turn(asked: Asked) -> Broken | None:
    for index, content in enumerate(asked.contents):
        calls = any("functionCall" in part for part in content["parts"])
        if calls and (content["role"] != "model" or asked.contents[index - 1]["role"] != "user"):
            return Broken(f"request.contents[{index}]", _CALL_TURN)
    return None


def _prefill(asked: Asked) -> Broken | None:
    if version_of(asked.model) < _NO_PREFILL or asked.turns[-1].role == "user":
        return None
    says = "This model does not support assistant message prefill. The conversation must end with a user message."
    return Broken(asked.turns[-1].path, says)


def _not_blank(asked: Asked) -> Broken | None:
    for number, turn in enumerate(asked.turns):
        for place in turn.of("text"):
            if not place.part.get("thought") and not place.part["text"].strip():
                if place.part["text"]:
                    return Broken(place.path, "messages: text content blocks must contain non-whitespace text")
                return Broken(place.path, f"messages.{number}.content.{place.number}.text.text: Field required")
    return None


RULES: Final = (
    Rule(
        "calls-answered",
        ALL,
        "Every function call is answered in the next turn, before any other words.",
        (
            "router-for-me/CLIProxyAPI#989",
            "lbjlaq/Antigravity-Manager#1476",
            "google-gemini/gemini-cli#5443",
            "google-gemini/gemini-cli#16415",
        ),
        "seen",
        _answered,
    ),
    Rule(
        "results-have-calls",
        ALL,
        "Every result belongs to a call of the turn before it.",
        (
            "liuw1535/antigravity2api-nodejs#52",
            "lbjlaq/Antigravity-Manager#522",
            "google-gemini/gemini-cli#16510",
        ),
        "seen",
        _results,
    ),
    Rule(
        "claude-call-ids-unique",
        CLAUDE,
        "No two calls in Claude's history have one id.",
        ("Anthropic: `tool_use` ids must be unique",),
        "likely",
        _call_ids_unique,
    ),
    Rule(
        "gemini-call-turn",
        GEMINI,
        "A message with calls is the model's, and comes right after one of the user's.",
        ("google-gemini/gemini-cli#26956", "google-gemini/gemini-cli#27170"),
        "seen",
        _call_turn,
    ),
    Rule(
        "claude-last-turn",
        CLAUDE,
        "A conversation with Claude 4.6 or newer ends with the user.",
        ("googlecodelabs/feedback#1807",),
        "seen",
        _prefill,
    ),
    Rule(
        "claude-blank-text",
        CLAUDE,
        "No text for Claude is blank.",
        ("su-kaka/gcli2api#288",),
        "seen",
        _not_blank,
    ),
)

__all__ = ["RULES"]
