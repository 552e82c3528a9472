"""The last hour of every account, minute by minute, of all processes of the host."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, cast

import pytest
from support import NOW, FakeClock

from litellm_antigravity import events
from litellm_antigravity.events import About
from litellm_antigravity.observability import last_hour
from litellm_antigravity.observability.last_hour import MINUTES, LastHour

pytestmark = pytest.mark.once

BEGIN = NOW - NOW % 60.0
A, B = (About(f"id-{name}", name, "claude-sonnet-4-6", "claude") for name in "ab")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(BEGIN)


def keeper(folder: Path, clock: FakeClock) -> LastHour:
    """Return what a process keeps the last hour with, after its first choice."""
    made = LastHour(folder / "state", clock.time)
    choose(made)
    return made


def choose(hour: LastHour) -> None:
    hour.hear(events.Chosen(about=A, strategy="sticky", free=1, enabled=1, inputs=cast("Any", None)))


def bench(hour: LastHour, seconds: float, pool: str = "claude") -> None:
    hour.hear(events.Benched(about=A, pool=pool, kind="quota", seconds=seconds, fact=True))


def places(minutes: list[bool]) -> list[int]:
    return [place for place, benched in enumerate(minutes) if benched]


def test_what_processes_keep_adds_up_and_is_gone_after_an_hour(tmp_path: Path, clock: FakeClock) -> None:
    one, other = keeper(tmp_path, clock), keeper(tmp_path, clock)
    for hour, about in ((one, A), (other, A), (other, B)):
        hour.hear(events.Served(about=about))
    clock.sleep(120)
    other.hear(events.Refused(about=A, kind="quota", status=429))
    reader = LastHour(tmp_path / "state")
    found = reader.strips(clock.time())
    assert (found[A.account_id].served[-3:], found[A.account_id].refused[-3:]) == ([2, 0, 0], [0, 0, 1])
    assert (sum(found[B.account_id].served), sum(found[B.account_id].refused)) == (1, 0)
    assert found[A.account_id].begins * 60 + 60 * (MINUTES - 1) == clock.time()
    assert sum(reader.strips(clock.time() + 3480)[A.account_id].served) == 0
    assert reader.strips(clock.time() + 3600) == {}


def test_a_page_is_left_after_an_hour_and_its_file_goes_later(tmp_path: Path, clock: FakeClock) -> None:
    hour, folder = keeper(tmp_path, clock), tmp_path / "state" / "last-hour"
    [first] = folder.iterdir()
    assert first.stat().st_mode & 0o777 == 0o600
    hour.hear(events.Served(about=A))
    clock.sleep(3540)
    choose(hour)
    assert [*folder.iterdir()] == [first]
    clock.sleep(60)
    choose(hour)
    hour.hear(events.Served(about=A))
    assert len([*folder.iterdir()]) == 2
    assert sum(hour.strips(clock.time())[A.account_id].served) == 1
    os.utime(first, (BEGIN, BEGIN))  # its clock is not ours
    clock.sleep(3 * 3600)
    choose(hour)
    assert first not in folder.iterdir()


def test_there_are_no_more_pages_than_a_bound(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_hour, "MOST_FILES", 3)
    for _ in range(6):
        keeper(tmp_path, clock)
    assert len([*(tmp_path / "state" / "last-hour").iterdir()]) == 3


def test_a_pool_is_benched_until_its_time_or_until_it_is_back(tmp_path: Path, clock: FakeClock) -> None:
    hour = keeper(tmp_path, clock)
    bench(hour, 120)
    bench(hour, 3600, "gemini")
    clock.sleep(300)
    hour.hear(events.Back(account_id=A.account_id, pool="gemini", how="released"))
    clock.sleep(60)
    bench(hour, math.inf)
    clock.sleep(180)
    found = hour.strips(clock.time())[A.account_id].benched
    assert places(found["claude"]) == [50, 51, 52, 56, 57, 58, 59]
    assert places(found["gemini"]) == [50, 51, 52, 53, 54, 55]
    hour.hear(events.Back(account_id=A.account_id, pool="claude", how="probe"))
    clock.sleep(60)
    bench(hour, 10)  # anew, in the minute after
    clock.sleep(120)
    assert places(hour.strips(clock.time())[A.account_id].benched["claude"])[-2:] == [56, 57]


def test_a_strip_says_what_began_before_it(tmp_path: Path, clock: FakeClock) -> None:
    hour = keeper(tmp_path, clock)
    hour.hear(events.Served(about=A))
    strip = hour.strips(clock.time())[A.account_id]
    strip.mark("*", BEGIN - 86400, math.inf)
    strip.mark("claude", BEGIN - 7200, BEGIN - 3600)
    strip.mark("gemini", BEGIN + 60, BEGIN + 120)
    assert strip.as_json()["benched"] == {"*": [1] * MINUTES}


def test_nothing_is_kept_or_raised_where_there_is_no_folder_to_be_had(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "state").write_text("no folder", "utf-8")
    hour = keeper(tmp_path, clock)
    hour.hear(events.Served(about=A))
    bench(hour, 60)
    assert hour.strips(clock.time()) == {}


def test_a_torn_or_foreign_page_is_left_out(tmp_path: Path, clock: FakeClock) -> None:
    hour, folder = keeper(tmp_path, clock), tmp_path / "state" / "last-hour"
    hour.hear(events.Served(about=A))
    (folder / "foreign.hour").write_bytes(b"\0" * 4096)
    [page] = [one for one in folder.iterdir() if one.name != "foreign.hour"]
    (folder / "torn.hour").write_bytes(page.read_bytes()[:300])
    (folder / "link.hour").symlink_to(page)
    assert sum(hour.strips(clock.time())[A.account_id].served) == 1
