"""The table of `test_parity.py` for Claude and GPT-OSS models, against what is stated here.

Upstream serves them in Gemini's shape, so what arrives is what arrives for Gemini models, contents as for a newer one
and all else as for an older one, but:

1. No made-up signatures, none of texts, no media resolution, and no temperature unless the caller says one.
2. Blank texts and what has nothing else are left out; a conversation that does not begin with the user begins with
   "Please continue.".
3. Thoughts without a signature are left out. A signature in a call's id is another model's, and LiteLLM takes it out.
4. Thinking is a budget of 1,024 tokens or more, or none; the output limit is above it. A budget says more than a level.
5. Tool calls and their results have the history's ids, but none twice; each call has one, and is answered.
6. The user has the last word, and Google's own tools are left out. Tools have names in Claude's alphabet, and a schema.

What comes back is what comes back from Gemini models.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from parity import Outcome, ask, comparable
from parity_cases import CASES, MESSAGES
from parity_requests import NEW, OLD, Body, Case
from serving import settings_of

import litellm_antigravity
from litellm_antigravity.litellm.translation.parameters import ADAPTIVE_BUDGET, ANSWER_TOKENS, MIN_THINKING_BUDGET
from litellm_antigravity.simulator import Simulator

CLAUDE, GPT_OSS = "claude-sonnet-4-6", "gpt-oss-120b-medium"
CONTINUE = {"role": "user", "parts": [{"text": "Please continue."}]}
BUDGETS = {"thinking and reasoning_effort": 2000, "thinking adaptive": ADAPTIVE_BUDGET}  # Gemini's differ


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with Simulator(2, models=(NEW, OLD)) as simulator:
        folder: Path = tmp_path_factory.mktemp("parity-claude")
        litellm_antigravity.register(settings_of(simulator, folder, account_selection_strategy="sticky"))
        yield simulator


def served(simulator: Simulator, case: Case, model: str, *, stream: bool = False) -> Outcome:
    same = Case(case.name, case.params, case.reply, model)
    return ask(simulator, same, stream=stream, provider="antigravity")


def expected(case: Case, newer: Body, older: Body) -> Body:
    """Return what is to arrive, made of what arrives for two Gemini models."""
    body = {**older, "contents": contents(newer["contents"])}
    if "systemInstruction" in body:
        parts = without_blanks(body["systemInstruction"]["parts"])
        body.pop("systemInstruction")
        body |= {"systemInstruction": {"parts": parts}} if parts else {}
    body = with_claudes_tools(body)
    settings = config(case, dict(older.get("generationConfig", {})))
    body.pop("generationConfig", None)
    return body | ({"generationConfig": settings} if settings else {})


def without_blanks(parts: list[Any]) -> list[Any]:
    return [part for part in parts if part.get("text", "said").strip()]


def contents(given: list[Any]) -> list[Any]:
    """Return what a Claude model gets of the contents: no signature of a text or a call, which are Gemini's."""
    kept = []
    for content in given:
        parts = [part for part in without_blanks(content["parts"]) if not part.get("thought")]
        for part in parts:
            part.pop("mediaResolution", None)
            part.pop("thoughtSignature", None)
        kept += [{**content, "parts": parts}] if parts else []
    kept = kept if kept and kept[0]["role"] == "user" else [CONTINUE, *kept]
    return with_own_ids(kept if kept[-1]["role"] == "user" else [*kept, CONTINUE])


def with_own_ids(given: list[Any]) -> list[Any]:
    """Return contents in which the second call of one id has another one, and its result the same."""
    if (
        sum("functionCall" in part and part["functionCall"].get("id") == "1" for one in given for part in one["parts"])
        < 2
    ):
        return given
    again = json.loads(json.dumps(given[3:]).replace('"id": "1"', '"id": "1_2"'))
    return [*given[:3], *again]


def with_claudes_tools(body: Body) -> Body:
    tools = [tool for tool in body.get("tools", ()) if "functionDeclarations" in tool]
    for one in (one for tool in tools for one in tool["functionDeclarations"]):
        one["name"] = re.sub("[.:]", "_", one["name"])
        one.setdefault("parameters", {"type": "object", "properties": {}})
    kept = {name: value for name, value in body.items() if name != "tools"}
    return kept | ({"tools": tools} if tools else {})


def config(case: Case, settings: dict[str, Any]) -> dict[str, Any]:
    thinking = settings.pop("thinkingConfig", {})
    settings.pop("mediaResolution", None)
    stated = BUDGETS.get(case.name.partition(" on ")[0])
    budget = stated or thinking.get("thinkingBudget", ADAPTIVE_BUDGET)
    if not stated and (not thinking.get("includeThoughts") or not budget):
        return settings
    budget = max(budget, MIN_THINKING_BUDGET)
    limit = settings.get("maxOutputTokens")
    if limit is None:
        settings["maxOutputTokens"] = budget + ANSWER_TOKENS
    elif limit <= budget:
        settings["maxOutputTokens"] = budget + limit
    return settings | {"thinkingConfig": {"includeThoughts": True, "thinkingBudget": budget}}


def ids(body: Body, name: str) -> list[Any]:
    parts = [part for content in body["contents"] for part in content["parts"]]
    return [part[name].get("id") for part in parts if name in part]


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_the_stated_request_arrives(simulator: Simulator, case: Case) -> None:
    older, claude = (served(simulator, case, model) for model in (OLD, CLAUDE))
    both = {"thinking", "reasoning_effort"} <= case.params.keys()  # which newer models do not take
    params = {name: value for name, value in case.params.items() if name != "thinking" or not both}
    newer = served(simulator, Case(case.name, params, case.reply), NEW)
    assert claude.body == expected(case, newer.body, older.body)
    assert comparable(claude.answer) == comparable(newer.answer)
    messages = case.params.get("messages", MESSAGES)
    given = [one["id"].partition("__thought__")[0] for said in messages for one in said.get("tool_calls") or ()]
    calls = ids(claude.body, "functionCall")
    assert len(set(calls)) == len(calls)
    assert set(given) <= set(calls)
    assert sorted(ids(claude.body, "functionResponse")) == sorted(calls)
    if "pdf" not in str(case.params):  # LiteLLM 1.110 refuses them for a model that says it takes none
        body = served(simulator, case, GPT_OSS).body
        if body["contents"][-1]["role"] == "model":  # nothing says that GPT-OSS refuses to go on
            body["contents"].append(CONTINUE)
        assert body == claude.body


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES if case.name.startswith("reply:")])
def test_a_stream_brings_what_a_gemini_models_brings(simulator: Simulator, case: Case) -> None:
    claude, newer = (served(simulator, case, model, stream=True) for model in (CLAUDE, NEW))
    assert comparable(claude.answer) == comparable(newer.answer)
