from __future__ import annotations

import json
import logging
import math
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from support import NOW, ROOT, FakeClock

from litellm_antigravity.accounts import (
    Account,
    AccountsFile,
    AccountsSnapshot,
    AuthorizedUser,
    FileCooldown,
    RefreshToken,
    StaticToken,
    TokenCommand,
    account_id_for,
    static_accounts,
)
from litellm_antigravity.errors import AccountsFileError
from litellm_antigravity.masking import mask_email

pytestmark = pytest.mark.once

CANARY = "1//0canary-SECRET-refresh"
MONTH = 31 * 86_400


class HookedClock(FakeClock):
    """Calls ``on_sleep`` whenever somebody has slept: what other programs do meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.on_sleep: Callable[[], None] = lambda: None

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.on_sleep()


def entry(name: str = "user1", **fields: Any) -> dict[str, Any]:
    return {"email": f"{name}@gmail.com", "refreshToken": f"1//{name}-token", "addedAt": 1, "lastUsed": 0, **fields}


def document(*entries: Any, version: Any = 4, **fields: Any) -> dict[str, Any]:
    return {"version": version, "accounts": list(entries), **fields}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "antigravity-accounts.json"


def put(path: Path, content: Any) -> None:
    raw = content if isinstance(content, bytes) else json.dumps(content, indent=2).encode()
    path.touch(0o600)
    path.write_bytes(raw)


def files_beside(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir())


def settle(path: Path) -> None:
    """Make the file old enough for its next change to show."""
    os.utime(path, (NOW - 1000, NOW - 1000))


def loaded(path: Path, content: Any, clock: FakeClock) -> AccountsSnapshot:
    put(path, content)
    return AccountsFile(path, clock=clock).current()


def refused(path: Path, content: Any, clock: FakeClock) -> str:
    put(path, content)
    with pytest.raises(AccountsFileError) as caught:
        AccountsFile(path, clock=clock).current()
    assert str(path) in str(caught.value)
    return str(caught.value)


# What the file says


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_every_version_gives_its_accounts_in_file_order(path: Path, clock: FakeClock, version: int) -> None:
    content = document(entry("user1", projectId="p-1"), entry("user2", enabled=False), entry("user3"), version=version)
    snapshot = loaded(path, content, clock)
    assert snapshot.version == version
    assert [account.email for account in snapshot.accounts] == ["user1@gmail.com", "user2@gmail.com", "user3@gmail.com"]
    assert [account.position for account in snapshot.accounts] == [0, 1, 2]
    assert [account.email for account in snapshot.enabled] == ["user1@gmail.com", "user3@gmail.com"]
    assert snapshot.accounts[0].project == "p-1"
    assert snapshot.by_id[snapshot.accounts[2].id] is snapshot.accounts[2]
    assert snapshot.path == path
    assert snapshot.loaded_at == NOW


def test_times_are_turned_from_milliseconds_into_seconds(path: Path, clock: FakeClock) -> None:
    (account,) = loaded(path, document(entry(addedAt=1_700_000_000_500, lastUsed=0)), clock).accounts
    assert account.added_at == 1_700_000_000.5
    assert account.last_used is None


@pytest.mark.parametrize(
    ("packed", "fields", "expected"),
    [
        ("1//tok", {}, (None, None)),
        ("1//tok|mine", {}, ("mine", None)),
        ("1//tok|mine|made", {}, ("mine", "made")),
        ("1//tok||made", {}, (None, "made")),
        ("1//tok|mine|made|more", {}, ("mine", "made")),
        ("1//tok|mine|made", {"projectId": "field", "managedProjectId": "other"}, ("field", "other")),
        ("1//tok|mine", {"projectId": ""}, ("mine", None)),
        ("1//tok|mine", {"projectId": 7}, ("mine", None)),
    ],
)
def test_projects_may_be_packed_behind_the_refresh_token(
    path: Path, clock: FakeClock, packed: str, fields: dict[str, Any], expected: Any
) -> None:
    (account,) = loaded(path, document(entry(refreshToken=packed, **fields)), clock).accounts
    assert account.credential == RefreshToken(SecretStr("1//tok"))
    assert (account.project_id, account.managed_project_id) == expected
    assert account.project == (expected[0] or expected[1])


def test_the_other_sources_of_a_token_are_read_without_running_or_opening_anything(
    path: Path, clock: FakeClock
) -> None:
    content = document(
        {"email": "a@x.org", "authorizedUserFile": "adc.json"},
        {"email": "b@x.org", "authorizedUserFile": "/elsewhere/adc.json", "refreshToken": ""},
        {"email": "c@x.org", "tokenCommand": ["get-token", "--for", "c"]},
        {"email": "d@x.org", "accessToken": "ya29.d"},
        {"email": "e@x.org", "authorizedUserFile": "~/adc.json"},
    )
    credentials = [account.credential for account in loaded(path, content, clock).accounts]
    assert credentials == [
        AuthorizedUser(path.parent / "adc.json"),
        AuthorizedUser(Path("/elsewhere/adc.json")),
        TokenCommand(("get-token", "--for", "c")),
        StaticToken(SecretStr("ya29.d")),
        AuthorizedUser(Path.home() / "adc.json"),
    ]
    assert [credential.kind for credential in credentials] == [
        "authorized_user",
        "authorized_user",
        "token_command",
        "static_token",
        "authorized_user",
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (document(entry(), activeIndexByFamily={"claude": 2, "gemini": 1}), {"claude": 2, "gemini": 1}),
        (document(entry(), activeIndexByFamily={"claude": 7}), {"claude": 7, "gemini": 0}),
        (document(entry(), activeIndexByFamily={"claude": -1, "gemini": "1"}), {"claude": 0, "gemini": 0}),
        (document(entry(), activeIndexByFamily={"claude": 10**400, "gemini": True}), {"claude": 0, "gemini": 0}),
        (document(entry(), version=2, activeIndex=3), {"claude": 3, "gemini": 3}),
        (document(entry(), version=4, activeIndex=3), {"claude": 0, "gemini": 0}),
        (document(entry(), activeIndexByFamily=[1]), {"claude": 0, "gemini": 0}),
    ],
)
def test_the_base_index_is_handed_over_as_the_file_has_it(
    path: Path, clock: FakeClock, content: Any, expected: Any
) -> None:
    assert loaded(path, content, clock).base_index == expected


# Cooldowns in the file


def cooldowns(path: Path, clock: FakeClock, *, version: int = 4, **fields: Any) -> set[FileCooldown]:
    (account,) = loaded(path, document(entry(**fields), version=version), clock).accounts
    return set(account.cooldowns)


def test_reset_times_bench_families_and_models_but_not_for_another_product(path: Path, clock: FakeClock) -> None:
    until = int((NOW + 600) * 1000)
    resets = {
        "claude": until,
        "gemini": until,
        "gemini-antigravity": until + 60_000,
        "gemini-cli": until,
        "gemini-cli:gemini-3-pro": until,
        "gemini-antigravity:Gemini-3-Pro": until,
        "claude:antigravity/claude-opus": until,
        "gemini-antigravity:": until,
        "other": until,
    }
    reason = "rate-limited (accounts file)"
    assert cooldowns(path, clock, rateLimitResetTimes=resets) == {
        FileCooldown("claude", NOW + 600, reason),
        FileCooldown("gemini", NOW + 660, reason),
        FileCooldown("model:gemini-3-pro", NOW + 600, reason),
        FileCooldown("model:claude-opus", NOW + 600, reason),
    }


def test_a_version_1_limit_benches_both_families(path: Path, clock: FakeClock) -> None:
    fields = {"isRateLimited": True, "rateLimitResetTime": int((NOW + 60) * 1000)}
    assert {one.pool for one in cooldowns(path, clock, version=1, **fields)} == {"claude", "gemini"}
    assert cooldowns(path, clock, version=1, **{**fields, "isRateLimited": False}) == set()


def test_a_cooling_down_account_is_benched_as_a_whole_with_the_reason_given(path: Path, clock: FakeClock) -> None:
    until = int((NOW + 60) * 1000)
    assert cooldowns(path, clock, coolingDownUntil=until, cooldownReason="auth-failure") == {
        FileCooldown("*", NOW + 60, "auth-failure")
    }
    assert cooldowns(path, clock, coolingDownUntil=until, cooldownReason="a\nb") == {
        FileCooldown("*", NOW + 60, "cooling down (accounts file)")
    }


def test_an_account_that_must_be_verified_is_out_until_somebody_acts(path: Path, clock: FakeClock) -> None:
    fields = {"verificationRequired": True, "coolingDownUntil": int((NOW + 60) * 1000)}
    assert cooldowns(path, clock, **fields) == {FileCooldown("*", math.inf, "verification")}


def test_an_absurd_reset_time_is_cut_to_a_month(path: Path, clock: FakeClock) -> None:
    found = cooldowns(path, clock, rateLimitResetTimes={"claude": 10**17}, coolingDownUntil=1e300)
    assert {one.until for one in found} == {NOW + MONTH}


@pytest.mark.parametrize("value", [None, "soon", True, [], {}, -5, 0, 10**400])
def test_a_malformed_reset_time_is_ignored(path: Path, clock: FakeClock, value: Any) -> None:
    assert cooldowns(path, clock, rateLimitResetTimes={"claude": value}, coolingDownUntil=value) == set()
    assert cooldowns(path, clock, rateLimitResetTimes=value) == set()


# Identity


def test_the_id_follows_the_email_and_not_the_token_or_the_position(path: Path, clock: FakeClock) -> None:
    first = loaded(path, document(entry("a"), entry("user1")), clock)
    second = loaded(path, document(entry("user1", email=" User1@GMAIL.com ", refreshToken="1//new")), clock)
    assert first.accounts[1].id == second.accounts[0].id
    assert first.accounts[1].credential.fingerprint != second.accounts[0].credential.fingerprint
    assert first.accounts[0].id != first.accounts[1].id


def test_without_an_email_the_id_follows_the_credential(path: Path, clock: FakeClock) -> None:
    content = document({"refreshToken": "1//x"}, {"refreshToken": "1//y|project", "email": ""}, {"accessToken": "1//x"})
    snapshot = loaded(path, content, clock)
    assert len({account.id for account in snapshot.accounts}) == 3
    assert snapshot.accounts[1].id == account_id_for(None, RefreshToken(SecretStr("1//y")))
    assert all(account.id.startswith(account.label) for account in snapshot.accounts)


def test_an_id_is_a_prefix_and_sixteen_hex_digits() -> None:
    account_id = account_id_for("user1@gmail.com", StaticToken(SecretStr("t")))
    assert account_id.startswith("acct-")
    assert len(bytes.fromhex(account_id.removeprefix("acct-"))) == 8


def test_the_newest_of_duplicate_emails_wins_and_keeps_its_own_place(path: Path, clock: FakeClock) -> None:
    content = document(
        entry("a", lastUsed=5000, refreshToken="1//old-a"),
        entry("b", lastUsed=0, addedAt=9000, refreshToken="1//new-b"),
        entry("c"),
        entry("a", email="A@gmail.com", lastUsed=6000, addedAt=0, refreshToken="1//new-a"),
        entry("b", lastUsed=0, addedAt=8000, refreshToken="1//old-b"),
    )
    snapshot = loaded(path, content, clock)
    tokens = [
        account.credential.token.get_secret_value()
        for account in snapshot.accounts
        if isinstance(account.credential, RefreshToken)
    ]
    assert tokens == ["1//new-b", "1//c-token", "1//new-a"]
    assert [account.position for account in snapshot.accounts] == [0, 1, 2]
    assert len(snapshot.warnings) == 2
    assert "entry 1 (***@gmail.com)" in snapshot.warnings[0]
    assert "entry 5 (***@gmail.com)" in snapshot.warnings[1]


@pytest.mark.parametrize(
    ("email", "masked"),
    [
        ("user1@gmail.com", "us***1@gmail.com"),
        ("user@gmail.com", "u***@gmail.com"),
        ("ab@gmail.com", "a***@gmail.com"),
        ("a@gmail.com", "***@gmail.com"),
        ("@gmail.com", "***@gmail.com"),
        ("work-account", "wo***t"),
        ("a@b@c.org", "a***@c.org"),
    ],
)
def test_a_masked_email_keeps_the_ends_and_the_host(email: str, masked: str) -> None:
    assert mask_email(email) == masked


def test_labels_that_would_be_equal_are_numbered(path: Path, clock: FakeClock) -> None:
    snapshot = loaded(path, document(entry("user1"), entry("us-other-1"), entry("usual-1")), clock)
    assert [account.label for account in snapshot.accounts] == [
        "us***1@gmail.com",
        "us***1@gmail.com (#2)",
        "us***1@gmail.com (#3)",
    ]


def test_nothing_that_is_printed_shows_a_secret_or_an_email(path: Path, clock: FakeClock) -> None:
    content = document(
        entry("longname", refreshToken=CANARY + "|p"),
        {"email": "shortone@x.org", "accessToken": CANARY},
        {"email": "commandone@x.org", "tokenCommand": ["curl", CANARY]},
    )
    snapshot = loaded(path, content, clock)
    shown = f"{snapshot!r} {snapshot.accounts!r} {[account.credential for account in snapshot.accounts]!r}"
    assert CANARY not in shown
    assert "longname" not in shown
    assert "curl" in shown


def test_fingerprints_tell_credentials_apart_and_are_not_the_secret() -> None:
    secret = SecretStr("abc")
    prints = {
        RefreshToken(secret).fingerprint,
        StaticToken(secret).fingerprint,
        TokenCommand(("abc",)).fingerprint,
        TokenCommand(("a", "bc")).fingerprint,
        AuthorizedUser(Path("abc")).fingerprint,
        RefreshToken(SecretStr("abd")).fingerprint,
    }
    assert len(prints) == 6
    assert all(len(bytes.fromhex(one)) == 8 for one in prints)
    assert RefreshToken(SecretStr("abc")).fingerprint == RefreshToken(secret).fingerprint


def test_static_accounts_are_a_source_as_well() -> None:
    accounts = [Account.create(f"{name}@x.org", StaticToken(SecretStr(name))) for name in ("one", "two", "two")]
    snapshot = static_accounts(*accounts, base_index={"claude": 1}).current()
    assert [account.position for account in snapshot.enabled] == [0, 1]
    assert snapshot.base_index.get("gemini", 0) == 0
    assert snapshot.by_id[accounts[1].id].email == "two@x.org"


# A broken file


def test_a_missing_file_says_how_to_get_one(path: Path, clock: FakeClock) -> None:
    with pytest.raises(AccountsFileError) as caught:
        AccountsFile(path, clock=clock).current()
    message = str(caught.value)
    assert str(path) in message
    for remedy in ("Sign in", "accounts_file", "LITELLM_ANTIGRAVITY_ACCOUNTS_FILE", "litellm-antigravity demo"):
        assert remedy in message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b" \n\t", "is empty"),
        (b'{"version": 4,\n  "accounts": [}', "line 2, column 16"),
        (b"[]", "a JSON list where an object belongs"),
        (b"null", "a JSON null where an object belongs"),
        (b'"1//0canary-SECRET-refresh"', "a JSON string where an object belongs"),
        (b'{"version": 4, "accounts": ["\xff"]}', "not UTF-8 text (see byte 29)"),
        (b'{"version": 4, "accounts": [NaN]}', "no NaN"),
        (b'{"version": 4, "accounts": [' + b"9" * 5000 + b"]}", "too many digits"),
        (b"[" * 200_000, "nested too deeply"),
        (document(entry(), version=5), "version 5, which is not known here. Versions 1 to 4"),
        (document(entry(), version=True), "no version number. Versions 1 to 4"),
        (document(entry(), version="4"), "no version number. Versions 1 to 4"),
        (document(entry(), version=10**300), "no version number. Versions 1 to 4"),
        ({"accounts": [entry()]}, 'no "version". Versions 1 to 4'),
        ({"version": 4}, 'no list "accounts"'),
        ({"version": 4, "accounts": {}}, 'no list "accounts"'),
        (document(), "holds no account. Sign in"),
        (document(7, {"email": "user1@gmail.com"}), "entry 2 (us***1@gmail.com) is skipped: it has none of"),
    ],
)
def test_a_broken_file_says_what_is_wrong_and_where(path: Path, clock: FakeClock, content: Any, expected: Any) -> None:
    assert expected in refused(path, content, clock)


def test_a_long_list_of_broken_entries_is_cut_short(path: Path, clock: FakeClock) -> None:
    message = refused(path, document(*range(1000)), clock)
    assert "and 990 more" in message
    assert len(message) < 2000


def test_an_error_never_holds_the_content_of_the_file(path: Path, clock: FakeClock) -> None:
    put(path, b'{"version": 4, "accounts": [{"refreshToken": "' + CANARY.encode() + b'"\n')
    with pytest.raises(AccountsFileError) as caught:
        AccountsFile(path, clock=clock).current()
    error: BaseException | None = caught.value
    while error is not None:
        assert CANARY not in f"{error!r} {vars(error)!r} {getattr(error, 'doc', '')}"
        error = error.__cause__ or error.__context__


def test_a_folder_and_a_huge_file_are_refused(path: Path, clock: FakeClock) -> None:
    with pytest.raises(AccountsFileError, match="is a folder"):
        AccountsFile(path.parent, clock=clock).current()
    put(path, b"")
    os.truncate(path, 9 * 2**20)
    with pytest.raises(AccountsFileError, match="larger than 8 MiB"):
        AccountsFile(path, clock=clock).current()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_without_waiting_for_a_writer(path: Path, clock: FakeClock) -> None:
    os.mkfifo(path)
    with pytest.raises(AccountsFileError, match="not a regular file"):
        AccountsFile(path, clock=clock).current()


def test_a_file_that_may_not_be_read_names_the_remedy(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(path, document(entry()))

    def forbidden(*_args: object, **_kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbidden)  # root may read everything
    with pytest.raises(AccountsFileError, match="chmod 600"):
        AccountsFile(path, clock=clock).current()


def test_a_byte_order_mark_is_no_error(path: Path, clock: FakeClock) -> None:
    assert len(loaded(path, b"\xef\xbb\xbf" + json.dumps(document(entry())).encode(), clock).accounts) == 1


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (None, "null is no account"),
        ("text", "string is no account"),
        ([], "list is no account"),
        ({"email": 5, "refreshToken": "1//x"}, '"email" is not a string'),
        ({"email": "a\nb@x.org", "refreshToken": "1//x"}, '"email" has control characters'),
        ({"email": "\ud800@x.org", "refreshToken": "1//x"}, '"email" has control characters'),
        ({"email": "a" * 400, "refreshToken": "1//x"}, "too long"),
        ({"refreshToken": 5}, '"refreshToken" is not a string'),
        ({"refreshToken": None}, "it has none of"),
        ({"refreshToken": f"{CANARY}\n"}, "cannot be a token"),
        ({"refreshToken": f"{CANARY} x"}, "cannot be a token"),
        ({"refreshToken": f"{CANARY}é"}, "cannot be a token"),
        ({"refreshToken": "|project"}, "cannot be a token"),
        ({"refreshToken": CANARY * 2000}, "cannot be a token"),
        ({"accessToken": f"{CANARY}\r\nX: y"}, "cannot be a token"),
        ({"accessToken": CANARY, "refreshToken": CANARY}, "both refreshToken and accessToken"),
        ({"tokenCommand": f"echo {CANARY}"}, "no shell"),
        ({"tokenCommand": []}, "not a list of strings"),
        ({"tokenCommand": ["", CANARY]}, "names no program"),
        ({"tokenCommand": ["echo", 5]}, "not a list of strings"),
        ({"tokenCommand": ["echo", f"{CANARY}\0"]}, "not a list of strings"),
        ({"authorizedUserFile": "a\0b"}, "control characters"),
        ({"authorizedUserFile": 5}, "is not a string"),
        ({"refreshToken": CANARY, "enabled": "false"}, "neither true nor false"),
    ],
)
def test_one_broken_entry_is_skipped_with_a_warning_that_names_it(
    path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture, broken: Any, reason: str
) -> None:
    source = AccountsFile(path, clock=clock)
    put(path, document(entry("user1"), broken, entry("user3")))
    snapshot = source.current()
    assert [account.email for account in snapshot.accounts] == ["user1@gmail.com", "user3@gmail.com"]
    (warning,) = snapshot.warnings
    assert "entry 2" in warning
    assert reason in warning
    source.current()
    assert [record.getMessage() for record in caplog.records] == [warning]
    assert CANARY not in caplog.text


def test_a_warning_is_not_repeated_when_another_tool_rewrites_the_file(
    path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    source = AccountsFile(path, clock=clock)
    for last_used in (1000, 2000, 3000):
        put(path, document(entry(lastUsed=last_used), None))
        source.current()
    assert len(caplog.records) == 1


@pytest.mark.skipif(os.name == "nt", reason="needs file modes")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_file_that_others_can_touch_is_used_with_one_warning(
    path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    put(path, document(entry()))
    path.chmod(mode)
    source = AccountsFile(path, clock=clock)
    assert source.current() is source.current()
    (record,) = caplog.records
    assert "chmod 600" in record.getMessage()
    assert record.levelno == logging.WARNING


@pytest.mark.skipif(os.name == "nt", reason="needs file modes")
def test_a_file_of_the_users_own_gives_no_warning(
    path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    assert loaded(path, document(entry()), clock).warnings == ()
    assert not caplog.records


# Reading again


def test_the_constructor_opens_nothing(path: Path, clock: FakeClock) -> None:
    AccountsFile(path, clock=clock)
    assert not path.parent.joinpath(path.name).exists()


def test_the_same_snapshot_is_given_until_the_file_changes(path: Path, clock: FakeClock) -> None:
    put(path, document(entry("a")))
    settle(path)
    source = AccountsFile(path, clock=clock)
    first = source.current()
    assert source.current() is first
    put(path, document(entry("b")))
    second = source.current()
    assert second is not first
    assert second.accounts[0].email == "b@gmail.com"


def test_a_settled_file_costs_one_stat_and_no_read(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(path, document(entry()))
    settle(path)
    source = AccountsFile(path, clock=clock)
    first = source.current()

    def unexpected(*_args: object, **_kwargs: object) -> None:
        pytest.fail("the file was opened")

    monkeypatch.setattr(Path, "open", unexpected)
    assert source.current() is first


def test_a_change_within_one_tick_of_the_file_clock_is_seen(path: Path, clock: FakeClock) -> None:
    source = AccountsFile(path, clock=clock)
    stamp = time.time_ns()
    for name in ("a", "b", "c"):
        put(path, document(entry(name)))
        os.utime(path, ns=(stamp, stamp))  # same time, same size, same inode
        assert source.current().accounts[0].email == f"{name}@gmail.com"


def test_a_touched_file_keeps_its_snapshot(path: Path, clock: FakeClock) -> None:
    put(path, document(entry()))
    source = AccountsFile(path, clock=clock)
    first = source.current()
    settle(path)
    assert source.current() is first


def test_a_forced_read_gives_a_new_snapshot(path: Path, clock: FakeClock) -> None:
    put(path, document(entry()))
    source = AccountsFile(path, clock=clock)
    first = source.current()
    assert source.load() is not first


@pytest.mark.parametrize("torn", [b"", b'{"version": 4, "accounts": [', b"[]", b'{"version": 9, "accounts": []}'])
def test_a_half_written_file_leaves_the_last_good_one_in_force_and_warns_once(
    path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture, torn: bytes
) -> None:
    put(path, document(entry("a")))
    settle(path)
    source = AccountsFile(path, clock=clock)
    good = source.current()
    put(path, torn)
    assert [source.current() for _ in range(3)] == [good] * 3
    assert len(caplog.records) == 1
    with pytest.raises(AccountsFileError):
        source.load()
    put(path, document(entry("b")))
    assert source.current().accounts[0].email == "b@gmail.com"


def test_an_unreadable_file_leaves_the_last_good_one_in_force_and_warns_once(
    path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(path, document(entry("a")))
    settle(path)
    source = AccountsFile(path, clock=clock)
    good = source.current()
    put(path, document(entry("b")))

    def forbidden(*_args: object, **_kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", forbidden)
        assert [source.current() for _ in range(3)] == [good] * 3
    assert len(caplog.records) == 1
    assert source.current().accounts[0].email == "b@gmail.com"


def test_a_file_that_was_emptied_of_accounts_on_purpose_counts_at_once(path: Path, clock: FakeClock) -> None:
    put(path, document(entry()))
    source = AccountsFile(path, clock=clock)
    source.current()
    put(path, document())
    for _ in range(2):
        with pytest.raises(AccountsFileError, match="holds no account"):
            source.current()


def test_a_file_that_disappears_is_an_error_until_it_is_back(path: Path, clock: FakeClock) -> None:
    put(path, document(entry()))
    source = AccountsFile(path, clock=clock)
    source.current()
    path.unlink()
    with pytest.raises(AccountsFileError, match="no accounts file"):
        source.current()
    put(path, document(entry("back")))
    assert source.current().accounts[0].email == "back@gmail.com"


def test_a_new_authorized_user_file_changes_the_fingerprint_within_a_second(path: Path, clock: FakeClock) -> None:
    put(path, document({"email": "a@x.org", "authorizedUserFile": "adc.json"}))
    settle(path)
    source = AccountsFile(path, clock=clock)
    first = source.current()
    clock.advance(1.5)
    assert source.current() is first
    (path.parent / "adc.json").write_text("{}")
    clock.advance(1.5)
    second = source.current()
    assert second is not first
    assert second.accounts[0].id == first.accounts[0].id
    assert second.accounts[0].credential.fingerprint != first.accounts[0].credential.fingerprint
    clock.advance(1.5)
    assert source.current() is second


def test_threads_that_read_while_the_file_changes_see_whole_snapshots(path: Path, clock: FakeClock) -> None:
    put(path, document(entry("a"), entry("b")))
    source = AccountsFile(path, clock=clock)
    problems: list[object] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                if len(source.current().accounts) != 2:
                    problems.append("half a list")
            except Exception as error:  # noqa: BLE001, PERF203 - whatever it is, the test has to report it
                problems.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    account_id = source.current().accounts[0].id
    for number in range(1, 20):
        source.update_entry(account_id, lastUsed=number)
    done.set()
    for thread in threads:
        thread.join()
    assert problems == []
    assert source.current().accounts[0].last_used == 0.019


# Writing


def account_id(name: str) -> str:
    return account_id_for(f"{name}@gmail.com", StaticToken(SecretStr("unused")))


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


# The lock


def lock_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def test_a_lock_of_another_program_is_waited_for(path: Path) -> None:
    clock = HookedClock()
    put(path, document(entry("a")))
    lock_of(path).mkdir()

    def release() -> None:
        if len(clock.slept) == 3:
            lock_of(path).rmdir()

    clock.on_sleep = release
    AccountsFile(path, clock=clock).update_entry(account_id("a"), enabled=False)
    assert json.loads(path.read_bytes())["accounts"][0]["enabled"] is False
    assert len(clock.slept) == 3
    assert not lock_of(path).exists()


def test_a_lock_that_is_not_released_ends_in_an_error_that_names_it(path: Path, clock: FakeClock) -> None:
    put(path, document(entry("a")))
    before = path.read_bytes()
    lock_of(path).mkdir()
    with pytest.raises(AccountsFileError) as caught:
        AccountsFile(path, clock=clock).update_entry(account_id("a"), enabled=False)
    assert str(lock_of(path)) in str(caught.value)
    assert 12 <= sum(clock.slept) < 13  # longer than it takes a lock to count as abandoned
    assert lock_of(path).is_dir()
    assert path.read_bytes() == before


def test_the_lock_of_a_dead_process_is_taken_over(path: Path, clock: FakeClock) -> None:
    put(path, document(entry("a")))
    lock_of(path).mkdir()
    os.utime(lock_of(path), (time.time() - 11,) * 2)
    AccountsFile(path, clock=clock).update_entry(account_id("a"), enabled=False)
    assert clock.slept == []
    assert files_beside(path) == [path.name]


def test_a_file_in_the_place_of_the_lock_is_named(path: Path, clock: FakeClock) -> None:
    put(path, document(entry("a")))
    lock_of(path).touch()
    with pytest.raises(AccountsFileError, match="is not a folder"):
        AccountsFile(path, clock=clock).update_entry(account_id("a"), enabled=False)


def test_who_lost_the_lock_meanwhile_reads_again_before_writing(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(path, document(entry("a"), entry("b")))
    real = os.fsync
    stolen: list[bool] = []

    def suspended_for_long(descriptor: int) -> None:
        real(descriptor)
        if not stolen:  # another process takes the lock over, writes, and is done
            stolen.append(True)
            lock_of(path).rmdir()
            put(path, document(entry("a"), entry("b", lastUsed=99)))

    monkeypatch.setattr(os, "fsync", suspended_for_long)
    AccountsFile(path, clock=clock).update_entry(account_id("a"), lastUsed=5)
    assert json.loads(path.read_bytes())["accounts"] == [entry("a", lastUsed=5), entry("b", lastUsed=99)]


def test_a_lock_that_another_process_took_over_is_not_removed(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(path, document(entry("a")))
    before = path.read_bytes()
    real = os.fsync

    def taken_over(descriptor: int) -> None:
        real(descriptor)
        lock_of(path).rmdir()
        lock_of(path).mkdir()
        os.utime(lock_of(path), (time.time() + 1,) * 2)

    monkeypatch.setattr(os, "fsync", taken_over)
    with pytest.raises(AccountsFileError, match="another process"):
        AccountsFile(path, clock=clock).update_entry(account_id("a"), lastUsed=5)
    assert lock_of(path).is_dir()
    assert path.read_bytes() == before


WRITER = """
import sys
from litellm_antigravity.accounts import AccountsFile
source = AccountsFile(sys.argv[1])
mine = [account.id for account in source.current().accounts if account.email == sys.argv[2]][0]
print("ready", flush=True)
sys.stdin.readline()
for number in range(1, int(sys.argv[3]) + 1):
    source.update_entry(mine, lastUsed=number)
"""


def start_writer(path: Path, name: str, updates: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), f"{name}@gmail.com", str(updates)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def let_go(writer: subprocess.Popen[str]) -> None:
    assert writer.stdin is not None
    writer.stdin.write("\n")
    writer.stdin.flush()


def await_ready(writer: subprocess.Popen[str]) -> None:
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"


def test_processes_that_update_different_entries_lose_nothing(path: Path) -> None:
    names = ["a", "b", "c", "d"]
    put(path, document(*map(entry, names), unknown={"kept": True}))
    writers = [start_writer(path, name, 8) for name in names]
    try:
        for writer in writers:
            await_ready(writer)
        for writer in writers:
            let_go(writer)
        assert [writer.wait(60) for writer in writers] == [0, 0, 0, 0]
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    assert json.loads(path.read_bytes()) == document(
        *(entry(name, lastUsed=8) for name in names), unknown={"kept": True}
    )
    assert files_beside(path) == [path.name]


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_writer_that_is_killed_leaves_a_whole_file_and_no_lock_for_ever(path: Path) -> None:
    put(path, document(entry("a"), entry("b")))
    for number, pause in enumerate((0.0, 0.002, 0.005, 0.011, 0.02, 0.03)):
        writer = start_writer(path, "a", 1_000_000)
        try:
            await_ready(writer)
            let_go(writer)
            time.sleep(pause)  # any moment will do
        finally:
            writer.kill()
            writer.communicate()
        first, second = json.loads(path.read_bytes())["accounts"]
        assert {**first, "lastUsed": 0} == entry("a")
        assert second["email"] == "b@gmail.com"
        for file in path.parent.iterdir():
            if file != path:
                os.utime(file, (time.time() - 120,) * 2)
        AccountsFile(path).update_entry(account_id("b"), lastUsed=1000 + number)
        assert files_beside(path) == [path.name]


# Properties

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
KEYS = st.sampled_from(
    [
        "email",
        "refreshToken",
        "accessToken",
        "tokenCommand",
        "authorizedUserFile",
        "projectId",
        "enabled",
        "addedAt",
        "lastUsed",
        "rateLimitResetTimes",
        "isRateLimited",
        "rateLimitResetTime",
        "coolingDownUntil",
        "cooldownReason",
        "verificationRequired",
    ]
)
VALUES = JSON | st.sampled_from(["1//tok", "1//tok|p|m", "a@x.org", "~nobody/x", ["echo"], 1e308, 10**400, True])
RESETS = st.dictionaries(st.sampled_from(["claude", "gemini", "gemini-antigravity:m", "claude:", ":"]), VALUES)
ENTRIES = st.dictionaries(KEYS, VALUES | RESETS)
DOCUMENTS = JSON | st.fixed_dictionaries(
    {"version": st.sampled_from([1, 2, 3, 4]) | JSON, "accounts": st.lists(ENTRIES | JSON, max_size=4) | JSON},
    optional={"activeIndex": JSON, "activeIndexByFamily": st.dictionaries(st.sampled_from(["claude", "gemini"]), JSON)},
)
QUICK = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@QUICK
@given(content=DOCUMENTS)
def test_any_json_document_loads_or_is_refused_in_words(path: Path, clock: FakeClock, content: Any) -> None:
    put(path, content)
    try:
        snapshot = AccountsFile(path, clock=clock).current()
    except AccountsFileError as error:
        assert str(path) in str(error)  # noqa: PT017 - either outcome is right
        return
    assert snapshot.accounts
    assert len(snapshot.by_id) == len(snapshot.accounts) == len({account.label for account in snapshot.accounts})
    assert all(value >= 0 for value in snapshot.base_index.values())
    for account in snapshot.accounts:
        assert all(one.until <= NOW + MONTH or one.reason == "verification" for one in account.cooldowns)


@QUICK
@given(content=st.binary(max_size=60))
def test_any_bytes_are_refused_in_words(path: Path, clock: FakeClock, content: Any) -> None:
    assert refused(path, content, clock)


@settings(QUICK, max_examples=25)
@given(
    top=st.dictionaries(st.text().filter(lambda key: key not in ("version", "accounts")), JSON, max_size=4),
    inner=st.dictionaries(st.text().filter(lambda key: key not in entry()), JSON, max_size=4).map(
        lambda fields: {f"x{key}": value for key, value in fields.items()}
    ),
    others=st.lists(JSON, max_size=3),
)
def test_fields_nobody_knows_survive_a_rewrite_in_their_order(
    path: Path, clock: FakeClock, top: dict[str, Any], inner: dict[str, Any], others: list[Any]
) -> None:
    content = {**top, "version": 4, "accounts": [*others, entry("a", **inner)]}
    put(path, content)
    AccountsFile(path, clock=clock).update_entry(account_id("a"), lastUsed=5)
    content["accounts"][-1]["lastUsed"] = 5
    written = json.loads(path.read_bytes())
    assert json.dumps(written) == json.dumps(content)


@given(local=st.text(min_size=1, max_size=40).filter(lambda text: "@" not in text and text == text.strip()))
def test_a_masked_email_never_shows_the_whole_local_part(local: str) -> None:
    hidden = mask_email(f"{local}@x.org").removesuffix("@x.org")
    assert hidden != local or local == "***"
    assert len(hidden.replace("***", "", 1)) < len(local)
