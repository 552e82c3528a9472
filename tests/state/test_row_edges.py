"""Edges of rows that mutants lived on: what a text has to be, what follows when two sides of an outage meet, claims."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from support import NOW

from litellm_antigravity.cooldowns import CLOCK_TOLERANCE_SECONDS, ENDED, WHOLE_ACCOUNT, Capacity, Cooldown
from litellm_antigravity.selection.binding import Binding
from litellm_antigravity.selection.retry_budget import MAX_TOKENS, RetryBudget
from litellm_antigravity.state import kinds
from litellm_antigravity.state.expiry import KEPT_SECONDS
from litellm_antigravity.state.ledger import PROBE_INTERVAL_SECONDS, PROBE_LEASE_SECONDS
from litellm_antigravity.state.memory import MemoryBackend, MemoryStore
from litellm_antigravity.state.replica import SWEPT_AT_ONCE, Replica
from litellm_antigravity.state.rows import Probe, TokenRow

pytestmark = pytest.mark.once

LIMITED = Cooldown("a", "claude", NOW + 7200, "quota", NOW, fact=True)


# Texts


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ('{"tokens": 12.5, "at": 3}', 12.5),
        ('{"tokens": -1, "at": 3}', 0.0),
        ('{"tokens": 0.5, "at": 3}', 0.5),
        ('{"tokens": 1e9, "at": 3}', MAX_TOKENS),
    ],
)
def test_a_retry_budget_is_within_its_bounds_whatever_its_row_says(text: str, tokens: float) -> None:
    assert kinds.BUDGET.decode("", text) == RetryBudget(tokens, 3.0)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"tokens": 1}', '{"at": 1}', '{"tokens": "1", "at": 1}', '{"tokens": 1, "at": NaN}']
)
def test_a_malformed_retry_budget_is_none(text: str) -> None:
    assert kinds.BUDGET.decode("", text) is None


def test_a_retry_budget_is_read_as_it_was_written() -> None:
    budget = RetryBudget(12.5, NOW)
    assert kinds.BUDGET.decode("", kinds.BUDGET.encode(budget)) == budget


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ('{"next": 7}', 7),
        ('{"next": 0}', 0),
        (f'{{"next": {2**53 - 1}}}', 2**53 - 1),
        (f'{{"next": {2**53}}}', 0),
        ('{"next": -1}', 0),
        ('{"next": 7.0}', 0),
        ('{"next": true}', 0),
        ('{"other": 7}', 0),
        ("[7]", 0),
        ("", 0),
    ],
)
def test_the_counter_begins_anew_where_its_row_is_no_number(text: str, number: int) -> None:
    assert kinds.CURSOR.decode("", text) == number


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_json_is_no_row(word: str) -> None:
    assert kinds.NOTE.decode("", f'{{"x": {word}}}') is None
    assert kinds.NOTE.decode("", '{"x": 1}') == {"x": 1}


@pytest.mark.parametrize("text", ['{"until": 1}', '{"since": 1}', '{"until": "1", "since": 1}', "[]"])
def test_half_a_capacity_row_is_none(text: str) -> None:
    assert kinds.CAPACITY.decode("m", text) is None


def test_a_probe_without_a_time_is_none_and_one_without_a_word_is_not_done() -> None:
    assert [kinds.PROBE.decode("", text) for text in ('{"done": true}', "[]", '{"at": 1, "done": 1}')] == [
        None,
        None,
        Probe(1.0, done=False),
    ]


# Two sides that meet after an outage


def merged(kind: kinds.Kind[Any], ours: Any, theirs: Any, before: Any = None, now: float = NOW + 60) -> Any:
    return kind.merge(before, ours, theirs, now)


def test_the_later_end_of_a_cooldown_holds() -> None:
    later = replace(LIMITED, until=NOW + 9000)
    assert merged(kinds.COOLDOWN, LIMITED, None) == replace(LIMITED, since=NOW + 60)
    assert merged(kinds.COOLDOWN, later, LIMITED).until == NOW + 9000
    assert merged(kinds.COOLDOWN, LIMITED, later) is None


def test_a_cooldown_that_is_over_is_not_told() -> None:
    assert merged(kinds.COOLDOWN, LIMITED, None, now=NOW + 7200) is None


def test_a_cooldown_of_an_older_credential_is_not_told_over_one_of_a_newer() -> None:
    ours = Cooldown("a", WHOLE_ACCOUNT, math.inf, "revoked", NOW, credential="old")
    newer = replace(ours, since=NOW + 30, credential="new")
    assert merged(kinds.COOLDOWN, ours, newer) is None
    assert merged(kinds.COOLDOWN, ours, replace(newer, since=NOW - 30)) is not None
    assert merged(kinds.COOLDOWN, ours, replace(newer, credential=None, until=NOW + 90)) is not None


def test_what_was_ended_on_one_side_is_ended_on_the_other_unless_that_is_new_there() -> None:
    ended = LIMITED.ended(NOW + 30)
    assert ended is not None
    told = merged(kinds.COOLDOWN, ended, LIMITED, before=LIMITED)
    assert (told.reason, told.remaining(NOW + 60)) == (ENDED, 0.0)
    assert merged(kinds.COOLDOWN, ended, replace(LIMITED, until=NOW + 9000), before=LIMITED) is None
    assert merged(kinds.COOLDOWN, ended, None, before=LIMITED) is None
    over = replace(LIMITED, until=NOW + 30)
    assert merged(kinds.COOLDOWN, over, LIMITED, before=LIMITED) is None


def test_the_longer_want_of_capacity_holds() -> None:
    ours, theirs = Capacity("m", NOW + 100, NOW), Capacity("m", NOW + 90, NOW)
    assert merged(kinds.CAPACITY, ours, theirs) == Capacity("m", NOW + 100, NOW + 60)
    assert merged(kinds.CAPACITY, ours, None) == Capacity("m", NOW + 100, NOW + 60)
    assert merged(kinds.CAPACITY, theirs, ours) is None
    assert merged(kinds.CAPACITY, ours, ours) is None
    assert merged(kinds.CAPACITY, ours, None, now=NOW + 100) is None


def test_the_token_that_holds_longer_is_told_with_a_generation_of_its_own() -> None:
    ours, theirs = TokenRow("ours", NOW + 3600, "c", 4), TokenRow("theirs", NOW + 1800, "c", 9)
    assert merged(kinds.TOKEN, ours, theirs) == replace(ours, generation=10)
    assert merged(kinds.TOKEN, ours, None) == replace(ours, generation=1)
    assert merged(kinds.TOKEN, theirs, ours) is None
    assert merged(kinds.TOKEN, replace(ours, expires_at=None), theirs) == TokenRow("ours", None, "c", 10)
    assert merged(kinds.TOKEN, ours, replace(theirs, expires_at=None)) is None
    other = replace(theirs, credential="new")
    assert merged(kinds.TOKEN, ours, other) is None
    assert merged(kinds.TOKEN, ours, replace(other, expires_at=NOW + 60)) == replace(ours, generation=10)


def test_the_binding_that_was_used_last_is_told() -> None:
    ours, theirs = Binding("a", "claude", NOW + 20, 3600, number=3), Binding("b", "claude", NOW + 10, 3600, number=7)
    assert merged(kinds.BINDING, ours, theirs) == replace(ours, number=7)
    assert merged(kinds.BINDING, replace(ours, number=9), theirs) == replace(ours, number=9)
    assert merged(kinds.BINDING, ours, None) is ours
    assert merged(kinds.BINDING, theirs, ours) is None
    assert merged(kinds.BINDING, ours, replace(theirs, used_at=NOW + 20)) is None
    assert merged(kinds.BINDING, ours, theirs, now=NOW + 3620) is None
    assert merged(kinds.BINDING, ours, theirs, now=NOW + 3619.5) is not None


# Claims


def test_a_want_of_capacity_lasts_as_long_as_the_longest_one_that_was_told() -> None:
    store = MemoryStore()
    for seconds in (30.0, 20.0, 40.0):
        store.hold_capacity("m", NOW, seconds)
    assert store.refresh().capacity["m"] == Capacity("m", NOW + 40, NOW)


def test_the_counter_counts_for_all_who_share_it() -> None:
    store = MemoryStore()
    assert [store.next_cursor_start() for _ in range(3)] == [0, 1, 2]
    store.replica.backend.update(["cursor"], lambda _: {"cursor": '{"next": 41}'})
    assert store.next_cursor_start() == 41


def test_a_slot_that_nobody_has_claimed_is_not_freed() -> None:
    store = MemoryStore()
    store.free_slot(3)
    assert store.replica.rows("slot/") == []
    assert store.claim_slot("me") == 0
    store.free_slot(0)
    assert store.slot_owners() == {}


def test_a_full_retry_budget_refuses_when_it_is_empty_and_takes_no_more_than_it_has_room_for() -> None:
    store = MemoryStore()
    store.give_retry(1.0, NOW)
    taken = 0
    while store.take_retry(5.0, NOW):
        taken += 1
    assert taken == MAX_TOKENS / 5.0
    store.give_retry(4.0, NOW)
    assert not store.take_retry(5.0, NOW)
    store.give_retry(1.0, NOW)
    assert store.take_retry(5.0, NOW)


def test_a_look_whether_one_may_probe_claims_nothing() -> None:
    store, later = MemoryStore(), NOW + PROBE_INTERVAL_SECONDS
    assert not store.may_probe([LIMITED], later - 1)
    assert [store.may_probe([LIMITED], later) for _ in range(2)] == [True, True]
    assert store.claim_probes([LIMITED], later)
    assert not store.may_probe([LIMITED], later)
    assert store.may_probe([LIMITED], later + PROBE_LEASE_SECONDS)
    other = replace(LIMITED, pool="gemini")
    assert not store.may_probe([other, LIMITED], later)
    assert store.may_probe([other], later)
    store.finish_probe("a", "claude", later)
    assert not store.may_probe([LIMITED], later + PROBE_LEASE_SECONDS)
    assert store.may_probe([LIMITED], later + PROBE_INTERVAL_SECONDS)


@pytest.mark.parametrize(("ahead", "may"), [(CLOCK_TOLERANCE_SECONDS, False), (CLOCK_TOLERANCE_SECONDS + 1, True)])
def test_a_claim_a_moment_ahead_is_a_claim_and_one_from_a_wrong_clock_is_none(*, ahead: float, may: bool) -> None:
    store, later = MemoryStore(), NOW + PROBE_INTERVAL_SECONDS
    assert store.claim_probes([LIMITED], later + ahead)
    assert store.may_probe([LIMITED], later) is may


def test_all_cooldowns_of_an_account_end_and_those_that_were_not_over_are_told() -> None:
    store = MemoryStore()
    over, other = replace(LIMITED, pool="gemini", until=NOW + 10), replace(LIMITED, account_id="b")
    for one in (LIMITED, over, other):
        store.extend_cooldown(one)
    assert store.end_cooldowns("a", NOW + 60) == [LIMITED]
    view = store.refresh()
    assert view.cooldowns["a"]["claude"].remaining(NOW + 60) == 0.0
    assert view.cooldowns["b"]["claude"] == other
    assert store.end_cooldowns("nobody", NOW) == []


# Sweeping


def test_sweeps_reach_every_row_some_at_a_time_and_then_begin_anew() -> None:
    backend = MemoryBackend()
    writer, sweeper = Replica(backend), Replica(backend)
    names = [f"m{number:03}" for number in range(3 * SWEPT_AT_ONCE)]

    def write(name: str, until: float) -> None:
        writer.update(kinds.COOLDOWN, f"{name}/claude", lambda _: replace(LIMITED, account_id=name, until=until))

    def sweeps_until_it_is_gone(name: str) -> int:
        write(name, NOW + 60)  # the last one that was written
        sweeper.refresh()
        for number in range(1, 20):
            sweeper.sweep(NOW + 2 * KEPT_SECONDS)
            if backend.read(f"cooldown/{name}/claude") is None:
                return number
        pytest.fail("it is never swept")

    for name in names:
        write(name, NOW + 3 * KEPT_SECONDS)
    assert sweeps_until_it_is_gone("z") == 4  # in the fourth page, which is no full one
    assert sweeps_until_it_is_gone("a") == 1
    assert all(backend.read(f"cooldown/{name}/claude") is not None for name in names)


def test_rows_that_make_no_sense_are_counted_each_once() -> None:
    backend = MemoryBackend()
    replica = Replica(backend)
    for number in range(1, 4):
        key = f"cooldown/{number}/claude"
        backend.update([key], lambda _, key=key: {key: "no JSON"})  # type: ignore[misc]  # mypy knows no default there
        replica.refresh()
        replica.refresh()
        assert replica.status().dropped_rows == number
