"""What happens without this package: the "before" of ``FAULTS.md``, measured. ``python -m tests.naive``; two minutes.

The naive version is plain diskcache for the state, and processes that do not share what they learn.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent / "helpers"))

import diskcache
from processes import together
from serving import MESSAGES, MODEL, fields_of

from litellm_antigravity.simulator import Simulator


class Bomb:
    """Unpickling it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.path),)


def rows(folder: Path, statement: str, *values: object) -> None:
    with contextlib.closing(sqlite3.connect(folder / "cache.db")) as connection:
        connection.execute(statement, values)
        connection.commit()


def pickled_row(folder: Path) -> str:
    """A pickle in the value column."""
    cache = diskcache.Cache(str(folder))
    cache["key"] = "x"
    rows(folder, "UPDATE Cache SET mode = 4, value = ?", sqlite3.Binary(pickle.dumps(Bomb(folder / "ran"))))
    with contextlib.suppress(Exception):
        cache["key"]
    return "its code ran" if (folder / "ran").exists() else "its code did not run"


def row_with_a_file(folder: Path) -> str:
    """A row that says its value is in a file elsewhere."""
    (folder / "state").mkdir()
    (folder / "secret").write_text("somebody's")
    cache = diskcache.Cache(str(folder / "state"))
    cache["key"] = "x"
    rows(folder / "state", "UPDATE Cache SET mode = 3, value = NULL, filename = '../secret'")
    read = cache["key"]
    del cache["key"]
    left = (folder / "secret").exists()
    return f"read {read!r}; afterwards the file is {'there' if left else 'deleted'}"


def filled(folder: Path) -> bytearray:
    with contextlib.closing(diskcache.Cache(str(folder))) as cache:
        for number in range(60):
            cache[f"n{number:02}"] = f"note-{number:02}-" * 100
    return bytearray((folder / "cache.db").read_bytes())


def broken_header(folder: Path) -> str:
    """The first hundred bytes are zero; three starts."""
    content = filled(folder)
    content[:100] = bytes(100)
    (folder / "cache.db").write_bytes(content)
    return _three_times(lambda: diskcache.Cache(str(folder)))


def broken_page(folder: Path) -> str:
    """A page that no query of the opening reads; three starts, each of which reads a row on it."""
    content = filled(folder)
    page = content.index(b"note-30-note-30-") // 4096 * 4096
    content[page : page + 4096] = bytes(4096)
    (folder / "cache.db").write_bytes(content)
    return _three_times(lambda: diskcache.Cache(str(folder))["n30"])


def _three_times(start: Callable[[], object]) -> str:
    said = []
    for _ in range(3):
        try:
            start()
            said.append("fine")
        except Exception as error:  # noqa: BLE001, PERF203 - it is shown
            said.append(f"{type(error).__name__}: {error}")
    return "; ".join(said)


def stuck_writer(folder: Path) -> str:
    """Another process holds the write lock while one starts."""
    with contextlib.closing(diskcache.Cache(str(folder))) as cache:
        cache["key"] = "x"
    with contextlib.closing(sqlite3.connect(folder / "cache.db", isolation_level=None)) as stuck:
        stuck.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        try:
            diskcache.Cache(str(folder), timeout=1)
            said = "opened"
        except Exception as error:  # noqa: BLE001 - it is shown
            said = type(error).__name__
        return f"{said} after {time.monotonic() - began:.0f} s with a time-out of 1 s"


def ask(fields: dict[str, Any], requests: int) -> None:
    """In a process of its own."""
    import litellm

    import litellm_antigravity

    litellm_antigravity.register(litellm_antigravity.Settings(**fields))
    for _ in range(requests):
        litellm.completion(model=MODEL, messages=MESSAGES)


def unshared(folder: Path, count: int, drained: int, requests: int) -> tuple[int, int]:
    """Let processes with a state of their own each make requests; return the 429s and the tokens that it took."""
    with Simulator(4) as simulator:
        for account in simulator.accounts[:drained]:
            simulator.drain(account.email, "claude", reset_seconds=600)
        each = []
        for number in range(count):
            own = {"account_selection_strategy": "sticky", "state_dir": str(folder / f"state-{number}")}
            each.append((fields_of(simulator, folder, **own), requests))
        together(ask, each)
        return len(simulator.requests(status=429)), simulator.token_calls()


def rate_limits(folder: Path) -> str:
    """Three of four accounts are drained; four processes."""
    return f"{unshared(folder, 4, 3, 2)[0]} requests met a 429"


def tokens(folder: Path) -> str:
    """Eight processes start at once on one account."""
    return f"{unshared(folder, 8, 0, 1)[1]} calls of the token endpoint"


CLAIMS = (
    pickled_row,
    row_with_a_file,
    broken_header,
    broken_page,
    rate_limits,
    tokens,
    stuck_writer,
)


def main() -> None:
    for claim in CLAIMS:
        with tempfile.TemporaryDirectory(prefix="naive-") as folder:
            print(f"{claim.__name__}: {claim.__doc__} {claim(Path(folder))}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
