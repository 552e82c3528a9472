"""Rows of the state that somebody else has written: none is unpickled, believed or obeyed."""

from __future__ import annotations

import json
import os
import pickle
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from state_folders import cooldown, exercise, folder, insert, on, store, tamper
from support import NOW

from litellm_antigravity.cooldowns import MAX_COOLDOWN_SECONDS
from litellm_antigravity.state.ledger import Ledger

__all__ = ["folder", "store"]  # fixtures

pytestmark = pytest.mark.once


# Hostile rows


class Bomb:
    """Unpickling it creates a file."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self._marker),)


READ_KEYS = ["token/a", "note/a", "vitals/a", "cooldown/a/claude", "capacity/m", "slot/0", "process/x", "cursor"]


@pytest.mark.parametrize("key", READ_KEYS)
def test_a_pickled_row_is_never_unpickled(folder: Path, store: Ledger, tmp_path: Path, key: str) -> None:
    store.refresh()
    marker = tmp_path / "marker"
    insert(folder, key, sqlite3.Binary(pickle.dumps(Bomb(marker))), mode=4)
    exercise(store)
    assert not marker.exists()
    assert store.status().dropped_rows >= 1
    pickle.loads(pickle.dumps(Bomb(marker)))  # noqa: S301 - shows that the charge is live
    assert marker.exists()


def test_a_pickled_key_is_never_unpickled(folder: Path, store: Ledger, tmp_path: Path) -> None:
    store.refresh()
    marker = tmp_path / "marker"
    insert(folder, sqlite3.Binary(pickle.dumps(Bomb(marker))), "{}", raw=0)
    for key in READ_KEYS:
        insert(folder, key, "{}", raw=0, tag=1_000_001)
    exercise(store)
    assert not marker.exists()
    assert store.status().dropped_rows >= 1


@pytest.mark.parametrize("key", READ_KEYS)
@pytest.mark.parametrize("mode", [1, 2, 3, 4])
def test_a_row_that_names_a_file_neither_reads_nor_deletes_it(
    folder: Path, store: Ledger, tmp_path: Path, key: str, mode: int
) -> None:
    store.refresh()
    outside = tmp_path / "secret.txt"
    outside.write_text(json.dumps({"token": "s3cret", "expires_at": None, "credential": "f", "gen": 1}))
    insert(folder, key, None, mode=mode, filename="../secret.txt")
    row = store.read_token("a")
    assert row is None
    exercise(store)
    assert "s3cret" in outside.read_text()
    assert store.status().dropped_rows >= 1


NESTED = "[" * 30_000 + "]" * 30_000


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("vitals/a", NESTED),
        ("vitals/a", '{"v":' + NESTED + "}"),
        ("vitals/a", '{"v":[NaN,0,50,0,null],"f":{}}'),
        ("vitals/a", '{"v":[1e999,0,50,0,null],"f":{}}'),
        ("vitals/a", '{"v":[70,0,"50",0,null],"f":{}}'),
        ("vitals/a", '{"v":[70,0,50,0,true],"f":{}}'),
        ("vitals/a", '{"v":[-70,0,50,0,null],"f":{}}'),
        ("vitals/a", '{"v":[' + "9" * 6000 + ',0,50,0,null],"f":{}}'),
        ("vitals/a", "[]"),
        ("vitals/a", ""),
        ("vitals/a", 7),
        ("vitals/a", 1.5),
        ("vitals/a", None),
        ("vitals/a", b"{}"),
        ("vitals/a", "x" * (50 * 2**20)),
        ("cooldown/a/claude", '{"until":Infinity,"reason":"quota","since":0}'),
        ("cooldown/a/claude", '{"until":"tomorrow","reason":"quota","since":0}'),
        ("cooldown/a/claude", '{"until":null,"reason":7,"since":0}'),
        ("cooldown/a/claude", '{"reason":"quota","since":0}'),
        ("capacity/m", '{"until":true,"since":0}'),
        ("something/else", "{}"),
        (7, "{}"),
        (b"vitals/a", "{}"),
    ],
)
def test_a_malformed_row_is_dropped_and_counted(folder: Path, store: Ledger, key: object, value: object) -> None:
    store.extend_cooldown(cooldown("b"))
    insert(folder, key, value)
    view = store.refresh()
    assert store.status().dropped_rows >= 1
    assert (view.vitals, dict(view.capacity), list(view.cooldowns)) == ({}, {}, ["b"])
    exercise(store)
    fresh = on(folder)
    assert fresh.refresh().vitals["a"].health == 71.0
    fresh.close()


@pytest.mark.parametrize(
    "statement", ["UPDATE Cache SET value = CAST(x'7bff7d' AS TEXT)", "UPDATE Cache SET tag = 'x'"]
)
def test_a_row_that_sqlite_itself_would_not_write_does_not_stop_the_sharing(
    folder: Path, store: Ledger, statement: str
) -> None:
    store.extend_cooldown(cooldown("a"))
    tamper(folder, statement)
    other = on(folder)
    assert other.refresh().cooldown("a", "claude") is None
    store.extend_cooldown(cooldown("b"))
    assert other.refresh().cooldown("b", "claude") is not None
    other.close()


@pytest.mark.parametrize("tag", [1e15, -1, "high", 2**63 - 1])
def test_a_row_with_a_forged_position_does_not_hide_later_changes(folder: Path, store: Ledger, tag: object) -> None:
    store.extend_cooldown(cooldown("a"))
    insert(folder, "vitals/x", "{}", tag=tag)
    with closing(on(folder)) as other:
        other.refresh()
        store.extend_cooldown(cooldown("b"))
        assert other.refresh().cooldown("b", "claude") is not None


def test_a_cooldown_in_the_year_9999_is_clamped(folder: Path, store: Ledger) -> None:
    store.refresh()
    insert(folder, "cooldown/a/claude", json.dumps({"until": 253_402_300_799, "reason": "quota", "since": NOW}))
    insert(
        folder,
        "cooldown/b/claude",
        json.dumps({"until": 253_402_300_799, "reason": "quota", "since": 253_402_300_000}),
        tag=1_000_001,
    )
    view = store.refresh()
    clamped, void = view.cooldown("a", "claude"), view.cooldown("b", "claude")
    assert clamped is not None
    assert void is not None
    assert clamped.remaining(NOW) == MAX_COOLDOWN_SECONDS
    assert void.remaining(NOW) == 0.0
    assert store.extend_cooldown(cooldown("b")).until == NOW + 600.0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sqlite_query_only", 1),
        ("sqlite_journal_mode", "delete"),
        ("size_limit", 1),
        ("cull_limit", 1000),
        ("eviction_policy", "least-recently-stored"),
        ("statistics", 1),
        ("disk_min_file_size", 0),
        ("_directory", "/"),
        ("close", "x"),
        ("transact", 1),
    ],
)
def test_settings_in_the_file_change_nothing_and_nothing_is_ever_evicted(
    folder: Path, store: Ledger, name: str, value: object
) -> None:
    store.refresh()
    store.close()
    tamper(folder, "INSERT OR REPLACE INTO Settings VALUES (?, ?)", name, value)
    for number in range(30):
        store.write_note(f"n{number}", {"text": "x" * 2000})
    assert all(store.read_note(f"n{number}") for number in range(30))
    assert not list(folder.rglob("*.val"))
    assert not list(folder.glob("corrupt-*"))


@pytest.mark.parametrize("key", [7, None, b"\xff"])
def test_a_settings_table_that_diskcache_did_not_write_is_set_aside(folder: Path, store: Ledger, key: object) -> None:
    store.refresh()
    store.close()
    tamper(folder, "DROP TABLE Settings")
    tamper(folder, "CREATE TABLE Settings (key, value)")
    tamper(folder, "INSERT INTO Settings VALUES (?, 1)", key)
    exercise(store)
    assert len(list(folder.glob("corrupt-*"))) == 1
