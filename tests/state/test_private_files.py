"""Who may touch the files of the state, what they are made for, and what is never in them."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from state_folders import EITHER, POSIX, database_file, exercise, folder, on, store
from support import NOW, run_python

from litellm_antigravity.cooldowns import WHOLE_ACCOUNT, Cooldown, model_pool
from litellm_antigravity.errors import StateUnavailableError
from litellm_antigravity.state import connection
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.rows import Presence

__all__ = ["folder", "store"]  # fixtures

pytestmark = pytest.mark.once


# Modes, owners, links


@EITHER
@POSIX
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_the_folder_is_0700_and_every_file_0600(folder: Path, store: Ledger, umask: int) -> None:
    before = os.umask(umask)
    try:
        exercise(store)
        with store.exclusive("refresh/a", 1.0):
            modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in [folder, *folder.rglob("*")]}
    finally:
        os.umask(before)
    files = {database_file(folder).name + ending for ending in ("", "-wal", "-shm")}
    assert {path.name for path in modes} >= {*files, "open.lock", "locks", "owners"}
    for path, mode in modes.items():
        assert mode == (0o700 if path.is_dir() else 0o600), path


@POSIX
def test_a_folder_that_is_open_to_others_is_closed_with_a_warning(
    folder: Path, store: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    database_file(folder).touch()
    database_file(folder).chmod(0o666)
    store.refresh()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(database_file(folder).stat().st_mode) == 0o600
    assert "private now" in caplog.text


@POSIX
def test_a_symbolic_link_in_place_of_the_folder_is_refused(folder: Path, store: Ledger, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateUnavailableError, match=r"symbolic link.*state_dir"):
        store.refresh()
    with pytest.raises(StateUnavailableError, match="symbolic link"), store.exclusive("a", 0.0):
        pass
    assert list((tmp_path / "elsewhere").iterdir()) == []


@EITHER
@POSIX
def test_a_symbolic_link_in_place_of_the_file_is_refused(folder: Path, store: Ledger, tmp_path: Path) -> None:
    folder.mkdir(mode=0o700)
    database_file(folder).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateUnavailableError, match="symbolic link"):
        store.refresh()
    assert not (tmp_path / "elsewhere").exists()


@EITHER
@POSIX
@pytest.mark.parametrize("ending", ["-wal", "-shm", "-journal"])
@pytest.mark.parametrize("before", ["nothing", "closed", "open"])
def test_a_symbolic_link_in_place_of_a_companion_is_refused_and_its_target_left_alone(
    folder: Path, store: Ledger, tmp_path: Path, ending: str, before: str
) -> None:
    """Before, a process that had the file open already gave the link's target mode 0600."""
    folder.mkdir(mode=0o700)
    other = on(folder)
    if before != "nothing":
        other.write_note("n", {"text": "x"})
    if before != "open":
        other.close()
    target, link = tmp_path / "elsewhere", folder / (database_file(folder).name + ending)
    target.write_text("mine")
    target.chmod(0o644)
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    with pytest.raises(StateUnavailableError, match="symbolic link"):
        store.refresh()
    assert (target.read_text(), stat.S_IMODE(target.stat().st_mode)) == ("mine", 0o644)
    assert not list(folder.glob("corrupt-*"))
    other.close()


@EITHER
@POSIX
def test_a_pipe_in_place_of_the_file_is_refused(folder: Path, store: Ledger) -> None:
    folder.mkdir(mode=0o700)
    os.mkfifo(database_file(folder))
    with pytest.raises(StateUnavailableError, match="not a regular file"):
        store.refresh()


def test_a_file_in_place_of_the_folder_is_refused(folder: Path, store: Ledger) -> None:
    folder.write_text("mine")
    with pytest.raises(StateUnavailableError, match="not a folder"):
        store.refresh()
    assert folder.read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(folder: Path, store: Ledger) -> None:
    folder.mkdir(mode=0o700)
    os.chown(folder, 65_534, 65_534)
    with pytest.raises(StateUnavailableError, match="another user"):
        store.refresh()
    assert list(folder.iterdir()) == []


# Import

AUDIT = """
import os, sys
from pathlib import Path
from support import answer
import sqlite3, diskcache, filelock, asyncio, concurrent.futures, pydantic, socket, tempfile  # what others do is theirs
pydantic.create_model("First")  # it looks for plugins then
touched = []
def watch(event, args):
    if event == "open" and isinstance(args[0], (str, bytes, os.PathLike)):
        path, mode, flags = os.fsdecode(args[0]), args[1], args[2] or 0
        reads_code = path.endswith((".py", ".pyc")) and not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if not reads_code:
            touched.append([event, path])
    elif event in ("sqlite3.connect", "os.mkdir", "os.rename", "os.remove", "socket.connect", "subprocess.Popen"):
        touched.append([event, repr(args)])
sys.addaudithook(watch)
import litellm_antigravity
import litellm_antigravity.state.disk
import litellm_antigravity.state.resilient
import litellm_antigravity.selection.hybrid
import litellm_antigravity.identity
from litellm_antigravity.clock import SystemClock
store = litellm_antigravity.state.resilient.ResilientStore(
    litellm_antigravity.state.disk.DiskStore(Path(sys.argv[1])), SystemClock()
)
store.known()
quiet = list(touched)
store.refresh()
answer([quiet, len(touched) > len(quiet), "litellm" in sys.modules])
"""


def test_importing_and_constructing_open_nothing(folder: Path) -> None:
    quiet, noticed, litellm_is_imported = run_python(AUDIT, folder)
    assert quiet == []
    assert noticed, "the watch sees nothing: the test shows nothing"
    assert not litellm_is_imported


def test_the_package_alone_imports_neither_litellm_nor_diskcache() -> None:
    code = """
import sys
before = set(sys.modules)  # whoever measures coverage has imported some
import litellm_antigravity
from support import answer
answer([name for name in ("litellm", "diskcache", "sqlite3", "httpx") if name in sys.modules and name not in before])
"""
    assert run_python(code) == []


# Nothing secret


def test_a_token_is_in_its_own_row_only_and_in_no_message(
    folder: Path, store: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    canary = "ya29" + ".canary-of-the-access-token"
    row = store.write_token("a", canary, None, "f00")
    exercise(store)
    store.announce(Presence("host:1:5:aa", 1, "sticky", NOW, 0, {"claude": "a"}))
    store.extend_cooldown(Cooldown("b", model_pool("m"), NOW + 5.0, "quota", NOW))
    store.extend_cooldown(Cooldown("b", WHOLE_ACCOUNT, NOW + 5.0, "auth", NOW, credential="f00"))
    store.write_token("a", canary, None, "f00")
    with closing(sqlite3.connect(database_file(folder))) as opened:
        keys = [key for key, value in opened.execute("SELECT key, value FROM Cache") if canary in str(value)]
    assert keys == ["token/a"]
    store.close()
    monkeypatch.setattr(connection, "_PRAGMAS", (*connection._PRAGMAS, "query_only = 1"))
    with pytest.raises(StateUnavailableError) as caught:
        store.write_token("a", canary, None, "f00")
    assert canary not in f"{caught.value!r} {caught.value.__cause__!r} {row!r} {caplog.text} {store.status()!r}"
