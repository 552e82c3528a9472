"""Signed thoughts go from process to process of a host, encrypted, and nobody fails or waits because of them."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import thread
from pathlib import Path
from typing import Any

import pytest
from processes import together
from serving import fields_of
from support import Child, run_python

from litellm_antigravity.litellm.translation.signatures import SignedThoughts
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.state import shared_thoughts
from litellm_antigravity.state.shared_thoughts import MAX_PENDING, SharedThoughts

CALL = "toolu_vrtx_01A09q90qw90lq917835lq9"
THOUGHT = "The sky over Oslo is what they want to know."
SIGNATURE = "RXFRQkNrWUlCUmdDS2tCU2lnbmVk"
BLOCKS = [{"thinking": THOUGHT, "signature": SIGNATURE}]
TURN: list[dict[str, Any]] = [
    {"thought": True, "text": THOUGHT, "thoughtSignature": SIGNATURE},
    {"functionCall": {"id": CALL, "name": "weather", "args": {"place": "Oslo"}}},
]

posix = pytest.mark.skipif(os.name != "posix", reason="modes and forks are POSIX's")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pytest.importorskip("cryptography")
    return tmp_path / "state" / "thoughts"


@pytest.fixture
def shared(folder: Path) -> Iterator[SharedThoughts]:
    thoughts = SharedThoughts(folder)
    yield thoughts
    thoughts.close()


def written(folder: Path, call_id: str = CALL, blocks: Any = BLOCKS) -> None:
    """Write as another process does, to the end."""
    writer = SharedThoughts(folder)
    writer.write(call_id, blocks)
    writer.close()


# Between processes


def ids_of_calls(fields: dict[str, Any], model: str, messages: list[Any], door: str) -> list[str]:
    """In a process of its own: ask, and return the ids of the tool calls in the answer."""
    import litellm

    import litellm_antigravity

    litellm_antigravity.register(litellm_antigravity.Settings(**fields))
    params = {
        "model": f"antigravity/{model}",
        "messages": messages,
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "tools": [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}],
    }

    async def ask() -> Any:
        if door == "acompletion":
            return await litellm.acompletion(**params)
        chunks = [chunk async for chunk in await litellm.acompletion(**params, stream=True)]
        return litellm.stream_chunk_builder(chunks)

    ids = [call.id for call in asyncio.run(ask()).choices[0].message.tool_calls or []]
    thread._python_exit()  # as at the end of any process; `together` kills them
    return ids


@pytest.mark.parametrize("door", ["acompletion", "streamed"])
def test_the_next_turn_may_come_to_another_process(tmp_path: Path, door: str) -> None:
    pytest.importorskip("cryptography")
    model = "claude-sonnet-4-6"
    with Simulator(1) as simulator:
        fields = fields_of(simulator, tmp_path)
        messages: list[Any] = [{"role": "user", "content": "How is the sky over Oslo?"}]

        def serve() -> Any:
            [ids] = together(ids_of_calls, [(fields, model, messages, door)])
            return ids

        simulator.reply_with(TURN)
        (call_id,) = serve()
        assert call_id == CALL
        function = {"name": "weather", "arguments": '{"place": "Oslo"}'}
        messages += [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": CALL, "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": CALL, "content": "grey"},
        ]
        simulator.reply_with("Grey.")
        assert serve() == []
        sent = simulator.requests(kind="served")[-1].body["request"]
        assert sent["contents"][1]["parts"] == TURN
        assert sent["generationConfig"]["thinkingConfig"]["thinkingBudget"] == 2000
    content = b"".join(file.read_bytes() for file in (tmp_path / "state" / "thoughts").iterdir())
    assert content
    for secret in (THOUGHT, "Oslo", SIGNATURE, CALL, CALL.removeprefix("toolu_")):
        assert secret.encode() not in content


def test_what_one_process_writes_another_one_reads(folder: Path, shared: SharedThoughts) -> None:
    written(folder)
    assert shared.read(CALL) == BLOCKS
    assert shared.read("toolu_other") == []
    again = [{"thinking": "x" * 200_000, "signature": SIGNATURE}]
    written(folder, blocks=again)
    assert shared.read(CALL) == again


def test_memory_comes_first_and_keeps_what_was_read(folder: Path) -> None:
    written(folder)
    shared = SharedThoughts(folder)
    thoughts = SignedThoughts(shared=shared)
    assert thoughts.recall([CALL]) == BLOCKS
    for file in folder.iterdir():
        file.unlink()
    assert thoughts.recall([CALL]) == BLOCKS
    assert SignedThoughts(shared=shared).recall([CALL]) == []
    shared.close()


def test_every_spelling_of_an_id_finds_its_thoughts(folder: Path) -> None:
    shared = SharedThoughts(folder)
    SignedThoughts(shared=shared).remember(BLOCKS, ["call.1__thought__c2ln"])
    shared.close()
    for spelling in ("call.1__thought__c2ln", "call.1", "call_1"):
        assert SignedThoughts(shared=SharedThoughts(folder)).recall([spelling]) == BLOCKS


@posix
def test_a_forked_child_reads_and_writes_with_its_own_handles(folder: Path) -> None:
    found = run_python(
        """
        import json, os, sys
        from pathlib import Path
        from litellm_antigravity.state.shared_thoughts import SharedThoughts
        from support import answer

        shared = SharedThoughts(Path(sys.argv[1]))
        blocks = [{"thinking": "t", "signature": "s"}]
        shared.write("parent", blocks)
        shared.close()
        assert shared.read("parent") == blocks
        child = os.fork()
        if not child:
            ok = shared.read("parent") == blocks
            shared.write("child", blocks)
            shared.close()
            os._exit(0 if ok else 1)
        _, status = os.waitpid(child, 0)
        answer([os.waitstatus_to_exitcode(status), shared.read("child") == blocks])
        """,
        folder,
    )
    assert found == [0, True]


def test_a_process_that_ends_has_written_its_last_thought(folder: Path, shared: SharedThoughts) -> None:
    run_python(
        """
        import sys
        from pathlib import Path
        from litellm_antigravity.state.shared_thoughts import SharedThoughts

        SharedThoughts(Path(sys.argv[1])).write(sys.argv[2], [{"thinking": "t", "signature": "s"}])
        """,
        folder,
        CALL,
    )
    assert shared.read(CALL) == [{"thinking": "t", "signature": "s"}]


def test_processes_that_open_it_together_lose_nothing(folder: Path, shared: SharedThoughts) -> None:
    code = """
        import sys
        from pathlib import Path
        from litellm_antigravity.state.shared_thoughts import SharedThoughts
        from support import ready

        shared = SharedThoughts(Path(sys.argv[1]))
        ready()
        for number in range(10):
            shared.write(f"{sys.argv[2]}-{number}", [{"thinking": "t", "signature": "s"}])
    """
    children = [Child(code, folder, name) for name in "abcd"]
    for child in children:
        child.wait_ready()
    for child in children:
        child.go()
    for child in children:
        child.result()
    found = [bool(shared.read(f"{name}-{number}")) for name in "abcd" for number in range(10)]
    assert all(found)


# On disk


@posix
def test_the_folder_and_its_files_are_private(folder: Path, shared: SharedThoughts) -> None:
    before = os.umask(0)
    try:
        shared.write(CALL, BLOCKS)
        shared.close()
        assert shared.read(CALL) == BLOCKS
        modes = {path.name: stat.S_IMODE(path.lstat().st_mode) for path in [folder.parent, folder, *folder.iterdir()]}
    finally:
        os.umask(before)
    assert modes.pop("state") == modes.pop("thoughts") == 0o700
    assert "cache.db" in modes
    assert set(modes.values()) == {0o600}


@posix
def test_a_symbolic_link_is_not_followed(folder: Path, shared: SharedThoughts, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder.parent.mkdir()
    folder.symlink_to(elsewhere)
    shared.write(CALL, BLOCKS)
    shared.close()
    assert list(elsewhere.iterdir()) == []


def test_thoughts_are_gone_after_some_hours(folder: Path) -> None:
    shared = SharedThoughts(folder, kept_seconds=0.2)
    shared.write(CALL, BLOCKS)
    shared.close()
    time.sleep(0.3)
    assert shared.read(CALL) == []
    for number in range(3):  # what has expired goes with the next ones
        shared.write(f"other-{number}", BLOCKS)
    shared.close()
    with sqlite3.connect(folder / "cache.db") as connection:
        rows = connection.execute("SELECT count(*) FROM Cache").fetchone()[0]
    connection.close()
    assert rows <= 3


def test_the_file_stays_small_and_the_newest_thoughts_stay_in_it(folder: Path) -> None:
    shared = SharedThoughts(folder, max_bytes=300_000)
    noise = os.urandom(20_000).hex()
    for number in range(60):
        shared.write(f"id-{number}", [{"thinking": noise, "signature": SIGNATURE}])
        shared.close()
    assert (folder / "cache.db").stat().st_size < 600_000
    assert shared.read("id-0") == []
    assert all(shared.read(f"id-{number}") for number in range(56, 60))
    shared.close()


# Nobody fails, nobody waits


def pickled(folder: Path) -> None:
    """Put rows into the file that would run code, or read a file, where diskcache's own class read them."""
    written(folder, "other")
    connection = sqlite3.connect(folder / "cache.db")
    payload = b"cos\nsystem\n(S'touch " + bytes(folder / "pwned") + b"'\ntR."
    row = shared_thoughts._row(CALL)
    sql = (
        "INSERT INTO Cache (key, raw, store_time, access_time, size, mode, filename, value)"
        " VALUES (?, 1, 0, 0, 0, ?, ?, ?)"
    )
    connection.execute(sql, (row, 4, None, payload))
    connection.execute(sql, (shared_thoughts._row("toolu_2"), 4, "../../secret", None))
    connection.commit()
    connection.close()


def private(folder: Path) -> None:
    for one in (folder.parent, folder):
        one.mkdir(0o700)


def garbage(folder: Path) -> None:
    private(folder)
    (folder / "cache.db").write_bytes(b"this is no database, " * 1000)


def broken_rows(folder: Path) -> None:
    written(folder)
    connection = sqlite3.connect(folder / "cache.db")
    connection.execute("UPDATE Cache SET value = 'gAAAAA' || value")
    connection.commit()
    connection.close()


def folder_instead_of_file(folder: Path) -> None:
    private(folder)
    (folder / "cache.db").mkdir()


def file_instead_of_folder(folder: Path) -> None:
    folder.parent.mkdir(0o700)
    folder.write_text("x")


@pytest.mark.parametrize("spoil", [pickled, garbage, broken_rows, folder_instead_of_file, file_instead_of_folder])
def test_what_cannot_be_read_is_none(
    folder: Path, shared: SharedThoughts, spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    spoil(folder)
    assert shared.read(CALL) == []
    assert shared.read("toolu_2") == []
    shared.write(CALL, BLOCKS)
    shared.close()
    assert not folder.is_dir() or not (folder / "pwned").exists()
    assert not [record for record in caplog.records if record.levelname != "DEBUG"]


def test_a_corrupt_file_gives_way_to_a_new_one(folder: Path) -> None:
    garbage(folder)
    assert SharedThoughts(folder).read(CALL) == []
    written(folder)
    shared = SharedThoughts(folder)
    assert shared.read(CALL) == BLOCKS
    shared.close()


def test_a_folder_that_was_removed_is_made_again(folder: Path, shared: SharedThoughts) -> None:
    shared.write("toolu_1", BLOCKS)
    shared.close()
    assert shared.read("toolu_1") == BLOCKS
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    assert shared.read("toolu_1") == []
    shared.write(CALL, BLOCKS)
    shared.close()
    assert shared.read(CALL) == BLOCKS


def test_who_writes_does_not_wait_for_who_holds_the_file(folder: Path, shared: SharedThoughts) -> None:
    written(folder)
    holder = sqlite3.connect(folder / "cache.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    for number in range(3 * MAX_PENDING):
        shared.write(f"id-{number}", BLOCKS)
    threads = {thread.name for thread in threading.enumerate() if thread.name.startswith("shared-thoughts")}
    assert len(threads) == 1  # the writing is done there
    shared.close()  # what waits is given up, not waited for one by one
    holder.close()


def test_without_cryptography_there_is_memory_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.fernet", None)
    shared = SharedThoughts(tmp_path / "thoughts")
    thoughts = SignedThoughts(shared=shared)
    thoughts.remember(BLOCKS, [CALL])
    shared.close()
    assert thoughts.recall([CALL]) == BLOCKS
    assert not shared.directory.exists()


def test_nothing_is_opened_before_the_first_thought(folder: Path) -> None:
    thoughts = SignedThoughts()
    thoughts.share(folder)
    assert thoughts.recall([CALL]) == []
    assert not folder.parent.exists()
