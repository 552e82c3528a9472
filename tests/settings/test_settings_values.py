"""Bad values, unknown names and unsafe endpoints: how each is told, and what is never shown."""

from __future__ import annotations

import contextlib
from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from settings_files import CANARY, WriteFile, _lonely, _refusal, project_file, user_file

from litellm_antigravity.errors import SettingsError
from litellm_antigravity.settings import Settings

__all__ = ["_lonely", "project_file", "user_file"]  # fixtures

pytestmark = pytest.mark.once


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
