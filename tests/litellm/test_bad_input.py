"""Whatever is wrong with what the user gave: the message names the thing and the remedy."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import litellm
import pytest
from click.testing import CliRunner
from serving import MESSAGES, MODEL, fields_of, settings_of, text_of
from support import free_port

import litellm_antigravity
from litellm_antigravity import Settings, SettingsError
from litellm_antigravity.cli import cli
from litellm_antigravity.settings import user_config_dir
from litellm_antigravity.simulator import Simulator

Failure: TypeAlias = Callable[[], str]
"""Runs into the error through one of the doors and returns what the user reads."""


@pytest.fixture
def simulator(antigravity_simulator: Simulator) -> Simulator:
    return antigravity_simulator


@pytest.fixture
def accounts_file(simulator: Simulator, tmp_path: Path) -> Path:
    """The accounts file that the settings of `use` name; in order until a test breaks it."""
    return simulator.write_accounts_file(tmp_path / "antigravity-accounts.json")


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return the package's warnings so far."""
    caplog.set_level(logging.WARNING, "litellm_antigravity")
    return lambda: [one.getMessage() for one in caplog.records if one.name == "litellm_antigravity"]


def use(simulator: Simulator, tmp_path: Path, **more: Any) -> None:
    litellm_antigravity.register(settings_of(simulator, tmp_path, account_selection_strategy="sticky", **more))


def ask(**params: Any) -> Any:
    return litellm.completion(**{"model": MODEL, "messages": MESSAGES, **params})


def aask_streamed(**params: Any) -> Any:
    async def run() -> Any:
        stream = await litellm.acompletion(**{"model": MODEL, "messages": MESSAGES, "stream": True, **params})
        return [chunk async for chunk in stream]

    return asyncio.run(run())


both_doors = pytest.mark.parametrize("door", [ask, aask_streamed])


def refusal(door: Callable[..., Any], kind: Any, **params: Any) -> str:
    with pytest.raises(kind) as caught:
        door(**params)
    return str(caught.value)


def command(*args: str, code: int = 1, **env: str) -> str:
    """Run a command that fails; return what it prints, on one line, the way it was wrapped undone."""
    result = CliRunner().invoke(cli, list(args), env=env, prog_name="litellm-antigravity")
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return " ".join(result.output.split())


# The accounts file

BROKEN_FILES = {  # what the file holds, and what the message says of it
    "empty": (b"", r"is empty"),
    "blank": (b" \n\t\n", r"is empty"),
    "half written": (b'{"version": 4, "accounts": [\n  {"email": "a@ex', r"line 2, column 13"),
    "not UTF-8": (b'{"version": 4, "accounts": ["\xff"]}', r"UTF-8"),
    "a list": (b"[]", r"list"),
    "no accounts": (b'{"version": 4}', r'no list "accounts"'),
    "no account": (
        b'{"version": 4, "accounts": []}',
        r"holds no account\. Sign in with `litellm-antigravity auth",
    ),
    "unknown version": (b'{"version": 5, "accounts": []}', r"version 5.*Versions 1 to 4 are supported; update"),
    "no version": (b'{"accounts": []}', r'has no "version"\. Versions 1 to 4'),
    "word for a version": (b'{"version": "four", "accounts": []}', r'"version" that is no version number'),
}


@both_doors
@pytest.mark.parametrize("name", BROKEN_FILES)
def test_a_broken_accounts_file_is_named_with_its_fault_and_is_not_overwritten(
    name: str, door: Any, simulator: Simulator, accounts_file: Path, tmp_path: Path
) -> None:
    content, fault = BROKEN_FILES[name]
    accounts_file.write_bytes(content)
    use(simulator, tmp_path)
    message = refusal(door, litellm.AuthenticationError)
    assert str(accounts_file) in message
    assert re.search(fault, message), message
    assert accounts_file.read_bytes() == content
    assert simulator.log == []


@pytest.mark.parametrize("name", BROKEN_FILES)
@pytest.mark.parametrize("args", [["auth", "list"], ["status"]])
def test_the_command_line_says_the_same_of_a_broken_accounts_file(
    name: str, args: list[str], accounts_file: Path
) -> None:
    content, fault = BROKEN_FILES[name]
    accounts_file.write_bytes(content)
    printed = command(*args, LITELLM_ANTIGRAVITY_ACCOUNTS_FILE=str(accounts_file))
    assert printed.startswith("Error: Accounts file")
    assert str(accounts_file) in printed
    assert re.search(fault, printed), printed


@pytest.mark.parametrize("content", [b"", b'{"version": 4, "accounts": [', b"\xff", b"[]"])
def test_the_remedy_for_a_broken_accounts_file_is_told(content: bytes, accounts_file: Path) -> None:
    accounts_file.write_bytes(content)
    printed = command("auth", "list", LITELLM_ANTIGRAVITY_ACCOUNTS_FILE=str(accounts_file))
    assert re.search("[Rr]epair it|[Ss]ign in|[Ss]ave it|[Rr]emove it|backup", printed), printed


@both_doors
def test_without_an_accounts_file_the_message_says_where_it_should_be_and_three_ways_out(
    door: Any, simulator: Simulator, tmp_path: Path
) -> None:
    path = tmp_path / "nowhere" / "antigravity-accounts.json"
    use(simulator, tmp_path, accounts_file=path)
    message = refusal(door, litellm.AuthenticationError)
    assert f"There is no accounts file at {path}." in message
    for remedy in ("opencode-antigravity-auth", '"refreshToken"', "LITELLM_ANTIGRAVITY_ACCOUNTS_FILE", "demo"):
        assert remedy in message


@pytest.mark.parametrize("args", [["auth", "list"], ["status"]])
def test_a_newcomer_s_first_command_says_where_the_accounts_file_should_be(args: list[str]) -> None:
    printed = command(*args)
    assert f"There is no accounts file at {user_config_dir() / 'antigravity-accounts.json'}." in printed
    assert "opencode-antigravity-auth" in printed


def test_a_folder_in_place_of_the_accounts_file_is_told(tmp_path: Path) -> None:
    printed = command("auth", "list", LITELLM_ANTIGRAVITY_ACCOUNTS_FILE=str(tmp_path))
    assert f"Accounts file {tmp_path} is a folder." in printed
    assert "`accounts_file`" in printed


@both_doors
def test_one_broken_entry_among_good_ones_is_skipped_with_one_warning_that_names_it(
    door: Any, simulator: Simulator, tmp_path: Path, warnings: Callable[[], list[str]]
) -> None:
    path = tmp_path / "antigravity-accounts.json"
    simulator.write_accounts_file(path, entries={"user1@example.com": {"refreshToken": ["not", "a", "string"]}})
    use(simulator, tmp_path)
    assert "user2@example.com" in text_of(door())
    ask()
    [warning] = warnings()
    assert f"Accounts file {path}: entry 1 ({simulator.accounts[0].label}) is skipped" in warning
    assert '"refreshToken" is not a string' in warning


def test_the_command_line_lists_the_good_entries_and_warns_of_the_broken_one(
    simulator: Simulator, tmp_path: Path
) -> None:
    path = simulator.write_accounts_file(
        tmp_path / "antigravity-accounts.json", entries={"user2@example.com": {"refreshToken": None}}
    )
    result = CliRunner().invoke(cli, ["auth", "list", "--accounts-file", str(path)])
    assert result.exit_code == 0
    assert result.stdout.startswith("3 account(s) saved:")
    assert "Warning: " in result.stderr
    assert "entry 2" in result.stderr
    assert "refreshToken" in result.stderr


@both_doors
def test_when_every_account_is_disabled_the_message_says_which_switch_to_turn(
    door: Any, simulator: Simulator, tmp_path: Path
) -> None:
    path = tmp_path / "antigravity-accounts.json"
    simulator.write_accounts_file(path, entries={one.email: {"enabled": False} for one in simulator.accounts})
    use(simulator, tmp_path)
    message = refusal(door, litellm.AuthenticationError)
    assert f"very account in {path} is disabled" in message
    assert '"enabled": true' in message


# Settings


def by_argument(name: str, value: str) -> str:
    Settings(**{name: value})
    return "arguments"


def by_variable(name: str, value: str) -> str:
    variable = f"LITELLM_ANTIGRAVITY_{name.upper()}"
    os.environ[variable] = value
    try:
        litellm_antigravity.register()
    finally:
        del os.environ[variable]
    return variable


def by_opencode_variable(name: str, value: str) -> str:
    variable = f"OPENCODE_ANTIGRAVITY_{name.upper()}"
    os.environ[variable] = value
    try:
        litellm_antigravity.register()
    finally:
        del os.environ[variable]
    return variable


def by_user_file(name: str, value: str) -> str:
    file = user_config_dir() / "antigravity.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({name: value}))
    litellm_antigravity.register()
    return str(file)


def by_project_file(name: str, value: str) -> str:
    file = Path(".opencode/antigravity.json")
    file.parent.mkdir()
    file.write_text(json.dumps({name: value}))
    litellm_antigravity.register()
    return str(file)


@pytest.mark.parametrize(
    ("door", "source"),
    [
        (by_argument, "arguments"),
        (by_variable, "environment variable LITELLM_ANTIGRAVITY_ACCOUNT_SELECTION_STRATEGY"),
        (by_opencode_variable, "environment variable OPENCODE_ANTIGRAVITY_ACCOUNT_SELECTION_STRATEGY"),
        (by_user_file, "user file "),
        (by_project_file, "project file "),
    ],
)
def test_an_unknown_strategy_is_told_with_its_source_and_what_there_is(
    door: Callable[[str, str], str], source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError) as caught:
        door("account_selection_strategy", "hybird")
    message = str(caught.value)
    assert message.startswith(f"Setting account_selection_strategy from {source}")
    assert "'hybird' is not allowed; it must be 'sticky', 'round-robin' or 'hybrid'." in message
    assert message.endswith("Did you mean 'hybrid'?")
    if "file" in source:
        assert "antigravity.json" in message


def test_the_command_line_tells_of_an_unknown_strategy_in_one_line() -> None:
    printed = command("status", LITELLM_ANTIGRAVITY_ACCOUNT_SELECTION_STRATEGY="hybird")
    assert printed.startswith("Error: Setting account_selection_strategy from environment variable LITELLM_")
    assert "'sticky', 'round-robin' or 'hybrid'" in printed


@pytest.mark.parametrize("name", ["token_url", "endpoint"])
@pytest.mark.parametrize(
    "url", ["http://tokens.example.com/token", "http://127.0.0.1.example.com", "http://192.168.0.1", "ftp://localhost"]
)
def test_an_address_that_would_send_tokens_in_the_clear_is_refused(name: str, url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(**{name: url})
    message = str(caught.value)
    assert f"Setting {name} from arguments: '{url}' is not allowed" in message
    assert "https://" in message
    assert "127.0.0.0/8" in message


def test_a_misspelt_setting_is_told_with_the_nearest_one() -> None:
    with pytest.raises(SettingsError, match=r"'pid_offset_enable' in arguments; did you mean 'pid_offset_enabled'"):
        Settings(pid_offset_enable=True)


def test_a_broken_settings_file_is_told_with_the_place_when_the_first_request_is_made(simulator: Simulator) -> None:
    del simulator
    file = user_config_dir() / "antigravity.json"
    file.parent.mkdir(parents=True)
    file.write_text('{\n  "debug": tru\n}')
    with pytest.raises(SettingsError) as caught:
        litellm_antigravity.register()
    message = str(caught.value)
    assert "antigravity.json is not valid JSON (line 2, column " in message
    assert "Correct it" in message


def test_without_an_oauth_client_the_message_names_both_settings_and_says_why(
    simulator: Simulator, tmp_path: Path
) -> None:
    use(simulator, tmp_path, oauth_client_id=None, oauth_client_secret=None)
    message = refusal(ask, litellm.AuthenticationError)
    for part in (
        "`oauth_client_id`",
        "`oauth_client_secret`",
        "LITELLM_ANTIGRAVITY_OAUTH_CLIENT_ID",
        "LITELLM_ANTIGRAVITY_OAUTH_CLIENT_SECRET",
        "None is built in",
    ):
        assert part in message
    assert simulator.log == []


# The state folder


def below_a_file(tmp_path: Path) -> Path:
    (tmp_path / "occupied").write_text("a file where a folder would be")
    return tmp_path / "occupied" / "state"


def in_place_of_a_file(tmp_path: Path) -> Path:
    return below_a_file(tmp_path).parent


def in_a_folder_without_write_permission(tmp_path: Path) -> Path:
    if not hasattr(os, "geteuid") or os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    (tmp_path / "locked").mkdir(mode=0o500)
    return tmp_path / "locked" / "state"


@pytest.mark.parametrize("place", [below_a_file, in_place_of_a_file, in_a_folder_without_write_permission])
@both_doors
def test_with_a_state_folder_that_cannot_be_used_requests_go_on_in_memory_and_one_warning_says_so(
    place: Callable[[Path], Path],
    door: Any,
    simulator: Simulator,
    tmp_path: Path,
    warnings: Callable[[], list[str]],
) -> None:
    folder = place(tmp_path)
    use(simulator, tmp_path, state_dir=folder)
    simulator.drain("user1@example.com", "claude")
    for _ in range(3):
        assert "user2@example.com" in text_of(door())
    [warning] = warnings()
    assert str(folder) in warning
    assert "this process's memory" in warning
    assert "Set state_dir to a folder" in warning
    assert len(simulator.requests(email="user1@example.com", status=429)) == 1  # it remembers
    assert simulator.token_calls() == 2


# Upstream


@both_doors
def test_an_endpoint_that_cannot_be_reached_is_told_with_its_host(
    door: Any, simulator: Simulator, tmp_path: Path
) -> None:
    use(simulator, tmp_path, endpoint=f"http://127.0.0.1:{free_port()}")
    message = refusal(door, litellm.InternalServerError)
    assert "127.0.0.1" in message
    assert "reach" in message or "connect" in message


@both_doors
def test_a_token_endpoint_that_cannot_be_reached_is_told_with_its_host(
    door: Any, simulator: Simulator, tmp_path: Path
) -> None:
    use(simulator, tmp_path, token_url=f"http://127.0.0.1:{free_port()}/token")
    assert "cannot reach the token endpoint at 127.0.0.1" in refusal(door, litellm.InternalServerError)


@both_doors
@pytest.mark.parametrize("kind", ["html", "html-error"])
def test_upstream_that_answers_html_is_told_as_such(
    kind: Any, door: Any, simulator: Simulator, accounts_file: Path, tmp_path: Path
) -> None:
    del accounts_file
    use(simulator, tmp_path)
    simulator.refuse(kind)
    message = refusal(door, litellm.InternalServerError)
    assert "html" in message.lower()
    assert "<" not in message  # none of the page itself


@both_doors
def test_a_token_endpoint_that_answers_html_is_told_as_such(door: Any, simulator: Simulator, tmp_path: Path) -> None:
    use(simulator, tmp_path)
    simulator.refuse("html", target="token")
    message = refusal(door, litellm.InternalServerError)
    assert "token endpoint" in message
    assert "`token_url`" in message


@both_doors
def test_a_model_that_no_account_has_is_told_by_its_name_after_all_were_asked(
    door: Any, simulator: Simulator, tmp_path: Path
) -> None:
    use(simulator, tmp_path)
    message = refusal(door, litellm.NotFoundError, model="antigravity/claude-nonsense-9")
    assert "claude-nonsense-9" in message
    asked = [one for one in simulator.log if one.model == "claude-nonsense-9"]
    assert sorted(str(one.email) for one in asked) == sorted(one.email for one in simulator.accounts)
    assert "Check its name" in message
    assert "Check its name" in refusal(door, litellm.NotFoundError, model="antigravity/claude-nonsense-9")
    assert len([one for one in simulator.log if one.model == "claude-nonsense-9"]) == len(asked)
    assert "Served by" in text_of(door())  # other models are


def test_settings_for_the_simulator_are_in_order(simulator: Simulator, tmp_path: Path) -> None:
    """What the tests above break is whole before."""
    litellm_antigravity.register(Settings(**fields_of(simulator, tmp_path)))
    assert "Served by" in text_of(ask())
