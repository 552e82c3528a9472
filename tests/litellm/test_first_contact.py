"""What newcomers get wrong first: each gets the one sentence that helps."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import litellm
import pytest
from support import run_python

import litellm_antigravity
from litellm_antigravity import Settings, SettingsError
from litellm_antigravity.models import plugins_name
from litellm_antigravity.settings.names import nearest
from litellm_antigravity.simulator import Simulator

MESSAGES = [{"role": "user", "content": "Hello"}]

FORGOTTEN = """
    import asyncio
    import sys

    if sys.argv[1] == "ours first":
        import litellm_antigravity
        import litellm
    else:
        import litellm
        import litellm_antigravity
    from support import answer

    litellm.suppress_debug_info = True
    said = []
    call = {"model": "antigravity/claude-sonnet-4-6", "messages": [{"role": "user", "content": "Hello"}]}
    for stream in (False, True):
        for ask in (lambda **more: litellm.completion(**more), lambda **more: asyncio.run(litellm.acompletion(**more))):
            try:
                ask(**call, stream=stream)
            except litellm.BadRequestError as error:
                said.append(str(error))
    litellm_antigravity.register()
    handlers = [type(entry["custom_handler"]).__name__ for entry in litellm.custom_provider_map]
    answer([said, handlers, [type(one).__name__ for one in sys.meta_path].count("_Watch")])
"""


@pytest.mark.parametrize("order", ["ours first", "theirs first"])
def test_whoever_forgets_to_register_is_told_so_at_every_door(order: str) -> None:
    """Before: LiteLLM's "LLM Provider NOT provided", which the name has."""
    said, handlers, watching = run_python(FORGOTTEN, order)
    assert len(said) == 4
    assert all("litellm_antigravity.register()" in one and "antigravity/claude-sonnet-4-6" in one for one in said)
    assert handlers == ["AntigravityLLM"]  # nothing is left of what stood in for it
    assert watching == 0


def test_another_provider_named_like_ours_is_left_alone() -> None:
    code = """
    import litellm
    from support import answer

    class Mine(litellm.CustomLLM):
        pass

    litellm.custom_provider_map = [{"provider": "antigravity", "custom_handler": Mine()}]
    import litellm_antigravity

    answer([type(entry["custom_handler"]).__name__ for entry in litellm.custom_provider_map])
    """
    assert run_python(code) == ["Mine"]


@pytest.mark.parametrize("function", ["register", "install"])
def test_a_mapping_in_place_of_settings_is_answered_with_how_to_write_it(function: str) -> None:
    """Before: AttributeError: 'dict' object has no attribute 'model_costs'."""
    given: Any = {"account_selection_strategy": "sticky", "oauth_client_secret": "hush", "no name": 1}
    arguments = [given] if function == "register" else [litellm.Router(model_list=[]), given]
    with pytest.raises(TypeError) as caught:
        getattr(litellm_antigravity, function)(*arguments)
    assert "Settings(account_selection_strategy=..., oauth_client_secret=...)" in str(caught.value)
    assert f"{function}() takes Settings, not dict" in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_misspelt_name_of_the_package_is_answered_with_the_right_one() -> None:
    with pytest.raises(AttributeError, match="did you mean 'handler'"):
        _ = litellm_antigravity.handlr


# Model names as OpenCode's plugin writes them


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("antigravity-claude-sonnet-4-6", "antigravity/claude-sonnet-4-6"),
        ("google/antigravity-claude-opus-4-6-thinking", "antigravity/claude-opus-4-6-thinking"),
        ("antigravity/antigravity-gpt-oss-120b-medium", "antigravity/gpt-oss-120b-medium"),
        ("Antigravity-Gemini-3.1-Pro", "antigravity/gemini-3.1-pro-low"),
        ("antigravity-gemini-99-ultra-mega", "antigravity/gemini-99-ultra-mega"),
        ("claude-sonnet-4-6", None),
        ("antigravity/claude-sonnet-4-6", None),
        ("antigravity-preview-1", None),  # upstream may call a model so one day
        ("openai/antigravity-claude-sonnet-4-6", None),
    ],
)
def test_the_plugins_names_are_known(written: str, meant: str | None) -> None:
    assert plugins_name(written) == meant


@pytest.fixture
def registered(antigravity_simulator: Simulator, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    accounts_file = antigravity_simulator.write_accounts_file(tmp_path / "antigravity-accounts.json")
    for name, value in antigravity_simulator.environment(accounts_file, tmp_path / "state").items():
        monkeypatch.setenv(name, value)
    litellm_antigravity.register(Settings())
    yield antigravity_simulator
    litellm_antigravity.handler.dispatcher.pool.store.close()


@pytest.mark.parametrize("model", ["antigravity/antigravity-claude-sonnet-4-6", "antigravity-claude-sonnet-4-6"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_model_named_as_the_plugin_does_is_answered_with_its_name_here(
    model: str, stream: bool, registered: Simulator
) -> None:
    """Before: every account was asked in vain and benched for the name; or LiteLLM found no provider in it."""
    with pytest.raises(litellm.NotFoundError, match="Write antigravity/claude-sonnet-4-6 here"):
        litellm.completion(model=model, messages=MESSAGES, stream=stream)
    assert registered.requests() == []


def test_so_it_is_on_an_event_loop(registered: Simulator) -> None:
    for model in ("antigravity/antigravity-claude-sonnet-4-6", "google/antigravity-claude-sonnet-4-6"):
        with pytest.raises(litellm.NotFoundError, match="Write antigravity/claude-sonnet-4-6 here"):
            asyncio.run(litellm.acompletion(model=model, messages=MESSAGES))
    assert registered.requests() == []


def test_a_name_without_provider_that_is_not_the_plugins_is_refused_as_before() -> None:
    with pytest.raises(litellm.BadRequestError, match="LLM Provider NOT provided"):
        litellm.completion(model="no-such-provider-at-all", messages=MESSAGES)


# No client


def test_an_error_of_ours_has_no_insides_of_ours_before_it(
    registered: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before: the traceback began with thirty lines of how an account had been looked for."""
    monkeypatch.delenv("LITELLM_ANTIGRAVITY_OAUTH_CLIENT_ID")
    monkeypatch.delenv("LITELLM_ANTIGRAVITY_OAUTH_CLIENT_SECRET")
    litellm_antigravity.register(Settings())
    with pytest.raises(litellm.AuthenticationError, match="need an OAuth client") as caught:
        litellm.completion(model="antigravity/claude-sonnet-4-6", messages=MESSAGES)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert registered.requests() == []


# Settings


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("strategy", "account_selection_strategy"),
        ("stategy", "account_selection_strategy"),
        ("pid_offset", "pid_offset_enabled"),
        ("client_id", "oauth_client_id"),
        ("state", "state_dir"),
        ("accounts", "accounts_file"),
        ("stat_dir", "state_dir"),
        ("xyzzy", None),
    ],
)
def test_a_part_of_a_name_is_nearest_to_the_name_it_is_a_part_of(written: str, meant: str | None) -> None:
    """Before: STRATEGY was taken for STATE_DIR, of which it has more letters."""
    assert nearest(written, Settings.model_fields) == meant


def test_a_variable_that_is_a_part_of_the_right_one_is_answered_with_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Before: "did you mean LITELLM_ANTIGRAVITY_STATE_DIR?"."""
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_STRATEGY", "sticky")
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_PID_OFFSET", "true")
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_SOMETHING_ELSE", "1")
    assert Settings().account_selection_strategy == "hybrid"
    assert "STRATEGY sets nothing; did you mean LITELLM_ANTIGRAVITY_ACCOUNT_SELECTION_STRATEGY?" in caplog.text
    assert "PID_OFFSET sets nothing; did you mean LITELLM_ANTIGRAVITY_PID_OFFSET_ENABLED?" in caplog.text
    assert "SOMETHING" not in caplog.text


def test_an_argument_that_is_a_part_of_a_name_is_answered_with_it() -> None:
    """Before: all twenty names were listed."""
    with pytest.raises(SettingsError, match="did you mean 'account_selection_strategy'"):
        Settings(strategy="sticky")
