"""Updates of the accounts file: what they change, what they keep, when they are refused."""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from accounts_files import CANARY, account_id, document, entry, files_beside, path, put
from pydantic import SecretStr
from support import FakeClock

from litellm_antigravity.accounts import (
    AccountsFile,
    RefreshToken,
)
from litellm_antigravity.errors import AccountsFileError

__all__ = ["path"]  # fixtures

pytestmark = pytest.mark.once


def test_an_update_changes_the_named_fields_and_nothing_else(path: Path, clock: FakeClock) -> None:
    content = document(
        entry("a", fingerprint={"deviceId": "x"}, refreshToken="1//a|p|m"),
        None,
        entry("b", rateLimitResetTimes={"claude": 1}, cachedQuota={}),
        activeIndexByFamily={"claude": 1},
        somethingNew=["é", 1.5, []],
    )
    put(path, json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n")
    source = AccountsFile(path, clock=clock)
    source.update_entry(account_id("b"), enabled=False, projectId="p-b", lastUsed=77)
    content["accounts"][2] |= {"enabled": False, "projectId": "p-b", "lastUsed": 77}
    assert path.read_text("utf-8") == json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    assert [account.email for account in source.current().enabled] == ["a@gmail.com"]


def test_a_new_refresh_token_keeps_the_projects_that_are_packed_behind_it(path: Path, clock: FakeClock) -> None:
    put(path, document(entry("a", refreshToken="1//old|p|m|x"), entry("b")))
    source = AccountsFile(path, clock=clock)
    source.update_entry(account_id("a"), refreshToken=SecretStr("1//new"))
    source.update_entry(account_id("b"), refreshToken=SecretStr("1//newer"))
    written = json.loads(path.read_bytes())["accounts"]
    assert [one["refreshToken"] for one in written] == ["1//new|p|m|x", "1//newer"]
    assert source.current().accounts[0].credential == RefreshToken(SecretStr("1//new"))


def test_an_update_is_made_on_what_the_file_says_now(path: Path, clock: FakeClock) -> None:
    put(path, document(entry("a"), entry("b")))
    source = AccountsFile(path, clock=clock)
    source.current()
    put(path, document(entry("new"), entry("b"), entry("a", lastUsed=5)))
    source.update_entry(account_id("a"), enabled=False)
    written = json.loads(path.read_bytes())["accounts"]
    assert written == [entry("new"), entry("b"), entry("a", lastUsed=5, enabled=False)]


def test_an_account_without_email_is_found_by_its_token(path: Path, clock: FakeClock) -> None:
    put(path, document({"refreshToken": "1//x|p"}, {"refreshToken": "1//y"}))
    source = AccountsFile(path, clock=clock)
    source.update_entry(source.current().accounts[1].id, projectId="mine")
    assert json.loads(path.read_bytes())["accounts"][1] == {"refreshToken": "1//y", "projectId": "mine"}


def test_an_update_goes_to_the_newest_of_duplicates(path: Path, clock: FakeClock) -> None:
    put(path, document(entry("a", lastUsed=1), entry("a", lastUsed=2), entry("a", lastUsed=0)))
    AccountsFile(path, clock=clock).update_entry(account_id("a"), projectId="p")
    assert [one.get("projectId") for one in json.loads(path.read_bytes())["accounts"]] == [None, "p", None]


def test_a_newer_sign_in_is_not_overwritten(path: Path, clock: FakeClock) -> None:
    put(path, document(entry("a", refreshToken="1//first")))
    source = AccountsFile(path, clock=clock)
    seen = source.current().accounts[0].credential.fingerprint
    put(path, document(entry("a", refreshToken="1//second")))
    before = path.read_bytes()
    with pytest.raises(AccountsFileError, match="newer credential"):
        source.update_entry(account_id("a"), if_fingerprint=seen, refreshToken=SecretStr("1//rotated"))
    assert path.read_bytes() == before


def test_none_removes_a_project(path: Path, clock: FakeClock) -> None:
    put(path, document(entry("a", projectId="p")))
    AccountsFile(path, clock=clock).update_entry(account_id("a"), projectId=None)
    assert json.loads(path.read_bytes())["accounts"] == [entry("a")]


def test_an_update_that_changes_nothing_does_not_write(path: Path, clock: FakeClock) -> None:
    put(path, document(entry("a", lastUsed=5)))
    before = path.stat()
    AccountsFile(path, clock=clock).update_entry(account_id("a"), lastUsed=5)
    assert path.stat().st_ino == before.st_ino
    assert path.stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.skipif(os.name == "nt", reason="needs file modes")
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_rewritten_file_is_the_users_own_whatever_the_umask(path: Path, clock: FakeClock, umask: int) -> None:
    put(path, document(entry("a")))
    path.chmod(0o644)
    old = os.umask(umask)
    try:
        AccountsFile(path, clock=clock).update_entry(account_id("a"), lastUsed=5)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_symbolic_link_stays_and_the_file_behind_it_changes(path: Path, clock: FakeClock) -> None:
    real = path.parent / "dotfiles" / "accounts.json"
    real.parent.mkdir()
    put(real, document(entry("a")))
    path.symlink_to(real)
    AccountsFile(path, clock=clock).update_entry(account_id("a"), lastUsed=5)
    assert path.is_symlink()
    assert json.loads(real.read_bytes())["accounts"][0]["lastUsed"] == 5
    assert files_beside(real) == ["accounts.json"]


@pytest.mark.parametrize(
    "broken",
    [b"", b'{"version": 4, "accounts": [', document(entry("a"), version=9), document(entry("other"))],
)
def test_a_file_that_cannot_be_understood_is_never_overwritten(path: Path, clock: FakeClock, broken: Any) -> None:
    put(path, broken)
    before = path.read_bytes()
    with pytest.raises(AccountsFileError):
        AccountsFile(path, clock=clock).update_entry(account_id("a"), enabled=False)
    assert path.read_bytes() == before
    assert files_beside(path) == [path.name]


def test_a_number_that_cannot_be_written_again_stops_the_update(path: Path, clock: FakeClock) -> None:
    put(path, b'{"version": 4, "odd": 1e999, "accounts": [{"email": "a@gmail.com", "refreshToken": "1//x"}]}')
    before = path.read_bytes()
    with pytest.raises(AccountsFileError, match="too large"):
        AccountsFile(path, clock=clock).update_entry(account_id("a"), enabled=False)
    assert path.read_bytes() == before


def test_half_a_surrogate_pair_survives_a_rewrite(path: Path, clock: FakeClock) -> None:
    put(path, document(entry("a", note="\ud83d")))
    AccountsFile(path, clock=clock).update_entry(account_id("a"), enabled=False)
    assert json.loads(path.read_bytes())["accounts"][0]["note"] == "\ud83d"


@pytest.mark.parametrize(
    "fields",
    [{"email": "x"}, {"rateLimitResetTimes": {}}, {"enabled": 1}, {"lastUsed": 1.5}, {"refreshToken": CANARY}],
)
def test_only_known_fields_of_the_right_type_can_be_changed(
    path: Path, clock: FakeClock, fields: dict[str, Any]
) -> None:
    put(path, document(entry("a")))
    before = path.read_bytes()
    with pytest.raises(TypeError) as caught:
        AccountsFile(path, clock=clock).update_entry(account_id("a"), **fields)
    assert CANARY not in str(caught.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize("token", ["", "a|b", "a b", "a\n", "é"])
def test_a_refresh_token_that_would_break_the_entry_is_refused(path: Path, clock: FakeClock, token: str) -> None:
    put(path, document(entry("a")))
    with pytest.raises(AccountsFileError):
        AccountsFile(path, clock=clock).update_entry(account_id("a"), refreshToken=SecretStr(token))
    assert json.loads(path.read_bytes())["accounts"] == [entry("a")]


def test_an_account_with_another_kind_of_credential_gets_no_refresh_token(path: Path, clock: FakeClock) -> None:
    put(path, document({"email": "a@gmail.com", "accessToken": "ya29"}))
    with pytest.raises(AccountsFileError, match="no refresh token"):
        AccountsFile(path, clock=clock).update_entry(account_id("a"), refreshToken=SecretStr("1//x"))


def test_a_write_that_fails_leaves_the_old_file_and_no_other(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(path, document(entry("a")))
    before = path.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AccountsFileError, match="No space left on device"):
        AccountsFile(path, clock=clock).update_entry(account_id("a"), enabled=False)
    assert path.read_bytes() == before
    assert files_beside(path) == [path.name]


def test_leftovers_of_killed_writers_are_removed_and_nothing_else(path: Path, clock: FakeClock) -> None:
    put(path, document(entry("a")))
    old = path.with_name(f".{path.name}.123.0123456789abcdef.tmp")
    young = path.with_name(f".{path.name}.124.0123456789abcdef.tmp")
    foreign = path.with_name(f"{path.name}.0123456789ab.tmp")
    for file in (old, young, foreign):
        file.touch()
    for file in (old, foreign):
        os.utime(file, (time.time() - 120,) * 2)
    AccountsFile(path, clock=clock).update_entry(account_id("a"), enabled=False)
    assert files_beside(path) == sorted([path.name, young.name, foreign.name])
