"""Adding, replacing, removing and switching accounts: in the accounts file, and in the companion beside it."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from processes import together
from pydantic import SecretStr
from support import FakeClock

from litellm_antigravity.accounts import AccountsFile, RefreshToken, TokenCommand
from litellm_antigravity.errors import AccountsFileError

pytestmark = pytest.mark.once

CANARY = "1//0canary-SECRET"


def entry(number: int, **more: Any) -> dict[str, Any]:
    return {"email": f"user{number}@gmail.com", "refreshToken": f"{CANARY}-{number}", **more}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config" / "opencode" / "antigravity-accounts.json"


def put(path: Path, *entries: Any, **more: Any) -> AccountsFile:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(0o600)
    path.write_text(json.dumps({"version": 4, "accounts": list(entries), **more}, indent=2))
    return AccountsFile(path, clock=FakeClock())


def stored(path: Path) -> Any:
    return json.loads(path.read_text())


def emails(source: AccountsFile) -> list[str | None]:
    return [account.email for account in source.load(may_be_empty=True).accounts]


def token_of(source: AccountsFile, index: int = 0) -> str:
    credential = source.load().accounts[index].credential
    assert isinstance(credential, RefreshToken)
    return credential.token.get_secret_value()


# Adding


def test_the_first_account_makes_the_file_and_its_folders_for_the_user_alone(path: Path) -> None:
    source = AccountsFile(path)
    account = source.add(entry(1, projectId="mine", oauthClient={"clientId": "own", "clientSecret": "s"}))
    assert account.email == "user1@gmail.com"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (path.parent, path.parent.parent)] == [0o700, 0o700]
    assert emails(source) == ["user1@gmail.com"]
    assert stored(path)["version"] == 4
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_new_account_comes_last_and_everything_else_stays(path: Path) -> None:
    source = put(path, entry(1, cachedQuota={"x": 1}), activeIndex=0, other={"of": "somebody's"})
    before = stored(path)
    source.add(entry(2))
    after = stored(path)
    assert after["accounts"][0] == before["accounts"][0]
    assert after["other"] == before["other"]
    assert after["accounts"][1]["enabled"] is True
    assert after["accounts"][1]["addedAt"] > 0


def test_an_account_without_a_refresh_token_goes_into_the_companion(path: Path) -> None:
    """The plugin drops such an entry whenever it writes the file."""
    source = put(path, entry(1))
    source.add({"email": "build@example.com", "tokenCommand": ["print-token"]})
    assert len(stored(path)["accounts"]) == 1
    assert stat.S_IMODE(source.companion.stat().st_mode) == 0o600
    assert emails(source) == ["user1@gmail.com", "build@example.com"]


def test_accounts_of_the_companion_alone_are_enough(path: Path) -> None:
    source = AccountsFile(path)
    source.add({"email": "build@example.com", "tokenCommand": ["print-token"]})
    assert not path.exists()
    assert [account.email for account in source.current().accounts] == ["build@example.com"]
    source.companion.unlink()
    with pytest.raises(AccountsFileError, match="There is no accounts file"):
        source.current()


def test_the_companion_is_kept_out_of_git_where_the_plugin_keeps_the_accounts_file_out(path: Path) -> None:
    source = put(path, entry(1))
    ignore = path.with_name(".gitignore")
    ignore.write_text("antigravity-accounts.json")
    source.add({"email": "build@example.com", "tokenCommand": ["x"]})
    source.update_entry(source.load().accounts[0].id, label="work")
    assert ignore.read_text() == "antigravity-accounts.json\nantigravity-accounts.litellm.json\n"


@pytest.mark.parametrize(
    "wrong",
    [
        {"email": "a@b.c"},
        {"email": "a@b.c", "refreshToken": f"{CANARY} with blanks"},
        {"email": "a\nb", "refreshToken": CANARY},
        entry(1, disabledFamilies=["opus"]),
        entry(1, tokenCommand=["x"]),
    ],
)
def test_what_is_no_account_is_not_saved_and_not_quoted(wrong: dict[str, Any], path: Path) -> None:
    with pytest.raises(AccountsFileError) as caught:
        AccountsFile(path).add(wrong)
    assert "canary" not in str(caught.value)
    assert not path.parent.exists()


@pytest.mark.parametrize("content", ["{", "[]", '{"version": 9, "accounts": []}'])
def test_a_broken_file_is_not_written_over(content: str, path: Path) -> None:
    source = put(path)
    path.write_text(content)
    with pytest.raises(AccountsFileError):
        source.add(entry(1))
    assert path.read_text() == content


# Signing in again


def test_a_new_sign_in_replaces_the_credential_and_keeps_the_rest(path: Path) -> None:
    old = entry(1, projectId="mine", cachedQuota=5, oauthClient={"clientId": "old"}, verificationRequired=True)
    source = put(path, old, entry(2))
    (first, _) = source.load().accounts
    source.replace(first.id, {"email": "User1@gmail.com", "refreshToken": "1//new", "lastUsed": 7})
    assert stored(path)["accounts"][0] == {
        "email": "User1@gmail.com",
        "refreshToken": "1//new",
        "projectId": "mine",
        "cachedQuota": 5,
        "lastUsed": 7,
    }
    assert token_of(source) == "1//new"
    assert not source.load().accounts[0].cooldowns


def test_a_replaced_credential_is_not_used_again_though_a_program_that_still_has_it_writes_it_back(path: Path) -> None:
    """The plugin merges what it has in memory into the file, and the newest use would win."""
    source = put(path, entry(1))
    source.replace(source.load().accounts[0].id, {"email": "user1@gmail.com", "refreshToken": "1//new"})
    document = stored(path)
    document["accounts"].append(entry(1, lastUsed=9_999_999_999_999))
    path.write_text(json.dumps(document))
    snapshot = source.load()
    assert token_of(source) == "1//new"
    assert "written back" in snapshot.warnings[0]
    assert CANARY not in source.companion.read_text()


def test_a_client_belongs_to_the_sign_in_that_it_was_saved_with(path: Path) -> None:
    """The plugin keeps what it does not know when it signs in anew, with a client of its own."""
    source = AccountsFile(path)
    source.add(entry(1, oauthClient={"clientId": "own"}))
    assert client_of(source) == "own"
    source.update_entry(source.load().accounts[0].id, refreshToken=SecretStr("1//rotated"))
    assert client_of(source) == "own"
    document = stored(path)
    document["accounts"][0]["refreshToken"] = "1//of-the-plugins-client"
    path.write_text(json.dumps(document))
    assert client_of(source) is None
    assert "earlier sign-in" in source.load().warnings[0]


def client_of(source: AccountsFile) -> str | None:
    client = source.load().accounts[0].oauth_client
    return None if client is None else client.client_id


def test_an_account_can_change_its_kind_of_credential_and_back(path: Path) -> None:
    source = put(path, entry(1), entry(2))
    first = source.load().accounts[0]
    source.replace(first.id, {"email": "user1@gmail.com", "tokenCommand": ["print-token"]})
    assert isinstance(source.load().accounts[0].credential, TokenCommand)
    assert emails(source) == ["user1@gmail.com", "user2@gmail.com"]
    source.replace(first.id, {"email": "user1@gmail.com", "refreshToken": "1//new"})
    assert token_of(source) == "1//new"
    assert "tokenCommand" not in source.companion.read_text()


def test_another_account_replaces_none(path: Path) -> None:
    source = put(path, entry(1))
    with pytest.raises(AccountsFileError, match="another account"):
        source.replace(source.load().accounts[0].id, entry(2))
    assert emails(source) == ["user1@gmail.com"]


def test_starting_over_keeps_the_new_accounts_alone(path: Path) -> None:
    source = put(path, entry(1), entry(2), activeIndex=1)
    source.add({"email": "build@example.com", "tokenCommand": ["x"]})
    source.replace_all([entry(2), entry(3)])
    assert emails(source) == ["user2@gmail.com", "user3@gmail.com"]


# Removing


def test_a_removed_account_stays_away_and_the_active_one_stays_active(path: Path) -> None:
    source = put(path, entry(1), entry(2), entry(3), activeIndex=2, activeIndexByFamily={"claude": 2, "gemini": 0})
    first = source.load().accounts[0]
    source.remove(first.id)
    assert emails(source) == ["user2@gmail.com", "user3@gmail.com"]
    assert stored(path)["activeIndex"] == 1
    assert stored(path)["activeIndexByFamily"] == {"claude": 1, "gemini": 0}
    document = stored(path)
    path.write_text(json.dumps({**document, "accounts": [entry(1), *document["accounts"]]}))
    assert emails(source) == ["user2@gmail.com", "user3@gmail.com"]
    source.add(entry(1))
    assert sorted(map(str, emails(source))) == ["user1@gmail.com", "user2@gmail.com", "user3@gmail.com"]


def test_the_last_account_can_be_removed(path: Path) -> None:
    source = put(path, entry(1))
    source.remove(source.load().accounts[0].id)
    assert emails(source) == []
    with pytest.raises(AccountsFileError, match="auth login"):
        source.current()
    source.add(entry(2))
    assert [account.email for account in source.current().accounts] == ["user2@gmail.com"]


def test_an_account_that_is_not_there_cannot_be_removed(path: Path) -> None:
    source = put(path, entry(1))
    with pytest.raises(AccountsFileError, match="no longer has the account acct-x"):
        source.remove("acct-x")


# Switches


def rewritten(path: Path) -> None:
    """Write the file as the plugin does in its hardest rewrites: with nothing in it that the plugin does not know."""
    known = ("email", "refreshToken", "projectId", "managedProjectId", "addedAt", "lastUsed", "enabled")
    document = stored(path)
    document["accounts"] = [
        {key: one[key] for key in known if key in one} | {"enabled": True} for one in document["accounts"]
    ]
    path.write_text(json.dumps(document))


@pytest.mark.parametrize("families", [["claude"], ["gemini"], ["gemini", "claude"]])
def test_a_switch_and_a_label_outlive_a_rewrite_by_another_program(families: list[str], path: Path) -> None:
    source = put(path, entry(1), entry(2))
    first = source.load().accounts[0]
    source.update_entry(first.id, disabledFamilies=families, label="work", enabled=len(families) < 2)
    rewritten(path)
    account = source.load().accounts[0]
    assert account.disabled_families == {*families}
    assert account.enabled is (len(families) < 2)
    assert account.label == "work"
    source.update_entry(first.id, disabledFamilies=[], label=None)
    account = source.load().accounts[0]
    assert (account.disabled_families, account.enabled, account.label) == (frozenset(), True, "us***1@gmail.com")
    assert stored(source.companion)["accounts"] == []


def test_turning_a_switch_back_that_was_written_by_hand_turns_it_back(path: Path) -> None:
    source = put(path, entry(1, disabledFamilies=["claude"]))
    source.update_entry(source.load().accounts[0].id, disabledFamilies=[])
    assert source.load().accounts[0].disabled_families == frozenset()


def test_a_switch_is_seen_by_a_process_that_runs(path: Path) -> None:
    source, other = put(path, entry(1)), AccountsFile(path)
    assert not other.current().accounts[0].disabled_families
    source.update_entry(source.load().accounts[0].id, disabledFamilies=["claude"])
    assert other.current().accounts[0].disabled_families == {"claude"}


def test_a_companion_that_breaks_leaves_what_was_read_before_in_force(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = put(path, entry(1), entry(2))
    source.update_entry(source.load().accounts[0].id, disabledFamilies=["claude"])
    before = source.current()
    assert source.current() is before
    source.companion.write_text('{"version": 4, "acc')
    assert source.current() is before
    assert "The accounts read before stay in use." in caplog.text
    with pytest.raises(AccountsFileError, match=r"litellm\.json is not valid JSON"):
        AccountsFile(path).current()
    with pytest.raises(AccountsFileError):
        source.update_entry(before.accounts[1].id, label="work")
    assert source.companion.read_text() == '{"version": 4, "acc'
    source.companion.unlink()
    assert not source.current().accounts[0].disabled_families


@pytest.mark.parametrize(
    "fields",
    [{"label": 5}, {"label": ""}, {"disabledFamilies": "claude"}, {"disabledFamilies": ["x"]}, {"retired": []}],
)
def test_a_value_that_cannot_be_is_refused(fields: dict[str, Any], path: Path) -> None:
    source = put(path, entry(1))
    with pytest.raises(TypeError):
        source.update_entry(source.load().accounts[0].id, **fields)


def test_a_rotated_token_replaces_the_old_one_in_the_file(path: Path) -> None:
    source = put(path, entry(1, refreshToken=f"{CANARY}|p|m"))
    source.update_entry(source.load().accounts[0].id, refreshToken=SecretStr("1//rotated"))
    assert stored(path)["accounts"][0]["refreshToken"] == "1//rotated|p|m"


# Many at once


def _work(path: str, number: int) -> None:
    source = AccountsFile(path)
    account = source.add(entry(number))
    for _ in range(5):
        source.update_entry(account.id, disabledFamilies=["claude"], lastUsed=number)
    source.add({"email": f"build{number}@example.com", "tokenCommand": ["x"]})


def test_many_processes_add_and_switch_at_once_and_nothing_is_lost(path: Path) -> None:
    together(_work, [(str(path), number) for number in range(4)])
    accounts = AccountsFile(path).load().accounts
    assert len(accounts) == 8
    assert all(account.disabled_families == {"claude"} for account in accounts if "user" in (account.email or ""))
    assert {file.name for file in path.parent.iterdir()} == {path.name, AccountsFile(path).companion.name}
