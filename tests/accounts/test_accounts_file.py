"""What an accounts file says: accounts of every version, cooldowns in it, and who is who."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from accounts_files import CANARY, MONTH, document, entry, loaded, path
from pydantic import SecretStr
from support import NOW, FakeClock

from litellm_antigravity.accounts import (
    Account,
    AuthorizedUser,
    FileCooldown,
    RefreshToken,
    StaticToken,
    TokenCommand,
    account_id_for,
    static_accounts,
)
from litellm_antigravity.masking import mask_email

__all__ = ["path"]  # fixtures

pytestmark = pytest.mark.once


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
