"""What goes wrong with a sign-in: it is said, and nothing is changed or left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

import click
import pytest
from signing_in import EMAILS, PROGRAM, Browser, User, browser, served, user, visit
from support import HANG_SECONDS

from litellm_antigravity.simulator.people import decline

__all__ = ["browser", "user"]  # fixtures

pytestmark = pytest.mark.once


def test_a_consent_that_is_denied_is_said_and_changes_nothing(user: User, browser: Browser) -> None:
    browser.does(lambda url: visit(decline(url)))
    result = user.login()
    assert result.exit_code == 1
    assert result.stderr == "Error: The sign-in was declined in the browser. Nothing has changed.\n"
    assert not user.accounts_file.parent.exists()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("server-error", "HTTP 500"),
        ("html", "without an access token"),
        ("html-error", "HTTP 502"),
        ("drop", "cannot be reached"),
    ],
)
def test_a_token_endpoint_that_fails_is_said_and_changes_nothing(
    user: User, browser: Browser, kind: Any, said: str
) -> None:
    user.save(EMAILS[1])
    before = user.accounts_file.read_bytes()
    user.simulator.refuse(kind, target="token")
    browser.agrees_as(EMAILS[0])
    result = user.login(typed="a\n")
    assert result.exit_code == 1
    assert "The token endpoint at 127.0.0.1" in result.stderr
    assert said in result.stderr
    assert user.accounts_file.read_bytes() == before


def test_a_wrong_secret_of_the_client_is_said_with_the_file_it_is_in(user: User, browser: Browser) -> None:
    document = json.loads(user.client_secrets.read_text())
    document["installed"]["client_secret"] = "another-secret"
    user.client_secrets.write_text(json.dumps(document))
    browser.agrees_as(EMAILS[0])
    result = user.login()
    assert result.exit_code == 1
    assert str(user.client_secrets) in result.stderr
    assert "another-secret" not in result.output


def test_a_userinfo_endpoint_that_fails_is_said_and_changes_nothing(user: User, browser: Browser) -> None:
    user.simulator.refuse("server-error", target="userinfo")
    browser.agrees_as(EMAILS[0])
    result = user.login()
    assert result.exit_code == 1
    assert "does not say who has signed in (HTTP 500)" in result.stderr
    assert not user.accounts_file.exists()


def test_a_consent_without_the_use_of_google_cloud_is_no_use(user: User, browser: Browser) -> None:
    browser.agrees_as(EMAILS[0], cloud=False)
    result = user.login()
    assert result.exit_code == 1
    assert "leave every box on the page ticked" in result.stderr
    assert not user.accounts_file.exists()


def test_a_project_that_cannot_be_had_now_is_no_reason_to_lose_the_sign_in(user: User, browser: Browser) -> None:
    user.simulator.refuse("server-error", target="project", times=1)
    browser.agrees_as(EMAILS[0])
    result = user.login()
    assert result.exit_code == 0, result.output
    assert "Warning: its project is not known yet" in result.stderr
    assert "managedProjectId" not in user.entries()[0]
    served()


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("hand", [False, True], ids=["browser", "by hand"])
def test_ctrl_c_leaves_nothing(user: User, hand: bool) -> None:
    before = sorted(user.folder.rglob("*"))
    process = subprocess.Popen(
        [
            *PROGRAM,
            "auth",
            "login",
            "--client-secrets",
            str(user.client_secrets),
            *(["--no-browser"] if hand else []),
            "-y",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **user.environment(), "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if "Waiting for the answer" in line or "Copy its whole address" in line:
                break
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=HANG_SECONDS)
    finally:
        process.kill()
    assert (process.returncode, errors) == (130, "Stopped.\n")
    assert sorted(user.folder.rglob("*")) == before
    assert user.simulator.log == []


def test_ctrl_c_at_a_question_is_no_error(user: User, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> str:
        raise click.Abort from KeyboardInterrupt()

    monkeypatch.setattr(click, "confirm", interrupted)
    result = user.login()
    assert (result.exit_code, result.stderr) == (130, "Stopped.\n")
    assert browser.pages == []
