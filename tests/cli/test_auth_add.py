from __future__ import annotations

import json
import stat
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.auth import crypt, jwt
from signing_in import EMAILS, User, run, user

from litellm_antigravity.accounts import AccountsFile, AuthorizedUser, ServiceAccount, TokenCommand
from litellm_antigravity.credentials import service_accounts
from litellm_antigravity.dispatch import Dispatcher, GeminiRequest
from litellm_antigravity.settings import Settings
from litellm_antigravity.simulator.accounts import write_private

__all__ = ["user"]  # a fixture

pytestmark = pytest.mark.once

BODY = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}


def gcloud_file(user: User, email: str, **other: str) -> Path:
    """Write what ``gcloud auth application-default login`` would."""
    fields = {
        "type": "authorized_user",
        "client_id": user.simulator.client_id,
        "client_secret": user.simulator.client_secret,
        "refresh_token": user.simulator.account(email).refresh_token,
        **other,
    }
    return write_private(user.folder / "adc.json", fields)


def key_file(user: User, email: str, **other: str) -> Path:
    """Write a service account's key."""
    return write_private(user.folder / "key.json", {**user.simulator.service_account_key(email), **other})


def program(user: User, email: str) -> list[str]:
    """Return a command that prints an access token."""
    script = user.folder / "print_token.py"
    script.write_text(
        "import os, sys, httpx\n"
        "form = {'grant_type': 'refresh_token', 'refresh_token': sys.argv[1], 'client_id': sys.argv[2],"
        " 'client_secret': sys.argv[3]}\n"
        "print(httpx.post(os.environ['LITELLM_ANTIGRAVITY_TOKEN_URL'], data=form).json()['access_token'])\n"
    )
    simulator = user.simulator
    return [
        sys.executable,
        str(script),
        simulator.account(email).refresh_token,
        simulator.client_id,
        simulator.client_secret,
    ]


def who_serves(user: User) -> str | None:
    """Send one request through the real path; return who served it."""
    dispatcher = Dispatcher(Settings())
    try:
        dispatcher.complete(GeminiRequest("claude-sonnet-4-6", BODY))
    finally:
        dispatcher.pool.store.close()
    return user.simulator.requests(kind="served")[-1].email


def saved(user: User) -> list[Any]:
    return list(AccountsFile(user.accounts_file).load().accounts)


def test_a_file_of_gcloud_is_an_account_with_the_e_mail_and_project_that_google_names(user: User) -> None:
    path = gcloud_file(user, EMAILS[0])
    result = run("auth", "add", "--authorized-user", str(path))
    assert result.exit_code == 0, result.output
    (account,) = saved(user)
    assert isinstance(account.credential, AuthorizedUser)
    assert (account.email, account.project) == (EMAILS[0], "sim-project")
    assert f"Added {EMAILS[0]}, project sim-project." in result.stdout
    assert who_serves(user) == EMAILS[0]


def test_a_service_account_signs_in_with_its_key_and_brings_its_project(user: User) -> None:
    result = run("auth", "add", "--service-account", str(key_file(user, EMAILS[1])))
    assert result.exit_code == 0, result.output
    (account,) = saved(user)
    assert isinstance(account.credential, ServiceAccount)
    assert (account.email, account.project_id) == (EMAILS[1], "sim-project")
    assert who_serves(user) == EMAILS[1]
    assert user.simulator.token_calls() == 2  # to see that it works, and for the request


def test_a_command_prints_the_token_of_an_account(user: User) -> None:
    result = run("auth", "add", "--label", "work", "--command", *program(user, EMAILS[2]))
    assert result.exit_code == 0, result.output
    (account,) = saved(user)
    assert isinstance(account.credential, TokenCommand)
    assert (account.email, account.label) == (EMAILS[2], "work")
    assert who_serves(user) == EMAILS[2]


def test_the_options_of_a_command_are_its_own(user: User) -> None:
    result = run(
        "auth", "add", "--no-check", "--email", "me@example.com", "--command", "gcloud", "--account=me", "-q", "x"
    )
    assert result.exit_code == 0, result.output
    (account,) = saved(user)
    assert account.credential.argv == ("gcloud", "--account=me", "-q", "x")
    assert account.email == "me@example.com"


def test_such_accounts_stand_beside_the_file_that_the_plugin_writes_and_their_files_stay_where_they_are(
    user: User,
) -> None:
    user.save(EMAILS[3])
    before = user.accounts_file.read_bytes()
    path = gcloud_file(user, EMAILS[0])
    result = run("auth", "add", "--authorized-user", str(path), "--no-check")
    assert result.exit_code == 0, result.output
    assert user.accounts_file.read_bytes() == before
    companion = AccountsFile(user.accounts_file).companion
    assert stat.S_IMODE(companion.stat().st_mode) == 0o600
    assert json.loads(companion.read_text())["accounts"][0]["authorizedUserFile"] == str(path)
    assert "refresh_token" not in companion.read_text()
    assert [account.email for account in saved(user)] == [EMAILS[3], None]
    assert user.simulator.log == []  # nobody was asked


def test_what_gives_no_token_is_not_saved(user: User) -> None:
    user.simulator.refuse("server-error", target="token")
    for kind, path in (
        ("--authorized-user", gcloud_file(user, EMAILS[0])),
        ("--service-account", key_file(user, EMAILS[0])),
    ):
        result = run("auth", "add", kind, str(path))
        assert result.exit_code == 1
        assert "Nothing has changed; --no-check saves it all the same." in result.stderr
    result = run("auth", "add", "--command", sys.executable, "-c", "raise SystemExit(3)")
    assert result.exit_code == 1
    assert "ended with code 3" in result.stderr
    assert not user.accounts_file.parent.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a service account's key file"),
        ('{"type": "authorized_user"}', "is not a service account's key file"),
        ('{"type": "service_account", "client_email": "a@b.c"}', "lacks private_key, private_key_id"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_is_no_key_is_said_with_its_path(user: User, content: str | None, said: str) -> None:
    path = user.folder / "key.json"
    if content is not None:
        path.write_text(content)
    result = run("auth", "add", "--service-account", str(path))
    assert result.exit_code == 1
    assert str(path) in result.stderr
    assert said in result.stderr


def test_a_key_that_is_broken_or_not_the_accounts_own_is_refused_without_a_word_of_it(user: User) -> None:
    broken = key_file(user, EMAILS[0], private_key="-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n")
    result = run("auth", "add", "--service-account", str(broken))
    assert result.exit_code == 1
    assert "cannot be used" in result.stderr
    assert "canary" not in result.output
    stranger = key_file(user, EMAILS[0], client_email=EMAILS[1])
    key_file_of_another = stranger.read_text()
    user.simulator.service_account_key(EMAILS[1])
    stranger.write_text(key_file_of_another)
    result = run("auth", "add", "--service-account", str(stranger))
    assert result.exit_code == 1
    assert "refuses the key" in result.stderr
    assert "BEGIN" not in result.output


def test_a_key_cannot_say_where_it_is_sent(user: User) -> None:
    path = key_file(user, EMAILS[0], token_uri="https://example.com/token")
    assert run("auth", "add", "--service-account", str(path)).exit_code == 0
    assert user.simulator.token_calls(EMAILS[0]) == 1


def test_without_google_auth_the_error_says_what_to_install(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("google.oauth2", "google.oauth2.service_account"):
        monkeypatch.setitem(sys.modules, name, None)
    result = run("auth", "add", "--service-account", str(key_file(user, EMAILS[0])))
    assert result.exit_code == 1
    assert "pip install 'litellm-antigravity[vertex]'" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--authorized-user", "a.json", "--service-account", "b.json"],
        ["--authorized-user", "a.json", "--command", "x"],
        ["--command"],
        ["stray"],
    ],
)
def test_exactly_one_kind_is_named(user: User, arguments: list[str]) -> None:
    result = run("auth", "add", *arguments)
    assert result.exit_code == 2
    assert not user.accounts_file.parent.exists()


def test_a_token_that_google_will_not_say_whose_it_is_takes_a_name(user: User) -> None:
    user.simulator.refuse("server-error", target="userinfo")
    result = run("auth", "add", "--authorized-user", str(gcloud_file(user, EMAILS[0])))
    assert result.exit_code == 0, result.output
    assert "Name one with --email" in result.stderr
    assert saved(user)[0].email is None


def test_a_changed_key_file_is_a_new_credential(user: User) -> None:
    path = key_file(user, EMAILS[0])
    before = ServiceAccount(path).fingerprint
    path.write_text(path.read_text() + "\n")
    assert ServiceAccount(path).fingerprint != before
    assert ServiceAccount(path).lineage == ServiceAccount(path).lineage


def test_the_simulator_refuses_what_google_would(user: User) -> None:
    key = user.simulator.service_account_key(EMAILS[0])
    signer = crypt.RSASigner.from_service_account_info(key)
    now = int(time.time())
    good = {"iss": EMAILS[0], "aud": key["token_uri"], "iat": now, "exp": now + 3600, "scope": service_accounts.SCOPE}
    for claims, status in (
        (good, 200),
        ({**good, "exp": now + 7200}, 400),
        ({**good, "exp": now - 1}, 400),
        ({**good, "aud": "https://example.com"}, 400),
        ({**good, "scope": "openid"}, 400),
        ({**good, "iss": EMAILS[1]}, 400),
    ):
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "assertion": jwt.encode(signer, claims).decode(),
        }
        assert httpx.post(key["token_uri"], data=form).status_code == status, claims
        form["assertion"] = form["assertion"][:-8] + "AAAAAAAA"
        assert httpx.post(key["token_uri"], data=form).status_code == 400
