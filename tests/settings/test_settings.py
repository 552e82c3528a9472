"""Settings: defaults, sources and their order, places, and the reference."""

from __future__ import annotations

import itertools
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath

import pytest
from pydantic import SecretStr, ValidationError
from settings_files import CANARY, WriteFile, _lonely, _refusal, _write, project_file, user_file
from support import ROOT

from litellm_antigravity.settings import Settings, settings_reference, user_config_dir
from litellm_antigravity.settings.places import config_dir_for

__all__ = ["_lonely", "project_file", "user_file"]  # fixtures

pytestmark = pytest.mark.once


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
        "max_rate_limit_wait_seconds": 5,
        "max_retry_after_seconds": None,
        "switch_on_first_rate_limit": True,
        "sticky_wait_seconds": 0,
        "sticky_scope": "auto",
        "conversation_ttl_seconds": 3600,
        "conversation_limit": 10_000,
        "failure_ttl_seconds": 3600,
        "max_in_flight_per_account": None,
        "fair_share": False,
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
        "switch_on_first_rate_limit": False,
        "affinity_subagents": "with-parent",
        "fair_share": True,
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
