"""Each kind of row, field by field: it is read as it was written, and is none when a field is missing or another type.

Whoever can write to the folder, or to the hosts' Redis, can write any row.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final

import pytest
from support import NOW

from litellm_antigravity.selection.binding import Binding
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


def test_a_token_that_is_empty_makes_no_row() -> None:
    made, fields = fields_of("token")
    assert made.decode("", json.dumps({**fields, "token": ""})) is None
