"""Parameters and tools that are right alone: what is sent together is what upstream takes together."""

from __future__ import annotations

import copy
import itertools
import logging
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from upstream_rules import check_rules

from litellm_antigravity.litellm.translation import to_gemini
from litellm_antigravity.litellm.translation.signatures import SignedThoughts
from litellm_antigravity.logs import not_told
from litellm_antigravity.simulator.validation import check_request

Json = dict[str, Any]

CLAUDE, BY_NAME, GPT_OSS = "claude-sonnet-4-6", "claude-opus-4-6-thinking", "gpt-oss-120b-medium"
GEMINI, OLD = "gemini-3-flash", "gemini-2.5-pro"
MODELS = [CLAUDE, BY_NAME, GPT_OSS, GEMINI, OLD]
HELLO = [{"role": "user", "content": "Hello"}]
THINKING = {"type": "enabled", "budget_tokens": 4000}


def body_of(model: str, **params: Any) -> Json:
    """Return what upstream gets; it has to take it."""
    before = copy.deepcopy(params)
    body = to_gemini(model, HELLO, params, thoughts=SignedThoughts())
    assert params == before
    check_request(body, "request")
    check_rules(model, body)
    return body


def config_of(model: str, **params: Any) -> Json:
    config: Json = body_of(model, **params).get("generationConfig", {})
    return config


def tool(name: str = "weather", **function: Any) -> Json:
    return {"type": "function", "function": {"name": name, **function}}


# Thinking and sampling

SAMPLING = [
    ({"temperature": 0}, {}),
    ({"temperature": 0.2}, {}),
    ({"temperature": 1}, {"temperature": 1}),
    ({"temperature": 1.0, "top_p": 0.95}, {"temperature": 1.0, "topP": 0.95}),
    ({"top_p": 0.5}, {}),
    ({"top_p": 0.99, "top_k": 40}, {"topP": 0.99}),
    ({"top_k": 1}, {}),
    ({"temperature": 0, "top_p": 0.1, "top_k": 5}, {}),
]


@pytest.mark.parametrize(("params", "kept"), SAMPLING, ids=[str(params) for params, _ in SAMPLING])
@pytest.mark.parametrize(
    "ask", [{"thinking": THINKING}, {"reasoning_effort": "low"}, {"thinking": {"type": "adaptive"}}]
)
def test_thinking_wins_over_sampling(params: Json, kept: Json, ask: Json) -> None:
    """Before, both were sent: "`temperature` may only be set to 1 when thinking is enabled"."""
    for model in (CLAUDE, BY_NAME):
        config = config_of(model, **params, **ask)
        assert config.pop("thinkingConfig")["includeThoughts"] is True
        config.pop("maxOutputTokens")
        assert config == kept


@pytest.mark.parametrize(("params", "kept"), SAMPLING, ids=[str(params) for params, _ in SAMPLING])
def test_so_it_does_where_only_the_models_name_says_that_it_thinks(params: Json, kept: Json) -> None:
    assert config_of(BY_NAME, **params) == kept


@pytest.mark.parametrize("model", [CLAUDE, GPT_OSS, OLD])
def test_without_thinking_sampling_is_the_callers(model: str) -> None:
    config = config_of(model, temperature=0.2, top_p=0.5, top_k=3)
    assert config == {"temperature": 0.2, "topP": 0.5, "topK": 3}


def test_other_makers_models_think_and_sample() -> None:
    for model in (GPT_OSS, OLD):
        config = config_of(model, temperature=0.2, top_p=0.5, thinking=THINKING)
        assert {"temperature", "topP", "thinkingConfig"} <= config.keys()


def test_what_is_left_out_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "litellm_antigravity"):
        body_of(CLAUDE, temperature=0, top_k=3, thinking=THINKING)
    (line,) = [one.message for one in caplog.records if "left out" in one.message]
    assert "temperature" in line
    assert "topK" in line


# Forced tools

ONE = {"type": "function", "function": {"name": "weather"}}


@pytest.mark.parametrize("choice", ["required", ONE], ids=["any", "one"])
@pytest.mark.parametrize("ask", [{"thinking": THINKING}, {"reasoning_effort": "high"}, {}])
def test_a_forced_tool_wins_over_thinking(choice: Any, ask: Json) -> None:
    """Before, both were sent: "Thinking may not be enabled when tool_choice forces tool use."."""
    for model in (CLAUDE, BY_NAME):
        body = body_of(model, tools=[tool()], tool_choice=choice, **ask)
        assert body["toolConfig"]["functionCallingConfig"]["mode"] == "ANY"
        assert "thinkingConfig" not in body.get("generationConfig", {})


@pytest.mark.parametrize("choice", ["auto", "none"])
def test_a_choice_that_forces_nothing_lets_the_model_think(choice: str) -> None:
    assert "thinkingConfig" in config_of(CLAUDE, tools=[tool()], tool_choice=choice, thinking=THINKING)


def test_without_thinking_a_forced_tool_leaves_the_sampling_alone() -> None:
    config = config_of(
        CLAUDE, tools=[tool()], tool_choice="required", thinking=THINKING, temperature=0.2, max_tokens=99
    )
    assert config == {"temperature": 0.2, "maxOutputTokens": 99}


# Limits


@pytest.mark.parametrize(
    ("model", "most"), [(CLAUDE, 64_000), (BY_NAME, 64_000), (GPT_OSS, 32_768), (GEMINI, 65_536), (OLD, 65_536)]
)
def test_no_output_limit_is_above_the_models(model: str, most: int) -> None:
    """Before, 128,000 went upstream, which refuses it."""
    for given_limit in (128_000, most + 1, most, 100):
        for name in ("max_tokens", "max_completion_tokens"):
            assert config_of(model, **{name: given_limit})["maxOutputTokens"] == min(given_limit, most)


@pytest.mark.parametrize("limit", [1, 500, 1024])
@pytest.mark.parametrize("ask", [{"thinking": THINKING}, {"reasoning_effort": "high"}])
def test_a_limit_too_low_to_think_wins_over_thinking(limit: int, ask: Json) -> None:
    """Before, the limit was raised above the budget, at the caller's expense."""
    assert config_of(CLAUDE, max_tokens=limit, temperature=0.3, **ask) == {"maxOutputTokens": limit, "temperature": 0.3}


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(MODELS),
    st.fixed_dictionaries(
        {},
        optional={
            "temperature": st.sampled_from([0, 0.2, 1, 1.0]),
            "top_p": st.sampled_from([0.1, 0.94, 0.95, 1]),
            "top_k": st.integers(1, 64),
            "max_tokens": st.integers(1, 200_000),
            "thinking": st.one_of(
                st.integers(-1, 200_000).map(lambda budget: {"type": "enabled", "budget_tokens": budget}),
                st.just({"type": "adaptive"}),
                st.just({"type": "disabled"}),
            ),
            "tool_choice": st.sampled_from(["auto", "none", "required", ONE]),
            "tools": st.just([tool()]),
            "stop": st.just("END"),
        },
    ),
)
def test_upstream_takes_any_parameters_together(model: str, params: Json) -> None:
    config = config_of(model, **params)
    if "max_tokens" in params:
        assert config["maxOutputTokens"] <= params["max_tokens"]


def test_a_gemini_model_gets_a_level_or_a_budget_but_not_both() -> None:
    both = {"includeThoughts": True, "thinkingLevel": "low", "thinkingBudget": 99_999}
    assert config_of(GEMINI, thinkingConfig=both)["thinkingConfig"] == {"includeThoughts": True, "thinkingLevel": "low"}
    assert config_of(OLD, thinkingConfig=both)["thinkingConfig"] == {"includeThoughts": True, "thinkingBudget": 32_768}


# Tools


@pytest.mark.parametrize("parameters", [None, {}, "", "absent"], ids=["null", "empty", "blank", "absent"])
def test_every_tool_of_claudes_has_a_schema(parameters: Any) -> None:
    """Before, a tool without parameters had none: "input_schema: Field required"."""
    more = {} if parameters == "absent" else {"parameters": parameters}
    for model, name in itertools.product((CLAUDE, BY_NAME, GPT_OSS), ("tools", "functions")):
        given_tool = tool(**more) if name == "tools" else tool(**more)["function"]
        (declared,) = body_of(model, **{name: [given_tool]})["tools"][0]["functionDeclarations"]
        assert declared["parameters"]["type"] == "object"


def test_a_tool_in_anthropics_form_keeps_its_schema() -> None:
    schema = {"type": "object", "properties": {"place": {"type": "string"}}}
    for model in MODELS:
        given_tool = {"name": "weather", "description": "Where.", "input_schema": schema}
        (declared,) = body_of(model, tools=[given_tool])["tools"][0]["functionDeclarations"]
        assert declared == {"name": "weather", "description": "Where.", "parameters": schema}


@pytest.mark.parametrize("model", MODELS)
def test_of_a_tool_that_is_declared_twice_the_last_one_is_taken(model: str, caplog: pytest.LogCaptureFixture) -> None:
    """Before, both were sent: "Tool names must be unique."."""
    tools = [tool(description="old"), tool("clock"), tool(description="new"), tool("clock", description="late")]
    with caplog.at_level(logging.WARNING, "litellm_antigravity"):
        body = body_of(model, tools=tools, functions=[{"name": "clock", "description": "last"}])
    declared = [one for part in body["tools"] for one in part["functionDeclarations"]]
    assert {one["name"]: one.get("description") for one in declared} == {"weather": "new", "clock": "last"}
    (warning,) = [one.message for one in caplog.records if one.levelno == logging.WARNING]
    assert "weather" in warning
    assert "clock" in warning


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "names",
    [
        ["calendar.respondToEvent", "calendar_respondToEvent", "calendar:respondToEvent"],
        ["github:create_issue", "github/create_issue", "github create_issue"],
        ["x" * 64, "x" * 65, "x" * 66],
        ["9lives", "_9lives"],
    ],
)
def test_tools_whose_names_would_fall_together_stay_apart(model: str, names: list[str]) -> None:
    """Before, dots and colons went to Claude: "String should match pattern"."""
    tools = [tool(name, description=name) for name in names]
    declared = body_of(model, tools=tools)["tools"][0]["functionDeclarations"]
    assert len({one["name"] for one in declared}) == len(names)
    assert [one["description"] for one in declared] == names


@pytest.mark.parametrize("model", MODELS)
def test_a_custom_tool_of_openais_is_a_function_of_one_text(model: str, caplog: pytest.LogCaptureFixture) -> None:
    """Before, Claude's were left out, with a warning that called them Google's."""
    custom = {"name": "sql", "description": "Runs SQL.", "format": {"type": "text"}}
    with caplog.at_level(logging.WARNING, "litellm_antigravity"):
        body = body_of(model, tools=[{"type": "custom", "custom": custom}, tool("clock")])
    assert not caplog.records
    declared, other = body["tools"][0]["functionDeclarations"]
    assert (declared["name"], declared["description"], other["name"]) == ("sql", "Runs SQL.", "clock")
    assert list(declared["parameters"]["properties"]) == declared["parameters"]["required"] == ["input"]


GOOGLES: list[tuple[str, Json]] = [
    ("web_search_options", {"web_search_options": {"search_context_size": "low"}}),
    ("web_search", {"tools": [{"type": "web_search"}]}),
    ("web_search_20250305", {"tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 5}]}),
    ("googleSearch", {"tools": [{"googleSearch": {}}]}),
    ("codeExecution", {"tools": [{"codeExecution": {}}]}),
    ("urlContext", {"tools": [{"urlContext": {}}]}),
]


@pytest.mark.parametrize("model", [CLAUDE, BY_NAME, GPT_OSS])
@pytest.mark.parametrize("params", [params for _, params in GOOGLES], ids=[name for name, _ in GOOGLES])
def test_googles_own_tools_are_left_out_for_other_makers_models(
    params: Json, model: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Before, ``googleSearch`` went to Claude."""
    with_function = {**params, "tools": [*params.get("tools", []), tool()]}
    with caplog.at_level(logging.WARNING, "litellm_antigravity"):
        assert "tools" not in body_of(model, tool_choice="auto", **params)
        assert len(caplog.records) == 1
        (left,) = body_of(model, **with_function)["tools"]
    assert [one["name"] for one in left["functionDeclarations"]] == ["weather"]
    assert len(caplog.records) == 1


@pytest.mark.parametrize("twice", [False, True], ids=["googles", "twice"])
def test_a_warning_about_tools_is_given_once_for_each_name(caplog: pytest.LogCaptureFixture, *, twice: bool) -> None:
    """Before, it came with each request: agents send the same tools every time."""
    one, other = (tool("clock"), tool("place")) if twice else ({"type": "web_search"}, {"codeExecution": {}})
    requests = [[one, one], [one, one], [other, one, one, other], [other, other, one]]
    with caplog.at_level(logging.WARNING, "litellm_antigravity"):
        for tools in requests:
            body_of(CLAUDE, tools=copy.deepcopy(tools))
    first, second = (record.message for record in caplog.records)
    names = ("clock", "place") if twice else ("web_search", "codeExecution")
    assert names[0] in first
    assert names[1] in second
    assert names[0] not in second


def test_names_without_end_are_not_remembered(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "litellm_antigravity"):
        for number in range(1200):
            not_told("twice", [f"tool {number}"])
        body_of(CLAUDE, tools=[tool(), tool()])
    assert not caplog.records


@pytest.mark.parametrize("params", [params for _, params in GOOGLES[:4]], ids=[name for name, _ in GOOGLES[:4]])
def test_gemini_searches(params: Json) -> None:
    assert body_of(GEMINI, **params)["tools"] == [{"googleSearch": {}}]
