"""Accounts files that are broken, or that others can touch: what is said, and what is used all the same."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from accounts_files import CANARY, document, entry, loaded, path, put, refused
from support import FakeClock

from litellm_antigravity.accounts import (
    AccountsFile,
)
from litellm_antigravity.errors import AccountsFileError

__all__ = ["path"]  # fixtures

pytestmark = pytest.mark.once


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
