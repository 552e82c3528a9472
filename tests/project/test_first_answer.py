"""README's "From nothing to the first answer", followed literally with the simulator as Google."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from signing_in import EMAILS, User, user, visit
from support import HANG_SECONDS, ROOT

from litellm_antigravity.simulator.people import agree

__all__ = ["user"]  # a fixture

pytestmark = pytest.mark.once

README = (ROOT / "README.md").read_text("utf-8")
AT_THE_QUESTIONS = {"login": "y\nn\n"}  # the terms; another account


def commands() -> list[list[str]]:
    """Return the commands of that section."""
    section = re.search(r"^## From nothing to the first answer\n(.*?)^## ", README, re.MULTILINE | re.DOTALL)
    assert section is not None
    [block] = re.findall(r"^```bash\n(.*?)^```", section[1], re.MULTILINE | re.DOTALL)
    return [shlex.split(line) for line in block.splitlines()]


@pytest.fixture
def agreeing(user: User) -> Iterator[dict[str, str]]:
    """The environment of a user whose browser agrees to what it is shown."""
    pages = user.folder / "pages"
    os.mkfifo(pages)
    opener = user.folder / "browser"
    opener.write_text(f'#!/bin/sh\necho "$1" >{shlex.quote(str(pages))}\n')
    opener.chmod(0o700)

    def use() -> None:
        page = pages.read_text().strip()
        if page:
            visit(agree(page, EMAILS[0]))

    person = threading.Thread(target=use)
    person.start()
    yield {**os.environ, **user.environment(), "BROWSER": f"{opener} %s"}
    if person.is_alive():
        pages.write_text("\n")  # nobody opened a page
    person.join()


@pytest.mark.skipif(sys.platform == "win32", reason="the browser is a shell script")
def test_three_commands_lead_to_an_answer(user: User, agreeing: dict[str, str]) -> None:
    said = {}
    for program, *arguments in commands():
        assert program == ".venv/bin/litellm-antigravity"
        name = next(one for one in reversed(arguments[:2]) if not one.startswith("-") and " " not in one)
        done = subprocess.run(
            [sys.executable, "-c", "from litellm_antigravity.cli import main; main()", *arguments],
            input=AT_THE_QUESTIONS.get(name, ""),
            capture_output=True,
            text=True,
            timeout=HANG_SECONDS,
            check=False,
            cwd=user.folder,  # where client_secret.json is
            env=agreeing,
        )
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        said[arguments[0] if arguments[0] != "auth" else arguments[1]] = done.stdout + done.stderr
    assert list(said) == ["login", "verify", "ask"]
    assert user.emails() == [EMAILS[0]]
    assert "Google's Antigravity terms" in said["login"]
    assert f"Served by {EMAILS[0]}" in said["ask"]
    assert EMAILS[0] in said["verify"]
    accounts_file = Path(user.accounts_file)
    assert accounts_file.stat().st_mode & 0o777 == 0o600
