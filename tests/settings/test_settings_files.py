"""Settings files: how they may be written, what a project's may say, and files that cannot be used."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest
from settings_files import CANARY, WriteFile, _lonely, _refusal, project_file, user_file

from litellm_antigravity.settings import Settings

__all__ = ["_lonely", "project_file", "user_file"]  # fixtures

pytestmark = pytest.mark.once


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
