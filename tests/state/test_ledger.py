"""The ledger: the contract that it keeps on every backend, with threads."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledgers import DAY, HOUR, ON_DISK, RULES, Place, cooldown, in_threads, place, redis_cluster, redis_server, store
from support import NOW, FakeClock

from litellm_antigravity.cooldowns import MAX_COOLDOWN_SECONDS, WHOLE_ACCOUNT, Cooldown, model_pool
from litellm_antigravity.selection.bucket import BucketRules
from litellm_antigravity.selection.health import HealthRules
from litellm_antigravity.selection.vitals import Failures, Vitals, VitalsRules
from litellm_antigravity.state.drift import VitalsDrift
from litellm_antigravity.state.ledger import PROBE_INTERVAL_SECONDS, PROBE_LEASE_SECONDS, Ledger
from litellm_antigravity.state.memory import MemoryStore
from litellm_antigravity.state.rows import Presence, decode_cooldown, decode_vitals, encode_cooldown, encode_vitals

__all__ = ["place", "redis_cluster", "redis_server", "store"]  # fixtures

pytestmark = pytest.mark.once


# Cooldowns


def test_nothing_is_known_at_first(store: Ledger) -> None:
    view = store.refresh()
    assert (dict(view.cooldowns), dict(view.capacity), view.vitals) == ({}, {}, {})
    assert store.read_token("a") is None
    assert store.read_note("project/a") is None
    assert store.processes() == []


def test_a_later_reset_time_wins(store: Ledger) -> None:
    store.extend_cooldown(cooldown(60.0))
    assert store.extend_cooldown(cooldown(600.0)).until == NOW + 600.0
    known = store.refresh().cooldown("a", "claude")
    assert known is not None
    assert known.until == NOW + 600.0


@pytest.mark.parametrize("seconds", [30.0, 599.9, 0.0, -5.0])
def test_an_earlier_reset_time_never_shortens_a_cooldown(store: Ledger, seconds: float) -> None:
    store.extend_cooldown(cooldown(600.0))
    assert store.extend_cooldown(cooldown(seconds)).until == NOW + 600.0
    assert store.extend_cooldown(cooldown(seconds - 200.0, since=NOW + 100.0)).until == NOW + 600.0
    known = store.refresh().cooldown("a", "claude")
    assert known is not None
    assert known.until == NOW + 600.0


def test_a_cooldown_without_an_end_stays_whatever_comes_later(store: Ledger) -> None:
    store.extend_cooldown(cooldown(math.inf, pool=WHOLE_ACCOUNT))
    store.extend_cooldown(cooldown(10.0, pool=WHOLE_ACCOUNT))
    known = store.refresh().cooldown("a", WHOLE_ACCOUNT)
    assert known is not None
    assert known.remaining(NOW + 1000 * DAY) == math.inf


def test_a_cooldown_about_a_credential_gives_way_to_one_about_its_successor(store: Ledger) -> None:
    store.extend_cooldown(cooldown(math.inf, pool=WHOLE_ACCOUNT, credential="old"))
    replaced = store.extend_cooldown(cooldown(600.0, pool=WHOLE_ACCOUNT, credential="new"))
    assert (replaced.until, replaced.credential) == (NOW + 600.0, "new")


def test_a_ban_outlives_a_new_credential(store: Ledger) -> None:
    store.extend_cooldown(cooldown(math.inf, pool=WHOLE_ACCOUNT))
    store.extend_cooldown(cooldown(600.0, pool=WHOLE_ACCOUNT, credential="new"))
    known = store.refresh().cooldown("a", WHOLE_ACCOUNT)
    assert known is not None
    assert known.until == math.inf


def test_a_drained_pool_leaves_its_siblings_alone(store: Ledger) -> None:
    store.extend_cooldown(cooldown(600.0, pool="claude"))
    store.extend_cooldown(cooldown(60.0, pool=model_pool("publishers/x/gemini-3-pro")))
    view = store.refresh()
    assert view.cooldown("a", "gemini") is None
    assert view.cooldown("b", "claude") is None
    assert view.cooldown("a", model_pool("publishers/x/gemini-3-pro")) is not None


def test_every_field_of_a_cooldown_reaches_the_others(place: Place) -> None:
    told = Cooldown("o/k%2F@x.y", "claude", NOW + 60.0, "verification", NOW, True, "f00", "https://x.y/v", "verify it")
    place.open().extend_cooldown(told)
    assert place.open().refresh().cooldown("o/k%2F@x.y", "claude") == told


def test_whatever_upstream_says_can_be_recorded(place: Place) -> None:
    odd = "\ud800 \x00 é \U0001f600"
    message = "m" * 5000
    told = Cooldown("a", model_pool(odd), NOW + 60.0, "quota", NOW, url="u" * 90_000, message=odd + message)
    store = place.open()
    store.extend_cooldown(told)
    store.hold_capacity(odd, NOW, 10.0)
    known = store.refresh().cooldown("a", model_pool(odd))
    assert known is not None
    assert (known.until, known.url) == (NOW + 60.0, None)
    assert known.message is not None
    assert known.message.strip().startswith("é \U0001f600mmm")  # without what cannot be printed
    assert place.open().refresh().capacity


def test_a_cooldown_that_is_ended_is_over_for_everybody(place: Place) -> None:
    store, other = place.open(), place.open()
    store.extend_cooldown(cooldown(600.0))
    other.refresh()
    store.end_cooldown("a", "claude", NOW + 10.0)
    known = other.refresh().cooldown("a", "claude")
    assert known is not None
    assert known.remaining(NOW + 10.0) == 0.0
    assert store.extend_cooldown(cooldown(5.0, since=NOW + 11.0)).until == NOW + 16.0


def test_ending_a_cooldown_that_is_not_there_does_nothing(store: Ledger) -> None:
    before = store.refresh().cooldown_version
    store.end_cooldown("a", "claude", NOW)
    view = store.refresh()
    assert view.cooldown("a", "claude") is None
    assert view.cooldown_version == before


def test_the_version_of_a_view_changes_with_every_cooldown(store: Ledger) -> None:
    before = store.refresh().cooldown_version
    store.extend_cooldown(cooldown(60.0))
    after = store.refresh().cooldown_version
    assert after != before
    assert store.refresh().cooldown_version == after


def test_of_many_threads_that_record_a_cooldown_the_latest_end_wins(store: Ledger) -> None:
    in_threads(8, lambda number: store.extend_cooldown(cooldown(60.0 + number * 37 % 8)))
    known = store.refresh().cooldown("a", "claude")
    assert known is not None
    assert known.until == NOW + 67.0


@given(
    seconds=st.floats(0.0, MAX_COOLDOWN_SECONDS),
    jump=st.one_of(st.sampled_from([HOUR, -HOUR, DAY, -DAY, 2.0, -2.0]), st.floats(-400 * DAY, 400 * DAY)),
)
def test_wherever_the_clock_jumps_a_cooldown_never_grows(seconds: float, jump: float) -> None:
    original = cooldown(seconds)
    known = decode_cooldown("a", "claude", encode_cooldown(original))
    assert known == original
    assert known is not None
    assert 0.0 <= known.remaining(NOW + jump) <= known.remaining(NOW)


@pytest.mark.parametrize("jump", [HOUR, -HOUR, DAY, -DAY])
def test_wherever_the_clock_jumps_the_bucket_stays_within_its_bounds(
    store: Ledger, clock: FakeClock, jump: float
) -> None:
    for _ in range(3):
        store.begin_request("a", clock.time(), RULES, require_token=False)
        clock.jump(jump)
        store.record_failure("a", "claude", clock.time(), RULES, penalty="rate", refund=True)
        clock.jump(-jump)
        tokens = store.refresh().vitals["a"].tokens_now(clock.time(), RULES)
        assert 0.0 <= tokens <= 50.0


def test_a_broken_clock_cannot_bench_an_account_for_years(store: Ledger) -> None:
    store.extend_cooldown(cooldown(100 * 365 * DAY))
    known = store.refresh().cooldown("a", "claude")
    assert known is not None
    assert known.remaining(NOW) == MAX_COOLDOWN_SECONDS


# Health, bucket, failures


def test_exactly_as_many_requests_are_admitted_by_threads_as_there_are_tokens(store: Ledger) -> None:
    rules = VitalsRules(bucket=BucketRules(50.0, 6.0, 13.0))
    admitted = in_threads(8, lambda _: sum(store.begin_request("a", NOW, rules, require_token=True) for _ in range(4)))
    assert sum(admitted) == 13
    assert store.refresh().vitals["a"].tokens_now(NOW, rules) == 0.0


def test_a_request_that_needs_no_token_is_always_admitted(store: Ledger) -> None:
    rules = VitalsRules(bucket=BucketRules(1.0, 0.0, 1.0))
    assert store.begin_request("a", NOW, rules, require_token=True)
    assert not store.begin_request("a", NOW + 1.0, rules, require_token=True)
    assert store.refresh().vitals["a"].last_used == NOW
    assert store.begin_request("a", NOW + 2.0, rules, require_token=False)
    vitals = store.refresh().vitals["a"]
    assert (vitals.last_used, vitals.tokens_now(NOW + 2.0, rules)) == (NOW + 2.0, 0.0)


def test_a_token_that_is_given_back_can_be_taken_again(store: Ledger) -> None:
    rules = VitalsRules(bucket=BucketRules(1.0, 0.0, 1.0))
    store.begin_request("a", NOW, rules, require_token=True)
    store.refund_token("a", NOW, rules)
    store.refund_token("a", NOW, rules)
    assert store.refresh().vitals["a"].tokens_now(NOW, rules) == 1.0
    assert store.begin_request("a", NOW, rules, require_token=True)


def test_one_refusal_seen_by_many_threads_is_one_failure_and_gives_every_token_back(store: Ledger) -> None:
    for _ in range(8):
        store.begin_request("a", NOW, RULES, require_token=True)

    def fail(number: int) -> int:
        # the clocks of requests in flight were read in another order than they come to write
        moment = NOW + 1.0 + number * 0.11
        return store.record_failure("a", "claude", moment, RULES, penalty="rate", refund=True)

    assert in_threads(8, fail) == [1] * 8
    vitals = store.refresh().vitals["a"]
    assert vitals.health == 60.0
    assert vitals.tokens_now(NOW + 2.0, RULES) == 50.0


def test_failures_in_a_row_add_up_until_there_is_an_answer(store: Ledger) -> None:
    def fail(moment: float) -> int:
        return store.record_failure("a", "claude", moment, RULES, penalty=None, refund=False)

    assert [fail(NOW), fail(NOW + 1.9), fail(NOW + 2.0), fail(NOW + 10.0)] == [1, 1, 2, 3]
    store.record_success("a", "claude", NOW + 11.0, RULES)
    assert fail(NOW + 20.0) == 1
    assert fail(NOW + 20.0 + 3601.0) == 1


def test_an_answer_of_an_account_in_full_health_writes_nothing(store: Ledger) -> None:
    rules = VitalsRules(HealthRules(initial=99.0))
    store.record_success("a", "claude", NOW, rules)
    view = store.refresh()
    assert view.vitals["a"].health == 100.0
    position = view.position
    store.record_success("a", "claude", NOW + 1.0, rules)
    store.record_success("a", "claude", NOW + 2.0, rules)
    view = store.refresh()
    assert view.changed_vitals(position) == []
    assert view.vitals["a"].health_at == NOW


def test_an_answer_does_not_shorten_a_fact(store: Ledger) -> None:
    store.extend_cooldown(cooldown(600.0))
    store.record_success("a", "claude", NOW + 1.0, RULES)
    known = store.refresh().cooldown("a", "claude")
    assert known is not None
    assert known.remaining(NOW + 1.0) == 599.0


@given(
    st.builds(
        Vitals,
        *[st.floats(0.0, 1000.0), st.floats(0.0, 1e10), st.floats(0.0, 1e6), st.floats(0.0, 1e10)],
        st.none() | st.floats(0.0, 1e10),
        st.dictionaries(
            st.sampled_from(["claude", "gemini"]), st.builds(Failures, st.integers(0, 1000), st.floats(0.0, 1e10))
        ),
    )
)
def test_vitals_come_back_as_they_were_written(vitals: Vitals) -> None:
    assert decode_vitals(encode_vitals(vitals)) == vitals


# The view


def test_a_guess_holds_only_as_long_as_nobody_else_writes(place: Place) -> None:
    mine, other = place.open(), place.open()
    mine.begin_request("a", NOW, RULES, require_token=False)
    mine.refresh()
    assert mine.guess() is mine.known()
    while not mine.begin_if_current("a", NOW + 1.0, RULES, require_token=True):
        assert place.kind == "losing"
    other.extend_cooldown(cooldown(HOUR))
    assert not mine.begin_if_current("a", NOW + 2.0, RULES, require_token=False)
    assert mine.guess() is None
    assert other.refresh().vitals["a"].last_used == NOW + 1.0
    assert mine.refresh().cooldown("a", "claude") is not None
    assert mine.guess() is None  # whoever has just written will write again
    mine.refresh()
    assert mine.guess() is mine.known()


@pytest.mark.parametrize("kind", ON_DISK)
def test_beside_other_writers_a_request_takes_no_transaction(kind: str, tmp_path: Path) -> None:
    """It took one of six statements as soon as anybody had written anything."""
    one, other = (ON_DISK[kind](tmp_path / "state") for _ in range(2))
    for each in (one, other):
        each.begin_request("a", NOW, RULES, require_token=True)
        each.begin_request("b", NOW, RULES, require_token=True)
    one.refresh()
    other.begin_request("b", NOW, RULES, require_token=True)
    statements: list[str] = []
    one.replica.backend._connection.raw.set_trace_callback(statements.append)  # type: ignore[attr-defined]
    assert one.begin_request("a", NOW, RULES, require_token=True)
    one.record_success("a", "claude", NOW, RULES)
    assert not [statement for statement in statements if statement.startswith("BEGIN")]
    assert one.begin_request("b", NOW, RULES, require_token=True)  # changed meanwhile
    assert [statement for statement in statements if statement.startswith("BEGIN")]
    for each in (one, other):
        vitals = each.refresh().vitals
        assert [vitals[name].tokens_now(NOW, RULES) for name in "ab"] == [47.0, 46.0]
        each.close()


def test_a_guess_takes_no_token_that_is_not_there_and_makes_no_row(place: Place) -> None:
    store = place.open()
    for _ in range(50):
        store.begin_request("a", NOW, RULES, require_token=True)
    store.refresh()
    assert not store.begin_if_current("a", NOW, RULES, require_token=True)
    assert not store.begin_if_current("b", NOW, RULES, require_token=False)
    assert store.refresh().vitals.keys() == {"a"}


def test_a_view_says_whose_vitals_changed_since_a_position(store: Ledger) -> None:
    store.begin_request("a", NOW, RULES, require_token=False)
    view = store.refresh()
    position = view.position
    assert view.changed_vitals(position) == []
    store.begin_request("b", NOW, RULES, require_token=False)
    store.begin_request("c", NOW, RULES, require_token=False)
    changed = store.refresh().changed_vitals(position)
    assert changed is not None
    assert set(changed) == {"b", "c"}


def test_a_position_of_long_ago_is_told_from_one_without_changes() -> None:
    view = MemoryStore().refresh()
    start = view.position
    for _ in range(10_000):
        view.set_vitals("a", Vitals.fresh(RULES))
    assert view.changed_vitals(start) is None
    assert view.changed_vitals(view.position) == []


def test_positions_and_versions_of_one_view_mean_nothing_to_another() -> None:
    stores = [MemoryStore(), MemoryStore()]
    for each in stores:
        each.begin_request("a", NOW, RULES, require_token=False)
        each.extend_cooldown(cooldown(60.0))
    first, second = (each.refresh() for each in stores)
    assert second.changed_vitals(first.position) is None
    assert first.changed_vitals(second.position) is None
    assert first.cooldown_version != second.cooldown_version


def test_what_one_store_writes_another_one_reads_at_its_next_refresh(place: Place) -> None:
    store, other = place.open(), place.open()
    other.refresh()
    for number in range(5):
        name = f"a{number}"
        store.begin_request(name, NOW, RULES, require_token=False)
        other.begin_request(name, NOW + 1.0, RULES, require_token=False)
        store.extend_cooldown(Cooldown(name, "claude", NOW + 60.0, "rate", NOW))
        store.hold_capacity(f"model-{number}", NOW, 10.0)
        for view in (other.refresh(), store.refresh()):
            assert view.vitals[name].tokens_now(NOW + 1.0, RULES) == pytest.approx(48.1)
            assert view.cooldown(name, "claude") is not None
            assert view.capacity[f"model-{number}"].remaining(NOW) == 10.0


def test_known_is_what_the_last_refresh_saw(place: Place) -> None:
    store = place.open()
    store.extend_cooldown(cooldown(60.0))
    assert store.known().cooldown("a", "claude") is not None


def test_a_fast_failure_for_a_model_is_only_ever_prolonged(store: Ledger) -> None:
    store.hold_capacity("m", NOW, 10.0)
    store.hold_capacity("m", NOW + 1.0, 2.0)
    assert store.refresh().capacity["m"].until == NOW + 10.0
    store.hold_capacity("m", NOW + 5.0, 10.0)
    assert store.refresh().capacity["m"].remaining(NOW + 5.0) == 10.0


# Probes


def test_one_request_an_hour_may_probe_a_long_cooldown(store: Ledger) -> None:
    long = cooldown(DAY)
    assert not store.claim_probe(long, NOW + PROBE_INTERVAL_SECONDS - 1.0)
    first = NOW + PROBE_INTERVAL_SECONDS
    assert sum(in_threads(8, lambda _: store.claim_probe(long, first))) == 1
    store.finish_probe("a", "claude", first + 5.0)
    assert not store.claim_probe(long, first + PROBE_INTERVAL_SECONDS)
    assert store.claim_probe(long, first + 5.0 + PROBE_INTERVAL_SECONDS)


def test_a_probe_is_not_claimed_twice_by_someone_who_read_the_clock_a_moment_earlier(store: Ledger) -> None:
    long = cooldown(DAY)
    assert store.claim_probe(long, NOW + PROBE_INTERVAL_SECONDS + 1.0)
    assert not store.claim_probe(long, NOW + PROBE_INTERVAL_SECONDS + 0.5)


def test_a_prober_that_never_came_back_blocks_the_next_one_for_a_lease_only(store: Ledger) -> None:
    long = cooldown(DAY)
    first = NOW + PROBE_INTERVAL_SECONDS
    assert store.claim_probe(long, first)
    assert not store.claim_probe(long, first + PROBE_LEASE_SECONDS - 1.0)
    assert store.claim_probe(long, first + PROBE_LEASE_SECONDS)


def test_a_probe_of_one_pool_leaves_the_other_pools_alone(store: Ledger) -> None:
    at = NOW + PROBE_INTERVAL_SECONDS
    assert store.claim_probe(cooldown(DAY, pool="claude"), at)
    assert store.claim_probe(cooldown(DAY, pool="gemini"), at)
    assert store.claim_probe(replace(cooldown(DAY, pool="gemini"), account_id="b"), at)


def test_an_extended_cooldown_is_not_probed_at_once(store: Ledger) -> None:
    at = NOW + PROBE_INTERVAL_SECONDS
    assert store.claim_probe(cooldown(DAY), at)
    store.finish_probe("a", "claude", at)
    extended = cooldown(DAY, since=at + 1800.0)
    assert not store.claim_probe(extended, at + PROBE_INTERVAL_SECONDS)
    assert store.claim_probe(extended, at + 1800.0 + PROBE_INTERVAL_SECONDS)


# Tokens, notes, cursor


def test_an_access_token_is_kept_with_a_rising_generation(place: Place) -> None:
    store, other = place.open(), place.open()
    assert store.write_token("a", "ya29.one", NOW + HOUR, "f00").generation == 1
    assert other.write_token("a", "ya29.two", None, "f00").generation == 2
    row = store.read_token("a")
    assert row is not None
    assert (row.token, row.expires_at, row.credential, row.generation) == ("ya29.two", None, "f00", 2)
    assert "ya29" not in repr(row)
    assert store.read_token("b") is None


def test_a_note_is_read_as_it_was_written(place: Place) -> None:
    place.open().write_note("project/a", {"project": "née-\ud800", "at": 1.5, "tiers": ["x"]})
    assert place.open().read_note("project/a") == {"project": "née-\ud800", "at": 1.5, "tiers": ["x"]}


def test_every_thread_gets_a_cursor_start_of_its_own(store: Ledger) -> None:
    numbers = in_threads(8, lambda _: [store.next_cursor_start() for _ in range(5)])
    assert sorted(itertools.chain(*numbers)) == list(range(40))


# Slots and processes


def test_owners_get_the_lowest_free_slots_and_keep_them(place: Place) -> None:
    stores = [place.open() for _ in range(3)]
    owners = ["host:1:77:aa", "host:1:77:bb", "host:1:77:cc"]  # in containers every process id is 1
    assert [store.claim_slot(owner) for store, owner in zip(stores, owners, strict=True)] == [0, 1, 2]
    assert [store.claim_slot(owner) for store, owner in zip(stores, owners, strict=True)] == [0, 1, 2]


def test_threads_of_one_owner_share_its_slot(store: Ledger) -> None:
    assert in_threads(6, lambda _: store.claim_slot("host:1:77:aa")) == [0] * 6


def test_a_slot_that_somebody_frees_goes_to_the_next_one_though_its_owner_lives(place: Place) -> None:
    first, second, third = stores = [place.open() for _ in range(3)]
    owners = ["host:1:77:aa", "host:1:77:bb", "host:1:77:cc"]
    assert [store.claim_slot(owner) for store, owner in zip(stores[:2], owners[:2], strict=True)] == [0, 1]
    assert third.slot_owners() == {0: owners[0], 1: owners[1]}
    third.free_slot(0)
    third.free_slot(7)  # which nobody has
    assert third.slot_owners() == second.slot_owners() == {1: owners[1]}
    assert third.claim_slot(owners[2]) == 0
    assert first.claim_slot(owners[0]) == 2


def test_a_change_of_vitals_that_was_reckoned_elsewhere_is_added_to_what_others_have_made_of_them(place: Place) -> None:
    store, other, rules = place.open(), place.open(), VitalsRules()
    store.begin_request("a", NOW, rules, require_token=False)
    drift = VitalsDrift(spent=5.0, health=-30.0)
    other.begin_request("a", NOW, rules, require_token=False)
    store.merge_vitals("a", drift, NOW, rules)
    vitals = other.refresh().vitals["a"]
    assert (vitals.tokens_now(NOW, rules), vitals.health_now(NOW, rules)) == (43.0, 40.0)
    store.merge_vitals("new", drift, NOW, rules)
    assert other.refresh().vitals["new"].tokens_now(NOW, rules) == 45.0


def test_processes_that_announced_themselves_are_listed(place: Place) -> None:
    first = Presence("host:1:77:aa", 1, "sticky", NOW, 0, {"claude": "a"})
    second = Presence("host:9:78:bb", 9, "hybrid", NOW, None, {})
    store, other = place.open(), place.open()
    store.announce(replace(first, current={}))
    store.announce(first)
    other.announce(second)
    assert store.processes() == other.processes() == [first, second]


# Locks by name


def test_a_lock_is_held_by_one_at_a_time(place: Place) -> None:
    store, other = place.open(), place.open()
    with store.exclusive("refresh/a", 0.0) as held:
        assert held
        with other.exclusive("refresh/a", 0.0) as also_held:
            assert not also_held
        with other.exclusive("refresh/b", 0.0) as another:
            assert another
        store.extend_cooldown(cooldown(60.0))  # it does not block the store
    with other.exclusive("refresh/a", 0.0) as held_now:
        assert held_now


def test_a_lock_is_let_go_when_its_holder_fails(store: Ledger) -> None:
    def fail() -> None:
        with store.exclusive("refresh/a", 1.0) as held:
            assert held
            msg = "refresh failed"
            raise ValueError(msg)

    with pytest.raises(ValueError, match="refresh failed"):
        fail()
    with store.exclusive("refresh/a", 0.0) as held_again:
        assert held_again


def test_threads_hold_a_lock_one_after_the_other(store: Ledger) -> None:
    inside: list[int] = []

    def work(_: int) -> int:
        with store.exclusive("refresh/a", 30.0) as held:
            inside.append(1)
            together = len(inside)
            store.read_note("something to do")
            inside.pop()
            return together if held else 0

    assert in_threads(4, work) == [1] * 4


def test_a_store_goes_on_after_it_was_closed(place: Place) -> None:
    store = place.open()
    store.extend_cooldown(cooldown(60.0))
    store.close()
    store.close()
    known = store.refresh().cooldown("a", "claude")
    assert known is not None
    assert store.write_token("a", "t", None, "f").generation == 1
