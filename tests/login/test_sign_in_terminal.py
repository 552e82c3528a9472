"""The walk of a new user in real terminals, with tmux."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from signing_in import EMAILS, User, user
from support import HANG_SECONDS

from litellm_antigravity.cli import cli

__all__ = ["user"]  # a fixture

pytestmark = [pytest.mark.once, pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")]

_ASK = """\
import litellm, litellm_antigravity
litellm_antigravity.register()
reply = litellm.completion(model="antigravity/claude-sonnet-4-6", messages=[{"role": "user", "content": "Hello"}])
print(reply.choices[0].message.content)
"""


class Terminals:
    """Windows of one tmux server of its own."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._tmux = ["tmux", "-S", str(folder / "tmux"), "-f", "/dev/null"]
        self._folder = folder
        self._environment = {**os.environ, **environment, "TERM": "xterm-256color", "PS1": "$ "}

    def open(self, name: str) -> None:
        """Open a terminal of 120 columns with a shell in it."""
        kind = ["new-session", "-d", "-x", "120", "-y", "50", "-s", name]
        subprocess.run([*self._tmux, *kind, "bash", "--norc", "--noprofile"], env=self._environment, check=True)

    def type(self, name: str, text: str) -> None:
        """Type a line."""
        subprocess.run([*self._tmux, "send-keys", "-t", name, "-l", text], check=True)
        subprocess.run([*self._tmux, "send-keys", "-t", name, "Enter"], check=True)

    def screen(self, name: str) -> str:
        """Return what the terminal shows, and has shown; lines that it broke are whole again."""
        shown = subprocess.run(
            [*self._tmux, "capture-pane", "-t", name, "-p", "-J", "-S", "-500"],
            capture_output=True,
            text=True,
            check=True,
        )
        return shown.stdout

    def wait(self, name: str, pattern: str) -> re.Match[str]:
        """Return when a terminal shows something that matches."""
        ends = time.monotonic() + HANG_SECONDS
        while time.monotonic() < ends:
            screen = self.screen(name)
            if found := re.search(pattern, screen):
                return found
            time.sleep(0.1)
        raise AssertionError(f"no {pattern!r} in\n{self.screen(name)}")

    def close(self) -> None:
        """End all of them."""
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)


@pytest.fixture
def terminals(user: User) -> Iterator[Terminals]:
    tools = user.folder / "bin"
    tools.mkdir()
    program = tools / "litellm-antigravity"
    program.write_text(f"#!{sys.executable}\nfrom litellm_antigravity.cli import main\nmain()\n")
    program.chmod(0o755)
    person = user.folder / "person.py"
    person.write_text(
        "import sys, httpx\n"
        "from litellm_antigravity.simulator.people import agree\n"
        "httpx.get(agree(sys.argv[2], sys.argv[1]), trust_env=False)\n"
    )
    (user.folder / "ask.py").write_text(_ASK)
    terminals = Terminals(
        user.folder,
        {
            **user.environment(with_client=True),
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "BROWSER": f"{sys.executable} {person} {EMAILS[2]} %s",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        },
    )
    yield terminals
    terminals.close()


def test_two_accounts_a_third_by_signing_in_and_two_terminals_on_different_ones(
    user: User, terminals: Terminals
) -> None:
    user.save(*EMAILS[:2])
    terminals.open("first")
    terminals.type("first", "litellm-antigravity auth list")
    terminals.wait("first", r"(?m)^2 account\(s\) saved:$")
    terminals.type("first", "clear; litellm-antigravity auth login")
    terminals.wait("first", re.escape("(a)dd new account(s) or (f)resh start? [a/f]: "))
    terminals.type("first", "a")
    terminals.wait("first", rf"Signed in as {re.escape(EMAILS[2])}")
    terminals.wait("first", r"Add another account\? \[y/N\]: ")
    terminals.type("first", "n")
    terminals.wait("first", r"\[y/N\]: n\n(.*\n)?\$ ")
    terminals.type("first", "clear; litellm-antigravity auth list")
    terminals.wait("first", rf"(?m)^3 account\(s\) saved:\n(.*\n)+.*{re.escape(EMAILS[2])}")

    settings = (
        "LITELLM_ANTIGRAVITY_ACCOUNT_SELECTION_STRATEGY=sticky LITELLM_ANTIGRAVITY_PID_OFFSET_ENABLED=true "
        "LITELLM_ANTIGRAVITY_DEBUG=1"
    )
    has_ask = "ask" in cli.commands
    ask = (
        "litellm-antigravity ask Hello --model claude-sonnet-4-6"
        if has_ask
        else f"{shlex.quote(sys.executable)} ask.py"
    )
    served: dict[int, str] = {}
    for name in ("first", "second"):
        if name == "second":
            terminals.open(name)
        # A shell becomes the command, with its process id: one that is not the other terminal's modulo three.
        wanted = "-ge 0" if not served else f"-ne {next(iter(served))}"
        chosen = (
            f"for _ in 1 2 3 4 5 6; do env {settings} sh -c 'test $(($$ % 3)) {wanted} && exec {ask}' && break; done"
        )
        terminals.type(name, f"clear; {chosen}")
        offset = int(
            terminals.wait(name, r"\[accounts\] Applying PID offset: (\d) \(process\.pid % accounts\.length\)")[1]
        )
        assert terminals.wait(name, r"\[accounts\] Starting account index for 'claude': (\d)")[1] == str(offset)
        served[offset] = terminals.wait(name, r"Served by (\S+) with claude-sonnet-4-6")[1]
    assert len(served) == 2
    assert served == {offset: EMAILS[offset] for offset in served}
