"""What stands in ``config_examples`` works as it is, and says what is so."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import json5
import pytest
from processes import together
from support import HANG_SECONDS, ROOT, run_program

from litellm_antigravity import Settings, __version__
from litellm_antigravity.accounts import AccountsFile
from litellm_antigravity.settings import SettingReference, settings_reference, user_config_dir
from litellm_antigravity.simulator import Simulator

EXAMPLES = ROOT / "config_examples"
PROGRAMS = sorted(EXAMPLES.glob("*.py"))
SETTINGS = (EXAMPLES / "antigravity.json").read_text("utf-8")
COMMENTED_OUT = {
    *("accounts_file", "oauth_client_id", "oauth_client_secret", "state_dir", "model_costs", "user_agent"),
    "share_tokens_key",
}
GROUPS = {one.name.partition(".")[0] for one in settings_reference() if "." in one.name}


@pytest.fixture
def environment(antigravity_simulator: Simulator, tmp_path: Path) -> dict[str, str]:
    """What a user would export to use the simulator."""
    accounts_file = antigravity_simulator.write_accounts_file(tmp_path / "antigravity-accounts.json")
    return antigravity_simulator.environment(accounts_file, tmp_path / "state")


# The settings


def uncommented() -> dict[str, Any]:
    """Return the settings of the example, those that are commented out included."""
    found = json5.loads(re.sub(r'^( *)// (?=")', r"\1", SETTINGS, flags=re.MULTILINE))
    assert isinstance(found, dict)
    return found


def flat(document: dict[str, Any]) -> dict[str, Any]:
    """Return ``{"group": {"key": 1}}`` as ``{"group.key": 1}``."""
    return {
        f"{name}.{key}" if key else name: one
        for name, value in document.items()
        for key, one in (value.items() if name in GROUPS else [("", value)])
    }


def test_the_settings_example_used_as_it_is_changes_nothing() -> None:
    before = Settings()
    target = user_config_dir() / "antigravity.json"
    target.parent.mkdir(parents=True)
    shutil.copy(EXAMPLES / "antigravity.json", target)
    assert Settings() == before
    target.write_text(SETTINGS.replace('"hybrid"', '"sticky"'), "utf-8")
    assert Settings() != before  # the file is read indeed


def test_only_settings_without_a_default_for_everybody_are_commented_out() -> None:
    in_force = flat(json5.loads(SETTINGS))
    assert set(flat(uncommented())) - set(in_force) == COMMENTED_OUT


def test_the_settings_example_names_every_setting_in_the_order_of_the_reference() -> None:
    assert list(flat(uncommented())) == [one.name for one in settings_reference()]


@pytest.mark.parametrize("one", settings_reference(), ids=lambda one: one.name)
def test_the_settings_example_gives_the_default_under_the_description(one: SettingReference) -> None:
    value = flat(uncommented())[one.name]
    if one.name not in COMMENTED_OUT:
        default: Any = Settings()
        for part in one.name.split("."):
            default = getattr(default, part)
        assert (tuple(value) if isinstance(value, list) else value) == default
    key = one.name.rpartition(".")[2]
    comment = re.search(rf'// ([^\n]*)\n *(?:// )?"{key}":', SETTINGS)
    assert comment is not None
    assert comment[1].lower().startswith(one.description.lower())


@pytest.mark.skipif(sys.platform != "linux", reason="the example shows the places of Linux")
def test_the_places_in_the_settings_example_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENCODE_CONFIG_DIR", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name)
    shown = uncommented()
    assert Path(shown["accounts_file"]).expanduser() == Settings().accounts_file
    assert Path(shown["state_dir"]).expanduser() == Settings().state_dir
    assert shown["user_agent"].replace("<version>", __version__) == Settings().user_agent


# The accounts


def test_the_accounts_example_is_an_accounts_file_with_every_kind_of_credential(tmp_path: Path) -> None:
    path = tmp_path / "antigravity-accounts.json"
    shutil.copy(EXAMPLES / "antigravity-accounts.json", path)
    path.chmod(0o600)
    snapshot = AccountsFile(path).load()
    assert snapshot.version == 4
    assert snapshot.warnings == ()
    kinds = [account.credential.kind for account in snapshot.accounts]
    assert kinds == ["refresh_token", "authorized_user", "token_command", "static_token"]


def test_the_accounts_example_holds_no_real_account() -> None:
    text = (EXAMPLES / "antigravity-accounts.json").read_text("utf-8")
    assert all(address.endswith("@example.com") for address in re.findall(r"[\w.]+@[\w.]+", text))
    for token in re.findall(r'"(?:refreshToken|accessToken)": "([^"]+)"', text):
        assert "this-is-no-real-" in token


# The programs


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.name)
def test_a_program_is_short_and_begins_with_what_it_shows(program: Path) -> None:
    lines = program.read_text("utf-8").splitlines()
    assert len(lines) <= 30
    assert lines[0].startswith('"""')
    assert lines[0].endswith('."""')


def test_the_smallest_program_prints_a_reply(environment: dict[str, str]) -> None:
    [printed] = together(run_program, [(str(EXAMPLES / "completion.py"), environment)])
    assert re.fullmatch(r"Served by user\d@example\.com with claude-sonnet-4-6\.\n", printed)


def test_the_streaming_program_prints_replies_and_the_masked_accounts(
    environment: dict[str, str], antigravity_simulator: Simulator
) -> None:
    [printed] = together(run_program, [(str(EXAMPLES / "async_streaming.py"), environment)])
    lines = printed.splitlines()
    assert len(lines) == 2
    for line in lines:
        label, _, text = line.partition(": ")
        served = re.fullmatch(r"Served by (\S+) with gemini-3-flash\.", text)
        assert served is not None
        assert label == antigravity_simulator.account(served[1]).label
    assert len(antigravity_simulator.requests(path="streamGenerateContent", status=200)) == 2


def test_the_router_program_goes_round_the_pinned_accounts(
    environment: dict[str, str], antigravity_simulator: Simulator
) -> None:
    [printed] = together(run_program, [(str(EXAMPLES / "router.py"), environment)])
    served = re.findall(r"^Served by (\S+) with claude-sonnet-4-6\.$", printed, re.MULTILINE)
    assert served == [f"user{number}@example.com" for number in (1, 2, 3)]
    assert antigravity_simulator.requests(status=429) == []


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_a_proxy_example_begins_with_two_lines_that_say_who_it_is_for(example: Path) -> None:
    first, second, third = example.read_text("utf-8").splitlines()[:3]
    assert first.startswith("# For ")
    assert second.startswith("# ")
    assert not third.startswith("#")


def test_many_agents_start_on_different_accounts_and_stay_there(
    environment: dict[str, str], antigravity_simulator: Simulator
) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "many_agents.py"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = re.findall(r"agent (\d): Served by (\S+) with", done.stdout)
    assert len(told) == 6
    assert len(set(told)) == 3  # each agent one account
    assert len({account for _, account in told}) == 3  # and not another's
    assert antigravity_simulator.token_calls() == 3
