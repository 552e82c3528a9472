"""Which accounts a command means: number, e-mail, label, id, or the beginning of one."""

from __future__ import annotations

import click
import pytest
from pydantic import SecretStr

from litellm_antigravity.accounts import Account, AccountsSnapshot, RefreshToken, static_accounts
from litellm_antigravity.cli.choosing import chosen

pytestmark = pytest.mark.once


def account(email: str | None, label: str | None = None) -> Account:
    return Account.create(email, RefreshToken(SecretStr(f"1//{email}{label}")), label=label)


@pytest.fixture
def snapshot() -> AccountsSnapshot:
    return static_accounts(
        account("anna@gmail.com", "work"), account("anton@gmail.com"), account("9lives@gmail.com"), account(None, "ci")
    ).current()


def meant(snapshot: AccountsSnapshot, *words: str) -> list[int]:
    return [one.position + 1 for one in chosen(snapshot, words)]


@pytest.mark.parametrize(
    ("word", "number"),
    [
        ("1", 1),
        (" 2 ", 2),
        ("ANNA@gmail.com", 1),
        ("ant", 2),
        ("work", 1),
        ("Wo", 1),
        ("ci", 4),
        ("acct-", 0),
        ("9", 3),
        ("9lives@gmail.com", 3),
    ],
)
def test_a_word_means_the_account_that_it_names(word: str, number: int, snapshot: AccountsSnapshot) -> None:
    if not number:
        with pytest.raises(click.ClickException, match="means more than one"):
            meant(snapshot, word)
        word, number = snapshot.accounts[3].id, 4
    assert meant(snapshot, word) == [number]


def test_accounts_come_as_they_were_named_and_each_once(snapshot: AccountsSnapshot) -> None:
    assert meant(snapshot, "2", "work", "anton", "1") == [2, 1]


@pytest.mark.parametrize(
    ("word", "said", "listed"),
    [
        ("an", "'an' means more than one account.", ["1. anna@gmail.com (work)", "2. anton@gmail.com"]),
        ("zoe", "There is no account 'zoe' in", ["1. anna", "2. anton", "3. 9lives", "4. (no e-mail)"]),
        ("5", "There is no account number 5.", ["1. anna", "4. (no e-mail)"]),
        ("0", "There is no account number 0.", ["1. anna"]),
        ("", "There is no account '' in", ["1. anna"]),
        ("9" * 5000, "There is no account '999", ["1. anna"]),
        ("\x1b[2J", "There is no account", ["1. anna"]),
    ],
)
def test_a_word_that_means_none_or_several_is_answered_with_the_candidates(
    word: str, said: str, listed: list[str], snapshot: AccountsSnapshot
) -> None:
    with pytest.raises(click.ClickException) as caught:
        chosen(snapshot, [word])
    assert said in caught.value.message
    assert all(line in caught.value.message for line in listed)
    assert "\x1b" not in caught.value.message
