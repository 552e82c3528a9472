"""Which conversations are forgotten when there are too many: those of the caller who has the most."""

from __future__ import annotations

import random

import pytest

from litellm_antigravity.selection.binding import Binding
from litellm_antigravity.selection.conversation import caller_in
from litellm_antigravity.state.known_bindings import KnownBindings

pytestmark = pytest.mark.once

LIMIT = 100


def bound(number: int = 0) -> Binding:
    return Binding("an account", "claude", float(number), 3600.0)


def known() -> KnownBindings:
    bindings = KnownBindings()
    bindings.limit = LIMIT
    return bindings


def test_a_caller_who_makes_names_up_without_end_pushes_out_only_its_own() -> None:
    """The code of before forgot the least recently used, whosever they were: of the others' none was left."""
    bindings = known()
    for caller in ("alice", "bob"):
        for number in range(20):
            bindings.put(f"{caller}.{number}", bound())
    for number in range(30 * LIMIT):
        bindings.put(f"mallory.{number}", bound())
    kept = [key for key, _ in bindings.items()]
    assert len(kept) == LIMIT
    assert sum(key.startswith(("alice.", "bob.")) for key in kept) == 40
    assert {f"mallory.{number}" for number in range(30 * LIMIT - 60, 30 * LIMIT)} <= {*kept}  # its newest
    assert sum(bindings.load("claude", 0.0).values()) == LIMIT


def test_of_one_caller_the_least_recently_used_go() -> None:
    bindings = known()
    for number in range(LIMIT):
        bindings.put(f"alice.{number}", bound())
    bindings.put("alice.0", bound(1))
    bindings.put("alice.new", bound())
    assert "alice.0" in bindings
    assert "alice.1" not in bindings


def test_of_callers_with_as_many_the_least_recently_used_one_loses() -> None:
    bindings = known()
    for number in range(LIMIT):
        bindings.put(f"{number}.one", bound())
    bindings.put("0.one", bound(1))
    bindings.put("new.one", bound())
    assert "0.one" in bindings
    assert "1.one" not in bindings


def test_there_are_never_more_than_the_limit_and_nobody_with_fewer_than_another_loses_any() -> None:
    bindings, chance = known(), random.Random(7)
    for number in range(5000):
        before = {key for key, _ in bindings.items()}
        key = f"{int(chance.expovariate(0.3))}.{chance.randrange(200)}"
        bindings.put(key, bound(number))
        after = {key for key, _ in bindings.items()}
        assert len(after) <= LIMIT
        for lost in before - after:
            counts: dict[str, int] = {}
            for one in before | {key}:
                counts[caller_in(one)] = counts.get(caller_in(one), 0) + 1
            assert counts[caller_in(lost)] == max(counts.values())
