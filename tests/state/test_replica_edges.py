"""What a replica knows without asking: whether its view is probably current, and what a row was before its change."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support import NOW

from litellm_antigravity.selection.vitals import Vitals
from litellm_antigravity.state import kinds
from litellm_antigravity.state.memory import MemoryBackend
from litellm_antigravity.state.replica import Changed, Replica

pytestmark = pytest.mark.once

BEGUN = Vitals(70.0, NOW, 50.0, NOW, NOW)


def later(row: Vitals | None) -> Vitals:
    return replace(row or BEGUN, last_used=NOW + 1)


def begun() -> Replica:
    """Return a replica that knows one row, and that nobody else has written anything."""
    replica = Replica(MemoryBackend())
    replica.update(kinds.VITALS, "a", lambda _: BEGUN)
    replica.refresh()
    replica.refresh()
    return replica


def somebody_writes(replica: Replica) -> None:
    Replica(replica.backend).update(kinds.VITALS, "b", lambda _: BEGUN)


def test_who_has_not_looked_yet_guesses_nothing() -> None:
    assert Replica(MemoryBackend()).guess() is None


@pytest.mark.parametrize("quiet", [True, False])
def test_whoever_changes_a_row_is_told_what_it_was_before(*, quiet: bool) -> None:
    replica = begun()
    if not quiet:
        somebody_writes(replica)
        replica.refresh()
    assert (replica.guess() is not None) is quiet
    known = replica.known().vitals["a"]
    assert replica.update(kinds.VITALS, "a", later) == Changed(known, later(known))


def test_a_guess_that_was_right_is_followed_by_another_and_needs_no_look() -> None:
    replica = begun()
    assert replica.update_if_current(kinds.VITALS, "a", later)
    assert replica.guess() is replica.known()
    assert replica.known().vitals["a"].last_used == NOW + 1
    replica.refresh()
    assert replica.guess() is not None  # its own change is none of somebody else's


def test_after_a_guess_that_was_wrong_everybody_looks_until_nobody_else_writes() -> None:
    replica = begun()
    somebody_writes(replica)
    assert not replica.update_if_current(kinds.VITALS, "a", later)
    assert replica.guess() is None
    replica.refresh()
    assert "b" in replica.known().vitals
    assert replica.guess() is None
    replica.refresh()
    assert replica.guess() is not None
    assert replica.update_if_current(kinds.VITALS, "a", later)


def test_a_kind_of_which_the_view_knows_nothing_is_not_guessed() -> None:
    replica = begun()
    replica.update(kinds.NOTE, "n", lambda _: {"x": 1})
    assert not replica.update_if_current(kinds.NOTE, "n", lambda _: {"x": 2})
    assert replica.read(kinds.NOTE, "n") == {"x": 1}
