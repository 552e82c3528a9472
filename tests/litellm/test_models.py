"""The models: what LiteLLM is told of them, what they cost, and what upstream tells of them now."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import litellm
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from serving import MESSAGES, MODEL, settings_of
from support import NOW, run_python

import litellm_antigravity
from litellm_antigravity import SettingsError
from litellm_antigravity.catalog import AvailableModel, models_in
from litellm_antigravity.cli import cli
from litellm_antigravity.litellm import model_info
from litellm_antigravity.models import BUILT_IN_MODELS, facts_of
from litellm_antigravity.settings.costs import ModelCosts, model_costs
from litellm_antigravity.simulator import ModelReply, Simulator

NAME = "claude-sonnet-4-6"
PRICES = {
    "input_cost_per_token": 3e-6,
    "output_cost_per_token": 15e-6,
    "output_cost_per_reasoning_token": 20e-6,
    "cache_read_input_token_cost": 0.3e-6,
}
USAGE = {
    "promptTokenCount": 1000,
    "cachedContentTokenCount": 600,
    "candidatesTokenCount": 50,
    "thoughtsTokenCount": 200,
    "totalTokenCount": 1250,
}
WORTH = 400 * 3e-6 + 600 * 0.3e-6 + 50 * 15e-6 + 200 * 20e-6


@pytest.fixture(autouse=True)
def _free_again() -> Iterator[None]:
    """Leave no table to the next test."""
    yield
    model_info.register_models({})


@pytest.fixture
def simulator(antigravity_simulator: Simulator) -> Simulator:
    return antigravity_simulator


# What LiteLLM is told


@pytest.mark.parametrize("name", BUILT_IN_MODELS)
def test_every_built_in_model_has_limits_and_costs_nothing(name: str, simulator: Simulator, tmp_path: Path) -> None:
    litellm_antigravity.register(settings_of(simulator, tmp_path))
    info = litellm.get_model_info(f"antigravity/{name}")
    assert info["litellm_provider"] == "antigravity"
    assert info["mode"] == "chat"
    assert info["max_input_tokens"] == facts_of(name).max_input_tokens
    assert info["max_output_tokens"] == info["max_tokens"] == facts_of(name).max_output_tokens
    assert info["input_cost_per_token"] == info["output_cost_per_token"] == 0.0


@pytest.mark.parametrize(
    ("name", "vision", "tools", "reasoning", "schema"),
    [
        ("claude-opus-4-6-thinking", True, True, True, True),
        ("gemini-3.8-flash", True, True, True, True),
        ("gemini-3.1-flash-image", True, False, False, False),
        ("gpt-oss-120b-medium", False, True, True, False),
    ],
)
def test_litellm_knows_what_a_model_supports(
    name: str, vision: bool, tools: bool, reasoning: bool, schema: bool, simulator: Simulator, tmp_path: Path
) -> None:
    litellm_antigravity.register(settings_of(simulator, tmp_path))
    model = f"antigravity/{name}"
    assert litellm.supports_vision(model) is vision
    assert litellm.supports_function_calling(model) is tools
    assert litellm.supports_reasoning(model) is reasoning
    assert litellm.supports_response_schema(model, None) is schema


def test_the_models_are_known_before_anything_is_registered_and_nothing_is_printed() -> None:
    # In a process of its own: the proxy imports the handler and never calls `register`.
    code = """
    import contextlib, io, logging, time
    from support import answer
    import litellm
    heard = io.StringIO()
    logging.getLogger().addHandler(logging.StreamHandler(heard))
    others = {key: dict(value) for key, value in litellm.model_cost.items()}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        from litellm_antigravity import handler
        info = litellm.get_model_info("antigravity/claude-sonnet-4-6")
    changed = [key for key, value in others.items() if litellm.model_cost.get(key) != value]
    answer([info["input_cost_per_token"], printed.getvalue(), heard.getvalue(), changed])
    """
    assert run_python(code, env={"LITELLM_LOCAL_MODEL_COST_MAP": "True"}) == [0.0, "", "", []]


def test_registering_again_tells_litellm_nothing_twice(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(simulator, tmp_path, model_costs={NAME: PRICES})
    litellm_antigravity.register(settings)
    told: list[Any] = []
    with monkeypatch.context() as patched:  # LiteLLM is to be told again when the table goes
        patched.setattr(litellm, "register_model", told.append)
        litellm_antigravity.register(settings)
    assert told == []


def test_what_the_user_has_told_litellm_of_a_model_stays(simulator: Simulator, tmp_path: Path) -> None:
    settings = settings_of(simulator, tmp_path)
    litellm_antigravity.register(settings)
    model = "antigravity/gemini-3-flash"
    before = copy.deepcopy(litellm.model_cost[model])
    try:
        litellm.register_model({model: {**before, "max_input_tokens": 1234, "input_cost_per_token": 1.0}})
        litellm_antigravity.register(settings)
        info = litellm.get_model_info(model)
        assert (info["max_input_tokens"], info["input_cost_per_token"]) == (1234, 1.0)
    finally:
        litellm.register_model({model: before})


def test_an_unknown_model_has_what_its_relatives_have_in_common() -> None:
    assert facts_of("antigravity/Claude-Opus-9") == facts_of(NAME)
    assert facts_of("gemini-9-ultra") == facts_of("gemini-3-flash")
    assert facts_of("gemini-9-image") == facts_of("gemini-3.1-flash-image")
    assert facts_of("gpt-oss-20b") == facts_of("gpt-oss-120b-medium")


# Costs


class _Costs(litellm.integrations.custom_logger.CustomLogger):  # type: ignore[misc]  # LiteLLM's types are not followed
    """What LiteLLM says that our calls have cost; it may be telling of other tests' calls still."""

    MARK: ClassVar = {"test": "costs"}

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    async def async_log_success_event(self, kwargs: Any, **_: Any) -> None:
        if (kwargs["litellm_params"].get("metadata") or {}).items() >= self.MARK.items():
            self.seen.append(kwargs.get("response_cost"))


def cost_of(*, stream: bool, is_async: bool, model: str = MODEL) -> float:
    """Make a call and return its price as `litellm.completion_cost` has it for what the caller gets."""
    call: dict[str, Any] = {"model": model, "messages": MESSAGES, "stream": stream}
    if stream:
        call["stream_options"] = {"include_usage": True}

    async def run() -> Any:
        reply = await litellm.acompletion(**call)
        return [chunk async for chunk in reply] if stream else reply

    if is_async:
        reply = asyncio.run(run())
    else:
        reply = litellm.completion(**call)
        reply = list(reply) if stream else reply
    if stream:
        reply = litellm.stream_chunk_builder(reply, messages=MESSAGES)
    else:
        assert reply._hidden_params["response_cost"] == pytest.approx(litellm.completion_cost(reply))
    return float(litellm.completion_cost(reply, model=model))


every_form = pytest.mark.parametrize(
    ("stream", "is_async"),
    [
        pytest.param(stream, is_async, id=f"{'async' if is_async else 'sync'}-{'stream' if stream else 'whole'}")
        for stream in (False, True)
        for is_async in (False, True)
    ],
)


@every_form
def test_a_call_costs_nothing_without_a_table(
    stream: bool, is_async: bool, simulator: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    litellm_antigravity.register(settings_of(simulator, tmp_path))
    with caplog.at_level(logging.WARNING):
        assert cost_of(stream=stream, is_async=is_async) == 0.0
    # LiteLLM's logging worker says when a test's event loop ends with something left to log.
    assert [line for line in caplog.messages if not line.startswith("LoggingWorker")] == []


@every_form
def test_a_call_costs_what_the_table_says_with_cached_and_reasoning_tokens(
    stream: bool, is_async: bool, simulator: Simulator, tmp_path: Path
) -> None:
    litellm_antigravity.register(settings_of(simulator, tmp_path, model_costs={NAME: PRICES}))
    simulator.reply_with(ModelReply([{"text": "Hm.", "thought": True}, {"text": "Yes."}], usage=USAGE))
    assert cost_of(stream=stream, is_async=is_async) == pytest.approx(WORTH)


def test_without_prices_of_their_own_cached_tokens_cost_what_others_do_and_reasoning_what_the_answer_does(
    simulator: Simulator, tmp_path: Path
) -> None:
    plain = {key: PRICES[key] for key in ("input_cost_per_token", "output_cost_per_token")}
    litellm_antigravity.register(settings_of(simulator, tmp_path, model_costs={f"antigravity/{NAME.upper()}": plain}))
    simulator.reply_with(ModelReply([{"text": "Hm.", "thought": True}, {"text": "Yes."}], usage=USAGE))
    assert cost_of(stream=False, is_async=False) == pytest.approx(1000 * 3e-6 + 250 * 15e-6)


def test_callbacks_are_told_the_cost(simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    litellm_antigravity.register(settings_of(simulator, tmp_path, model_costs={NAME: PRICES}))
    simulator.reply_with(ModelReply([{"text": "Hm.", "thought": True}, {"text": "Yes."}], usage=USAGE))
    costs = _Costs()
    monkeypatch.setattr(litellm, "callbacks", [costs])

    async def run() -> None:
        await litellm.acompletion(model=MODEL, messages=MESSAGES, metadata=_Costs.MARK)
        stream = await litellm.acompletion(model=MODEL, messages=MESSAGES, metadata=_Costs.MARK, stream=True)
        async for _ in stream:
            pass
        for _ in range(100):
            if len(costs.seen) >= 2:
                return
            await asyncio.sleep(0.02)

    asyncio.run(run())
    assert costs.seen == [pytest.approx(WORTH)] * 2


def test_a_table_that_is_no_longer_used_leaves_no_price(simulator: Simulator, tmp_path: Path) -> None:
    litellm_antigravity.register(settings_of(simulator, tmp_path, model_costs={NAME: PRICES}))
    litellm_antigravity.register(settings_of(simulator, tmp_path))
    simulator.reply_with(ModelReply([{"text": "Hm.", "thought": True}, {"text": "Yes."}], usage=USAGE))
    assert cost_of(stream=False, is_async=False) == 0.0


def test_other_providers_models_of_the_same_name_cost_what_they_did(simulator: Simulator, tmp_path: Path) -> None:
    before = {name: dict(litellm.get_model_info(name)) for name in (NAME, "gemini/gemini-2.5-pro")}
    litellm_antigravity.register(settings_of(simulator, tmp_path, model_costs={NAME: {"input_cost_per_token": 5}}))
    assert {name: dict(litellm.get_model_info(name)) for name in before} == before


@every_form
def test_a_model_that_is_not_built_in_is_passed_through_and_costs_nothing(
    stream: bool, is_async: bool, tmp_path: Path
) -> None:
    name = f"gemini-{'async' if is_async else 'sync'}-{'stream' if stream else 'whole'}"
    with Simulator(models=[name]) as simulator:
        litellm_antigravity.register(settings_of(simulator, tmp_path))
        assert cost_of(stream=stream, is_async=is_async, model=f"antigravity/{name}") == 0.0
        assert simulator.requests(status=200)[-1].model == name


def test_a_model_that_upstream_does_not_have_is_not_learnt(simulator: Simulator, tmp_path: Path) -> None:
    litellm_antigravity.register(settings_of(simulator, tmp_path))
    with pytest.raises(litellm.NotFoundError):
        litellm.completion(model="antigravity/gemini-nobody-has", messages=MESSAGES)
    assert "antigravity/gemini-nobody-has" not in litellm.model_cost


def test_no_more_than_some_names_are_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_info, "_written", {str(number): {} for number in range(500)})
    model_info.learn("gemini-one-too-many")
    assert "antigravity/gemini-one-too-many" not in litellm.model_cost


# The table of costs


def test_the_table_may_be_a_file_with_comments(tmp_path: Path) -> None:
    path = tmp_path / "costs.json"
    path.write_text('{"antigravity/Claude-Sonnet-4-6": {"input_cost_per_token": 3e-6}, /* dear */}')
    assert model_costs(path) == {NAME: ModelCosts(input_cost_per_token=3e-6)}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({NAME: {"input_cost_per_tokens": 1}}, "did you mean 'input_cost_per_token'?"),
        ({NAME: {"input_cost_per_token": -1}}, "'input_cost_per_token' must be a number >= 0"),
        ({NAME: {"input_cost_per_token": "dear"}}, "must be a number >= 0"),
        ({NAME: {"litellm_provider": "x"}}, "there is no price 'litellm_provider'"),
        ({NAME: 3e-6}, "the entry of 'claude-sonnet-4-6' must be an object of prices"),
    ],
)
def test_a_wrong_table_is_refused_when_it_is_registered(
    table: Any, said: str, simulator: Simulator, tmp_path: Path
) -> None:
    path = tmp_path / "costs.json"
    path.write_text(json.dumps(table))
    for given_as in (table, path, str(path)):
        with pytest.raises(SettingsError, match="model_costs") as caught:
            litellm_antigravity.register(settings_of(simulator, tmp_path, model_costs=given_as))
        assert said in str(caught.value)


def test_a_table_that_is_not_there_is_refused(simulator: Simulator, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="not there"):
        litellm_antigravity.register(settings_of(simulator, tmp_path, model_costs=tmp_path / "none.json"))


def test_the_table_may_come_from_the_environment_but_not_from_a_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".opencode").mkdir()
    (tmp_path / ".opencode/antigravity.json").write_text('{"model_costs": {"x": {"input_cost_per_token": 1}}}')
    assert litellm_antigravity.Settings().model_costs is None
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_MODEL_COSTS", '{"x": {"input_cost_per_token": 1}}')
    assert model_costs(litellm_antigravity.Settings().model_costs) == {"x": ModelCosts(input_cost_per_token=1)}
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_MODEL_COSTS", "costs.json")
    assert litellm_antigravity.Settings().model_costs == Path("costs.json")


def test_the_proxys_settings_may_hold_the_table(simulator: Simulator, tmp_path: Path) -> None:
    settings = settings_of(simulator, tmp_path, model_costs={NAME: PRICES})
    handler = type(litellm_antigravity.handler)()
    handler.use(settings)  # as the proxy does, which never calls `register`
    assert handler.dispatcher.settings == settings
    assert litellm.get_model_info(MODEL)["input_cost_per_token"] == PRICES["input_cost_per_token"]


# What upstream tells


def run(*args: str) -> Result:
    return CliRunner().invoke(cli, ["models", *args], prog_name="litellm-antigravity")


@pytest.fixture
def reachable(simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    """A simulator that the command line's settings point at."""
    accounts_file = simulator.write_accounts_file(tmp_path / "antigravity-accounts.json")
    for name, value in simulator.environment(accounts_file, tmp_path / "state").items():
        monkeypatch.setenv(name, value)
    return simulator


def test_the_models_are_upstreams_with_what_is_left(reachable: Simulator) -> None:
    reachable.set_quota("user1@example.com", "gemini", 4, window_seconds=3600)
    result = run("--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["source"], told["account"]) == ("upstream", "user1@example.com")
    assert {one["name"] for one in told["models"]} == set(BUILT_IN_MODELS)
    assert {one["remaining"] for one in told["models"]} == {1.0}
    assert {one.path for one in reachable.requests()} >= {"/v1internal:fetchAvailableModels"}


def test_the_table_shows_parts_and_times(reachable: Simulator, tmp_path: Path) -> None:
    reachable.set_quota("user1@example.com", "claude", 4, window_seconds=3600)
    litellm_antigravity.register(settings_of(reachable, tmp_path, account_selection_strategy="sticky"))
    litellm.completion(model=MODEL, messages=MESSAGES)
    reachable.drain("user1@example.com", "gemini", reset_seconds=7200)
    lines = {line.split()[0]: line for line in run().stdout.splitlines() if line.startswith("  antigravity/")}
    claude, gemini = lines[MODEL], lines["antigravity/gemini-3-flash"]
    assert "75 % left" in claude
    assert "full again in" in claude
    assert "left: not said" in gemini  # upstream leaves out what is 0, but not only that
    assert "full again in" in gemini


@pytest.mark.parametrize("kind", ["server-error", "not-available", "html", "drop", "bad-request"])
def test_when_upstream_does_not_tell_the_built_in_list_is_shown_and_why(kind: Any, reachable: Simulator) -> None:
    reachable.refuse(kind, target="models", times=None)
    result = run()
    assert result.exit_code == 0
    assert all(f"antigravity/{name}" in result.stdout for name in BUILT_IN_MODELS)
    assert "built into this release" in result.stdout
    assert "Upstream's own list is not shown: " in result.stdout
    assert json.loads(run("--json").stdout)["source"] == "built-in"


def test_an_account_that_is_refused_lets_the_next_one_ask(reachable: Simulator) -> None:
    reachable.refuse("verification", target="models", email="user1@example.com", times=None)
    assert json.loads(run("--json").stdout)["account"] == "user2@example.com"


def test_a_token_that_upstream_no_longer_takes_is_replaced(reachable: Simulator) -> None:
    assert run().exit_code == 0
    reachable.expire_tokens()
    assert json.loads(run("--json").stdout)["account"] == "user1@example.com"


def test_without_accounts_the_built_in_list_is_shown_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_STATE_DIR", str(tmp_path / "state"))
    result = run()
    assert result.exit_code == 0
    assert "antigravity-accounts.json" in result.stdout
    assert not (tmp_path / "state").exists()


def test_offline_nobody_is_asked(reachable: Simulator) -> None:
    assert json.loads(run("--offline", "--json").stdout)["source"] == "built-in"
    assert list(reachable.requests()) == []


def test_no_token_is_printed(reachable: Simulator) -> None:
    reachable.refuse("server-error", target="models", times=None)
    shown = run().output + run("--json").output
    assert all(account.refresh_token not in shown for account in reachable.accounts)


def test_an_answer_is_read_with_what_is_missing_or_odd_left_out() -> None:
    answer = {
        "models": {
            "plain": {},
            "odd": {"displayName": 7, "quotaInfo": {"remainingFraction": "much", "resetTime": "soon"}},
            "full": {"displayName": "Full", "quotaInfo": {"remainingFraction": 1, "resetTime": "2023-11-14T22:13:20Z"}},
            "nanos": {"quotaInfo": {"remainingFraction": 0.5, "resetTime": "2023-11-14T22:13:20.123456789Z"}},
            "more than all": {"quotaInfo": {"remainingFraction": 1.5}},
            "no object": None,
            "tab_flash_lite": {},
            "chat_20706": {},
        }
    }
    assert models_in(answer) == (
        AvailableModel("full", "Full", 1.0, NOW),
        AvailableModel("more than all"),
        AvailableModel("nanos", None, 0.5, NOW),
        AvailableModel("no object"),
        AvailableModel("odd"),
        AvailableModel("plain"),
    )


@pytest.mark.parametrize("body", [{}, {"models": []}, {"models": None}, {"model": {}}])
def test_what_is_no_list_of_models_is_none(body: dict[str, Any]) -> None:
    assert models_in(body) is None


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)
_QUOTA = st.fixed_dictionaries({}, optional={"remainingFraction": _JSON, "resetTime": _JSON})
_ENTRY = st.fixed_dictionaries({}, optional={"displayName": _JSON, "quotaInfo": _JSON | _QUOTA}) | _JSON


@limits(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(max_size=20), _ENTRY, max_size=4))
def test_no_answer_whatever_is_too_much(models: Any) -> None:
    found = models_in({"models": models})
    assert found is not None
    assert {one.name for one in found} <= set(models)
    assert all(one.remaining is None or 0 <= one.remaining <= 1 for one in found)
