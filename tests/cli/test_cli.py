from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from command_line import new_home
from rich.console import Console
from support import HANG_SECONDS, NOW, run_python

from litellm_antigravity import __version__
from litellm_antigravity.accounts import AccountsFile
from litellm_antigravity.cli import cli
from litellm_antigravity.cli.demo_crew import Crew
from litellm_antigravity.cli.demo_facts import RoundFacts, facts_of, user_agent_of
from litellm_antigravity.cli.demo_view import bar_of, block_for, show_starts, tell
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.dispatch import Dispatcher, GeminiRequest
from litellm_antigravity.logs import LOGGER
from litellm_antigravity.models import family_of
from litellm_antigravity.pool import AccountPool
from litellm_antigravity.settings import Settings
from litellm_antigravity.simulator import LoggedRequest
from litellm_antigravity.state.disk import DiskStore

pytestmark = pytest.mark.once

CANARY = "1//canary-refresh-token"
PROGRAM = [sys.executable, "-c", "from litellm_antigravity.cli import main; main()"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user who has nothing yet: no settings file, no accounts file, no state."""
    return new_home(tmp_path, monkeypatch)


def save(home: Path, *entries: dict[str, Any], name: str = "antigravity-accounts.json") -> Path:
    path = home / "config" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"version": 4, "accounts": list(entries), "activeIndex": 0}))
    path.chmod(0o600)
    return path


def entry(number: int, **more: Any) -> dict[str, Any]:
    return {"email": f"user{number}@gmail.com", "refreshToken": f"{CANARY}-{number}", **more}


def run(*args: str) -> Result:
    return CliRunner().invoke(cli, list(args), prog_name="litellm-antigravity")


# What a newcomer types first


def test_the_version_is_printed() -> None:
    result = run("--version")
    assert result.stdout == f"litellm-antigravity {__version__}\n"
    assert result.exit_code == 0


def test_help_lists_the_commands_in_the_order_of_first_use_and_says_where_settings_come_from() -> None:
    text = run("--help").stdout
    places = [text.index(f"\n  {name} ") for name in ("demo", "auth", "models", "status", "simulate")]
    assert places == sorted(places)
    assert "..." not in text[places[0] :]  # no summary is cut short
    assert "forbid third-party clients" in " ".join(text.split())
    assert "LITELLM_ANTIGRAVITY_<NAME>" in text


@pytest.mark.parametrize("command", [[], ["demo"], ["auth"], ["auth", "list"], ["models"], ["status"], ["simulate"]])
def test_help_imports_nothing_that_is_slow(command: list[str]) -> None:
    code = (
        "import sys\n"
        "from litellm_antigravity.cli import cli\n"
        "cli(sys.argv[1:], standalone_mode=False)\n"
        "slow = {'litellm', 'diskcache', 'aiohttp', 'rich', 'httpx', 'pydantic'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *command, "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: " in done.stdout


# auth list


def test_auth_list_prints_every_account_unmasked(home: Path) -> None:
    save(home, entry(1), entry(2))
    result = run("auth", "list")
    assert result.stdout == "2 account(s) saved:\n  1. user1@gmail.com\n  2. user2@gmail.com\n"
    assert (result.exit_code, result.stderr) == (0, "")


def test_auth_list_marks_disabled_accounts_and_names_those_without_an_e_mail_by_their_id(home: Path) -> None:
    save(home, entry(1, enabled=False), {"refreshToken": CANARY})
    lines = run("auth", "list").stdout.splitlines()
    assert lines[1] == "  1. user1@gmail.com (disabled)"
    assert lines[2].startswith("  2. (no e-mail) acct-")


def test_auth_list_reads_the_file_it_is_given(home: Path) -> None:
    save(home, entry(1))
    other = save(home, entry(7), name="other.json")
    assert run("auth", "list", "--accounts-file", str(other)).stdout.splitlines()[1:] == ["  1. user7@gmail.com"]


def test_auth_list_warns_of_a_broken_entry_on_standard_error_and_lists_the_others(home: Path) -> None:
    save(home, entry(1), {"email": "user2@gmail.com", "refreshToken": 7})
    result = run("auth", "list")
    assert result.stdout == "1 account(s) saved:\n  1. user1@gmail.com\n"
    assert result.stderr.startswith("Warning: ")
    assert result.stderr.count("\n") == 1
    assert result.exit_code == 0


# Errors


def test_without_an_accounts_file_the_error_says_what_to_do(home: Path) -> None:
    for command in (["auth", "list"], ["status"]):
        result = run(*command)
        assert result.exit_code == 1
        assert result.stdout == ""
        assert result.stderr.startswith("Error: ")
        assert str(home / "config" / "antigravity-accounts.json") in result.stderr
        assert "litellm-antigravity demo" in result.stderr


def test_a_wrong_setting_is_one_error_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_ACCOUNT_SELECTION_STRATEGY", "round_robin")
    result = run("status")
    assert result.exit_code == 1
    assert "LITELLM_ANTIGRAVITY_ACCOUNT_SELECTION_STRATEGY" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unexpected_exception_is_one_line_that_says_how_to_see_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: AccountsFile) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(AccountsFile, "load", fail)
    result = run("auth", "list")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "ZeroDivisionError" in result.stderr
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_DEBUG", "1")
    assert isinstance(run("auth", "list").exception, ZeroDivisionError)


def test_a_reader_that_goes_away_is_no_error_message(home: Path) -> None:
    save(home, entry(1))
    reading, writing = os.pipe()
    os.close(reading)
    try:
        for command in (["auth", "list"], ["status"], ["status", "--json"]):
            done = subprocess.run([*PROGRAM, *command], stdout=writing, stderr=subprocess.PIPE, check=False)
            assert done.stderr == b""
    finally:
        os.close(writing)


def test_a_standard_stream_that_is_closed_is_as_good_as_an_empty_one(home: Path) -> None:
    """A closed stdout or stdin was an AttributeError ("something unexpected happened") for some commands."""
    save(home, entry(1), name="more.json")

    def said(arguments: str, *, code: int) -> str:
        line = f"{shlex.join(PROGRAM)} {arguments}"
        done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        return done.stderr

    assert "ended before the question" in said("auth import config/more.json <&-", code=1)
    assert "Nothing came in" in said("auth import - --yes <&-", code=1)
    assert "There is no question" in said("ask - --model gemini-3-flash <&-", code=2)
    assert said("auth import config/more.json --yes >&-", code=0) == ""
    assert said("auth list >&-", code=0) == ""
    assert said("auth list --json 2>&- >&- <&-", code=0) == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device that is always full: Linux has it")  # noqa: PTH110 - a device
def test_a_full_disk_is_told_of_as_one(home: Path) -> None:
    save(home, entry(1))
    for command in (["completion", "bash"], ["auth", "list"], ["status", "--json"]):
        with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
            done = subprocess.run([*PROGRAM, *command], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        assert done.returncode == 1
        said = "Error: The output cannot be written: there is no space left on the disk. Make room there and try again."
        assert " ".join(done.stderr.split()) == said


def test_the_command_line_leaves_the_applications_logging_as_it_was(home: Path) -> None:
    save(home, entry(1))
    before = list(LOGGER.handlers), LOGGER.level, LOGGER.propagate
    run("auth", "list")
    assert (list(LOGGER.handlers), LOGGER.level, LOGGER.propagate) == before


def test_decisions_asked_for_by_the_setting_debug_do_not_stay_visible(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(home, entry(1))
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_DEBUG", "1")
    code = """
        import logging
        from click.testing import CliRunner
        from support import answer
        from litellm_antigravity.cli import cli
        from litellm_antigravity.logs import LOGGER

        answer([CliRunner().invoke(cli, ["status"]).exit_code, LOGGER.isEnabledFor(logging.DEBUG)])
    """
    assert run_python(code) == [0, False]


# auth retry


@pytest.fixture
def store(home: Path) -> Iterator[DiskStore]:
    store = DiskStore(home / "state")
    yield store
    store.close()


def ids(path: Path) -> list[str]:
    return [account.id for account in AccountsFile(path).load().accounts]


def test_an_account_that_was_verified_is_used_again_by_every_process(home: Path, store: DiskStore) -> None:
    first, second = ids(save(home, entry(1), entry(2)))
    for account in (first, second):
        store.extend_cooldown(Cooldown(account, "*", float("inf"), "verification", NOW, fact=True))
    result = run("auth", "retry", "User1@gmail.com")
    assert result.exit_code == 0, result.output
    assert "user1@gmail.com is used again (it was out: verification)." in result.stdout
    assert [one.account.id for one in AccountPool(store=store).states() if not one.cooldowns] == [first]
    assert "was not out" in run("auth", "retry", "user1@gmail.com").stdout


def test_an_account_that_there_is_not_cannot_be_used_again(home: Path) -> None:
    save(home, entry(1))
    result = run("auth", "retry", "stranger@gmail.com")
    assert result.exit_code == 1
    assert "There is no account 'stranger@gmail.com'" in result.stderr
    assert "user1@gmail.com" in result.stderr


def test_what_the_accounts_file_says_of_an_account_stays_in_force(home: Path) -> None:
    save(home, entry(1, coolingDownUntil=9e12))
    result = run("auth", "retry", "user1@gmail.com")
    assert "was not out" in result.stdout
    assert "stays in force" in result.stdout


# What the demo tells


def asked(worker: int, account: int, status: int, at: float, model: str = "claude-sonnet-4-6") -> LoggedRequest:
    kind = {200: "served", 429: "quota"}[status]
    headers = {"user-agent": user_agent_of(worker)}
    email = f"user{account}@example.com"
    return LoggedRequest(at, "/v1internal:x", email, model, family_of(model), status, kind, False, 1, None, headers)


def test_a_429_that_one_worker_met_is_told_with_what_all_did_then() -> None:
    facts = facts_of(
        [
            asked(1, 1, 200, 10.0),
            asked(2, 1, 429, 10.5),
            asked(2, 2, 200, 10.508),
            asked(1, 3, 200, 11.0),
            asked(3, 3, 200, 12.0),
        ]
    )
    assert facts.served == {("user1@example.com", 1): 1, ("user2@example.com", 2): 1, ("user3@example.com", 1): 1} | {
        ("user3@example.com", 3): 1
    }
    assert facts.served_by("user3@example.com") == 2
    assert facts.first_asked == {1: "user1@example.com", 2: "user1@example.com", 3: "user3@example.com"}
    assert facts.seconds == 2.0
    (story,) = facts.stories
    assert (story.email, story.worker, story.after) == ("user1@example.com", 2, 0.5)
    assert list(tell(story, workers=3)) == [
        "Worker 2 asked user2@example.com 8 ms later, and was served.",
        "The other 2 workers never asked it again, with 2 more requests sent.",
    ]


def test_workers_that_asked_a_limited_account_all_the_same_are_told_of() -> None:
    (story,) = facts_of(
        [asked(1, 1, 429, 5.0), asked(2, 1, 429, 5.004), asked(1, 2, 200, 5.1), asked(2, 2, 200, 6.5)]
    ).stories
    assert list(tell(story, workers=2)) == [
        "Worker 1 asked user2@example.com 100 ms later, and was served.",
        "Worker 2 asked it 4 ms after that, and got a 429 too.",
        "Then nobody did, with 2 more requests sent.",
    ]


def test_a_worker_that_nobody_served_is_told_of() -> None:
    (story,) = facts_of([asked(1, 1, 429, 5.0)]).stories
    assert list(tell(story, workers=4)) == [
        "Worker 1 was not served by any other account.",
        "The other 3 workers had sent all their requests by then.",
    ]


def test_requests_that_are_not_the_workers_do_not_count() -> None:
    token = LoggedRequest(1.0, "/token", "user1@example.com", None, None, 200, "token", False, 0, None, {})
    stranger = LoggedRequest(
        2.0, "/v1internal:x", "user1@example.com", "m", "gemini", 429, "quota", False, 1, None, {"user-agent": "curl"}
    )
    facts = facts_of([token, stranger])
    assert (facts.served.total(), facts.refused.total(), facts.stories) == (0, 0, ())


def test_process_ids_that_collide_are_explained() -> None:
    facts = RoundFacts(served=facts_of([]).served, refused=facts_of([]).refused, stories=(), first_asked={}, seconds=0)
    said = {}
    for pids in ((8, 9, 10, 11), (8, 9, 10, 12)):
        console = Console(file=io.StringIO(), width=140)
        show_starts(console, dict(enumerate(pids, 1)), 4, facts)
        assert isinstance(console.file, io.StringIO)
        said[pids] = console.file.getvalue()
    assert "11 % 4 = 3" in said[8, 9, 10, 11]
    assert "slot" not in said[8, 9, 10, 11]
    assert "offset_source: slot" in said[8, 9, 10, 12]


def test_bars_show_shares_and_fall_back_to_ascii() -> None:
    assert (block_for("utf-8"), block_for("ascii"), block_for("no such encoding")) == ("\u2588", "#", "#")
    assert bar_of(0, 10, "#") == ""
    assert len(bar_of(10, 10, "#")) == 2 * len(bar_of(5, 10, "#"))
    assert bar_of(1, 1000, "#") == "#"


def test_a_worker_that_dies_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    with Crew(1, tmp_path, {"PYTHONHOME": str(tmp_path)}) as crew, pytest.raises(click.ClickException) as caught:
        crew.wait_ready(print, lambda _: None)
    assert "Worker 1 (process " in caught.value.message
    assert "exit code 1" in caught.value.message
    assert "encodings" in caught.value.message  # what an interpreter without its library complains about


# Whole commands, as processes


@contextlib.contextmanager
def started(*args: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command in a process group of its own, which is gone afterwards."""
    process = subprocess.Popen(
        [*PROGRAM, *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **variables},
    )
    try:
        with process:
            yield process
            process.kill()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def is_gone(group: int, patience: float = 15.0) -> bool:
    """Return whether no process of a group is left, soon."""
    for _ in range(int(patience / 0.05)):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def wait_for(condition: Any, patience: float = HANG_SECONDS) -> None:
    for _ in range(int(patience / 0.05)):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("waited in vain")


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


def test_the_demo_shows_three_strategies_and_every_429_and_how_to_go_on(home: Path, temporary: Path) -> None:
    save(home).write_text("not JSON")
    (home / "config" / "antigravity.json").write_text("not JSON either")  # the demo needs nothing of the user's
    surroundings = {
        "TMPDIR": str(temporary),
        "PYTHONIOENCODING": "ascii",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "LITELLM_ANTIGRAVITY_ACCOUNT_SELECTION_STRATEGY": "nonsense",
    }
    with started("demo", **surroundings) as process:
        out, err = process.communicate(timeout=HANG_SECONDS)
    assert (process.returncode, err) == (0, "")
    for number, strategy in enumerate(("sticky", "round-robin", "hybrid"), 1):
        assert f"Strategy {number} of 3: {strategy}" in out
    assert out.count("24 requests served, ") == 3
    assert out.count(" 0 failures") == 3
    assert "429 from user1@example.com" in out
    assert "never asked it again" in out or "Then nobody did" in out
    assert out.count("Worker 1:") == 1
    assert "###" in out
    assert out.isascii()
    assert "\x1b" not in out  # no colours and no animation on a pipe
    last = out.splitlines()[-1]
    assert "your own accounts" in last
    assert str(home / "config" / "antigravity-accounts.json") in last
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_stopped_leaves_no_process_and_no_folder(temporary: Path, number: signal.Signals) -> None:
    with started("demo", TMPDIR=str(temporary)) as process:
        wait_for(lambda: list(temporary.glob("*/starter-1.log")))
        os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
        out, err = process.communicate(timeout=HANG_SECONDS)
        assert is_gone(process.pid)
    assert (process.returncode, err) == (130, "Stopped.\n")
    assert "Traceback" not in out
    assert list(temporary.iterdir()) == []


def test_a_worker_does_not_outlive_a_demo_that_was_killed(temporary: Path) -> None:
    with started("demo", TMPDIR=str(temporary)) as process:
        wait_for(lambda: list(temporary.glob("*/starter-1.log")))
        process.kill()
        process.wait()
        assert is_gone(process.pid, patience=60)  # before the worker itself gives up


def test_simulate_says_how_to_use_it_and_shows_each_request_and_sums_up(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with started("simulate", "--port", "0", "--accounts", "2", "--quota", "1", TMPDIR=str(temporary)) as process:
        assert process.stdout is not None
        variables = {}
        for line in iter(process.stdout.readline, "\n"):
            assert "2 accounts" in line or "another terminal" in line
        for line in iter(process.stdout.readline, "\n"):
            name, _, value = line.removeprefix("export ").strip().partition("=")
            variables[name] = shlex.split(value)[0]
        steering = list(iter(process.stdout.readline, "\n"))
        assert "Authorization: Bearer" in steering[-1]
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert Path(variables["LITELLM_ANTIGRAVITY_ACCOUNTS_FILE"]).stat().st_mode & 0o777 == 0o600
        dispatcher = Dispatcher(Settings(account_selection_strategy="sticky"))
        body = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
        for _ in range(2):
            dispatcher.complete(GeminiRequest("claude-sonnet-4-6", body))
        dispatcher.pool.store.close()
        lines = [process.stdout.readline() for _ in range(5)]
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=HANG_SECONDS)
        assert is_gone(process.pid)
    assert [line.split()[1:4] for line in lines] == [
        ["200", "token", "user1@example.com"],
        ["200", "served", "user1@example.com"],
        ["429", "quota", "user1@example.com"],
        ["200", "token", "user2@example.com"],
        ["200", "served", "user2@example.com"],
    ]
    assert lines[1].split()[4:] == ["/v1internal:generateContent", "claude-sonnet-4-6"]
    assert out.strip() == "5 request(s): 2 served, 1 x 429, 2 access token(s) issued."
    assert (process.returncode, err) == (0, "")
    assert list(temporary.iterdir()) == []


def test_simulate_writes_the_accounts_file_where_it_is_told_and_removes_it(home: Path, temporary: Path) -> None:
    path = home / "here" / "accounts.json"
    with started("simulate", "--port", "0", "--accounts-file", str(path), TMPDIR=str(temporary)) as process:
        wait_for(path.exists)
        assert len(json.loads(path.read_text())["accounts"]) == 4
        process.terminate()
        process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 0
    assert not path.exists()


def test_simulate_does_not_overwrite_an_accounts_file(home: Path) -> None:
    path = save(home, entry(1))
    before = path.read_bytes()
    result = run("simulate", "--port", "0", "--accounts-file", str(path))
    assert result.exit_code == 1
    assert "exists already" in result.stderr
    assert path.read_bytes() == before


def test_a_port_in_use_is_an_error_with_a_remedy() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run("simulate", "--port", str(port))
    assert result.exit_code == 1
    assert f"port {port} is in use" in result.stderr
    assert "--port 0" in result.stderr


def test_simulate_refuses_to_switch_off_a_rule_that_there_is_not() -> None:
    result = CliRunner().invoke(cli, ["simulate", "--port", "0", "--without-rule", "claude-manners"])
    assert result.exit_code == 2
    assert "no such rule: 'claude-manners'; there are calls-answered" in " ".join(result.output.split())
