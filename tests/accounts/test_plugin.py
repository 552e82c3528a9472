"""The accounts file between this package and the npm package opencode-antigravity-auth: its own reader and writer.

Skipped where node does not find the package: ``npm install opencode-antigravity-auth`` somewhere, and ``NODE_PATH``.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from litellm_antigravity.accounts import AccountsFile
from litellm_antigravity.cli import cli
from litellm_antigravity.pool import AccountPool
from litellm_antigravity.settings import Settings
from litellm_antigravity.state.memory import MemoryStore

PACKAGE = "opencode-antigravity-auth"
DRIVER = Path(__file__).with_name("plugin.mjs")
CLAUDE, GEMINI = "claude-sonnet-4-6", "gemini-3-flash"


@functools.cache
def package_folder() -> Path | None:
    node = shutil.which("node")
    if node is None:
        return None
    code = f"console.log(require.resolve('{PACKAGE}/package.json'))"
    found = subprocess.run([node, "-e", code], capture_output=True, text=True, check=False)
    return Path(found.stdout.strip()).parent if found.returncode == 0 else None


pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(package_folder() is None, reason=f"needs node and {PACKAGE} where it finds it (NODE_PATH)"),
]


class Plugin:
    """A process that runs the npm package on the accounts file of a folder."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [str(shutil.which("node")), str(DRIVER), str(package_folder())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OPENCODE_CONFIG_DIR": str(folder), "HOME": str(folder)},
        )

    def __call__(self, name: str, **fields: Any) -> Any:
        """Give an order and wait for the answer."""
        self.begin(name, **fields)
        return self.end()

    def begin(self, name: str, **fields: Any) -> None:
        """Give an order."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"name": name, **fields}) + "\n")
        self._process.stdin.flush()

    def end(self) -> Any:
        """Wait for the answer."""
        assert self._process.stdout is not None
        reply = json.loads(self._process.stdout.readline())
        assert "error" not in reply, reply
        return reply["answer"]

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith(("LITELLM_ANTIGRAVITY_", "OPENCODE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OPENCODE_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_OAUTH_CLIENT_ID", "my-own-client")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "config" / "antigravity-accounts.json"


@pytest.fixture
def plugin(path: Path) -> Iterator[Plugin]:
    one = Plugin(path.parent)
    try:
        yield one
    finally:
        one.close()


def entry(number: int, **more: Any) -> dict[str, Any]:
    times = {"addedAt": 1_700_000_000_000 + number, "lastUsed": 0}
    return {"email": f"user{number}@gmail.com", "refreshToken": f"1//token-{number}", **times, **more}


def auth(*args: str) -> str:
    result = CliRunner().invoke(cli, ["auth", *args], prog_name="litellm-antigravity")
    assert result.exit_code == 0, result.output
    return result.stdout


def served(path: Path, model: str) -> set[str | None]:
    pool = AccountPool(Settings(accounts_file=path, account_selection_strategy="round-robin"), store=MemoryStore())
    return {pool.acquire(model).account.email for _ in range(4)}


def emails(accounts: Any) -> list[str | None]:
    return [one["email"] if isinstance(one, dict) else one.email for one in accounts]


def test_what_this_package_writes_the_plugin_reads(path: Path, plugin: Plugin) -> None:
    source = AccountsFile(path)
    source.add(entry(1, projectId="p", oauthClient={"clientId": "own", "clientSecret": "s"}))
    source.add(entry(2))
    source.add({"email": "build@example.com", "tokenCommand": ["print-token"]})
    auth("disable", "2")
    read = plugin("read")
    assert emails(read["accounts"]) == ["user1@gmail.com", "user2@gmail.com"]
    assert [one["refreshToken"] for one in read["accounts"]] == ["1//token-1", "1//token-2"]
    assert [one.get("enabled") for one in read["accounts"]] == [True, False]
    assert plugin("open") == 1  # it counts the enabled ones


def test_what_the_plugin_writes_this_package_reads(path: Path, plugin: Plugin) -> None:
    plugin("merge", accounts=[entry(1, projectId="p"), entry(2)])
    plugin("open")
    plugin("enable", index=0, enabled=False)
    plugin("verification", index=1, url="https://accounts.google.com/verify?x=1")
    first, second = AccountsFile(path).load().accounts
    assert (first.email, first.project, first.enabled) == ("user1@gmail.com", "p", False)
    assert second.cooldowns[0].url == "https://accounts.google.com/verify?x=1"
    assert "user2@gmail.com: open https://accounts.google.com/verify?x=1" in auth("list")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_switches_clients_and_accounts_of_our_own_outlive_the_plugins_rewrites(path: Path, plugin: Plugin) -> None:
    """Before, a plugin that runs enabled a whole account again with its next save, and there was no other switch."""
    source = AccountsFile(path)
    source.add(entry(1, oauthClient={"clientId": "own", "clientSecret": "s"}))
    source.add(entry(2))
    source.add(entry(3))
    source.add({"email": "build@example.com", "tokenCommand": ["print-token"]})
    plugin("open")  # it has everything in memory now, enabled
    auth("disable", "user1", "--family", "claude")
    auth("disable", "user2")
    plugin("save")
    accounts = source.load().accounts
    assert emails(accounts) == ["user1@gmail.com", "user2@gmail.com", "user3@gmail.com", "build@example.com"]
    assert accounts[0].oauth_client is not None
    assert served(path, CLAUDE) == {"user3@gmail.com", "build@example.com"}
    assert served(path, GEMINI) == {"user1@gmail.com", "user3@gmail.com", "build@example.com"}
    # Its hardest rewrite: what it knows of each account, and nothing else.
    plugin("replace", accounts=[entry(number, enabled=True) for number in (1, 2, 3)])
    assert served(path, CLAUDE) == {"user3@gmail.com", "build@example.com"}
    auth("enable", "user1", "user2")
    plugin("save")
    assert served(path, CLAUDE) == {*emails(accounts)}


def test_a_removed_account_and_a_replaced_sign_in_stay_away_when_the_plugin_writes_them_back(
    path: Path, plugin: Plugin
) -> None:
    source = AccountsFile(path)
    for number in (1, 2, 3):
        source.add(entry(number))
    plugin("open")
    auth("remove", "user1", "--yes")
    second = source.load().accounts[0]
    source.replace(second.id, {"email": "user2@gmail.com", "refreshToken": "1//signed-in-anew"})
    plugin("save")  # its merge brings the old tokens back
    assert len(json.loads(path.read_text())["accounts"]) > 2
    accounts = source.load().accounts
    assert sorted(map(str, emails(accounts))) == ["user2@gmail.com", "user3@gmail.com"]
    tokens = {one.email: one.credential for one in accounts}
    assert "signed-in-anew" in tokens["user2@gmail.com"].token.get_secret_value()  # type: ignore[union-attr]


def test_nothing_is_lost_while_both_programs_write(path: Path, plugin: Plugin) -> None:
    source = AccountsFile(path)
    for number in range(1, 5):
        source.add(entry(number))
    plugin("open")
    plugin.begin("saves", count=40)
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            ours = AccountsFile(path)
            account = next(one for one in ours.load().accounts if one.email == f"user{number}@gmail.com")
            for turn in range(8):
                ours.update_entry(account.id, disabledFamilies=["claude"] if turn % 2 else [], lastUsed=turn)
            ours.add(entry(10 + number))
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=work, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    plugin.end()
    assert not failed
    accounts = source.load().accounts
    assert {*emails(accounts)} == {f"user{number}@gmail.com" for number in (1, 2, 3, 4, 11, 12)}
    off = {one.email for one in accounts if one.disabled_families == {"claude"}}
    assert off == {"user1@gmail.com", "user2@gmail.com"}
    left = {file.name for file in path.parent.iterdir() if file.suffix in (".lock", ".tmp")}
    assert not left
