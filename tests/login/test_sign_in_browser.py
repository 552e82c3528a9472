"""Signing in with a real browser; `.ci/run` installs it."""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from signing_in import EMAILS, User, user
from support import HANG_SECONDS

__all__ = ["user"]  # a fixture

SCRIPT = Path(__file__).with_name("sign_in_browser.js")
PROGRAM = [sys.executable, "-c", "from litellm_antigravity.cli import main; main()"]


@functools.cache
def what_is_missing() -> str | None:
    if shutil.which("chromium") is None:
        return "needs chromium"
    node = shutil.which("node")
    found = node and subprocess.run([node, "-e", 'require("playwright-core")'], capture_output=True, check=False)
    return None if found and found.returncode == 0 else "needs playwright-core where node finds it (NODE_PATH)"


pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(what_is_missing() is not None, reason=what_is_missing() or ""),
]


def sign_in(user: User, button: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run ``auth login`` and press a button in the browser that it opens; return how it ends and what was shown."""
    shown = user.folder / "shown"
    done = subprocess.run(
        [*PROGRAM, "auth", "login", "--client-secrets", str(user.client_secrets), "--yes"],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
        env={
            **os.environ,
            **user.environment(),
            "BROWSER": f"{shutil.which('node')} {shlex.quote(str(SCRIPT))} {shlex.quote(button)} %s",
            "SIGN_IN_CHROMIUM": shutil.which("chromium") or "",
            "SIGN_IN_SHOWN": str(shown),
        },
    )
    return done, wait_for_lines(shown)


def wait_for_lines(path: Path) -> list[str]:
    """Return what the browser has shown; it may outlive the command by a moment."""
    for _ in range(600):
        if path.exists():
            break
        time.sleep(0.1)
    return path.read_text().splitlines() if path.exists() else []


def test_an_account_is_chosen_in_chromium_and_is_there(user: User) -> None:
    user.save(EMAILS[0])
    done, shown = sign_in(user, EMAILS[1])
    assert done.returncode == 0, done.stdout + done.stderr
    assert user.emails() == EMAILS[:2]
    assert user.entries()[1]["refreshToken"] == user.simulator.account(EMAILS[1]).refresh_token
    assert shown == ["Thank you"]


def test_a_no_in_chromium_is_said_in_the_terminal(user: User) -> None:
    done, shown = sign_in(user, "Cancel")
    assert done.returncode == 1
    assert "declined in the browser" in done.stderr
    assert user.emails() == []
    assert shown == ["Nothing has changed"]
