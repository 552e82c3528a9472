"""``litellm-antigravity auth``: what each command prints, asks, changes and refuses."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from support import NOW, ROOT

from litellm_antigravity.accounts import AccountsFile
from litellm_antigravity.accounts.companion import companion_of
from litellm_antigravity.cli import cli
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.pool import AccountPool
from litellm_antigravity.settings import Settings
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.state.memory import MemoryStore

pytestmark = pytest.mark.once

CANARY = "1//canary-SECRET"
CLIENT_CANARY = "GOCSPX" + "-canary-SECRET"  # in two pieces, so that nobody takes it for a real one
GCLOUD = {
    "type": "authorized_user",
    "client_id": "gcloud-like",
    "client_secret": CLIENT_CANARY,
    "refresh_token": f"{CANARY}-9",
    "quota_project_id": "my-project",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user with an OAuth client, and nothing else yet."""
    for name in list(os.environ):
        if name.startswith(("LITELLM_ANTIGRAVITY_", "OPENCODE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OPENCODE_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_OAUTH_CLIENT_ID", "my-own-client")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def path(home: Path) -> Path:
    (home / "config").mkdir(mode=0o700)
    return home / "config" / "antigravity-accounts.json"


def save(path: Path, *entries: dict[str, Any]) -> Path:
    path.touch(0o600)
    path.write_text(json.dumps({"version": 4, "accounts": list(entries), "activeIndex": 0}))
    return path


def entry(number: int, **more: Any) -> dict[str, Any]:
    return {"email": f"user{number}@gmail.com", "refreshToken": f"{CANARY}-{number}", **more}


def run(*args: str, typed: str | bytes | None = None) -> Result:
    result = CliRunner().invoke(cli, list(args), prog_name="litellm-antigravity", input=typed)
    if "--secrets" not in args:
        assert "canary" not in result.output
    return result


def done(*args: str, typed: str | bytes | None = None) -> str:
    result = run(*args, typed=typed)
    assert result.exit_code == 0, result.output
    return result.stdout


def emails(path: Path) -> list[str | None]:
    return [account.email for account in AccountsFile(path).load(may_be_empty=True).accounts]


# list


def test_the_list_says_what_keeps_each_account_from_serving(path: Path, home: Path) -> None:
    """Before, it said nothing but "(disabled)"."""
    url = "https://accounts.google.com/verify?id=1"
    save(
        path,
        entry(1),
        entry(2, enabled=False),
        entry(3, disabledFamilies=["gemini"], label="work"),
        entry(4, verificationRequired=True, verificationUrl=url),
        entry(5, oauthClient={"file": "nowhere.json"}),
    )
    store = DiskStore(home / "state")
    account = AccountsFile(path).load().accounts[0]
    store.extend_cooldown(Cooldown(account.id, "claude", time.time() + 600, "quota", time.time(), fact=True))
    store.close()
    lines = done("auth", "list").splitlines()
    assert lines[0] == "5 account(s) saved:"
    assert lines[1].startswith("  1. user1@gmail.com (quota for claude, ")
    assert lines[2:6] == [
        "  2. user2@gmail.com (disabled)",
        "  3. user3@gmail.com (work) (disabled for gemini)",
        "  4. user4@gmail.com (out: verification)",
        "  5. user5@gmail.com (needs an OAuth client)",
    ]
    assert lines[6] == f"user4@gmail.com: open {url}"
    assert lines[7].startswith("1 account needs an OAuth client, and the one that it names cannot be had: ")
    states = [one["state"] for one in json.loads(done("auth", "list", "--json"))["accounts"]]
    assert states == ["limited", "disabled", "ready", "out", "needs an OAuth client"]


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_no_word_is_broken_on_a_narrow_screen_and_an_address_stays_whole(
    columns: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, lines ran over the edge, where terminals break them in the middle of a word."""
    url = "https://accounts.google.com/" + "verify" * 30
    monkeypatch.delenv("LITELLM_ANTIGRAVITY_OAUTH_CLIENT_ID")
    save(path, entry(1), entry(2, verificationRequired=True, verificationUrl=url, oauthClient={"clientId": "x"}))
    whole = done("auth", "list")
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = done("auth", "list").splitlines()
    assert all(len(line) <= columns or len(line.split()) == 1 for line in lines)
    assert " ".join(" ".join(lines).split()) == " ".join(whole.split())
    assert url in " ".join(lines)


def test_accounts_without_any_client_are_not_listed_as_ready(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LITELLM_ANTIGRAVITY_OAUTH_CLIENT_ID")
    save(path, entry(1), entry(2))
    text = done("auth", "list")
    assert text.count("(needs an OAuth client)") == 2
    assert "2 accounts need an OAuth client; none is set: set `oauth_client_id`" in text


def test_a_url_that_is_no_plain_https_address_is_not_shown(path: Path) -> None:
    for url in ("javascript:alert(1)", "https://x.y/\x1b[2J", "http://x.y/", f"https://x.y/?t={CANARY}-1"):
        save(path, entry(1, verificationRequired=True, verificationUrl=url))
        assert "open" not in done("auth", "list")


def test_the_json_list_has_no_secret_and_says_where_each_client_comes_from(path: Path) -> None:
    save(path, entry(1), entry(2, oauthClient={"clientId": "own", "clientSecret": CLIENT_CANARY}))
    document = json.loads(done("auth", "list", "--json"))
    assert document["accounts_file"] == str(path)
    assert [(one["number"], one["email"], one["client"]) for one in document["accounts"]] == [
        (1, "user1@gmail.com", "settings"),
        (2, "user2@gmail.com", "accounts file"),
    ]


@pytest.mark.parametrize(
    "command", [("list",), ("list", "--json"), ("disable", "1"), ("export",), ("retry", "1"), ("import", "-")]
)
def test_a_command_that_asks_nobody_imports_nothing_of_litellm(command: tuple[str, ...], path: Path) -> None:
    save(path, entry(1), entry(2))
    code = (
        "import sys\nfrom litellm_antigravity.cli import cli\n"
        "try:\n    cli(sys.argv[1:], standalone_mode=False)\nexcept BaseException as error: print(error)\n"
        "slow = {'litellm', 'rich', 'aiohttp'} & set(sys.modules)\nassert not slow, slow\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, "auth", *command],
        input="{}",
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (ended.returncode, ended.stderr) == (0, "")


# enable and disable


def pool_of(path: Path) -> AccountPool:
    return AccountPool(Settings(accounts_file=path, account_selection_strategy="round-robin"), store=MemoryStore())


def served(pool: AccountPool, model: str) -> set[str | None]:
    return {pool.acquire(model).account.email for _ in range(4)}


def test_a_family_is_disabled_and_enabled_in_a_process_that_runs(path: Path) -> None:
    save(path, entry(1), entry(2))
    pool, both = pool_of(path), {"user1@gmail.com", "user2@gmail.com"}
    assert served(pool, "claude-sonnet-4-6") == both
    assert done("auth", "disable", "user1", "--family", "claude") == "user1@gmail.com is disabled for claude.\n"
    assert served(pool, "claude-sonnet-4-6") == {"user2@gmail.com"}
    assert served(pool, "gemini-3-flash") == both
    assert "already" in done("auth", "disable", "1", "--family", "claude")
    assert done("auth", "enable", "1") == "user1@gmail.com is enabled.\n"
    assert served(pool, "claude-sonnet-4-6") == both


def test_a_disabled_account_stays_so_when_a_program_that_has_it_enabled_writes_the_file(path: Path) -> None:
    """The plugin writes back the switch that it holds in memory."""
    save(path, entry(1), entry(2))
    done("auth", "disable", "1")
    assert json.loads(path.read_text())["accounts"][0]["enabled"] is False
    save(path, entry(1, enabled=True), entry(2))
    assert "1. user1@gmail.com (disabled)" in done("auth", "list")
    done("auth", "enable", "1")
    assert "1. user1@gmail.com\n" in done("auth", "list")


def test_one_family_of_a_disabled_account_can_be_enabled(path: Path) -> None:
    save(path, entry(1, enabled=False), entry(2))
    assert "OpenCode" in done("auth", "enable", "1", "--family", "gemini")
    assert "1. user1@gmail.com (disabled for claude)" in done("auth", "list")
    done("auth", "disable", "1", "--family", "gemini")
    assert "1. user1@gmail.com (disabled)" in done("auth", "list")


@pytest.mark.parametrize("command", ["enable", "disable", "remove", "retry", "verify", "export"])
def test_an_unclear_word_changes_nothing_and_lists_the_candidates(command: str, path: Path) -> None:
    before = save(path, entry(1), entry(2)).read_bytes()
    result = run("auth", command, "1", "user")
    assert result.exit_code == 1
    assert "means more than one account" in result.stderr
    assert "2. user2@gmail.com" in result.stderr
    assert path.read_bytes() == before
    assert not companion_of(path).exists()


# retry


def test_all_accounts_are_used_again_at_once(path: Path, home: Path) -> None:
    save(path, entry(1), entry(2), entry(3))
    store = DiskStore(home / "state")
    for account in AccountsFile(path).load().accounts[:2]:
        store.extend_cooldown(Cooldown(account.id, "*", float("inf"), "banned", NOW, fact=True))
    store.close()
    assert done("auth", "retry", "--all").splitlines() == [
        "user1@gmail.com is used again (it was out: banned).",
        "user2@gmail.com is used again (it was out: banned).",
        "user3@gmail.com was not out.",
    ]


def test_an_account_that_the_plugin_found_in_need_of_a_verification_is_used_again(path: Path) -> None:
    """Before, the accounts file had to be edited by hand, or the plugin's menu to be used."""
    noted = {"verificationRequired": True, "verificationUrl": "https://x.y/", "verificationRequiredAt": 5}
    save(path, entry(1, enabled=False, **noted), entry(2))
    assert "is used again (it was out: verification)" in done("auth", "retry", "1")
    assert json.loads(path.read_text())["accounts"][0] == entry(1, enabled=True)
    assert "1. user1@gmail.com\n" in done("auth", "list")


@pytest.mark.parametrize("args", [(), ("1", "--all")])
def test_retry_takes_accounts_or_all(args: tuple[str, ...], path: Path) -> None:
    save(path, entry(1))
    result = run("auth", "retry", *args)
    assert result.exit_code == 2
    assert "say which accounts, or --all" in result.stderr


# remove


def test_an_account_is_removed_when_the_answer_is_yes(path: Path) -> None:
    save(path, entry(1), entry(2))
    result = run("auth", "remove", "user1@gmail.com", typed="n\n")
    assert result.exit_code == 1
    assert "Nothing was changed." in result.stdout
    assert emails(path) == ["user1@gmail.com", "user2@gmail.com"]
    assert "user1@gmail.com is removed." in done("auth", "remove", "user1@gmail.com", typed="y\n")
    assert emails(path) == ["user2@gmail.com"]
    assert "user2@gmail.com is removed." in done("auth", "remove", "1", "--yes")
    assert emails(path) == []


# import


def test_an_import_shows_what_will_change_and_asks(path: Path, home: Path) -> None:
    save(path, entry(1), entry(2))
    other = home / "other.json"
    new = entry(3, rateLimitResetTimes={"claude": 9e12}, fingerprint={"x": 1}, disabledFamilies=["claude"])
    save(other, entry(1), entry(2, refreshToken=f"{CANARY}-new"), new, {"email": "broken@gmail.com"})
    result = run("auth", "import", str(other), typed="n\n")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[:3] == [
        "  saved already: user1@gmail.com",
        "  new credential for user2@gmail.com",
        "  add user3@gmail.com",
    ]
    assert lines[3].startswith("  skip entry 4: it has none of refreshToken, ")
    assert emails(path) == ["user1@gmail.com", "user2@gmail.com"]
    assert "2 account(s) imported." in done("auth", "import", str(other), typed="y\n")
    assert emails(path) == ["user1@gmail.com", "user2@gmail.com", "user3@gmail.com"]
    added = json.loads(path.read_text())["accounts"][2]
    assert "rateLimitResetTimes" not in added
    assert "fingerprint" not in added
    assert "3. user3@gmail.com (disabled for claude)" in done("auth", "list")
    assert "nothing to change" in done("auth", "import", str(other), "--yes")


def test_gclouds_json_comes_in_with_its_own_client(path: Path, home: Path) -> None:
    (home / "adc.json").write_text(json.dumps(GCLOUD))
    assert "1 account(s) imported." in done("auth", "import", "adc.json", "--yes")
    (account,) = AccountsFile(path).load().accounts
    assert account.oauth_client is not None
    assert (account.oauth_client.client_id, account.project) == ("gcloud-like", "my-project")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_standard_input_is_imported_with_yes_and_only_shown_without(path: Path) -> None:
    typed = json.dumps({"version": 4, "accounts": [entry(1)]})
    result = run("auth", "import", "-", typed=typed)
    assert result.exit_code == 1
    assert "add user1@gmail.com" in result.stdout
    assert "Say --yes" in result.stderr
    assert not path.exists()
    done("auth", "import", "-", "--yes", typed=typed)
    assert emails(path) == ["user1@gmail.com"]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (b"", "Nothing came in on standard input. The command whose output that is says why."),
        (
            b"{",
            "Standard input is not valid JSON: Expecting property name enclosed in double quotes, line 1, column 2.",
        ),
        (b"caf\xe9", "Standard input is not UTF-8 text (see byte 3)."),
        (
            b'{"type": "service_account"}',
            "a service account's key: litellm-antigravity auth add --service-account FILE",
        ),
    ],
)
def test_what_is_wrong_with_standard_input_is_told_of_no_file(typed: bytes, said: str, path: Path) -> None:
    """It was told of an accounts file "standard input" in the working folder, to be repaired by hand."""
    result = run("auth", "import", "-", "--yes", typed=typed)
    assert result.exit_code == 1
    assert result.stderr.strip().endswith(said)
    assert not path.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"{", "not valid JSON"),
        (b"[]", "a JSON list"),
        (b'{"version": 7, "accounts": []}', "version 7"),
        (b'{"some": "thing"}', "neither an accounts file"),
        (b'{"type": "service_account"}', "auth add --service-account"),
        (b'{"type": "authorized_user", "client_id": "x"}', "lacks client_secret, refresh_token"),
    ],
)
def test_what_holds_no_accounts_is_refused(content: bytes, said: str, home: Path) -> None:
    (home / "odd.json").write_bytes(content)
    result = run("auth", "import", "odd.json", "--yes")
    assert result.exit_code == 1
    assert said in result.stderr


def test_a_file_that_is_not_there_cannot_be_imported() -> None:
    result = run("auth", "import", "none.json")
    assert (result.exit_code, result.stderr) == (1, "Error: There is no file none.json.\n")


# export


def test_an_export_masks_secrets_and_cannot_be_imported_by_mistake(path: Path, home: Path) -> None:
    own = {"clientId": "own", "clientSecret": CLIENT_CANARY}
    save(path, entry(1, oauthClient=own), {"email": "b@c.d", "tokenCommand": ["x", f"--key={CANARY}"]})
    text = done("auth", "export")
    assert [one["email"] for one in json.loads(text)["accounts"]] == ["user1@gmail.com", "b@c.d"]
    (home / "masked.json").write_text(text)
    result = run("auth", "import", "masked.json", "--yes")
    assert result.stdout.count("skip ") == 2
    assert "nothing to change" in result.stdout


def test_what_is_exported_with_secrets_comes_in_elsewhere_as_it_was(path: Path, home: Path) -> None:
    (home / "client.json").write_text(json.dumps({"installed": {"client_id": "own", "client_secret": CLIENT_CANARY}}))
    save(path, entry(1, oauthClient={"file": str(home / "client.json")}, projectId="p"), entry(2), entry(3))
    done("auth", "disable", "2", "--family", "gemini")
    AccountsFile(path).add({"email": "build@c.d", "tokenCommand": ["x"]})
    done("auth", "export", "1", "2", "4", "--secrets", "--output", "backup.json")
    assert stat.S_IMODE((home / "backup.json").stat().st_mode) == 0o600
    assert run("auth", "export", "--secrets", "-o", "backup.json").exit_code == 1  # never over another file
    (home / "client.json").unlink()
    before = AccountsFile(path).load().accounts
    path.unlink()
    companion_of(path).unlink()
    done("auth", "import", "backup.json", "--yes")
    after = AccountsFile(path).load().accounts
    assert [account.email for account in after] == ["user1@gmail.com", "user2@gmail.com", "build@c.d"]
    assert after[0].oauth_client is not None
    assert after[0].oauth_client.client_id == "own"
    assert after[0].project == "p"
    assert after[1].disabled_families == {"gemini"}
    assert [one.credential.fingerprint for one in after] == [
        before[index].credential.fingerprint for index in (0, 1, 3)
    ]


# verify


@pytest.fixture
def google(antigravity_simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    simulator = antigravity_simulator
    for name, value in {
        "ENDPOINT": simulator.url,
        "TOKEN_URL": simulator.token_url,
        "OAUTH_CLIENT_ID": simulator.client_id,
        "OAUTH_CLIENT_SECRET": simulator.client_secret,
    }.items():
        monkeypatch.setenv(f"LITELLM_ANTIGRAVITY_{name}", value)
    return simulator


def test_verify_refreshes_each_token_finds_the_project_and_asks_for_models(google: Simulator, path: Path) -> None:
    google.write_accounts_file(path, projects=False)
    lines = done("auth", "verify").splitlines()
    assert len(lines) == len(google.accounts)
    for number, (line, account) in enumerate(zip(lines, google.accounts, strict=True), 1):
        assert line.startswith(f"{number}. {account.email}: works: token, project ")
        assert " models (claude: " in line
    calls = google.token_calls()
    assert calls == len(google.accounts)
    done("auth", "verify", "1")
    assert google.token_calls() == calls + 1  # though the token of before was still good
    assert not [one for one in google.log if one.kind == "served"]  # nothing of it took from a quota


def test_verify_says_of_an_account_that_works_but_is_out_how_it_is_used_again(
    google: Simulator, path: Path, home: Path
) -> None:
    google.write_accounts_file(path)
    store = DiskStore(home / "state")
    account = AccountsFile(path).load().accounts[0]
    store.extend_cooldown(Cooldown(account.id, "*", float("inf"), "banned", time.time(), fact=True))
    store.close()
    lines = done("auth", "verify", "1", "2").splitlines()
    assert lines[1] == "   It is not used now (out: banned): litellm-antigravity auth retry 1"
    assert lines[2].startswith("2. ")


def test_verify_says_what_does_not_work_and_ends_with_1(google: Simulator, path: Path) -> None:
    one, two, three, four = (account.email for account in google.accounts)
    google.write_accounts_file(
        path,
        entries={
            one: {"refreshToken": "1//nobodys"},
            two: {"oauthClient": {"clientId": "wrong", "clientSecret": CLIENT_CANARY}},
            three: {"enabled": False},
            four: {"oauthClient": {"file": "none.json"}},
        },
    )
    result = run("auth", "verify")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"1. {one}: does not work. No access token: ")
    assert "invalid_grant" in lines[0]
    assert lines[1] == "   Sign in again: litellm-antigravity auth login"
    assert "`oauthClient` of its entry" in lines[2]
    assert lines[3].startswith(f"3. {three}: works, but it is disabled: ")
    assert "needs an OAuth client" in lines[4]
    assert run("auth", "verify", "3").exit_code == 0
    document = json.loads(run("auth", "verify", "--json").stdout)
    assert [account["failed"] for account in document["accounts"]] == ["token", "token", None, "token"]
