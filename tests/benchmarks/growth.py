"""What made-up model names leave behind: rows, bytes, and the time that a new process takes for its first request."""

from __future__ import annotations

import contextlib
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import litellm
from processes import one_after_the_other
from rich.table import Table
from serving import MESSAGES, fields_of, settings_of

import litellm_antigravity
from litellm_antigravity.pool import AccountPool
from litellm_antigravity.refusals import Refusal, RefusalKind
from litellm_antigravity.settings import Settings
from litellm_antigravity.simulator import Simulator

from .memory import _resident

MODEL = "claude-sonnet-4-6"
ASKED, REPORTED = 3_000, 40_000
LONG = 100_000
MONTH = 40 * 86_400.0


class _Later:
    """A clock that may be set ahead."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def time(self) -> float:
        return time.time() + self.ahead

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def table(*, asked: int = ASKED, reported: int = REPORTED, rounds: int = 5) -> Table:
    """Measure, and return the table."""
    result = Table(
        "after",
        "rows",
        "on disk",
        "process grew by",
        "first request of a new process",
        "beside a fresh state (aim <= 1.2)",
        title="model names that nobody has; one account, the simulator answers 404",
    )
    litellm.suppress_debug_info = True
    with tempfile.TemporaryDirectory() as name, Simulator(accounts=1) as simulator:
        fresh, used, long = (Path(name, one) for one in ("fresh", "used", "long"))
        base = _resident()

        def row(title: str, folder: Path) -> None:
            mine, other = _starts(folder, fresh, simulator, rounds)
            cells = str(_rows(folder)), f"{_size(folder) / 1e6:.1f} MB", f"{(_resident() - base) / 1e6:.0f} MB"
            ratio = statistics.median(one / two for one, two in zip(mine, other, strict=True))
            result.add_row(title, *cells, f"{statistics.median(mine):.1f} ms", f"{ratio:.2f}")

        settings = _settings(fresh, simulator)
        litellm_antigravity.register(settings)
        litellm.completion(model=f"antigravity/{MODEL}", messages=MESSAGES)
        row("nothing but a request", fresh)
        litellm_antigravity.register(_settings(used, simulator))
        _ask((f"made-up-{number}" for number in range(asked)), litellm.NotFoundError)
        row(f"{asked:,} names by completion()", used)
        clock = _Later()
        pool = AccountPool(_settings(used, simulator), clock=clock)
        _report(pool, range(asked, reported))
        row(f"{reported:,} names, the others by AccountPool", used)
        clock.ahead = MONTH
        _report(pool, range(reported, reported + 50))
        row("40 days and 50 names later", used)
        pool.store.close()
        litellm_antigravity.register(_settings(long, simulator))
        litellm.completion(model=f"antigravity/{MODEL}", messages=MESSAGES)
        _ask((f"{number}-" * (LONG // len(f"{number}-")) for number in range(300)), Exception)
        row(f"300 names of {LONG // 1000} kB, each folder by itself", long)
    return result


def _settings(folder: Path, simulator: Simulator) -> Settings:
    folder.mkdir(exist_ok=True)
    return settings_of(simulator, folder, token_bucket={"regeneration_rate_per_minute": 1e9})


def _ask(names: Any, expected: type[BaseException]) -> None:
    for name in names:
        with contextlib.suppress(expected):
            litellm.completion(model=f"antigravity/{name}", messages=MESSAGES)


def _report(pool: AccountPool, numbers: range) -> None:
    for number in numbers:
        lease = pool.acquire(f"made-up-{number}")
        pool.report(lease, Refusal(RefusalKind.NOT_AVAILABLE, 404, "Requested entity was not found.", None))


def _rows(folder: Path) -> int:
    with contextlib.closing(sqlite3.connect(folder / "state" / "cache.db")) as connection:
        return int(connection.execute("SELECT COUNT(*) FROM Cache").fetchone()[0])


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in (folder / "state").glob("cache.db*"))


def _starts(one: Path, other: Path, simulator: Simulator, rounds: int) -> tuple[list[float], list[float]]:
    fields = [fields_of(simulator, folder) for folder in (one, other)]
    taken = [one_after_the_other(first_request, [(each,) for each in fields]) for _ in range(rounds)]
    return [mine for mine, _ in taken], [fresh for _, fresh in taken]


def first_request(fields: dict[str, Any]) -> float:
    """Make a request in a process that has made none; return its milliseconds."""
    litellm_antigravity.register(Settings(**fields))
    began = time.perf_counter()
    litellm.completion(model=f"antigravity/{MODEL}", messages=MESSAGES)
    return (time.perf_counter() - began) * 1e3
