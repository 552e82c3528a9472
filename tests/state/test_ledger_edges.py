"""Edges of the ledger that mutants lived on: turns, conversations that are placed, slots of the dead, half seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from support import NOW

from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.selection.binding import Binding
from litellm_antigravity.selection.turns import STEP_SECONDS
from litellm_antigravity.state.backend import Row
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.memory import MemoryBackend, MemoryStore
from litellm_antigravity.state.replica import Replica
from litellm_antigravity.state.rows import Presence

pytestmark = pytest.mark.once

BOUND = Binding("a", "claude", NOW, 60.0)


class Host(MemoryBackend):
    """A backend whose processes may be dead, and whose rows may be read a moment too early."""

    def __init__(self) -> None:
        super().__init__()
        self.dead: set[str] = set()
        self.reads_early = False

    def is_alive(self, owner: str) -> bool:
        return owner not in self.dead

    def rows(self, prefix: str, *, after: str = "", limit: int | None = None) -> list[Row]:
        return [] if self.reads_early else super().rows(prefix, after=after, limit=limit)


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def ledger(host: Host) -> Ledger:
    return Ledger(Replica(host))


# Turns


def test_those_who_wait_for_one_family_wake_up_one_after_the_other_and_the_last_one_in_time() -> None:
    store, latest = MemoryStore(), NOW + 2.5 * STEP_SECONDS
    turns = [store.claim_turn("claude", NOW, latest) - NOW for _ in range(4)]
    assert turns == pytest.approx([0.0, STEP_SECONDS, 2 * STEP_SECONDS, 2.5 * STEP_SECONDS], abs=1e-6)
    assert store.claim_turn("gemini", NOW, latest) == NOW  # others' turns are none of theirs
    assert store.claim_turn("claude", NOW + 5, NOW + 60) == NOW + 5


# Conversations


def numbers(ledger: Ledger, *keys: str) -> list[int]:
    bindings = ledger.refresh().bindings
    return [found.number for key in keys if (found := bindings.get(key)) is not None]


def test_conversations_that_are_placed_are_numbered(ledger: Ledger) -> None:
    for number, key in enumerate(("x", "y", "z")):
        assert ledger.place(key, BOUND, NOW, known=None, placed=number)
    assert numbers(ledger, "x", "y", "z") == [1, 2, 3]


def test_who_has_not_heard_of_all_places_nothing(ledger: Ledger) -> None:
    ledger.place("x", BOUND, NOW, known=None, placed=0)
    assert not ledger.place("y", BOUND, NOW, known=None, placed=0)
    assert numbers(ledger, "x", "y") == [1]
    assert ledger.place("y", BOUND, NOW, known=None, placed=None)  # whatever the others do
    assert numbers(ledger, "x", "y") == [1, 2]


@pytest.mark.parametrize("left", [30.0, 0.5])
def test_a_conversation_that_somebody_has_placed_meanwhile_stays_there(ledger: Ledger, left: float) -> None:
    ledger.place("x", BOUND, NOW, known=None, placed=0)
    other, now = replace(BOUND, account_id="b"), BOUND.until - left
    assert not ledger.place("x", other, now, known=None, placed=1)
    assert not ledger.place("x", other, now, known=None, placed=None)
    known = ledger.refresh().bindings.get("x")
    assert known is not None
    assert known.account_id == "a"
    assert ledger.place("x", other, now, known=known, placed=1)  # who knows of it may move it
    moved = ledger.refresh().bindings.get("x")
    assert moved is not None
    assert (moved.account_id, moved.number) == ("b", 2)


def test_a_conversation_that_is_over_may_be_placed_by_anybody(ledger: Ledger) -> None:
    ledger.place("x", BOUND, NOW, known=None, placed=0)
    assert ledger.place("x", replace(BOUND, account_id="b", used_at=NOW + 61), NOW + 61, known=None, placed=1)


# Slots and processes


def test_the_slot_of_a_process_that_has_died_is_the_next_ones(host: Host, ledger: Ledger) -> None:
    assert [ledger.claim_slot(owner) for owner in ("one", "two", "three")] == [0, 1, 2]
    host.dead.add("two")
    assert ledger.claim_slot("four") == 1
    assert ledger.slot_owners() == {0: "one", 1: "four", 2: "three"}


def test_a_slot_that_somebody_claims_at_the_same_moment_is_theirs(host: Host, ledger: Ledger) -> None:
    ledger.claim_slot("one")
    host.reads_early = True  # what "two" reads is what there was before "one"
    assert ledger.claim_slot("two") == 1
    host.reads_early = False
    assert ledger.slot_owners() == {0: "one", 1: "two"}


def test_a_dead_process_whose_slot_was_not_known_is_found_out_about(host: Host, ledger: Ledger) -> None:
    ledger.claim_slot("one")
    host.dead.add("one")
    host.reads_early = True
    assert ledger.claim_slot("two") == 0


def announced(ledger: Ledger, owners: Sequence[str]) -> None:
    for pid, owner in enumerate(owners, 100):
        ledger.announce(Presence(owner, pid, "sticky", NOW))


def test_the_dead_are_no_processes_and_are_forgotten_unless_somebody_only_looks(host: Host, ledger: Ledger) -> None:
    announced(ledger, ("one", "two"))
    host.dead.add("one")
    assert [one.owner for one in ledger.processes(forget=False)] == ["two"]
    assert len(host.rows("process/")) == 2
    assert [one.owner for one in ledger.processes()] == ["two"]
    assert len(host.rows("process/")) == 1


def test_a_process_whose_row_makes_no_sense_is_none(host: Host, ledger: Ledger) -> None:
    announced(ledger, ("one",))
    host.update(["process/x"], lambda _: {"process/x": "no JSON"})
    assert [one.owner for one in ledger.processes()] == ["one"]
    assert [row.key for row in host.rows("process/")] == ["process/one"]


# Half seconds, and what is written


def test_a_cooldown_with_half_a_second_left_is_ended_too(ledger: Ledger) -> None:
    ledger.extend_cooldown(Cooldown("a", "claude", NOW + 60, "quota", NOW, fact=True))
    assert [one.pool for one in ledger.end_cooldowns("a", NOW + 59.5)] == ["claude"]


def test_a_token_is_kept_with_its_end_and_counted(ledger: Ledger) -> None:
    for generation in (1, 2):
        written = ledger.write_token("a", "t", NOW + 60, "credential")
        assert (written.expires_at, written.generation) == (NOW + 60, generation)
        assert ledger.read_token("a") == written
