"""Settings: sources and their order, what files may say, and how a bad value is told."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any, TypeAlias

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError
from support import ROOT

from litellm_antigravity.errors import SettingsError
from litellm_antigravity.settings import Settings, settings_reference, user_config_dir
from litellm_antigravity.settings.places import config_dir_for

pytestmark = pytest.mark.once

CANARY = "canary-5f0c9e"
WriteFile: TypeAlias = Callable[[object], Path]


@pytest.fixture(autouse=True)
def _lonely(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run with a home of one's own, no project file, and none of the variables that settings read."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.upper().startswith(("OPENCODE_", "LITELLM_ANTIGRAVITY_", "XDG_")):
                patch.delenv(name)
        home = tmp_path_factory.mktemp("home")
        patch.setenv("HOME", str(home))
        (home / "work").mkdir()
        patch.chdir(home / "work")
        yield


def _write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture
def user_file() -> WriteFile:
    return lambda content: _write(Path.home() / ".config/opencode/antigravity.json", content)


@pytest.fixture
def project_file() -> WriteFile:
    return lambda content: _write(Path(".opencode/antigravity.json"), content)


def _refusal(**arguments: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        Settings(**arguments)
    return str(caught.value)


# Defaults and the model


def test_the_defaults_are_those_of_the_design() -> None:
    settings = Settings()
    assert settings.model_dump(exclude={"user_agent"}) == {
        "account_selection_strategy": "hybrid",
        "pid_offset_enabled": False,
        "offset_source": "pid",
        "accounts_file": Path.home() / ".config/opencode/antigravity-accounts.json",
        "endpoint": "https://cloudcode-pa.googleapis.com",
        "token_url": "https://oauth2.googleapis.com/token",
        "auth_url": "https://accounts.google.com/o/oauth2/v2/auth",
        "userinfo_url": "https://openidconnect.googleapis.com/v1/userinfo",
        "oauth_client_id": None,
        "oauth_client_secret": None,
        "state_dir": Path.home() / ".local/state/litellm-antigravity",
        "state_dir_on_network": False,
        "state_backend": "diskcache",
        "redis": None,
        "redis_namespace": "litellm-antigravity",
        "share_tokens": "host",
        "share_tokens_key": None,
        "alert_webhook_url": None,
        "alerts": ("banned", "verification", "revoked", "quota_spent", "pool_spent", "back"),
        "max_rate_limit_wait_seconds": 5,
        "max_retry_after_seconds": None,
        "switch_on_first_rate_limit": True,
        "sticky_wait_seconds": 0,
        "sticky_scope": "auto",
        "conversation_ttl_seconds": 3600,
        "conversation_limit": 10_000,
        "failure_ttl_seconds": 3600,
        "max_in_flight_per_account": None,
        "ramp_seconds": 30,
        "ramp_interval_seconds": 0.25,
        "max_reply_megabytes": 64,
        "affinity_subagents": "apart",
        "statistics": "proxy",
        "model_costs": None,
        "health_score": {
            "initial": 70,
            "success_reward": 1,
            "rate_limit_penalty": -10,
            "failure_penalty": -20,
            "recovery_rate_per_hour": 2,
            "min_usable": 50,
            "max_score": 100,
        },
        "token_bucket": {"max_tokens": 50, "regeneration_rate_per_minute": 6, "initial_tokens": 50},
        "debug": False,
    }
    assert settings.user_agent.startswith("litellm-antigravity/")


def test_settings_cannot_be_changed() -> None:
    settings = Settings()
    with pytest.raises(ValidationError):
        settings.debug = True
    with pytest.raises(ValidationError):
        settings.health_score.initial = 1


def test_settings_survive_pickling() -> None:
    settings = Settings(oauth_client_secret=CANARY, health_score={"min_usable": 10})
    copy = pickle.loads(pickle.dumps(settings))  # noqa: S301 - our own bytes
    assert copy == settings
    assert copy.oauth_client_secret.get_secret_value() == CANARY


def test_the_client_secret_is_in_no_repr() -> None:
    settings = Settings(oauth_client_secret=CANARY)
    assert isinstance(settings.oauth_client_secret, SecretStr)
    assert CANARY not in f"{settings!r} {settings}"


def test_a_tilde_in_a_path_is_the_home_folder() -> None:
    settings = Settings(accounts_file="~/a.json", state_dir="~/state")
    assert (settings.accounts_file, settings.state_dir) == (Path.home() / "a.json", Path.home() / "state")


def test_a_positional_mapping_is_refused_rather_than_ignored() -> None:
    with pytest.raises(TypeError, match="from_mapping"):
        Settings({"debug": True})  # type: ignore[arg-type] # the mistake under test


def test_importing_the_package_imports_no_settings_and_settings_without_files_no_json5() -> None:
    code = (
        "import sys, litellm_antigravity\n"
        "assert 'litellm_antigravity.settings' not in sys.modules\n"
        "litellm_antigravity.Settings()\n"
        "assert 'json5' not in sys.modules and 'litellm' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr


# Precedence

_SOURCES = ("user", "project", "opencode", "environment", "arguments")


@pytest.mark.parametrize(
    "present", [s for n in range(len(_SOURCES) + 1) for s in itertools.combinations(range(len(_SOURCES)), n)]
)
def test_the_highest_source_present_wins(
    present: tuple[int, ...], user_file: WriteFile, project_file: WriteFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each present source says its own strategy, but the highest one says something no lower one does.
    def says(rank: int) -> str:
        return "sticky" if rank == max(present) else "round-robin"

    arguments = {}
    for rank in present:
        match _SOURCES[rank]:
            case "user":
                user_file({"account_selection_strategy": says(rank)})
            case "project":
                project_file({"account_selection_strategy": says(rank)})
            case "opencode":
                monkeypatch.setenv("OPENCODE_ANTIGRAVITY_ACCOUNT_SELECTION_STRATEGY", says(rank))
            case "environment":
                monkeypatch.setenv("LITELLM_ANTIGRAVITY_ACCOUNT_SELECTION_STRATEGY", says(rank))
            case "arguments":
                arguments = {"account_selection_strategy": says(rank)}
    assert Settings(**arguments).account_selection_strategy == ("sticky" if present else "hybrid")


def test_nested_settings_merge_key_by_key_over_all_sources(
    user_file: WriteFile, project_file: WriteFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_file({"health_score": {"min_usable": 11, "initial": 12, "success_reward": 13, "max_score": 99}})
    project_file({"health_score": {"initial": 22, "success_reward": 23, "max_score": 98}})
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_HEALTH_SCORE", '{"success_reward": 33, "max_score": 97}')
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_HEALTH_SCORE__MAX_SCORE", "96")
    health = Settings(health_score={"recovery_rate_per_hour": 4}).health_score
    found = (health.min_usable, health.initial, health.success_reward, health.max_score, health.recovery_rate_per_hour)
    assert found == (11, 22, 33, 96, 4)
    assert health.failure_penalty == -20


def test_every_setting_can_be_set_by_its_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = {
        "account_selection_strategy": "sticky",
        "pid_offset_enabled": True,
        "offset_source": "slot",
        "accounts_file": Path("/a/b.json"),
        "endpoint": "http://127.0.0.1:8080/base",
        "token_url": "https://token.example/t",
        "auth_url": "https://auth.example/a",
        "userinfo_url": "https://userinfo.example/u",
        "oauth_client_id": "client",
        "oauth_client_secret": SecretStr("secret"),
        "state_dir": Path("/a/state"),
        "state_dir_on_network": True,
        "state_backend": "sqlite",
        "sticky_scope": "process",
        "statistics": "always",
        "redis": SecretStr("redis://127.0.0.1"),
        "redis_namespace": "mine",
        "share_tokens": "redis",
        "share_tokens_key": SecretStr("key"),
        "alert_webhook_url": SecretStr("https://hooks.example/a?token=b"),
        "alerts": ("banned", "back"),
        "switch_on_first_rate_limit": False,
        "affinity_subagents": "with-parent",
        "model_costs": Path("/a/costs.json"),
        "user_agent": "me/1",
        "debug": True,
    }
    numbers = itertools.count(1)
    for setting in settings_reference():
        owner, _, key = setting.name.rpartition(".")
        value = chosen.get(key) if not owner else None
        if value is None:
            value = next(numbers) * (-1.0 if key.endswith("penalty") else 1.0)
            # The two upper bounds come last or first in their groups; keep them above the others.
            value = {"max_score": 1000.0, "max_tokens": 2000.0}.get(key, value)
            chosen[setting.name] = value
        text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        text = ", ".join(value) if isinstance(value, tuple) else text
        monkeypatch.setenv(setting.env, text)
    settings = Settings()
    for name, value in chosen.items():
        found: object = settings
        for part in name.split("."):
            found = getattr(found, part)
        assert found == value, name


def test_an_empty_environment_variable_counts_as_unset(user_file: WriteFile, monkeypatch: pytest.MonkeyPatch) -> None:
    user_file({"debug": True, "health_score": {"min_usable": 7}})
    for name in ("LITELLM_ANTIGRAVITY_DEBUG", "OPENCODE_ANTIGRAVITY_DEBUG", "LITELLM_ANTIGRAVITY_HEALTH_SCORE"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_HEALTH_SCORE__MIN_USABLE", "")
    monkeypatch.setenv("OPENCODE_CONFIG_DIR", "")
    monkeypatch.setenv("XDG_CONFIG_HOME", "")
    settings = Settings()
    assert settings.debug is True
    assert settings.health_score.min_usable == 7


@pytest.mark.parametrize(("text", "value"), [("1", True), ("true", True), ("0", False), ("false", False)])
@pytest.mark.parametrize("name", ["pid_offset_enabled", "debug"])
def test_the_opencode_variables_are_honoured(
    name: str, text: str, value: bool, user_file: WriteFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_file({name: not value})
    monkeypatch.setenv(f"OPENCODE_ANTIGRAVITY_{name.upper()}", text)
    assert getattr(Settings(), name) is value


def test_a_mistyped_variable_is_named_in_a_warning_without_its_value(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_OAUTH_CLIENT_SECRETT", CANARY)
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_HEALTH_SCORE__MIN_USABEL", "3")
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_SOMETHING_ELSE", "3")
    assert Settings().health_score.min_usable == 50
    assert "did you mean LITELLM_ANTIGRAVITY_OAUTH_CLIENT_SECRET?" in caplog.text
    assert "did you mean LITELLM_ANTIGRAVITY_HEALTH_SCORE__MIN_USABLE?" in caplog.text
    assert "SOMETHING_ELSE" not in caplog.text
    assert CANARY not in caplog.text


# Places


@pytest.mark.parametrize(
    ("env", "platform", "expected"),
    [
        ({}, "linux", "/homes/me/.config/opencode"),
        ({}, "darwin", "/homes/me/.config/opencode"),
        ({"XDG_CONFIG_HOME": "/xdg"}, "linux", "/xdg/opencode"),
        ({"XDG_CONFIG_HOME": ""}, "linux", "/homes/me/.config/opencode"),
        ({"XDG_CONFIG_HOME": "/xdg", "OPENCODE_CONFIG_DIR": "/own"}, "linux", "/own"),
        ({"OPENCODE_CONFIG_DIR": "~/own"}, "linux", "/homes/me/own"),
        ({"OPENCODE_CONFIG_DIR": "~"}, "linux", "/homes/me"),
        ({"APPDATA": "C:\\Roaming"}, "linux", "/homes/me/.config/opencode"),
        ({"APPDATA": "C:\\Roaming"}, "win32", "C:\\Roaming\\opencode"),
        ({"APPDATA": "C:\\Roaming", "OPENCODE_CONFIG_DIR": "D:\\own"}, "win32", "D:\\own"),
        ({}, "win32", "\\homes\\me\\AppData\\Roaming\\opencode"),
    ],
)
def test_the_user_folder_is_where_opencode_has_it(env: Mapping[str, str], platform: str, expected: str) -> None:
    found = config_dir_for(env, platform, Path("/homes/me"))
    assert (str(PureWindowsPath(found)) if platform == "win32" else str(found)) == expected


def test_accounts_and_user_file_follow_the_user_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENCODE_CONFIG_DIR", str(tmp_path))
    _write(tmp_path / "antigravity.json", {"debug": True})
    assert user_config_dir() == tmp_path
    assert Settings().accounts_file == tmp_path / "antigravity-accounts.json"
    assert Settings().debug is True


def test_without_a_home_explicit_places_still_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(_: type[Path]) -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", classmethod(homeless))
    assert Settings(accounts_file="/a.json").accounts_file == Path("/a.json")
    assert "HOME" in _refusal()


# Files


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_file_may_have_comments_trailing_commas_and_a_byte_order_mark(encoding: str, user_file: WriteFile) -> None:
    text = """// mine
    {
      "account_selection_strategy": "sticky", /* the cache
      matters */
      "user_agent": "not//a-comment/1",
      "health_score": {"min_usable": 40,},
    }
    """
    user_file(text.encode(encoding))
    settings = Settings()
    assert settings.account_selection_strategy == "sticky"
    assert settings.user_agent == "not//a-comment/1"
    assert settings.health_score.min_usable == 40


def test_keys_of_other_tools_are_ignored_silently_in_files(
    user_file: WriteFile, project_file: WriteFile, caplog: pytest.LogCaptureFixture
) -> None:
    others = {"$schema": "x", "quiet_mode": True, "health_score": {"stale_after_hours": 3}, "token_bucket": {"x": {}}}
    user_file(others)
    project_file(others)
    assert Settings() == Settings(health_score={})
    assert caplog.text == ""


def test_a_project_file_sets_behaviour(project_file: WriteFile, caplog: pytest.LogCaptureFixture) -> None:
    behaviour = {
        "account_selection_strategy": "sticky",
        "pid_offset_enabled": True,
        "offset_source": "slot",
        "max_rate_limit_wait_seconds": 1.0,
        "switch_on_first_rate_limit": False,
        "sticky_wait_seconds": 2.0,
        "sticky_scope": "process",
        "conversation_ttl_seconds": 60.0,
        "failure_ttl_seconds": 3.0,
        "affinity_subagents": "with-parent",
        "health_score": {"min_usable": 4.0},
        "token_bucket": {"initial_tokens": 5.0},
        "debug": True,
    }
    project_file(behaviour)
    found = Settings().model_dump()
    assert found["health_score"]["min_usable"] == 4
    assert found["token_bucket"]["initial_tokens"] == 5
    plain = {name: value for name, value in behaviour.items() if not isinstance(value, dict)}
    assert {name: found[name] for name in plain} == plain
    assert caplog.text == ""


def test_whatever_else_a_project_file_sets_is_ignored_with_one_warning_that_shows_no_value(
    project_file: WriteFile, caplog: pytest.LogCaptureFixture
) -> None:
    refused = [
        "endpoint",
        "token_url",
        "auth_url",
        "userinfo_url",
        "accounts_file",
        "state_dir",
        "state_dir_on_network",
        "state_backend",
        "redis",
        "redis_namespace",
        "share_tokens",
        "share_tokens_key",
        "alert_webhook_url",
        "alerts",
        "user_agent",
        "oauth_client_id",
        "oauth_client_secret",
        "token_command",
    ]
    project_file(dict.fromkeys(refused, f"https://{CANARY}.example") | {"debug": True, "quiet_mode": True})
    assert Settings() == Settings().model_copy(update={"debug": True})
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 2  # one for each of the two readings above
    assert all(repr(name) in warnings[0] for name in refused)
    assert ".opencode/antigravity.json" in warnings[0]
    assert "quiet_mode" not in warnings[0]
    assert CANARY not in caplog.text
    assert CANARY not in repr(Settings())


def test_no_setting_of_a_new_kind_is_open_to_project_files_by_accident(project_file: WriteFile) -> None:
    open_to_projects = {
        *("account_selection_strategy", "pid_offset_enabled", "offset_source", "max_rate_limit_wait_seconds"),
        *("switch_on_first_rate_limit", "sticky_wait_seconds", "failure_ttl_seconds", "health_score", "token_bucket"),
        *("max_retry_after_seconds", "debug", "sticky_scope", "conversation_ttl_seconds", "affinity_subagents"),
    }
    for name in Settings.model_fields:
        project_file({name: []})  # no setting is a list
        if name in open_to_projects:
            assert name in _refusal()
        else:
            assert getattr(Settings(), name) != []


def test_a_project_folder_that_the_user_chose_as_their_own_is_trusted(
    project_file: WriteFile, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    project_file({"endpoint": "https://mine.example"})
    monkeypatch.setenv("OPENCODE_CONFIG_DIR", str(Path(".opencode").absolute()))
    assert Settings().endpoint == "https://mine.example"
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"debug": true,\n "sticky_wait_seconds": }', ["not valid JSON", "line 2, column 25", "comments"]),
        ('{"oauth_client_secret": "' + CANARY, ["not valid JSON", "line 1"]),
        (b'{"debug":\n "\xff"}', ["not UTF-8", "line 2"]),
        ("", ["is empty", "line 1", "{}"]),
        ("[1]", ["a list, not an object"]),
        ('"text"', ["a string, not an object"]),
        ("null", ["null, not an object"]),
        ("[" * 100_000, ["not valid JSON"]),
        ("// " + "x" * 300_000, ["larger than"]),
    ],
    ids=["broken", "cut", "not utf-8", "empty", "list", "string", "null", "deep", "huge"],
)
@pytest.mark.parametrize("which", ["user", "project"])
def test_a_broken_file_is_an_error_that_names_file_place_and_remedy(
    which: str, content: object, words: list[str], user_file: WriteFile, project_file: WriteFile
) -> None:
    path = (user_file if which == "user" else project_file)(content)
    message = _refusal()
    assert str(path).removeprefix(str(Path.home())) in message
    assert all(word in message for word in words), message
    assert CANARY not in message


def test_a_folder_in_place_of_a_settings_file_is_an_error(user_file: WriteFile) -> None:
    path = user_file({})
    path.unlink()
    path.mkdir()
    assert "not a regular file" in _refusal()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_in_place_of_a_settings_file_is_never_waited_for(user_file: WriteFile) -> None:
    path = user_file({})
    path.unlink()
    os.mkfifo(path)
    assert "not a regular file" in _refusal()


def test_a_folder_that_may_not_be_entered_stops_nobody(
    user_file: WriteFile, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = user_file({"debug": True})
    plain_stat = Path.stat

    def refusing(self: Path, **kwargs: Any) -> os.stat_result:
        if self == path:
            raise PermissionError(13, "Permission denied")
        return plain_stat(self, **kwargs)

    monkeypatch.setattr(Path, "stat", refusing)
    assert Settings().debug is False
    assert "no permission to look for the settings file ~/.config/opencode/antigravity.json" in caplog.text


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a user whom file modes bind")
def test_an_unreadable_file_is_an_error_that_says_what_to_do(user_file: WriteFile) -> None:
    user_file({}).chmod(0)
    assert "Make it readable" in _refusal()


def test_an_unreadable_file_is_told_from_a_missing_one(user_file: WriteFile, monkeypatch: pytest.MonkeyPatch) -> None:
    path = user_file({})
    plain_open = Path.open

    def refusing(self: Path, *args: Any, **kwargs: Any) -> Any:
        if self == path:
            raise PermissionError(13, "Permission denied")
        return plain_open(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refusing)
    message = _refusal()
    assert "Permission denied" in message
    assert "Make it readable" in message


# Bad values


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("account_selection_strategy", "random", ["'random'", "'sticky', 'round-robin' or 'hybrid'"]),
        ("account_selection_strategy", "round_robin", ["Did you mean 'round-robin'?"]),
        ("account_selection_strategy", "Sticky", ["Did you mean 'sticky'?"]),
        ("account_selection_strategy", ["sticky"], ["a list"]),
        ("offset_source", "ppid", ["'pid' or 'slot'"]),
        ("debug", "maybe", ["'maybe'", "true or false"]),
        ("debug", 2, ["2 is not", "true or false"]),
        ("debug", None, ["null", "true or false"]),
        ("pid_offset_enabled", "yes", ["'yes'", "true or false"]),
        ("max_rate_limit_wait_seconds", -1, ["-1", "a number >= 0"]),
        ("max_rate_limit_wait_seconds", True, ["true", "a number >= 0"]),
        ("max_rate_limit_wait_seconds", "soon", ["'soon'", "a number >= 0"]),
        ("sticky_wait_seconds", float("inf"), ["inf", "a number >= 0"]),
        ("failure_ttl_seconds", float("nan"), ["nan", "a number >= 0"]),
        ("failure_ttl_seconds", 10**400, ["a number >= 0"]),
        ("health_score", 5, ["an object with initial"]),
        ("health_score", {"rate_limit_penalty": 1}, ["health_score.rate_limit_penalty", "a number <= 0"]),
        ("health_score", {"min_usable": False}, ["health_score.min_usable", "a number >= 0"]),
        ("token_bucket", {"max_tokens": 0}, ["token_bucket.max_tokens", "a number > 0"]),
        ("accounts_file", "", ["a path"]),
        ("accounts_file", "a\0b", ["a path"]),
        ("state_dir", 3, ["a path"]),
        ("state_dir", "~nobody-has-this-name/x", ["a path"]),
        ("oauth_client_id", 3, ["text"]),
        ("user_agent", "", ["printable ASCII"]),
        ("user_agent", "a\r\nx-evil: 1", ["printable ASCII"]),
        ("user_agent", "a\n", ["printable ASCII"]),
        ("user_agent", "caf\u00e9", ["printable ASCII"]),
    ],
)
def test_a_bad_value_is_told_with_setting_source_value_and_what_is_allowed(
    name: str, value: object, words: list[str]
) -> None:
    message = _refusal(**{name: value})
    assert name in message
    assert "from arguments" in message
    assert all(word in message for word in words), message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("value", [True, False, "true", "FALSE", " 1 ", "0", 1, 0])
def test_booleans_are_read_as_people_write_them(value: object) -> None:
    assert Settings(debug=value).debug is (str(value).strip().lower() in ("true", "1"))


def test_each_source_is_named_with_its_bad_value(
    user_file: WriteFile, project_file: WriteFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_file({"endpoint": "ftp://x", "health_score": {"min_usable": "a"}})
    project_file({"offset_source": "b", "health_score": {"initial": "c"}})
    monkeypatch.setenv("OPENCODE_ANTIGRAVITY_DEBUG", "d")
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_PID_OFFSET_ENABLED", "e")
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_HEALTH_SCORE__MAX_SCORE", "f")
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_TOKEN_BUCKET", '{"max_tokens": "g"')
    lines = _refusal(sticky_wait_seconds="h").splitlines()
    expected = {
        "endpoint": ("user file ~/.config/opencode/antigravity.json", "'ftp://x'"),
        "health_score.min_usable": ("user file ~/.config/opencode/antigravity.json", "'a'"),
        "offset_source": ("project file ~/work/.opencode/antigravity.json", "'b'"),
        "health_score.initial": ("project file ~/work/.opencode/antigravity.json", "'c'"),
        "debug": ("environment variable OPENCODE_ANTIGRAVITY_DEBUG", "'d'"),
        "pid_offset_enabled": ("environment variable LITELLM_ANTIGRAVITY_PID_OFFSET_ENABLED", "'e'"),
        "health_score.max_score": ("environment variable LITELLM_ANTIGRAVITY_HEALTH_SCORE__MAX_SCORE", "'f'"),
        "token_bucket": ("environment variable LITELLM_ANTIGRAVITY_TOKEN_BUCKET", '{"max_tokens": "g"'),
        "sticky_wait_seconds": ("arguments", "'h'"),
    }
    assert len(lines) == len(expected)
    for name, (source, value) in expected.items():
        assert any(line.startswith(f"Setting {name} from {source}: ") and value in line for line in lines), lines


def test_a_bad_value_under_a_good_one_from_a_higher_source_does_no_harm(user_file: WriteFile) -> None:
    user_file({"debug": "maybe", "health_score": "none"})
    assert Settings(debug=True, health_score={"min_usable": 1}).debug is True


def test_a_group_replaced_halfway_leaves_no_false_trail(
    user_file: WriteFile, project_file: WriteFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_file({"health_score": {"initial": 60}})
    project_file({"health_score": "nonsense"})
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_HEALTH_SCORE__MAX_SCORE", "50")
    assert "health_score.initial (70, from default) must not exceed" in _refusal()


@pytest.mark.parametrize("secret", [[CANARY], {"value": CANARY}, CANARY.encode() + b"\xff"])
def test_a_secret_of_the_wrong_kind_is_shown_nowhere(secret: object) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(oauth_client_secret=secret)
    assert "oauth_client_secret" in str(caught.value)
    error: BaseException | None = caught.value
    while error is not None:
        assert CANARY not in f"{error} {error!r}"
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize(
    ("given", "low", "high"),
    [
        (
            {"health_score": {"min_usable": 101}},
            "health_score.min_usable (101, from arguments)",
            "max_score (100, from default)",
        ),
        (
            {"health_score": {"initial": 101}},
            "health_score.initial (101, from arguments)",
            "max_score (100, from default)",
        ),
        (
            {"health_score": {"max_score": 60}},
            "health_score.initial (70, from default)",
            "max_score (60, from arguments)",
        ),
        ({"token_bucket": {"max_tokens": 9}}, "initial_tokens (50, from default)", "max_tokens (9, from arguments)"),
    ],
)
def test_two_settings_out_of_order_are_both_named_with_their_sources(
    given: dict[str, Any], low: str, high: str
) -> None:
    message = _refusal(**given)
    assert low in message
    assert high in message


# Unknown names


@pytest.mark.parametrize(
    ("given", "name", "meant"),
    [
        ({"acount_selection_strategy": "sticky"}, "acount_selection_strategy", "account_selection_strategy"),
        ({"DEBUG": True}, "DEBUG", "debug"),
        ({"health_score": {"min_usabel": 1}}, "health_score.min_usabel", "health_score.min_usable"),
        ({"min_usable": 1}, "min_usable", "health_score.min_usable"),
        ({"pid-offset-enabled": 1}, "pid-offset-enabled", "pid_offset_enabled"),
    ],
)
def test_an_unknown_argument_is_named_with_the_nearest_setting(given: dict[str, Any], name: str, meant: str) -> None:
    message = _refusal(**given)
    assert f"'{name}'" in message
    assert f"did you mean '{meant}'?" in message


def test_a_name_like_no_setting_is_answered_with_all_of_them() -> None:
    message = _refusal(xyzzy=CANARY)
    assert "'xyzzy'" in message
    assert all(name in message for name in Settings.model_fields)
    assert CANARY not in message


def test_no_argument_reaches_the_machinery_below() -> None:
    assert "'_env_file'" in _refusal(_env_file="/etc/passwd")


def test_unknown_names_and_bad_values_are_told_together() -> None:
    assert len(_refusal(debg=1, debug="maybe").splitlines()) == 2


def test_a_mapping_is_named_as_its_caller_names_it() -> None:
    source = "antigravity_settings in config.yaml"
    settings = Settings.from_mapping({"debug": True, "health_score": {"min_usable": 3}}, source)
    assert (settings.debug, settings.health_score.min_usable) == (True, 3)
    for block, word in [({"debug": "x"}, "debug"), ({"debgu": 1}, "debgu"), ({1: 2}, "'1'"), ([1], "mapping")]:
        with pytest.raises(SettingsError, match=source) as caught:
            Settings.from_mapping(block, source)  # type: ignore[arg-type] # what a YAML file may hold
        assert word in str(caught.value)
    assert Settings.from_mapping(None, source) == Settings()


# Endpoints


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://api.example", "https://api.example"),
        ("https://api.example/", "https://api.example"),
        ("https://api.example:8443/base//", "https://api.example:8443/base"),
        (" HTTPS://api.example ", "https://api.example"),
        ("http://localhost:1", "http://localhost:1"),
        ("http://127.0.0.1:1/", "http://127.0.0.1:1"),
        ("http://127.9.9.9", "http://127.9.9.9"),
        ("http://[::1]:1", "http://[::1]:1"),
        ("https://[2001:db8::1]", "https://[2001:db8::1]"),
    ],
)
@pytest.mark.parametrize("name", ["endpoint", "token_url", "auth_url", "userinfo_url"])
def test_a_safe_url_is_kept_without_trailing_slashes(name: str, url: str, kept: str) -> None:
    assert getattr(Settings(**{name: url}), name) == kept


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example",
        "/base",
        "https://",
        "http://api.example",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "http://0.0.0.0",
        "http://[::ffff:10.0.0.1]",
        f"https://user:{CANARY}@api.example",
        f"https://{CANARY}@api.example",
        f"https://api.example/?key={CANARY}",
        f"https://api.example#{CANARY}",
        "https://@api.example",
        "https://api.example?",
        "http://127.0.0.1\\@evil.example",
        "http://127.0.0.1%2f.evil.example",
        "https://api.example:99999",
        "https://api.example:",
        "https://[::1",
        "https://[::1]evil.example",
        "https://a b.example",
        "https://api.example/\nx",
        "ftp://localhost",
        "file:///etc/passwd",
    ],
)
@pytest.mark.parametrize("name", ["endpoint", "token_url", "auth_url", "userinfo_url"])
def test_an_unsafe_url_is_refused_without_showing_what_may_be_a_secret(name: str, url: str) -> None:
    message = _refusal(**{name: url})
    assert "https://" in message
    assert CANARY not in message


@given(
    st.from_regex(r"https?://[A-Za-z0-9.:@\[\]\\%/?# _-]{0,24}", fullmatch=True)
    | st.builds(
        "{}://{}{}{}".format,
        st.sampled_from(["http", "https"]),
        st.sampled_from(["localhost", "127.0.0.1", "[::1]"]),
        st.text("@:.\\/%[]#?0a", max_size=3),
        st.sampled_from(["", "evil.example", ":80", "evil.example:80/x"]),
    )
)
@example("http://localhost@evil.example")
def test_plain_http_that_is_let_through_goes_to_this_host_as_httpx_reads_it(url: str) -> None:
    try:
        kept = Settings(endpoint=url).endpoint
    except SettingsError:
        return
    read = httpx.URL(kept + "/v1internal:generateContent")
    assert not read.userinfo
    assert not read.query
    assert read.scheme == "https" or read.host in ("localhost", "::1") or read.host.startswith("127.")


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=2),
    max_leaves=4,
)


@given(st.sampled_from(sorted(Settings.model_fields)), _VALUES)
def test_no_value_whatever_raises_anything_but_a_settings_error(name: str, value: object) -> None:
    with contextlib.suppress(SettingsError):
        Settings(**{name: value})


# The reference


def test_the_reference_tells_every_setting_as_it_is() -> None:
    reference = {setting.name: setting for setting in settings_reference()}
    flat = {
        f"{name}.{key}" if isinstance(value, dict) else name
        for name, value in Settings().model_dump().items()
        for key in (value if isinstance(value, dict) else [""])
    }
    assert set(reference) == flat
    assert all(setting.description and setting.allowed != "another value" for setting in reference.values())
    assert reference["health_score.min_usable"].default == "50"
    assert reference["health_score.min_usable"].env == "LITELLM_ANTIGRAVITY_HEALTH_SCORE__MIN_USABLE"
    assert reference["oauth_client_secret"].default == "none"
    assert reference["debug"].default == "false"


def test_the_defaults_in_the_reference_are_the_defaults_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    told_in_words = {"accounts_file", "state_dir", "oauth_client_id", "oauth_client_secret", "model_costs"}
    told_in_words |= {"share_tokens_key"}
    expected = Settings()
    for setting in settings_reference():
        if setting.name not in told_in_words:
            monkeypatch.setenv(setting.env, setting.default)
    assert Settings() == expected
