"""``status``: what it tells, that it changes nothing, its JSON, and ``--watch``."""

from __future__ import annotations

import io
import json
import math
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import entry, new_home, run, save
from rich.console import Console
from support import HANG_SECONDS, NOW, FakeClock, run_python

from litellm_antigravity import events
from litellm_antigravity.cli.status_facts import StatusReader, StatusReport, gather_status
from litellm_antigravity.cli.status_hour import last_hour_of, strip_line
from litellm_antigravity.cli.status_summary import summed_up
from litellm_antigravity.cli.status_view import status_lines
from litellm_antigravity.cli.status_watch import watch_status
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.observability.last_hour import MINUTES, LastHour, Strip
from litellm_antigravity.pool import AccountPool
from litellm_antigravity.settings import Settings
from litellm_antigravity.state.disk import DiskStore

pytestmark = pytest.mark.once

MODEL = "claude-sonnet-4-6"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return new_home(tmp_path, monkeypatch)


@pytest.fixture
def store(home: Path) -> Iterator[DiskStore]:
    store = DiskStore(home / "state")
    yield store
    store.close()


def shown(report: StatusReport, width: int = 140) -> str:
    return "".join(f"{line.plain}\n" for line in status_lines(report, width))


def row(text: str, *words: str) -> str:
    """Return the one line that has all these words."""
    (found,) = [line for line in text.splitlines() if all(word in line for word in words)]
    return found


def block(text: str, email: str) -> str:
    """Return what is said about one account."""
    (found,) = [part for part in text.split("\n\n") if email in part.splitlines()[0]]
    return found


def benched(account: str, pool: str, seconds: float, reason: str = "quota", **more: Any) -> Cooldown:
    return Cooldown(account, pool, NOW + seconds, reason, NOW, **more)


# The summary


def test_the_first_line_says_how_many_are_free_and_when_the_next_is_back(
    home: Path, store: DiskStore, clock: FakeClock
) -> None:
    first, second, *_ = save(home, entry(1), entry(2), entry(3), entry(4, enabled=False))
    assert summed_up(gather_status(clock=clock)) == "3 of 4 accounts free."
    store.extend_cooldown(benched(first, "claude", 719))
    store.extend_cooldown(benched(second, "claude", 4000))
    assert (
        summed_up(gather_status(clock=clock))
        == "1 of 4 accounts free for claude; next back in 12 m. 3 of 4 free for gemini."
    )
    assert summed_up(gather_status(MODEL, clock=clock)) == f"1 of 4 accounts free for {MODEL}; next back in 12 m."
    assert summed_up(gather_status(accounts=["1"], clock=clock)) == (
        "The one account is not free for claude; next back in 12 m. 1 of 1 free for gemini."
    )


def test_when_nobody_comes_back_by_himself_the_first_line_says_so(
    home: Path, store: DiskStore, clock: FakeClock
) -> None:
    for account in save(home, entry(1), entry(2)):
        store.extend_cooldown(benched(account, "*", math.inf, "banned", fact=True))
    assert summed_up(gather_status(clock=clock)) == "No account is free; none comes back by itself."


def test_a_models_own_limit_counts_for_the_model_alone(home: Path, store: DiskStore, clock: FakeClock) -> None:
    first, _ = save(home, entry(1), entry(2))
    store.extend_cooldown(benched(first, f"model:{MODEL}", 30, "not-available"))
    assert summed_up(gather_status(clock=clock)) == "2 of 2 accounts free."
    assert summed_up(gather_status(MODEL, clock=clock)) == f"1 of 2 accounts free for {MODEL}; next back in 30 s."


# The accounts


def test_status_makes_no_state_folder_and_still_lists_the_accounts(home: Path) -> None:
    save(home, entry(1), entry(2, enabled=False))
    result = run("status")
    assert result.exit_code == 0
    assert "No shared state yet" in result.stdout
    assert "ready" in row(block(result.stdout, "user1@gmail.com"), "all models")
    assert "disabled" in row(block(result.stdout, "user2@gmail.com"), "all models")
    assert json.loads(run("status", "--json").stdout)["shared_state"]["exists"] is False
    assert not (home / "state").exists()


def test_status_shows_each_pool_with_reason_and_remaining_time(home: Path, store: DiskStore, clock: FakeClock) -> None:
    first, second = save(home, entry(1), entry(2))
    store.extend_cooldown(benched(first, "claude", 600, fact=True))
    store.extend_cooldown(benched(second, "model:gemini-3-pro", 90, "not-available"))
    clock.advance(15)
    text = shown(gather_status(clock=clock))
    claude = row(block(text, "user1@gmail.com"), "claude")
    assert claude.split() == ["claude", "cooling", "down,", "9m45s", "left", "quota"]
    assert "ready" in row(block(text, "user1@gmail.com"), "gemini")
    assert "1m15s left" in row(block(text, "user2@gmail.com"), "gemini-3-pro", "not-available")
    assert "ready" in row(block(text, "user2@gmail.com"), "all models")


def test_status_for_a_model_leaves_out_what_does_not_concern_it(home: Path, store: DiskStore, clock: FakeClock) -> None:
    (only,) = save(home, entry(1))
    store.extend_cooldown(benched(only, "claude", 600))
    store.extend_cooldown(benched(only, "model:gemini-3-flash", 600, "not-available"))
    store.hold_capacity("claude-opus-4-6-thinking", NOW, 10)
    (account,) = gather_status("antigravity/Gemini-3.1-Pro-Low", clock=clock).accounts
    assert [(pool.pool, pool.state) for pool in account.pools] == [("gemini", "ready")]
    assert gather_status("gemini-3.1-pro-low", clock=clock).models_without_capacity == {}
    assert gather_status(clock=clock).models_without_capacity == {"claude-opus-4-6-thinking": 10}


def test_status_of_some_accounts_keeps_their_numbers(home: Path, clock: FakeClock) -> None:
    save(home, entry(1), entry(2), entry(3, label="spare"))
    report = gather_status(accounts=["spare", "user2"], clock=clock)
    assert [(one.number, one.name) for one in report.accounts] == [
        (2, "user2@gmail.com"),
        (3, "user3@gmail.com (spare)"),
    ]
    result = run("status", "--account", "user")
    assert result.exit_code == 1
    assert "'user' means more than one account" in result.stderr


def test_a_model_that_nobody_knows_is_an_error_with_the_name_that_was_meant(home: Path, store: DiskStore) -> None:
    """Before, any name was answered with every account ready."""
    (only,) = save(home, entry(1))
    for output in ([], ["--json"]):
        result = run("status", "--model", "claude-sonet-4-6", *output)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "Nobody here knows the model claude-sonet-4-6" in result.stderr
        assert "Did you mean claude-sonnet-4-6?" in result.stderr
    store.extend_cooldown(Cooldown(only, "model:claude-next", time.time() + 60, "not-available", time.time()))
    assert run("status", "--model", "claude-next").exit_code == 0  # somebody has met it
    assert run("status", "--model", "antigravity/Claude-Sonnet-4-6").exit_code == 0


def test_status_shows_what_the_owner_of_a_benched_account_has_to_open(
    home: Path, store: DiskStore, clock: FakeClock
) -> None:
    (only,) = save(home, entry(1))
    url = "https://accounts.example.com/verify?" + "x" * 150
    said = "Verify\x1b[2J your account"
    store.extend_cooldown(benched(only, "*", math.inf, "verification", fact=True, url=url, message=said))
    report = gather_status(clock=clock)
    (account,) = report.accounts
    assert [(pool.pool, pool.state) for pool in account.pools] == [("*", "out"), ("claude", "out"), ("gemini", "out")]
    for width in (60, 80, 160):
        text = shown(report, width)
        assert text.count(url) == 1  # in one piece, and once
        assert text.count("`litellm-antigravity auth retry user1@gmail.com`") == 1  # not broken either
        assert text.count("verification") == text.count("out until you act") == 1
        assert "\x1b" not in text  # what upstream says cannot steer the terminal


def test_an_account_without_an_oauth_client_needs_one_and_is_not_called_ready(
    home: Path, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    """Before, it was ready, and its first request a 401."""
    monkeypatch.delenv("LITELLM_ANTIGRAVITY_OAUTH_CLIENT_ID")
    save(home, entry(1), entry(2, oauthClient={"clientId": "mine"}), {"email": "user3@gmail.com", "accessToken": "abc"})
    report = gather_status(clock=clock)
    states = [{pool.state for pool in account.pools} for account in report.accounts]
    assert states == [{"needs an OAuth client"}, {"ready"}, {"ready"}]
    text = shown(report)
    assert text.startswith("2 of 3 accounts free.")
    assert "1 account needs an OAuth client" in text
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_OAUTH_CLIENT_ID", "mine")
    assert gather_status(clock=clock).problem is None


def test_an_account_that_is_off_for_one_family_is_disabled_there_and_ready_elsewhere(
    home: Path, clock: FakeClock
) -> None:
    save(home, entry(1, disabledFamilies=["claude"]))
    (account,) = gather_status(clock=clock).accounts
    assert [(pool.pool, pool.state) for pool in account.pools] == [("claude", "disabled"), ("gemini", "ready")]


def test_status_shows_health_tokens_last_use_and_the_processes_on_an_account(
    home: Path, clock: FakeClock, store: DiskStore
) -> None:
    first, second = save(home, entry(1), entry(2))
    settings = Settings(account_selection_strategy="sticky")
    AccountPool(settings, store=store, clock=clock).acquire(MODEL)
    run_python(
        """
        import sys
        from pathlib import Path
        from litellm_antigravity.state.disk import DiskStore
        from litellm_antigravity.state.rows import Presence
        DiskStore(Path(sys.argv[1])).announce(Presence("host:1:2:ab", 4711, "hybrid", 0.0, 3, {"gemini": sys.argv[2]}))
        """,
        home / "state",
        second,
    )
    clock.advance(12)
    report = gather_status(clock=clock)
    text = shown(report)
    assert row(text, "user1@gmail.com").endswith("health 70   tokens 50   used 12 s ago")
    assert row(text, "user2@gmail.com").endswith("never used")
    assert f"process {os.getpid()} (sticky)" in block(text, "user1@gmail.com")
    assert "process" not in block(text, "user2@gmail.com")  # the one that was on it is gone
    one, other = report.accounts
    assert one.health == 70.0
    assert one.tokens == pytest.approx(50.0)  # one taken, and as good as regained
    assert (one.id, other.id) == (first, second)


def test_status_json_says_the_same_as_the_text(home: Path, store: DiskStore) -> None:
    first, _ = save(home, entry(1), entry(2))
    now = time.time()
    store.extend_cooldown(Cooldown(first, "gemini", now + 600, "rate", now))
    store.extend_cooldown(Cooldown(first, "*", math.inf, "revoked", now))
    result = run("status", "--json")
    document = json.loads(result.stdout, parse_constant=pytest.fail)  # Infinity is not JSON
    assert document["format"] == 1
    assert document["summary"] == [
        {"subject": family, "free": 1, "accounts": 2, "next_back_seconds": None} for family in ("claude", "gemini")
    ]
    account = document["accounts"][0]
    assert account["email"] == "user1@gmail.com"
    assert {pool["pool"]: (pool["state"], pool["remaining_seconds"]) for pool in account["pools"]} == {
        "*": ("out", None),
        "claude": ("out", None),
        "gemini": ("out", None),
    }
    assert [pool["state"] for pool in document["accounts"][1]["pools"]] == ["ready", "ready"]
    assert document["shared_state"] == {
        "place": str(home / "state"),
        "exists": True,
        "shared": True,
        "dropped_rows": 0,
        "problem": None,
    }


def test_status_never_prints_a_token(home: Path, store: DiskStore) -> None:
    (only,) = save(home, entry(1))
    store.write_token(only, "ya29.canary-access-token", None, "fingerprint")
    for command in (["status"], ["status", "--json"]):
        result = run(*command)
        assert result.exit_code == 0
        assert "canary" not in result.output


def test_status_says_why_the_state_is_not_shared(home: Path) -> None:
    save(home, entry(1))
    (home / "state").write_text("in the way")
    result = run("status")
    assert result.exit_code == 0
    assert "not in use" in result.stdout
    assert str(home / "state") in result.stdout
    assert "user1@gmail.com" in result.stdout


def test_status_changes_nothing_not_even_what_dead_processes_left(home: Path, store: DiskStore) -> None:
    """Before, it deleted the rows of processes that had ended."""
    (only,) = save(home, entry(1))
    store.extend_cooldown(benched(only, "claude", -5))
    run_python(
        """
        import sys
        from pathlib import Path
        from litellm_antigravity.state.disk import DiskStore
        from litellm_antigravity.state.rows import Presence
        DiskStore(Path(sys.argv[1])).announce(Presence("host:1:2:ab", 4711, "sticky", 0.0, 0, {"claude": sys.argv[2]}))
        """,
        home / "state",
        only,
    )
    before = rows_in(home / "state"), (home / "config" / "antigravity-accounts.json").read_bytes()
    assert any("process/" in str(row) for row in before[0])
    for command in (["status"], ["status", "--json"], ["status", "--model", MODEL]):
        assert run(*command).exit_code == 0
    assert (rows_in(home / "state"), (home / "config" / "antigravity-accounts.json").read_bytes()) == before


def rows_in(folder: Path) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(folder / "cache.db")
    try:
        return sorted(connection.execute("SELECT key, value, tag FROM Cache"), key=repr)
    finally:
        connection.close()


# --watch


class Interrupted(FakeClock):
    """A clock whose third `sleep` somebody ends with Ctrl-C."""

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if len(self.slept) == 3:
            raise KeyboardInterrupt


def terminal(height: int = 40) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=80, height=height, color_system=None, markup=False)


def test_watch_counts_down_each_second_until_ctrl_c_and_gives_the_screen_back(home: Path, store: DiskStore) -> None:
    (only,) = save(home, entry(1))
    store.extend_cooldown(benched(only, "claude", 3))
    clock, console = Interrupted(), terminal()
    reader = StatusReader(clock=clock)
    watch_status(console, reader.read, clock)
    reader.close()
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert clock.slept == [1.0, 1.0, 1.0]
    places = [text.index(f"cooling down, {left}s left") for left in (3, 2, 1)]
    assert places == sorted(places)
    assert text.startswith("\x1b[?1049h")  # a screen of its own ...
    assert "\x1b[?1049l" in text[places[-1] :]  # ... and back
    assert text.rindex("\x1b[?25h") > places[-1]  # with its cursor


def test_watch_notices_a_state_that_begins_while_it_watches(home: Path, clock: FakeClock) -> None:
    (only,) = save(home, entry(1))
    reader = StatusReader(clock=clock)
    assert not reader.read().shared_state.exists
    store = DiskStore(home / "state")
    store.extend_cooldown(benched(only, "claude", 60))
    assert reader.read().accounts[0].pools[0].state == "cooling down"
    reader.close()
    store.close()


def test_watch_says_what_a_low_screen_has_no_room_for(home: Path) -> None:
    save(home, *(entry(number) for number in range(1, 9)))
    clock, console = Interrupted(), terminal(height=10)
    reader = StatusReader(clock=clock)
    watch_status(console, reader.read, clock)
    reader.close()
    assert isinstance(console.file, io.StringIO)
    assert "more lines; Ctrl-C ends it." in console.file.getvalue()
    assert "8 of 8 accounts free." in console.file.getvalue()


def an_hour() -> Strip:
    """Return the last hour of an account that served, was refused, and was out at the end."""
    strip = Strip.empty(NOW)
    strip.served[10:20] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    strip.refused[19] = 1
    strip.refused[30] = 2
    strip.benched["claude"] = [minute >= 40 for minute in range(MINUTES)]
    strip.benched["model:some"] = [True] * MINUTES
    return strip


def test_a_strip_draws_the_last_hour_a_character_for_each_minute() -> None:
    line = strip_line(an_hour(), 10, 80, indent=3, unicode=True)
    assert line.plain == "   last hour  " + "·" * 10 + "▁▂▃▄▄▅▆▇██" + "·" * 10 + "!" + "·" * 9 + "░" * 20
    assert {span.style for span in line.spans} == {"dim", "green", "yellow", "red"}
    line = strip_line(an_hour(), 10, 80, indent=3, unicode=False)
    assert line.plain == "   last hour  " + "." * 10 + "1234567899" + "." * 10 + "!" + "." * 9 + "-" * 20
    wide = strip_line(an_hour(), 10, 160, indent=3, unicode=True)
    assert wide.plain.endswith("  55 served, 3 refused, cooling down 20 m")


@pytest.mark.parametrize(("width", "each"), [(30, 4), (40, 3), (60, 2), (73, 2), (74, 1), (120, 1), (160, 1)])
def test_a_strip_has_room_on_every_screen_and_loses_no_refusal(width: int, each: int) -> None:
    line = strip_line(an_hour(), 10, width, indent=3, unicode=True)
    cells = line.plain.removeprefix("   last hour  ").partition("  ")[0]
    assert line.cell_len <= width
    assert len(cells) == MINUTES // each
    assert "!" in cells
    assert cells.count("░") in (20 // each, 20 // each + 1)


def test_watch_draws_the_last_hour_of_every_account_and_what_lasts_longer(home: Path, store: DiskStore) -> None:
    first, second = save(home, entry(1), entry(2))
    now = FakeClock().time()
    store.extend_cooldown(Cooldown(first, "claude", now + 9000, "quota", now - 9000, fact=True))
    hour = LastHour(home / "state", lambda: now - 600)
    hour._open()
    about = events.About(second, "a", "claude-sonnet-4-6", "claude")
    hour.hear(events.Served(about=about))
    clock, console = Interrupted(), terminal()
    reader = StatusReader(clock=clock)
    watch_status(console, reader.read, clock, lambda: last_hour_of(reader.pool, clock.time()))
    reader.close()
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "░" * MINUTES in text
    assert "·" * 49 + "█" + "·" * 10 in text
    assert "▁█ served, ! refused" in text


def test_a_strip_ends_where_somebody_has_lifted_the_cooldown(home: Path, store: DiskStore) -> None:
    """Before, it went on to the end that was told first: commands tell of no events."""
    (first,) = save(home, entry(1))
    now = FakeClock().time()
    hour = LastHour(home / "state", lambda: now - 1800)
    hour._open()
    about = events.About(first, "a", "claude-sonnet-4-6", "claude")
    hour.hear(events.Benched(about=about, pool="claude", kind="quota", seconds=3600.0, fact=True))
    store.extend_cooldown(Cooldown(first, "claude", now + 1800, "quota", now - 1800, fact=True))
    store.end_cooldown(first, "claude", now - 600)
    reader = StatusReader(clock=FakeClock())
    reader.read()
    strip = last_hour_of(reader.pool, now)[first]
    reader.close()
    assert strip.benched["claude"] == [minute in range(29, 50) for minute in range(MINUTES)]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_ctrl_c_ends_watch_without_a_word_and_leaves_the_last_state(home: Path) -> None:
    import pty

    save(home, entry(1))
    parent, child = pty.openpty()
    program = [sys.executable, "-c", "from litellm_antigravity.cli import main; main()", "status", "--watch"]
    process = subprocess.Popen(program, stdin=child, stdout=child, stderr=child, env={**os.environ, "TERM": "xterm"})
    os.close(child)
    try:
        text = read_until(parent, "Ctrl-C ends it.")
        process.send_signal(signal.SIGINT)
        text += read_until(parent, None)
        assert process.wait(HANG_SECONDS) == 0
    finally:
        process.kill()
        process.wait()
        os.close(parent)
    after = text.rpartition("\x1b[?1049l")[2]  # when the screen is gone
    assert "1 of 1 account free." in after
    assert "Stopped" not in text
    assert "Traceback" not in text


def read_until(terminal: int, words: str | None) -> str:
    """Return what comes on a terminal, up to these words; or until nobody has it open any more."""
    text = ""
    while words is None or words not in text:
        try:
            text += os.read(terminal, 4096).decode()
        except OSError:  # noqa: PERF203 - EIO: nobody has it open
            assert words is None, text
            return text
    return text


def test_watch_goes_with_a_terminal_only(home: Path) -> None:
    save(home, entry(1))
    result = run("status", "--watch")
    assert result.exit_code == 2
    assert "--watch needs a terminal" in result.stderr
    assert run("status", "--watch", "--json").exit_code == 2


def test_requests_that_are_under_way_are_shown_whoever_makes_them(home: Path, store: DiskStore) -> None:
    _, second = save(home, entry(1), entry(2))
    held = [store.in_flight.begin(second) for _ in range(2)]
    report = gather_status()
    assert [one.in_flight for one in report.accounts] == [0, 2]
    assert "2 in flight" in row(shown(report), "user2@")
    assert shown(report).count("in flight") == 1
    del held
    assert [one["in_flight"] for one in gather_status().as_json()["accounts"]] == [0, 0]
