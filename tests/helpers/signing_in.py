"""What tests of signing in need: a user who has nothing yet, and people who use the authorization page."""

from __future__ import annotations

import json
import os
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result
from support import ROOT

from litellm_antigravity.cli import cli
from litellm_antigravity.dispatch import Dispatcher, GeminiRequest
from litellm_antigravity.settings import Settings
from litellm_antigravity.simulator import SimulatedAccount, Simulator
from litellm_antigravity.simulator.accounts import write_private
from litellm_antigravity.simulator.people import agree

EMAILS = [f"user{number}@gmail.com" for number in range(1, 5)]


def run(*args: str, typed: str = "") -> Result:
    """Run a command in this process, with what is typed at its questions."""
    return CliRunner().invoke(cli, list(args), prog_name="litellm-antigravity", input=typed)


class User:
    """A user with an empty home, whose Google is the simulator.

    Attributes:
        folder: the home.
        simulator: has `EMAILS`.
        accounts_file: not there yet.
        client_secrets: the OAuth client, in Google's JSON form.
    """

    def __init__(self, folder: Path, simulator: Simulator) -> None:
        self.folder = folder
        self.simulator = simulator
        self.accounts_file = folder / "config" / "opencode" / "antigravity-accounts.json"
        self.client_secrets = write_private(folder / "client_secret.json", simulator.client_secrets())

    def environment(self, *, with_client: bool = False) -> dict[str, str]:
        """Return the variables that point a process at the simulator."""
        variables = self.simulator.environment(self.accounts_file, self.folder / "state")
        del variables["LITELLM_ANTIGRAVITY_ACCOUNTS_FILE"]  # it is where it is by default
        if not with_client:
            del variables["LITELLM_ANTIGRAVITY_OAUTH_CLIENT_ID"]
            del variables["LITELLM_ANTIGRAVITY_OAUTH_CLIENT_SECRET"]
        return {
            **variables,
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "BROWSER": "true",
            "PYTHONPATH": str(ROOT),
        }

    def save(self, *emails: str, **more: Any) -> None:
        """Write an accounts file, without OAuth clients, as opencode-antigravity-auth does."""
        entries = [
            {"email": email, "refreshToken": self.simulator.account(email).refresh_token, "projectId": "sim-project"}
            for email in emails
        ]
        self.accounts_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.accounts_file.write_text(json.dumps({"version": 4, "accounts": entries, "activeIndex": 0, **more}))
        self.accounts_file.chmod(0o600)

    def entries(self) -> list[dict[str, Any]]:
        """Return what the accounts file has."""
        found: list[dict[str, Any]] = json.loads(self.accounts_file.read_text())["accounts"]
        return found

    def emails(self) -> list[str]:
        """Return who is in the accounts file; nobody when there is none."""
        return [entry["email"] for entry in self.entries()] if self.accounts_file.exists() else []

    def login(self, *args: str, typed: str = "y\nn\n") -> Result:
        """Run ``auth login`` with this user's client."""
        return run("auth", "login", "--client-secrets", str(self.client_secrets), *args, typed=typed)


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[User]:
    """Return a user who has an OAuth client, and nothing else."""
    for name in list(os.environ):
        if name.startswith(("LITELLM_ANTIGRAVITY_", "OPENCODE_")):
            monkeypatch.delenv(name)
    with Simulator([SimulatedAccount(email) for email in EMAILS]) as simulator:
        user = User(tmp_path, simulator)
        for name, value in user.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        yield user


class Browser:
    """In the place of the user's browser: what `do` is told of each page, in a thread of its own.

    Attributes:
        pages: the addresses that were opened.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pages: list[str] = []
        self._do: Callable[[str], object] = lambda _: None
        self._threads: list[threading.Thread] = []
        monkeypatch.setattr(webbrowser, "open", self._open)

    def _open(self, url: str) -> bool:
        self.pages.append(url)
        thread = threading.Thread(target=self._do, args=(url,))
        self._threads.append(thread)
        thread.start()
        return True

    def does(self, what: Callable[[str], object]) -> None:
        """Let this be done with the pages that are opened from now on."""
        self._do = what

    def agrees_as(self, *emails: str, **options: Any) -> None:
        """Let the user agree on each page, as one after the other."""
        left = list(emails)
        self.does(lambda url: visit(agree(url, left.pop(0), **options)))

    def join(self) -> None:
        """Wait until all is done."""
        for thread in self._threads:
            thread.join()


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    """Return a browser that does nothing by itself."""
    browser = Browser(monkeypatch)
    yield browser
    browser.join()


def visit(address: str) -> httpx.Response:
    """Go to a page of loopback, as a browser that is redirected there."""
    return httpx.get(address, trust_env=False)


PROGRAM = [sys.executable, "-c", "from litellm_antigravity.cli import main; main()"]

BODY = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}


def served(model: str = "claude-sonnet-4-6") -> Any:
    """Send one request through the real path, with the settings of the environment; return who served it."""
    dispatcher = Dispatcher(Settings())
    try:
        return dispatcher.complete(GeminiRequest(model, BODY))
    finally:
        dispatcher.pool.store.close()
