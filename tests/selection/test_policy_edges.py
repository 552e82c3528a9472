"""Edges of pure policies that mutants lived on: turns, budgets, patience, failed replies, who is free, addresses."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import SecretStr
from support import NOW

from litellm_antigravity.accounts import Account, RefreshToken, static_accounts
from litellm_antigravity.accounts.account import FileCooldown
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.redaction import SECRETS
from litellm_antigravity.refusals import (
    Failover,
    GiveUp,
    NextAccount,
    Refusal,
    RefusalKind,
    RetrySameAccount,
    cooldown_for,
    timeout_refusal,
)
from litellm_antigravity.refusals.failed import (
    empty_reply,
    error_as_text,
    failed_finish,
    incomplete_call,
    is_another_accounts_turn,
    may_be_error,
    may_become_error,
)
from litellm_antigravity.refusals.messages import clean, https_url
from litellm_antigravity.selection.availability import Availability, active_cooldowns
from litellm_antigravity.selection.patience import FirstBytes, RequestKind, turn_seconds
from litellm_antigravity.selection.retry_budget import RetryBudget
from litellm_antigravity.selection.scoreboard import Scoreboard
from litellm_antigravity.selection.turns import SPAN_SECONDS, STEP_SECONDS, next_turn
from litellm_antigravity.selection.vitals import Vitals, VitalsRules
from litellm_antigravity.state.memory import MemoryStore

pytestmark = pytest.mark.once

MODEL = "claude-sonnet-4-6"

# Turns


@pytest.mark.parametrize(
    ("last", "turn"),
    [
        (None, NOW),
        (NOW - 0.001, NOW),  # for another account's return
        (NOW, NOW + STEP_SECONDS),
        (NOW + SPAN_SECONDS, NOW + SPAN_SECONDS + STEP_SECONDS),
        (NOW + SPAN_SECONDS + 0.001, NOW),
    ],
)
def test_who_waits_wakes_up_a_step_behind_whoever_waits_for_the_same_return(last: float | None, turn: float) -> None:
    assert next_turn(last, NOW, NOW + 60.0) == pytest.approx(turn, abs=1e-6)


def test_nobody_wakes_up_later_than_it_may_wait_nor_before_an_account_is_back() -> None:
    assert next_turn(NOW + 5.0, NOW, NOW + 2.0) == NOW + 2.0
    assert next_turn(NOW + 5.0, NOW, NOW - 2.0) == NOW


# The retry budget


def test_a_budget_gains_a_token_a_second_up_to_its_size_and_loses_none_to_a_clock() -> None:
    budget = RetryBudget(100.0, NOW)
    assert [budget.now(NOW + seconds) for seconds in (-50.0, 0.0, 7.0, 1000.0)] == [100.0, 100.0, 107.0, 500.0]


def test_a_retry_is_paid_for_to_the_last_token() -> None:
    assert RetryBudget(10.0, NOW).taken(10.0, NOW) == RetryBudget(0.0, NOW)
    assert RetryBudget(9.9, NOW).taken(10.0, NOW) is None
    assert RetryBudget(6.0, NOW).taken(10.0, NOW + 5.0) == RetryBudget(1.0, NOW + 5.0)


def test_a_success_gives_what_there_is_room_for_and_nothing_to_a_full_budget() -> None:
    assert RetryBudget(10.0, NOW).given(5.0, NOW + 2.0) == RetryBudget(17.0, NOW + 2.0)
    assert RetryBudget(498.0, NOW).given(5.0, NOW) == RetryBudget(500.0, NOW)
    full = RetryBudget(499.0, NOW)
    assert full.given(5.0, NOW + 1.0) is full


# Patience with silent accounts


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({"others": 0}, 600.0),  # the last one gets all
        ({"others": 1}, 300.0),
        ({"others": 3}, 150.0),
        ({"others": 9}, 120.0),  # as if there were four
        ({"others": 1, "stream": False}, 300.0),
        ({"others": 9, "stream": False}, 300.0),
        ({"others": 3, "slowest": 1.0}, 30.0),  # a twentieth
        ({"others": 3, "slowest": 10.0}, 40.0),  # four times that
        ({"others": 3, "slowest": 100.0}, 150.0),
        ({"others": 3, "slowest": 1.0, "stream": False}, 60.0),  # a tenth
        ({"others": 3, "slowest": 10.0, "stream": False}, 80.0),  # eight times that
        ({"others": 3, "slowest": 10.0, "left_before": 1}, 80.0),
        ({"others": 3, "slowest": 10.0, "left_before": 3}, 150.0),
        ({"others": 3, "slowest": 0.1, "left": 60.0}, 10.0),  # nobody is left sooner
        ({"others": 3, "slowest": 0.1, "left": 20.0}, 5.0),  # where there is not so much for each
        ({"others": 1, "slowest": 0.1, "left": 10.0}, 5.0),
        ({"others": 3, "slowest": 0.1, "left": 12.0, "stream": False}, 3.0),
    ],
)
def test_how_long_an_account_may_be_silent(given: dict[str, Any], seconds: float) -> None:
    assert turn_seconds(**{"left": 600.0, "stream": True, "slowest": None, **given}) == pytest.approx(seconds)


def test_three_requests_of_the_last_half_hour_are_experience() -> None:
    seen, kind, other = FirstBytes(), RequestKind(MODEL, True, False), RequestKind(MODEL, False, False)
    for number, seconds in enumerate([9.0, 2.0, 3.0]):
        assert seen.slowest(kind, NOW) is None
        seen.note(kind, seconds, NOW + number)
    assert seen.slowest(kind, NOW + 2) == 9.0
    assert seen.slowest(other, NOW + 2) is None
    seen.note(kind, 4.0, NOW + 3)
    assert seen.slowest(kind, NOW + 1800.0) == 9.0  # half an hour to the second
    assert seen.slowest(kind, NOW + 1800.5) == 4.0
    assert seen.slowest(kind, NOW + 1801.5) is None


def test_the_newest_thirty_two_requests_and_256_kinds_are_kept() -> None:
    seen, kind = FirstBytes(), RequestKind(MODEL, True, False)
    for seconds in [9.0, *[1.0] * 31]:
        seen.note(kind, seconds, NOW)
    assert seen.slowest(kind, NOW) == 9.0
    seen.note(kind, 1.0, NOW)
    assert seen.slowest(kind, NOW) == 1.0
    for number in range(255):
        seen.note(RequestKind(f"model-{number}", True, False), 1.0, NOW)
    assert seen.slowest(kind, NOW) == 1.0
    seen.note(RequestKind("one more", True, False), 1.0, NOW)
    assert seen.slowest(kind, NOW) is None


# Failed replies, and what a request does after them


def test_failed_replies_say_what_failed_and_where_it_may_go() -> None:
    said = [
        (failed_finish("MALFORMED_FUNCTION_CALL"), "cannot be read (MALFORMED_FUNCTION_CALL)", False),
        (failed_finish("UNEXPECTED_TOOL_CALL", "no such tool"), "(UNEXPECTED_TOOL_CALL: no such tool)", False),
        (empty_reply(thought=True), "the model's reply has only thoughts", False),
        (empty_reply(thought=False), "the model's reply is empty", False),
        (incomplete_call("weather"), "the model's call of 'weather' broke off", False),
        (error_as_text("Please update."), "upstream said as a model's text: Please update.", True),
    ]
    for refusal, words, is_the_next_ones in said:
        assert words in refusal.message
        assert (refusal.kind, refusal.status) == (RefusalKind.FAILED_REPLY, 500)
        assert refusal.reason is not None
        assert is_another_accounts_turn(refusal) is is_the_next_ones
    assert len({refusal.reason for refusal, *_ in said}) == 5  # the empty ones are one kind


@pytest.mark.parametrize(
    ("text", "is_one", "may_become"),
    [
        ("This version of Antigravity is no longer supported.", True, True),
        ("  THIS VERSION\nof antigravity is no longer supported", True, True),
        ("You should upgrade to the latest version.", True, True),
        ("Your current ver", False, True),
        ("", False, True),
        ("The weather is nice.", False, False),
        ("An outdatedness of sorts.", False, False),
        ("Please update.  " + "x" * 385, True, True),  # 400 characters, without what is blank twice
        ("Please update.  " + "x" * 386, False, False),
    ],
)
def test_which_texts_may_be_errors(text: str, is_one: bool, may_become: bool) -> None:
    assert (may_be_error(text), may_become_error(text)) == (is_one, may_become)


def failover(**more: Any) -> Failover:
    return Failover(switch_on_first_rate_limit=True, random=lambda: 0.5, **more)


def test_a_failed_reply_is_asked_for_once_more_where_it_may_succeed() -> None:
    request = failover()
    assert request.next_step("a", empty_reply(thought=False)) == RetrySameAccount(0.0)
    assert request.reply_failed
    assert request.tried == set()
    assert request.next_step("a", empty_reply(thought=False)) == GiveUp()
    request = failover()
    assert request.next_step("a", error_as_text("Please update.")) == NextAccount()
    assert request.tried == {"a"}
    assert failover(reply_failed=True).next_step("a", empty_reply(thought=False)) == GiveUp()


def test_a_request_counts_the_accounts_that_were_silent() -> None:
    request = failover()
    for account, silent, count in [("a", True, 1), ("b", False, 1), ("c", True, 2)]:
        refusal = timeout_refusal("the first byte", silent=silent)
        assert refusal.silent is silent
        request.next_step(account, refusal)
        assert request.silences == count
    assert timeout_refusal("anything").silent is False


@pytest.mark.parametrize(
    ("silent", "answered", "failures", "is_benched"),
    [(True, True, 2, True), (True, True, 1, False), (True, False, 2, False), (False, True, 2, False)],
)
def test_two_silences_bench_an_account_only_while_others_answer(
    silent: bool, answered: bool, failures: int, is_benched: bool
) -> None:
    refusal = timeout_refusal("the first byte", silent=silent)
    cooling = cooldown_for(refusal, family="claude", model=MODEL, failures=failures, others_answered=answered)
    assert (cooling is not None) is is_benched


# What is said of addresses


@pytest.mark.parametrize("more", ["?key=1//hidden-in-the-query", "#fragment", "?a=b#c", ""])
def test_of_an_address_that_was_understood_nothing_is_left_in_the_words(more: str) -> None:
    address = f"https://accounts.example.com/verify{more}"
    refusal = Refusal(RefusalKind.VERIFICATION, 403, f"Verify at {address} now.", url=address)
    assert refusal.url == address
    assert "accounts.example.com" not in refusal.message
    assert "hidden" not in refusal.message
    also = Refusal(RefusalKind.VERIFICATION, 403, "Verify at https://accounts.example.com/verify now.", url=address)
    assert "accounts.example.com" not in also.message


def test_an_address_with_a_user_or_a_password_is_none() -> None:
    addresses = ["https://a@example.com/", "https://:b@example.com/", "https://a:b@example.com/", "http://example.com/"]
    assert [https_url(one) for one in addresses] == [None] * 4


def test_a_message_is_a_thousand_characters_at_most() -> None:
    assert clean("x" * 1000) == "x" * 1000
    assert clean("x" * 1001) == "x" * 999 + "…"


@pytest.mark.parametrize("before", ["", "w" * 10, "w" * 100])
def test_where_a_long_text_is_cut_no_half_of_a_secret_is_left(before: str) -> None:
    secret = "abcdefghijklmnopqrstuvwxyz"
    SECRETS.remember(secret)
    blank = " " * (32_000 - len(before) - 10)  # so that ten characters of the secret are before the cut
    line = " ".join([*before.split(), secret[:10]])
    assert clean(before + blank + secret) == line[: max(0, len(line) - SECRETS.longest)]
    assert "abc" not in clean(before + blank + secret)


# Who is free, and until when


def account(name: str, *, enabled: bool = True, cooldowns: tuple[FileCooldown, ...] = ()) -> Account:
    return Account.create(
        f"{name}@example.com", RefreshToken(SecretStr(f"1//{name}")), enabled=enabled, cooldowns=cooldowns
    )


def cooldown(of: Account, pool: str = "claude", seconds: float = 60.0, **more: Any) -> Cooldown:
    return Cooldown(of.id, pool, NOW + seconds, more.pop("reason", "quota"), NOW, fact=True, **more)


def test_what_benches_an_account_is_not_over_and_about_its_credential() -> None:
    store, one = MemoryStore(), account("one")
    rows = [
        cooldown(one, "claude", 0.5),
        cooldown(one, "gemini", -1.0),
        cooldown(one, "*", credential=one.credential.fingerprint),
        cooldown(one, f"model:{MODEL}", credential="another one's"),
    ]
    for row in rows:
        store.extend_cooldown(row)
    active = active_cooldowns(one, store.refresh(), NOW)
    assert {row.pool for row in active} == {"claude", "*", f"model:{MODEL}"}
    store.extend_cooldown(cooldown(one, "*", 90.0, credential="an older one"))
    assert "*" not in {row.pool for row in active_cooldowns(one, store.refresh(), NOW)}
    assert active_cooldowns(account("two"), store.refresh(), NOW) == []


def test_what_the_accounts_file_says_counts_like_what_upstream_said() -> None:
    known = (FileCooldown("claude", NOW + 30.0, "quota"), FileCooldown("gemini", NOW, "rate"))
    one = account("one", cooldowns=known)
    assert active_cooldowns(one, MemoryStore().refresh(), NOW) == [
        Cooldown(one.id, "claude", NOW + 30.0, "quota", NOW, fact=True)
    ]


def test_an_availability_holds_until_the_first_cooldown_ends_or_anything_changes() -> None:
    store, accounts = MemoryStore(), [account("one"), account("two"), account("gone", enabled=False)]
    snapshot = static_accounts(*accounts).current()
    for each, seconds in zip(accounts, (30.0, 50.0, 10.0), strict=True):
        store.extend_cooldown(cooldown(each, "claude", seconds))
    store.extend_cooldown(Cooldown("a stranger's", "claude", NOW + 5.0, "quota", NOW, fact=True))
    view = store.refresh()
    found = Availability.of(MODEL, snapshot, view, NOW)
    assert found.free == ()
    assert set(found.benched) == {accounts[0].id, accounts[1].id}
    assert found.valid_until == NOW + 30.0
    assert [found.holds(snapshot, view, NOW + after) for after in (-1.0, 0.0, 29.9, 30.0)] == [False, True, True, False]
    assert not found.holds(static_accounts(*accounts).current(), view, NOW)
    store.extend_cooldown(cooldown(accounts[0], "gemini"))
    assert not found.holds(snapshot, store.refresh(), NOW)
    other = Availability.of("gemini-3-flash", snapshot, store.refresh(), NOW)
    assert other.free == (accounts[1].id,)


def test_a_model_s_own_cooldown_is_that_model_s() -> None:
    store, one, two = MemoryStore(), account("one"), account("two")
    snapshot = static_accounts(one, two).current()
    store.extend_cooldown(cooldown(one, f"model:{MODEL}"))
    free = {name: Availability.of(name, snapshot, store.refresh(), NOW).free for name in (MODEL, "claude-opus-4-6")}
    assert free == {MODEL: (two.id,), "claude-opus-4-6": (one.id, two.id)}


def test_what_connections_did_to_everybody_benches_nobody_and_to_one_it_does() -> None:
    store, one, two = MemoryStore(), account("one"), account("two")
    snapshot = static_accounts(one, two).current()
    store.extend_cooldown(cooldown(one, reason="transport"))
    assert Availability.of(MODEL, snapshot, store.refresh(), NOW).free == (two.id,)
    store.extend_cooldown(cooldown(two, reason="broken reply"))
    everybody = Availability.of(MODEL, snapshot, store.refresh(), NOW)
    assert everybody.free == (one.id, two.id)
    assert everybody.valid_until == math.inf


# Hybrid between two looks


@pytest.mark.parametrize(("after", "chosen"), [(149.0, "rested"), (151.0, "filling")])
def test_a_bucket_fills_between_two_looks(after: float, chosen: str) -> None:
    rules = VitalsRules()  # a token in ten seconds, and ten points for each
    known = {"rested": Vitals(70.0, 0.0, 25.0, 0.0), "filling": Vitals(70.0, 0.0, 10.0, NOW)}
    board = Scoreboard(["rested", "filling"], rules, known, NOW)
    assert board.choose(NOW, current=None) == "rested"
    assert board.choose(NOW + after, current=None) == chosen


@pytest.mark.parametrize(("after", "chosen"), [(999.0, "rested"), (1001.0, "resting")])
def test_an_account_rests_between_two_looks(after: float, chosen: str) -> None:
    known = {"rested": Vitals(70.0, 0.0, 40.0, 0.0), "resting": Vitals(70.0, 0.0, 50.0, 0.0, NOW + 0.0)}
    known["rested"] = Vitals(70.0, 0.0, 24.0, 0.0)  # 260 points of tokens less, and 360 of rest more
    board = Scoreboard(["rested", "resting"], VitalsRules(), known, NOW)
    assert board.choose(NOW, current=None) == "rested"
    assert board.choose(NOW + after, current=None) == chosen
