"""``config show`` and ``config proxy``: what holds here, and a proxy's YAML that works as it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from proxy import Proxy, needs_proxy, pool_environment
from serving import MESSAGES
from support import run_python

from litellm_antigravity.cli import cli
from litellm_antigravity.settings import settings_reference, user_config_dir
from litellm_antigravity.simulator import Simulator

SECRET = "hush-hush-0123456789"


def run(*args: str) -> Result:
    return CliRunner().invoke(cli, ["config", *args], prog_name="litellm-antigravity")


def shown(*args: str) -> dict[str, Mapping[str, Any]]:
    result = run("show", "--json", *args)
    assert result.exit_code == 0, result.output
    return {one["name"]: one for one in json.loads(result.stdout)}


@pytest.fixture
def many_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings from every source; return a proxy's YAML."""
    monkeypatch.chdir(tmp_path)
    user_file = user_config_dir() / "antigravity.json"
    user_file.parent.mkdir(parents=True)
    user_file.write_text('{"sticky_wait_seconds": 7, "debug": false, "health_score": {"min_usable": 40}}')
    (tmp_path / ".opencode").mkdir()
    (tmp_path / ".opencode" / "antigravity.json").write_text('{"failure_ttl_seconds": 60}')
    monkeypatch.setenv("OPENCODE_ANTIGRAVITY_DEBUG", "1")
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_OAUTH_CLIENT_SECRET", SECRET)
    monkeypatch.setenv("WHICH", "slot")
    config = tmp_path / "proxy.yaml"
    config.write_text(
        "antigravity_settings: {account_selection_strategy: sticky, offset_source: os.environ/WHICH}\nmodel_list: []\n"
    )
    return config


def test_every_setting_is_shown_with_its_value_and_its_source(many_sources: Path) -> None:
    found = shown("--config", str(many_sources))
    assert list(found) == [one.name for one in settings_reference()]
    sources = {name: one["source"] for name, one in found.items()}
    assert sources["account_selection_strategy"] == f"antigravity_settings in {many_sources}"
    assert found["offset_source"]["value"] == "slot"
    assert sources["sticky_wait_seconds"].startswith("user file ~/.config/opencode/antigravity.json")
    assert sources["failure_ttl_seconds"].startswith("project file ")
    assert sources["debug"] == "environment variable OPENCODE_ANTIGRAVITY_DEBUG"
    assert sources["health_score.min_usable"].startswith("user file ")
    assert sources["health_score.initial"] == "default"
    assert found["health_score.min_usable"]["value"] == 40


@pytest.mark.parametrize("columns", [60, 140])
def test_the_table_says_the_same_and_shows_no_secret(
    columns: int, many_sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    result = run("show", "--config", str(many_sources))
    assert result.exit_code == 0
    flat = " ".join(result.stdout.split())
    assert "oauth_client_secret *** environment variable LITELLM_ANTIGRAVITY_OAUTH_CLIENT_SECRET" in flat
    assert "account_selection_strategy sticky antigravity_settings in" in flat
    assert SECRET not in result.output
    assert SECRET not in run("show", "--json").output


def test_a_wrong_proxy_file_is_one_error(tmp_path: Path) -> None:
    for text, words in {
        "antigravity_settings: {strategy: sticky}": ["'strategy'", "did you mean 'account_selection_strategy'"],
        "a: [": ["is not YAML", "line"],
        "antigravity_settings: [1]": ["must be a mapping"],
    }.items():
        config = tmp_path / "proxy.yaml"
        config.write_text(text)
        result = run("show", "--config", str(config))
        assert result.exit_code == 1
        assert all(word in result.stderr for word in words), result.stderr


def test_showing_settings_is_quick_and_imports_no_litellm() -> None:
    """The aim is half a second; what is asserted is what makes it so."""
    code = """
        import sys
        from support import answer
        from litellm_antigravity.cli import cli

        cli(["config", "show"], standalone_mode=False)
        answer(sorted({"litellm", "diskcache", "httpx", "aiohttp", "yaml"} & set(sys.modules)))
    """
    assert run_python(code) == []


# config proxy


@pytest.fixture
def home(antigravity_simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    environment = pool_environment(antigravity_simulator, tmp_path)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment


@pytest.mark.parametrize("shape", [pytest.param(one, marks=needs_proxy) for one in ("--pool", "--pinned")])
def test_the_yaml_works_in_a_proxy_as_it_is(
    shape: str, home: dict[str, str], antigravity_simulator: Simulator, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(run("proxy", shape).stdout, "utf-8")
    antigravity_simulator.clear_log()
    with Proxy(config, tmp_path, home, imported=True) as proxy:
        for model in ("claude-sonnet-4-6", "gemini-3-flash"):
            answer = proxy.post("/v1/chat/completions", {"model": model, "messages": MESSAGES})
            assert answer.status_code == 200, answer.text
            assert "x-litellm-antigravity-account" in answer.headers
        assert "Traceback" not in proxy.log
        if shape == "--pinned":
            for _ in range(3):
                proxy.post("/v1/chat/completions", {"model": "gemini-3-flash", "messages": MESSAGES})
            asked = {one.email for one in antigravity_simulator.log if one.model == "gemini-3-flash"}
            assert len(asked) == len(antigravity_simulator.accounts)  # each has a deployment, and its turn


@pytest.mark.usefixtures("home")
def test_the_yaml_names_every_account_once_for_each_model(antigravity_simulator: Simulator) -> None:
    document = yaml.safe_load(run("proxy", "--pinned", "--model", "gpt-oss-120b-medium").stdout)
    named = [one["model_info"]["account"] for one in document["model_list"]]
    assert named == [account.email for account in antigravity_simulator.accounts]
    assert {one["litellm_params"]["model"] for one in document["model_list"]} == {"antigravity/gpt-oss-120b-medium"}
    assert document["router_settings"]["num_retries"] == len(named) - 1
    pool = run("proxy").stdout
    assert "@" not in pool
    assert [one["model_name"] for one in yaml.safe_load(pool)["model_list"]] == ["claude-sonnet-4-6", "gemini-3-flash"]


@pytest.mark.usefixtures("home")
def test_the_yaml_keeps_the_strategy_that_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert yaml.safe_load(run("proxy").stdout)["antigravity_settings"] == {
        "account_selection_strategy": "sticky",
        "pid_offset_enabled": True,
        "offset_source": "slot",
    }
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_ACCOUNT_SELECTION_STRATEGY", "hybrid")
    for shape in ("--pool", "--pinned"):
        settings = yaml.safe_load(run("proxy", shape).stdout)["antigravity_settings"]
        assert settings == {"account_selection_strategy": "hybrid"}


@pytest.mark.usefixtures("home")
def test_the_plugins_name_of_a_model_becomes_ours() -> None:
    document = yaml.safe_load(run("proxy", "--model", "google/antigravity-claude-sonnet-4-6").stdout)
    assert [one["model_name"] for one in document["model_list"]] == ["claude-sonnet-4-6"]


def test_without_accounts_there_is_no_yaml_but_what_to_do() -> None:
    result = run("proxy")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "There is no accounts file" in result.stderr
