"""Accounts files with anything in them: they load or are refused in words, and nothing is lost in a rewrite."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from accounts_files import MONTH, account_id, entry, path, put, refused
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import NOW, FakeClock

from litellm_antigravity.accounts import (
    AccountsFile,
)
from litellm_antigravity.errors import AccountsFileError
from litellm_antigravity.masking import mask_email

__all__ = ["path"]  # fixtures

pytestmark = pytest.mark.once


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
