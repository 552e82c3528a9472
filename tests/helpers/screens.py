"""Screens of the command line: what each command shows, at three widths, with and without colours.

A screen is a command line and what there is when it is typed: one line in `SCREENS`. What it shows is kept in
``tests/cli/screens/``; ``pytest tests/cli/test_screens.py --update-screens`` writes it anew, for somebody to look at.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import re
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.text import Text
from support import NOW, ROOT, FakeClock

from litellm_antigravity._version import __version__
from litellm_antigravity.accounts import AccountsFile
from litellm_antigravity.cli import cli
from litellm_antigravity.clock import SystemClock
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.observability.ring import Ring
from litellm_antigravity.pool import AccountPool
from litellm_antigravity.settings import Settings
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.state.rows import Presence

FOLDER = ROOT / "tests" / "cli" / "screens"
WIDTHS = (60, 80, 120)
PROGRAM = "litellm-antigravity"

_HOME_SHOWN = "<the-user's-home>"
_HOME_PREFIX = "/tmp/you-"  # noqa: S108 - with what `mkdtemp` adds it is as long as what is shown: lines break alike
_VERIFY = (
    "https://accounts.google.com/signin/continue?sarp=1&scc=1&continue=https://developers.google.com/gemini-code-assist"
    "/auth/auth_success_gemini&plt=AKgnsbvK3xX0000000000000000000000000000000000000000000000000000000"
)
_SECONDS = re.compile(r"\b\d+\.\d s\b")


@dataclass
class Home:
    """A user's home folder.

    Attributes:
        path: of the folder.
        patch: for environment variables, until the screen has been shown.
        open: what is closed then: stores above all; the processes that they stand for live as long.
    """

    path: Path
    patch: pytest.MonkeyPatch
    open: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def save(self, *entries: dict[str, Any]) -> list[str]:
        """Write the accounts file; return the accounts' ids."""
        file = self.path / ".config" / "opencode" / "antigravity-accounts.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"version": 4, "accounts": list(entries), "activeIndex": 0}))
        file.chmod(0o600)
        return [account.id for account in AccountsFile(file).load().accounts]

    def store(self) -> DiskStore:
        """Return the shared state, as one more process has it open."""
        store = DiskStore(Settings().state_dir)
        self.open.callback(store.close)
        return store

    def process(self, pid: int, strategy: str = "sticky", slot: int | None = None, **current: str) -> None:
        """Let another process be on accounts."""
        self.store().announce(Presence(f"host:{pid}:1:ab", pid, strategy, NOW, slot, current))


@dataclass(frozen=True)
class Screen:
    """What is typed, and when.

    Attributes:
        line: the arguments.
        given: prepares the home folder.
        case: tells this screen from others of the same command line.
        typed: the answers to what it asks.
        piped: whether it is about there being no terminal.
    """

    line: str
    given: Callable[[Home], object] = lambda _: None
    case: str = ""
    typed: str | None = None
    piped: bool = False

    @property
    def name(self) -> str:
        """The name of its file."""
        words = re.sub(r"[^A-Za-z0-9]+", "-", f"{self.line} {self.case}").strip("-")
        return words or "nothing"

    def __str__(self) -> str:
        return self.name


# What there may be


def nothing(_: Home) -> None:
    """A newcomer."""


def entry(number: int, **more: Any) -> dict[str, Any]:
    return {
        "email": f"user{number}@gmail.com",
        "refreshToken": f"1//refresh-token-{number}",
        "oauthClient": {"clientId": "client", "clientSecret": "a-secret"},
        **more,
    }


def two_accounts(home: Home) -> list[str]:
    return home.save(entry(1), entry(2))


def a_busy_day(home: Home) -> None:
    """Everything at once: a quota, a model that is not there, a verification, somebody switched off, processes."""
    first, second, third, fourth, fifth, _ = home.save(
        entry(1),
        entry(2, email="a.rather.long.name.of.somebody@department.company.example.com"),
        entry(3),
        entry(4, enabled=False),
        entry(5, disabledFamilies=["claude"], label="spare"),
        entry(6, oauthClient=None),
    )
    store = home.store()
    store.extend_cooldown(Cooldown(first, "claude", NOW + 735, "quota", NOW, fact=True))
    store.extend_cooldown(Cooldown(second, "gemini", NOW + 20, "transport", NOW))
    store.extend_cooldown(Cooldown(second, "model:gemini-3.1-pro-low", NOW + 90, "not-available", NOW))
    said = "Verify your account to continue."
    banned = Cooldown(third, "*", math.inf, "verification", NOW, fact=True, url=_VERIFY, message=said)
    store.extend_cooldown(banned)
    rules = AccountPool(store=store).rules
    store.begin_request(first, NOW - 200, rules, require_token=False)
    store.record_failure(second, "gemini", NOW - 5, rules, penalty="failure", refund=False)
    store.hold_capacity("claude-opus-4-6-thinking", NOW, 9)
    for pid in range(4711, 4719):
        home.process(pid, gemini=first)
    home.process(5120, "hybrid", claude=second)
    home.process(5121, "sticky", 0, claude=second, gemini=second)
    home.store().claim_slot("host:5121:1:ab")
    assert fourth != fifth


def nobody_free(home: Home) -> None:
    for number, account in enumerate(two_accounts(home), 1):
        home.store().extend_cooldown(Cooldown(account, "claude", NOW + 4000 * number, "quota", NOW, fact=True))


def everybody_banned(home: Home) -> None:
    said = "This service has been disabled in this account for violation of Terms of Service."
    for account in two_accounts(home):
        home.store().extend_cooldown(Cooldown(account, "*", math.inf, "banned", NOW, fact=True, message=said))


def worn_out(home: Home) -> None:
    first, _ = two_accounts(home)
    store = home.store()
    rules = AccountPool(store=store).rules
    for number in range(3):
        store.begin_request(first, NOW - 30 + number, rules, require_token=False)
        store.record_failure(first, "claude", NOW - 20 + 5 * number, rules, penalty="rate", refund=False)


def google(home: Home) -> None:
    """Accounts that a stand-in for Google knows, one of them with a quota that is used up."""
    simulator = home.open.enter_context(Simulator(2, clock=FakeClock()))
    accounts = simulator.write_accounts_file(home.path / "accounts.json")
    simulator.drain("user1@example.com", "claude")
    for name, value in simulator.environment(accounts, home.path / ".state").items():
        home.patch.setenv(name, value)
    home.patch.setenv("LITELLM_ANTIGRAVITY_ACCOUNT_SELECTION_STRATEGY", "sticky")


def google_away(home: Home) -> None:
    google(home)
    home.patch.setenv("LITELLM_ANTIGRAVITY_ENDPOINT", "http://127.0.0.1:9")


def wrong_setting(home: Home) -> None:
    two_accounts(home)
    file = home.path / ".config" / "opencode" / "antigravity.json"
    file.write_text('{"account_selection_strategy": "round_robin"}')


def a_day_of_requests(home: Home) -> None:
    """What three processes did, and what it took; one model has a price."""
    costs = {"claude-sonnet-4-6": {"input_cost_per_token": 3e-6, "output_cost_per_token": 15e-6}}
    home.patch.setenv("LITELLM_ANTIGRAVITY_MODEL_COSTS", str(home.path / "costs.json"))
    (home.path / "costs.json").write_text(json.dumps(costs))
    ring = Ring(Settings().state_dir)
    ring.open()
    names = ("us***1@gmail.com", "a.***y@department.company.example.com", "spare")
    for number in range(90):
        name, model = names[number % 3], ("claude-sonnet-4-6", "gemini-3-flash")[number % 5 == 0]
        about = {"t": NOW - 60.0 * (90 - number), "a": name, "m": model, "f": "claude", "p": 4711 + number % 2}
        ring.add({**about, "k": "chosen", "x": name, "s": "hybrid", "w": "best score", "n": [3, 3, 0]})
        if number % 9 == 4:
            ring.add({**about, "k": "refused", "c": "quota"})
            ring.add({**about, "k": "switched", "c": "quota"})
            ring.add({**about, "k": "waited", "w": "nobody", "d": 2.5})
        else:
            ring.add({**about, "k": "used", "u": [20_000, 15_000, 700]})


# One line for each screen; every command's --help is there without one (`help_screens`).

SCREENS = [
    Screen(""),
    Screen("--version"),
    Screen("statsu", case="misspelt"),
    Screen("auth list", two_accounts),
    Screen("auth list", case="no file"),
    Screen("auth list", a_busy_day, case="busy day"),
    Screen("auth verify", google),
    Screen("auth verify", google_away, case="no Google"),
    Screen("auth enable 4", a_busy_day),
    Screen("auth disable 1 --family claude", two_accounts),
    Screen("auth retry 3", a_busy_day),
    Screen("auth retry nobody", two_accounts),
    Screen("auth remove 1", two_accounts, typed="y\n"),
    Screen("auth export", two_accounts),
    Screen("models", google),
    Screen("models --offline"),
    Screen("status", two_accounts),
    Screen("status", a_busy_day, case="busy day"),
    Screen("status", nobody_free, case="nobody free"),
    Screen("status", everybody_banned, case="banned"),
    Screen("status", wrong_setting, case="wrong setting"),
    Screen("status", case="no file"),
    Screen("status --model claude-sonnet-4-6 --account 1 --account 2", a_busy_day),
    Screen("status --model claude-sonet-4-6", two_accounts, case="misspelt model"),
    Screen("status --account user", two_accounts, case="ambiguous"),
    Screen("status --watch", two_accounts, case="not a terminal", piped=True),
    Screen("status --watch --json", two_accounts),
    Screen("status --json", a_busy_day),
    Screen("why claude-sonnet-4-6", a_busy_day),
    Screen("why claude-sonnet-4-6", nobody_free, case="nobody free"),
    Screen("why --last 3", two_accounts, case="nothing remembered"),
    Screen("why", two_accounts, case="of what"),
    Screen("report", a_day_of_requests),
    Screen("report --since 30m --json", a_day_of_requests),
    Screen("report", two_accounts, case="nothing remembered"),
    Screen("report --since yesterday", two_accounts, case="no span"),
    Screen("reset", two_accounts, case="of what"),
    Screen("reset --all", a_busy_day, typed="y\n"),
    Screen("reset --all", a_busy_day, case="refused", typed="n\n"),
    Screen("reset --all", a_busy_day, case="nobody answers", typed=""),
    Screen("reset --all --force --yes", a_busy_day),
    Screen("reset user1@gmail.com --pool claude", a_busy_day),
    Screen("reset --all", two_accounts, case="nothing to lift"),
    Screen("reset --scores --all --yes", worn_out),
    Screen("reset --slot 0", a_busy_day, typed="y\n"),
    Screen("reset --slot 7", a_busy_day, case="not claimed"),
    Screen("completion", case="which shell"),
    Screen('ask "Hello" --model claude-sonnet-4-6', google, piped=True),
    Screen('ask "Hello"', google_away, case="no Google", piped=True),
    Screen('ask " "', two_accounts, case="no question"),
    Screen('ask "Hello"', case="no file"),
]


def help_screens() -> Iterator[Screen]:
    """Yield a screen for the ``--help`` of every command there is."""

    def walk(command: Any, path: str) -> Iterator[Screen]:
        yield Screen(f"{path} --help".strip())
        for name, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, f"{path} {name}".strip())

    return walk(cli, "")


# What it looks like


@contextlib.contextmanager
def home_of(screen: Screen) -> Iterator[Home]:
    """Give a home folder that is as the screen has it, in a world where time stands still."""
    path = Path(tempfile.mkdtemp(prefix=Path(_HOME_PREFIX).name, dir=Path(_HOME_PREFIX).parent))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SystemClock, "time", lambda _: NOW)
        patch.setenv("HOME", str(path))
        patch.setenv("XDG_CONFIG_HOME", str(path / ".config"))
        patch.setenv("XDG_STATE_HOME", str(path / ".state"))
        patch.setenv("OPENCODE_CONFIG_DIR", str(path / ".config" / "opencode"))
        patch.setenv("SHELL", "/bin/sh")
        patch.chdir(path)
        home = Home(path, patch)
        try:
            with home.open:
                screen.given(home)
                yield home
        finally:
            shutil.rmtree(path, ignore_errors=True)


@functools.cache
def shown(screen: Screen, width: int, *, colour: bool) -> str:
    """Return what a command shows, standard error included, and how it ends; ANSI codes included."""
    variables: dict[str, str | None] = {"COLUMNS": str(width), "LINES": "40", "TERM": "xterm-256color"}
    colour = colour and not screen.piped
    variables |= {"NO_COLOR": None, "COLORTERM": None, "FORCE_COLOR": "1" if colour else None}
    with home_of(screen) as home:
        result = CliRunner(env=variables).invoke(
            cli,
            shlex.split(screen.line),
            prog_name=PROGRAM,
            input=screen.typed or "",
            color=colour,
            terminal_width=min(width, 80),  # click's own rule for --help; its runner would have 80 always
        )
        text = result.output.replace(str(home.path), _HOME_SHOWN).replace(__version__, "1.2.3")
        text = _SECONDS.sub("0.4 s", text)
    return text + (f"[exit code {result.exit_code}]\n" if result.exit_code else "")


def rendered(screen: Screen) -> str:
    """Return a screen at all widths, with and without colours, as its file has it; colours as rich's markup."""
    found: dict[str, list[str]] = {}
    for width in WIDTHS:
        plain, coloured = shown(screen, width, colour=False), Text.from_ansi(shown(screen, width, colour=True))
        found.setdefault(plain, []).append(f"{width} columns")
        if coloured.markup.strip() != Text(plain).markup.strip():
            found.setdefault(f"{coloured.markup.rstrip()}\n", []).append(f"{width} columns with colours")
    screens = [f"\n=== {', '.join(where)}\n{text}" for text, where in found.items()]
    return "".join([f"$ {PROGRAM} {screen.line}".rstrip() + "\n", *screens])
