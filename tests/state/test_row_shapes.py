"""Each kind of row, field by field: it is read as it was written, and is none when a field is missing or another type.

Whoever can write to the folder, or to the hosts' Redis, can write any row.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any, Final

import pytest
from support import NOW

from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.selection.binding import Binding
from litellm_antigravity.selection.vitals import Failures, Vitals
from litellm_antigravity.state import kinds
from litellm_antigravity.state.rows import Incident, Presence, Probe, TokenRow

pytestmark = pytest.mark.once

NEEDED: Final[dict[str, tuple[kinds.Kind[Any], Any, tuple[str, ...]]]] = {
    "token": (
        kinds.TOKEN,
        TokenRow("t" * 20_000, NOW, "c" * 100, 3),
        ("token", "expires_at", "credential", "gen"),
    ),
    "presence": (
        kinds.PRESENCE,
        Presence("o" * 500, 7, "s" * 100, NOW, 2, {"claude": "a"}),
        ("owner", "pid", "strategy", "seen_at", "current"),
    ),
    "incident": (
        kinds.INCIDENT,
        Incident("e" * 100, NOW, NOW + 1.0, NOW + 2.0, NOW + 3.0, "o" * 100, done=True),
        ("event", "since", "begun", "at", "owner"),
    ),
    "binding": (
        kinds.BINDING,
        Binding("a" * 2000, "f" * 100, NOW, 3600.0, 5, "d", is_placed=True),
        ("account", "family", "at", "for", "n"),
    ),
    "probe": (kinds.PROBE, Probe(NOW, done=True), ("at",)),
    "slot": (kinds.SLOT, "owner", ("owner",)),
}
"""Of each kind a row in which everything is said, and the fields that it cannot be without."""

WHOLE: Final[list[tuple[kinds.Kind[Any], Any]]] = [
    *((kind, whole) for kind, whole, _ in NEEDED.values()),
    (kinds.TOKEN, TokenRow("t", None, "c", 0)),
    (kinds.PRESENCE, Presence("o", 7, "s", NOW)),
    (kinds.INCIDENT, Incident("e", NOW, None, NOW + 2.0, NOW + 3.0, "o")),
    (kinds.BINDING, Binding("a", "f", NOW, 1.0)),
]

FIELDS: Final = [(kind, name) for kind, (_, _, names) in NEEDED.items() for name in names]
TEXTS: Final = [
    ("token", "token", 20_000),
    ("token", "credential", 100),
    ("presence", "owner", 500),
    ("presence", "strategy", 100),
    ("incident", "event", 100),
    ("incident", "owner", 100),
    ("binding", "account", 2000),
    ("binding", "family", 100),
]


def fields_of(kind: str) -> tuple[kinds.Kind[Any], dict[str, Any]]:
    made, whole, _ = NEEDED[kind]
    return made, json.loads(made.encode(whole))


@pytest.mark.parametrize(("kind", "whole"), WHOLE)
def test_a_row_is_read_as_it_was_written(kind: kinds.Kind[Any], whole: Any) -> None:
    assert kind.decode("", kind.encode(whole)) == whole


@pytest.mark.parametrize(("kind", "name"), FIELDS)
@pytest.mark.parametrize("value", [..., [], {"x": []}, True])
def test_a_row_without_a_field_or_with_another_type_there_is_none(kind: str, name: str, value: Any) -> None:
    made, fields = fields_of(kind)
    assert made.decode("", json.dumps(fields)) is not None
    if value is ...:
        del fields[name]
    else:
        fields[name] = value
    read = made.decode("", json.dumps(fields))
    if (name, value) == ("current", {"x": []}):
        assert read == replace(NEEDED[kind][1], current={})  # it has no account that could be one
    else:
        assert read is None


@pytest.mark.parametrize(("kind", "name", "limit"), TEXTS)
def test_a_text_that_is_longer_than_any_of_ours_makes_no_row(kind: str, name: str, limit: int) -> None:
    made, fields = fields_of(kind)
    assert made.decode("", json.dumps({**fields, name: "x" * limit})) is not None
    assert made.decode("", json.dumps({**fields, name: "x" * (limit + 1)})) is None


def test_a_binding_holds_for_a_second_at_least_and_a_number_below_none_makes_it_none() -> None:
    made, fields = fields_of("binding")
    for seconds, held in ((-5, 1.0), (0.5, 1.0), (1.5, 1.5)):
        read = made.decode("", json.dumps({**fields, "for": seconds}))
        assert read == replace(NEEDED["binding"][1], seconds=held)
    assert made.decode("", json.dumps({**fields, "n": 0})) is not None
    assert made.decode("", json.dumps({**fields, "n": -1})) is None
    assert made.decode("", json.dumps({**fields, "account": ""})) is None


COOLDOWN: Final = Cooldown(
    "a",
    "claude",
    NOW + 60,
    "r" * 100,
    NOW,
    fact=True,
    credential="c" * 100,
    url="https://u.test/" + "u" * 1985,
    message="m",
)
VITALS: Final = Vitals(70.0, NOW, 50.0, NOW + 1, NOW + 2, {"claude": Failures(2, NOW)})


def cooldown_of(fields: dict[str, Any]) -> Cooldown | None:
    return kinds.COOLDOWN.decode("a/claude", json.dumps(fields))


def vitals_of(values: object, failures: object) -> Vitals | None:
    return kinds.VITALS.decode("a", json.dumps({"v": values, "f": failures}))


@pytest.mark.parametrize("name", ["until", "since", "reason"])
@pytest.mark.parametrize("value", [..., [], {"x": 1}, True])
def test_a_cooldown_without_a_field_or_with_another_type_there_is_none(name: str, value: Any) -> None:
    fields = json.loads(kinds.COOLDOWN.encode(COOLDOWN))
    assert cooldown_of(fields) == COOLDOWN
    assert cooldown_of({key: one for key, one in {**fields, name: value}.items() if one is not ...}) is None


def test_a_cooldown_has_no_end_only_where_its_row_says_so() -> None:
    fields = json.loads(kinds.COOLDOWN.encode(COOLDOWN))
    assert cooldown_of({**fields, "until": None}) == replace(COOLDOWN, until=math.inf)


def test_texts_of_a_cooldown_are_cut_or_left_out_at_their_limits() -> None:
    longer = replace(COOLDOWN, reason="r" * 101, url=f"{COOLDOWN.url}u")
    read = kinds.COOLDOWN.decode("a/claude", kinds.COOLDOWN.encode(longer))
    assert read is not None
    assert (len(read.reason), read.url) == (100, None)
    fields = json.loads(kinds.COOLDOWN.encode(COOLDOWN))
    assert cooldown_of({**fields, "reason": "r" * 101}) is None
    assert cooldown_of({**fields, "credential": "c" * 101}) == replace(COOLDOWN, credential=None)


@pytest.mark.parametrize("at", range(5))
@pytest.mark.parametrize("value", ["1", [], True, -1.0])
def test_vitals_with_what_is_no_number_or_below_none_are_none(at: int, value: object) -> None:
    values = [70.0, NOW, 50.0, NOW + 1, NOW + 2]
    assert vitals_of(values, {"claude": [2, NOW]}) == VITALS
    values[at] = value  # type: ignore[call-overload]
    read = vitals_of(values, {})
    if (at, value) == (4, -1.0):
        assert read == replace(VITALS, last_used=-1.0, failures={})  # before 1970: as good as long ago
    else:
        assert read is None


@pytest.mark.parametrize("number", ["1e999", "-1e999", f"1{'0' * 400}", "NaN", "Infinity"])
def test_a_number_that_no_float_holds_makes_no_row(number: str) -> None:
    assert kinds.VITALS.decode("a", f'{{"v": [70.0, {NOW}, {number}, {NOW}, null], "f": {{}}}}') is None
    assert kinds.VITALS.decode("a", f'{{"v": [70.0, {NOW}, 50.0, {NOW}, {number}], "f": {{}}}}') is None


@pytest.mark.parametrize("values", ["12345", {"1": 1, "2": 2, "3": 3, "4": 4, "5": 5}, [1.0] * 4, [1.0] * 6, None, 5])
def test_vitals_that_are_no_five_numbers_are_none(values: object) -> None:
    assert vitals_of(values, {}) is None


@pytest.mark.parametrize(
    "failures",
    [[1, 2], "no", 7, None, {"claude": 3}, {"claude": "xy"}, {"claude": [1]}, {"claude": [1, NOW, 2]}]
    + [{"claude": pair} for pair in ([-1, NOW], [None, NOW], [1, None], ["1", NOW], [1, "1"], [-1, None])],
)
def test_failures_that_make_no_sense_are_none_and_the_vitals_stay(failures: object) -> None:
    assert vitals_of([70.0, NOW, 50.0, NOW + 1, NOW + 2], failures) == replace(VITALS, failures={})


def test_no_failure_in_a_row_is_a_count_too() -> None:
    read = vitals_of([70.0, NOW, 50.0, NOW + 1, None], {"claude": [0, NOW], "gemini": [5000, NOW]})
    assert read == replace(VITALS, last_used=None, failures={"claude": Failures(0, NOW), "gemini": Failures(1000, NOW)})


def test_a_token_that_is_empty_makes_no_row() -> None:
    made, fields = fields_of("token")
    assert made.decode("", json.dumps({**fields, "token": ""})) is None
