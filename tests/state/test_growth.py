"""What comes from outside does not grow what is kept: made-up model names, processes and accounts that are gone."""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import litellm
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from processes import together
from pydantic import SecretStr
from serving import MESSAGES, settings_of
from support import NOW, FakeClock

import litellm_antigravity
from litellm_antigravity.accounts import Account, StaticToken, static_accounts
from litellm_antigravity.cooldowns import WHOLE_ACCOUNT, Cooldown, model_pool
from litellm_antigravity.models import MAX_NAME_CHARS, canonical_model, family_of
from litellm_antigravity.pool import AccountPool
from litellm_antigravity.refusals import Refusal, RefusalKind
from litellm_antigravity.selection.vitals import VitalsRules
from litellm_antigravity.settings import Settings
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.memory import MemoryStore
from litellm_antigravity.state.rows import Presence
from litellm_antigravity.state.view import KEPT_CAPACITY, KEPT_NAMES

HOUR, DAY = 3600.0, 86_400.0
MANY = 400
SPARE = 40
"""Rows that may wait for their turn to be swept, and the few that belong to accounts and processes."""


def rows(folder: Path) -> Counter[str]:
    """Return how many rows of each kind the shared state has."""
    with contextlib.closing(sqlite3.connect(folder / "cache.db")) as connection:
        return Counter(key.partition("/")[0] for (key,) in connection.execute("SELECT key FROM Cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def store(folder: Path) -> Iterator[DiskStore]:
    opened = DiskStore(folder)
    yield opened
    opened.close()


def not_available(account_id: str, name: str, now: float) -> Cooldown:
    return Cooldown(account_id, model_pool(name), now + 600.0, RefusalKind.NOT_AVAILABLE.value, now)


def invent(store: Ledger, count: int, now: float = NOW, account_id: str = "a", word: str = "made-up") -> None:
    for number in range(count):
        store.extend_cooldown(not_available(account_id, f"{word}-{number}", now))


# Names that nobody has


def test_made_up_names_leave_a_bounded_number_of_rows(clock: FakeClock, tmp_path: Path) -> None:
    """There was a row for each of them and each account."""
    accounts = [Account.create(f"user{one}@example.com", StaticToken(SecretStr(f"t{one}"))) for one in (1, 2)]
    settings = Settings(state_dir=tmp_path / "state", account_selection_strategy="sticky")
    pool = AccountPool(settings, accounts=static_accounts(*accounts), clock=clock)
    refusal = Refusal(RefusalKind.NOT_AVAILABLE, 404, "Requested entity was not found.")
    for number in range(MANY):
        tried: set[str] = set()
        for _ in accounts:
            lease = pool.acquire(f"made-up-{number}", tried=tried)
            pool.report(lease, refusal)
            tried.add(lease.account.id)
    assert sum(rows(tmp_path / "state").values()) <= 2 * KEPT_NAMES + SPARE
    for pools in pool.store.known().cooldowns.values():
        assert len(pools) == KEPT_NAMES
    pool.store.close()


def test_through_litellm_they_do_not_either(antigravity_simulator: Simulator, tmp_path: Path) -> None:
    """There were 400."""
    litellm_antigravity.register(settings_of(antigravity_simulator, tmp_path))
    for number in range(100):
        with pytest.raises(litellm.NotFoundError):
            litellm.completion(model=f"antigravity/made-up-{number}", messages=MESSAGES)
    assert rows(tmp_path / "state")["cooldown"] <= 4 * KEPT_NAMES + SPARE


def test_the_newest_names_are_remembered_and_the_oldest_are_asked_for_again(store: DiskStore, folder: Path) -> None:
    invent(store, MANY)
    newest = [model_pool(f"made-up-{number}") for number in range(MANY - KEPT_NAMES, MANY)]
    assert list(store.refresh().cooldowns["a"]) == newest
    later = DiskStore(folder).refresh().cooldowns["a"]
    assert list(later) == newest


def test_a_process_that_only_reads_forgets_what_another_one_deletes(store: DiskStore, folder: Path) -> None:
    """Its view grew by every name, and each cost a copy of all the others."""
    reader = DiskStore(folder)
    for word in "abcdefgh":
        invent(store, 50, word=word)
        assert len(reader.refresh().cooldowns["a"]) == KEPT_NAMES
    reader.close()


@pytest.mark.parametrize("kind", ["disk", "memory"])
def test_models_without_capacity_do_not_grow_it_either(kind: str, folder: Path) -> None:
    """There was a row for each of them."""
    store: Ledger = DiskStore(folder) if kind == "disk" else MemoryStore()
    for number in range(MANY):
        store.hold_capacity(f"made-up-{number}", NOW, 10.0)
    known = store.refresh().capacity
    assert list(known) == [f"made-up-{number}" for number in range(MANY - KEPT_CAPACITY, MANY)]
    kept = rows(folder)["capacity"] if kind == "disk" else len(store.replica.backend.rows(""))
    assert kept <= KEPT_CAPACITY + SPARE
    store.close()


def test_memory_that_stands_in_for_the_disk_is_bounded_too() -> None:
    """It held each of them twice."""
    store = MemoryStore()
    invent(store, MANY)
    assert len(store.replica.backend.rows("")) <= KEPT_NAMES + SPARE
    assert len(store.refresh().cooldowns["a"]) == KEPT_NAMES


def _invents(folder: str, word: str) -> int:
    store = DiskStore(Path(folder))
    for number in range(100):
        store.extend_cooldown(not_available("a", f"{word}-{number}", NOW))
        store.refresh()
    known = len(store.known().cooldowns["a"])
    store.close()
    return known


def test_processes_that_invent_names_together_leave_no_more_than_one_does(folder: Path) -> None:
    """400 rows stayed."""
    assert together(_invents, [(str(folder), word) for word in "abcd"]) == [KEPT_NAMES] * 4
    assert rows(folder)["cooldown"] <= KEPT_NAMES + SPARE


# What is over goes, what is not stays


def test_names_of_long_ago_go_with_the_writes_of_today(store: DiskStore, folder: Path) -> None:
    """They stayed for ever."""
    invent(store, KEPT_NAMES)
    later = NOW + 40 * DAY
    for number in range(5):
        store.extend_cooldown(Cooldown("b", "claude", later + 60.0 + number, "quota", later, fact=True))
    assert rows(folder)["cooldown"] == 1


def test_what_upstream_said_and_what_somebody_did_outlives_any_number_of_names(store: DiskStore, folder: Path) -> None:
    week = NOW + 7 * DAY
    kept = [
        Cooldown("a", "claude", week, "quota", NOW, fact=True),
        Cooldown("a", WHOLE_ACCOUNT, math.inf, "banned", NOW, fact=True),
        Cooldown("a", model_pool("known"), week, "quota", NOW, fact=True),
        Cooldown("a", model_pool("long"), NOW + 2 * DAY, "quota", NOW),  # inferred, but long
        Cooldown("b", "gemini", week, "quota", NOW, fact=True),
    ]
    for one in kept:
        store.extend_cooldown(one)
    store.extend_cooldown(Cooldown("b", WHOLE_ACCOUNT, math.inf, "verification", NOW, fact=True))
    idle = DiskStore(folder)
    idle.refresh()
    store.end_cooldown("b", WHOLE_ACCOUNT, NOW)
    for hour in range(48):
        invent(store, 20, NOW + hour * HOUR, word=f"hour{hour}")
    late = NOW + 100 * DAY
    invent(store, 20, late, word="late")
    for view in (DiskStore(folder).refresh(), idle.refresh()):
        assert view.cooldown("a", WHOLE_ACCOUNT) == kept[1]
        ended = view.cooldown("b", WHOLE_ACCOUNT)  # who saw it begin must hear of its end, however late
        assert ended is not None
        assert ended.remaining(late) == 0
    early = DiskStore(folder)  # a month after their end, as accounts that are gone
    assert early.refresh().cooldown("a", "claude") is None
    idle.close()


def test_a_clock_that_jumps_by_weeks_loses_nothing_that_is_not_a_mere_guess(store: DiskStore, folder: Path) -> None:
    quota = Cooldown("a", "claude", NOW + 7 * DAY, "quota", NOW, fact=True)
    store.extend_cooldown(quota)
    invent(store, 50, NOW + 30 * DAY)
    invent(store, 50, NOW - 400 * DAY, account_id="b")
    assert DiskStore(folder).refresh().cooldown("a", "claude") == quota


def test_numbers_of_changes_rise_though_the_last_change_is_over(store: DiskStore, folder: Path) -> None:
    """A deleted row's number must not be given out again: whoever has seen it would miss the next change."""
    invent(store, 3)
    reader = DiskStore(folder)
    reader.refresh()
    for number in range(8):  # sweeps without a change of its own
        store.announce(Presence("host/1/1", 1, "sticky", NOW + 40 * DAY + number))
    assert rows(folder)["cooldown"] == 1
    store.extend_cooldown(Cooldown("b", "claude", NOW + 41 * DAY, "quota", NOW + 40 * DAY, fact=True))
    assert reader.refresh().cooldown("b", "claude") is not None
    reader.close()


# Processes and accounts that are gone


def test_rows_of_dead_processes_go_though_nobody_lists_them(store: DiskStore, folder: Path) -> None:
    """Only a process's first request, and ``status``, made them go."""
    for number in range(60):  # the store holds the life of the last one only
        store.announce(Presence(f"host/{number}/1", number, "sticky", NOW))
    for number in range(8):
        store.announce(Presence("host/99/1", 99, "sticky", NOW + 2 * HOUR + number))
    assert rows(folder)["process"] == 1


def test_what_belongs_to_accounts_that_are_gone_goes_after_a_month(store: DiskStore, folder: Path) -> None:
    """It stayed for ever."""
    rules = VitalsRules()
    for number in range(20):
        account = f"account-{number}"
        store.begin_request(account, NOW, rules, require_token=False)
        store.write_token(account, "token", NOW + HOUR, "credential")
        store.write_note(f"project/{account}", {"project": "p", "credential": "c", "at": NOW})
        store.finish_probe(account, "claude", NOW)
        store.extend_cooldown(Cooldown(account, "claude", NOW + HOUR, "quota", NOW, fact=True))
    for day in (20, 20, 20, 20, 20, 20, 20, 20):
        invent(store, 1, NOW + day * DAY, word="day")
    assert [rows(folder)[kind] for kind in ("vitals", "token", "note", "probe")] == [20] * 4
    for number in range(10):
        invent(store, 1, NOW + 40 * DAY + number * HOUR, account_id="b")
    assert set(rows(folder)) <= {"cooldown"}
    assert rows(folder)["cooldown"] <= 2


# Names that no model can have


ODD = {
    "too long": "claude-" + "x" * MAX_NAME_CHARS,
    "very long": "x" * 100_000,
    "a new line": "claude\nsonnet",
    "an escape": "claude-\x1b[31msonnet",
    "half a surrogate pair": "claude-\ud800",
    "empty": " ",
}


def ask(model: str, **params: Any) -> Any:
    reply = litellm.completion(model=model, messages=MESSAGES, **params)
    return list(reply) if params.get("stream") else reply


def aask(model: str, **params: Any) -> Any:
    async def run() -> Any:
        reply = await litellm.acompletion(model=model, messages=MESSAGES, **params)
        return [chunk async for chunk in reply] if params.get("stream") else reply

    return asyncio.run(run())


def routed(model: str, **params: Any) -> Any:
    return _router().completion("antigravity/" + model.removeprefix("antigravity/"), MESSAGES, **params)


def arouted(model: str, **params: Any) -> Any:
    return asyncio.run(_router().acompletion(model, MESSAGES, **params))


def _router() -> Any:
    return litellm.Router(
        model_list=[{"model_name": "antigravity/*", "litellm_params": {"model": "antigravity/*"}}], num_retries=0
    )


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("door", "name"),
    # Of a name with a new line in it the Router's wildcards pass on what is before.
    [
        (door, name)
        for door in (ask, aask, routed, arouted)
        for name in ODD
        # Of a name with half a surrogate pair the Router of 1.109 and newer says itself that it can be nobody's.
        if door in (ask, aask) or not ("line" in name or ("surrogate" in name and hasattr(litellm.Router, "registry")))
    ],
)
def test_a_name_that_no_model_can_have_is_a_bad_request(
    name: str, door: Callable[..., Any], stream: bool, antigravity_simulator: Simulator, tmp_path: Path
) -> None:
    """It was sent upstream, and became a row of 100 kB for each account."""
    litellm_antigravity.register(settings_of(antigravity_simulator, tmp_path))
    with pytest.raises(litellm.BadRequestError, match="The model's name ") as caught:
        door(f"antigravity/{ODD[name]}", stream=stream)
    assert caught.value.status_code == 400
    words = re.split("LiteLLM: model group|Received Model Group", str(caught.value))  # then the Router's own
    own = words[0].rstrip("\n.")
    assert len(own) < 400
    assert own.isprintable()
    assert antigravity_simulator.log == []
    assert not (tmp_path / "state").exists()


def test_a_name_of_the_greatest_length_is_asked_for(antigravity_simulator: Simulator, tmp_path: Path) -> None:
    litellm_antigravity.register(settings_of(antigravity_simulator, tmp_path))
    with pytest.raises(litellm.NotFoundError):
        ask("antigravity/" + "x" * MAX_NAME_CHARS)


@given(st.text(max_size=600), st.text(max_size=600))
@example("x" * 300, "x" * 301)
@example("a\nb", "a\x1bb")
@example("claude" + "x" * 300, "\ud800")
def test_whatever_a_model_is_called_its_key_is_short_printable_and_its_own(one: str, other: str) -> None:
    """The name as it was given became a key, of any length."""
    key = canonical_model(one)
    assert len(key) <= MAX_NAME_CHARS
    assert key.isprintable()
    assert canonical_model(key) == key
    plain = [name.strip().removeprefix("antigravity/").lower() for name in (one, other)]
    assert (key == canonical_model(other)) == (plain[0] == plain[1])
    assert family_of(one) in ("claude", "gemini")
