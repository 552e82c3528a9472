"""What README and the page of settings say is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from processes import together
from support import ROOT, run_program

from litellm_antigravity import Settings, __version__
from litellm_antigravity.accounts import AccountsFile
from litellm_antigravity.cli import cli
from litellm_antigravity.settings import settings_reference
from litellm_antigravity.settings.sources import OPENCODE_VARIABLES
from litellm_antigravity.simulator import Simulator

README = (ROOT / "README.md").read_text("utf-8")
CI = (ROOT / ".ci" / "run").read_text("utf-8")
SETTINGS_PAGE = (ROOT / "docs" / "settings.md").read_text("utf-8")
PYPROJECT = (ROOT / "pyproject.toml").read_text("utf-8")
SETTING_NAMES = {one.name for one in settings_reference()}


def blocks(language: str) -> list[str]:
    """Return README's code blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def steps(commands: str) -> list[str]:
    """Return the single commands of shell lines."""
    return [step.strip() for line in commands.splitlines() for step in line.split(" && ") if step.strip()]


def is_part_of(few: list[str], many: list[str]) -> bool:
    """Return whether ``few`` stand in ``many`` in this order, perhaps with others between them."""
    rest = iter(many)
    return all(one in rest for one in few)


def test_the_shell_commands_are_those_that_ci_runs() -> None:
    demo, tests = blocks("sh")
    assert steps(demo)[-1] == ".venv/bin/litellm-antigravity demo"
    assert steps(tests)[-1] == ".venv/bin/pytest"
    assert is_part_of([*steps(demo), *steps(tests)], steps(CI))
    assert not is_part_of([*steps(tests), *steps(demo)], steps(CI))


def test_the_warning_about_the_terms_stands_within_the_first_twenty_lines() -> None:
    top = " ".join(" ".join(README.splitlines()[:20]).replace("> ", "").split())
    assert "Google's Antigravity terms forbid third-party clients" in top
    assert "accounts have been suspended" in top


def test_every_relative_link_leads_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", README) if "://" not in link]
    headings = {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", README, re.MULTILINE)
    }
    assert len(links) >= 3
    for link in links:
        path, _, anchor = link.partition("#")
        assert (ROOT / path).exists(), link
        assert not anchor or anchor in headings, link


def test_every_environment_variable_is_one_that_is_read() -> None:
    known = {one.env for one in settings_reference()} | set(OPENCODE_VARIABLES.values())
    found = set(re.findall(r"\b(?:LITELLM|OPENCODE)_ANTIGRAVITY_[A-Z_]+[A-Z]\b", README + SETTINGS_PAGE))
    assert set(OPENCODE_VARIABLES.values()) <= found
    assert found <= known


def test_every_setting_that_is_named_exists() -> None:
    in_code = re.findall(r"`([a-z]+(?:_[a-z]+)+|debug)(?:: ([^`]*))?`", README + SETTINGS_PAGE)
    no_settings = {"antigravity_simulator", "antigravity_settings", "extra_headers", "model_info", "litellm_session_id"}
    named = {name for name, _ in in_code} - no_settings
    assert {"account_selection_strategy", "pid_offset_enabled", "offset_source", "state_dir"} <= named
    assert named <= SETTING_NAMES
    for name, value in in_code:
        if value:
            Settings(**{name: value})  # raises SettingsError for what is not allowed


def test_the_strategies_in_the_table_are_all_there_are() -> None:
    table = re.search(r"\| `account_selection_strategy` \|.*?\n\n", README, re.DOTALL)
    assert table is not None
    listed = re.findall(r"^\| `([a-z\-]+)`", table[0], re.MULTILINE)
    for name in listed:
        assert Settings(account_selection_strategy=name).account_selection_strategy == name
    allowed = next(one.allowed for one in settings_reference() if one.name == "account_selection_strategy")
    assert sorted(listed) == sorted(re.findall(r"'([^']+)'", allowed))


def test_every_command_of_the_command_line_exists() -> None:
    named = set(re.findall(r"litellm-antigravity ([a-z]+)\b(?! the user)", README))
    assert {"demo", "auth", "status", "simulate"} <= named
    assert named <= set(cli.commands)


def test_every_key_of_an_account_that_is_named_is_taken(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "accounts.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\"(\w+)\": [^`]*)` \|", page, re.MULTILINE)
    assert len(rows) == 4
    path = tmp_path / "antigravity-accounts.json"
    for number, (field, _) in enumerate(rows):
        filled = field.replace('"..."', '"a-token"')
        path.write_text(f'{{"version": 4, "accounts": [{{"email": "user{number}@example.com", {filled}}}]}}')
        path.chmod(0o600)
        snapshot = AccountsFile(path).load()
        assert len(snapshot.accounts) == 1
        assert snapshot.warnings == ()


def test_the_oldest_litellm_is_the_one_of_pyproject() -> None:
    oldest = re.search(r'"litellm>=([\d.]+),', PYPROJECT)
    assert oldest is not None
    assert f"LiteLLM {oldest[1]} and newer" in README
    for compromised in re.findall(r"!=([\d.]+)", PYPROJECT):
        assert compromised in README


def test_every_proxy_example_is_listed() -> None:
    listed = set(re.findall(r"\]\(config_examples/(proxy_\w+\.yaml)\)", README))
    assert listed == {path.name for path in (ROOT / "config_examples").glob("*.yaml")}


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_the_python_code_runs(number: int, antigravity_simulator: Simulator, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(blocks("python")[number])
    accounts_file = antigravity_simulator.write_accounts_file(tmp_path / "antigravity-accounts.json")
    environment = antigravity_simulator.environment(accounts_file, tmp_path / "state")
    [printed] = together(run_program, [(str(program), environment)])
    assert re.search(r"Served by user\d@example\.com", printed)


def test_there_is_python_code() -> None:
    assert blocks("python")


# docs/settings.md


def test_the_defaults_that_are_told_are_the_defaults() -> None:
    told = re.search(r"`max_rate_limit_wait_seconds` is (\d+) here", SETTINGS_PAGE)
    assert told is not None
    assert float(told[1]) == Settings().max_rate_limit_wait_seconds
    assert f"`{Settings().account_selection_strategy}` (default)" in README


def settings_table() -> str:
    """Return the table of settings that docs/settings.md carries."""
    rows = ["| setting | default | meaning | allowed |", "| --- | --- | --- | --- |"]
    for one in settings_reference():
        default = one.default.replace(__version__, "<version>")
        cells = (f"`{one.name}`", f"`{default}`", one.description, one.allowed)
        rows.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(rows)


def test_the_table_of_settings_is_that_of_the_code() -> None:
    carried = re.search(r"<!-- settings:.*?-->\n+(.*?)\n*<!-- end of settings -->", SETTINGS_PAGE, re.DOTALL)
    assert carried is not None
    assert carried[1] == settings_table(), f"put this in place of it:\n{settings_table()}"
