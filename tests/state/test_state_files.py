"""The files of the state: those of earlier releases, those of each backend, and both in one folder."""

from __future__ import annotations

import math
import sqlite3
import sys
from collections.abc import Callable
from concurrent.futures import thread
from contextlib import closing
from pathlib import Path
from typing import Any

import diskcache
import pytest
from processes import together
from pydantic import SecretStr
from serving import MESSAGES, MODEL, fields_of
from support import NOW, FakeClock

from litellm_antigravity import AccountPool, Settings
from litellm_antigravity.accounts import Account, StaticToken, static_accounts
from litellm_antigravity.cooldowns import ENDED, WHOLE_ACCOUNT, Cooldown, model_pool
from litellm_antigravity.selection.retry_budget import RetryBudget
from litellm_antigravity.selection.vitals import Failures, Vitals, VitalsRules
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.sqlite import SqliteStore

pytestmark = pytest.mark.once

RULES = VitalsRules()
BACKENDS: dict[str, Callable[[Path], Ledger]] = {"diskcache": DiskStore, "sqlite": SqliteStore}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


# Earlier releases


@pytest.fixture
def old_folder(folder: Path) -> Path:
    """Return a folder whose file has every kind of row, as release 0.1.0 wrote it."""
    folder.mkdir(mode=0o700)
    with closing(sqlite3.connect(folder / "cache.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(Path(__file__).with_name("data").joinpath("state-0.1.0.sql").read_text())
    return folder


def test_a_folder_of_an_earlier_release_is_read_as_it_is(old_folder: Path) -> None:
    a, b, odd = "a@example.com", "b@example.com", "o/k%@example.com"
    with closing(DiskStore(old_folder)) as store:
        view = store.refresh()
        assert view.vitals == {
            a: Vitals(60.0, NOW + 5.0, 49.0, NOW, NOW, {"claude": Failures(1, NOW + 5.0)}),
            b: Vitals(71.0, NOW, 50.0, 0.0, None, {}),
        }
        assert view.cooldowns == {
            a: {
                "claude": Cooldown(a, "claude", NOW + 600.0, "quota", NOW, fact=True, message="Resource exhausted"),
                model_pool("made-up"): Cooldown(a, model_pool("made-up"), NOW + 600.0, "not-available", NOW),
            },
            b: {"gemini": Cooldown(b, "gemini", NOW + 10.0, ENDED, NOW + 10.0)},
            odd: {
                WHOLE_ACCOUNT: Cooldown(
                    odd, WHOLE_ACCOUNT, math.inf, "banned", NOW, fact=True, url="https://example.com/appeal"
                )
            },
        }
        assert view.cooldown(odd, WHOLE_ACCOUNT).url == "https://example.com/appeal"  # type: ignore[union-attr]
        assert view.capacity["claude-opus-4-6"].remaining(NOW) == 60.0
        assert view.retry_budget == RetryBudget(450.0, NOW)
        token = store.read_token(a)
        assert token is not None
        assert (token.token, token.expires_at, token.generation) == ("another access token", NOW + 3600.0, 2)
        assert store.read_note(f"project/{a}") == {"project": "p", "credential": "f00", "at": NOW}
        assert not store.claim_probes([Cooldown(a, "gemini", NOW + 86_400.0, "quota", NOW)], NOW + 7200.0)
        assert store.claim_turn("claude", NOW + 1.0, NOW + 9.0) == NOW + 1.05
        assert store.next_cursor_start() == 3
        assert store.claim_slot("host:1:5:bb") == 0  # its owner is gone
        assert store.status().dropped_rows == 0


def test_a_folder_of_an_earlier_release_is_gone_on_with(old_folder: Path) -> None:
    with closing(DiskStore(old_folder)) as store, closing(DiskStore(old_folder)) as other:
        other.refresh()
        for turn in range(3):  # with the view, and without it
            assert store.begin_request("a@example.com", NOW + turn, RULES, require_token=True)
        store.extend_cooldown(Cooldown("c@example.com", "claude", NOW + 60.0, "rate", NOW))
        view = other.refresh()
        assert view.vitals["a@example.com"].last_used == NOW + 2.0
        assert view.cooldown("c@example.com", "claude") is not None
    assert not list(old_folder.glob("corrupt-*"))


def test_diskcache_itself_reads_what_is_written_into_its_file(folder: Path) -> None:
    with closing(DiskStore(folder)) as store:
        for turn in range(3):
            store.begin_request("a", NOW + turn, RULES, require_token=True)
        store.write_note("n", {"text": "x"})
        store.processes()
    with diskcache.Cache(str(folder)) as cache:  # it takes the settings of the file
        assert cache.get("note/n") == '{"text":"x"}'
        assert set(cache) == {"vitals/a", "note/n"}
        assert len(cache) == 2  # its triggers have counted


# One folder, two backends


def test_each_backend_has_files_of_its_own_and_both_share_the_locks(folder: Path) -> None:
    with closing(DiskStore(folder)) as one, closing(SqliteStore(folder)) as other:
        for store, seconds in ((one, 60.0), (other, 600.0)):
            store.extend_cooldown(Cooldown("a", "claude", NOW + seconds, "quota", NOW))
            store.begin_request("a", NOW, RULES, require_token=True)
        for store, seconds in ((one, 60.0), (other, 600.0)):
            known = store.refresh().cooldown("a", "claude")
            assert known is not None
            assert known.remaining(NOW) == seconds
            assert store.refresh().vitals["a"].tokens == 49.0
        with one.exclusive("refresh/a", 0.0) as held, other.exclusive("refresh/a", 0.0) as also_held:
            assert (held, also_held) == (True, False)
    assert {"cache.db", "state.db"} <= {path.name for path in folder.iterdir()}
    assert not list(folder.glob("corrupt-*"))


@pytest.mark.parametrize("kind", BACKENDS)
def test_a_broken_file_of_one_backend_leaves_the_other_one_alone(folder: Path, kind: str) -> None:
    for open_store in BACKENDS.values():
        with closing(open_store(folder)) as store:
            store.write_note("n", {"text": "x"})
    broken = folder / ("cache.db" if kind == "diskcache" else "state.db")
    broken.write_text("this is no database " * 1000)
    for name, open_store in BACKENDS.items():
        with closing(open_store(folder)) as store:
            assert (store.read_note("n") is None) == (name == kind)
    (aside,) = folder.glob("corrupt-*")
    assert {path.name.partition("-")[0] for path in aside.iterdir()} == {broken.name}


# Without diskcache


def serve_without_diskcache(fields: dict[str, Any]) -> list[Any]:
    """In a process of its own: serve a request and look at the state, where diskcache cannot be imported."""
    for name in [*sys.modules]:
        if name.partition(".")[0] == "diskcache" or name == "litellm_antigravity.state.disk":
            del sys.modules[name]
    sys.modules["diskcache"] = None  # type: ignore[assignment]
    import litellm

    import litellm_antigravity
    from litellm_antigravity.cli.status_facts import gather_status

    settings = litellm_antigravity.Settings(**fields)
    litellm_antigravity.register(settings)
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    reply = litellm.completion(model=MODEL, messages=MESSAGES, tools=tools)
    thread._python_exit()  # as at the end of any process; `together` kills them
    state = gather_status(settings=settings).shared_state
    return [reply.choices[0].message.tool_calls[0].id, state.shared, state.problem]


def test_with_sqlite_diskcache_is_never_imported(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    with Simulator(2) as simulator:
        simulator.reply_with(
            [
                {"thought": True, "text": "hm", "thoughtSignature": "RXFRQkNrWUlCUmdDS2tCU2lnbmVk"},
                {"functionCall": {"id": "toolu_1", "name": "weather", "args": {}}},
            ]
        )
        fields = fields_of(simulator, tmp_path, state_backend="sqlite")
        assert together(serve_without_diskcache, [(fields,)]) == [["toolu_1", True, None]]
    assert {path.name for path in (tmp_path / "state").rglob("*.db")} == {"state.db", "thoughts.db"}


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_setting_chooses_the_file(backend: Any, tmp_path: Path, clock: FakeClock) -> None:
    account = Account.create("user@example.com", StaticToken(SecretStr("token")))
    settings = Settings(state_dir=tmp_path / "state", state_backend=backend)
    pool = AccountPool(settings, accounts=static_accounts(account), clock=clock)
    pool.acquire("claude-sonnet-4-6")
    pool.store.close()
    (file,) = (tmp_path / "state").glob("*.db")
    assert file.name == {"diskcache": "cache.db", "sqlite": "state.db"}[backend]
