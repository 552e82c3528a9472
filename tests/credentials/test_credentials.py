"""Where tokens and projects come from: OAuth clients, gcloud's files, commands, static tokens, loadCodeAssist."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import litellm
import pytest
from hypothesis import given
from hypothesis import strategies as st
from processes import together
from pydantic import SecretStr
from serving import MESSAGES, MODEL, fields_of, text_of

import litellm_antigravity
from litellm_antigravity import Settings
from litellm_antigravity.accounts import Account, RefreshToken, TokenCommand
from litellm_antigravity.credentials.sources import Grant, fetch
from litellm_antigravity.credentials.token_replies import DEFAULT_LIFETIME_SECONDS
from litellm_antigravity.errors import CredentialError
from litellm_antigravity.simulator import SimulatedAccount, Simulator
from litellm_antigravity.wire.http import HttpClients

pytestmark = pytest.mark.once

USER1 = "user1@example.com"
CANARY = "canary-secret"


@pytest.fixture
def simulator(antigravity_simulator: Simulator) -> Simulator:
    return antigravity_simulator


@pytest.fixture
def fields(simulator: Simulator, tmp_path: Path) -> dict[str, Any]:
    return fields_of(simulator, tmp_path, account_selection_strategy="sticky")


def ask(fields: dict[str, Any]) -> str:
    """Make a request, in this process or in a child; return the text."""
    litellm_antigravity.register(Settings(**fields))
    return text_of(litellm.completion(model=MODEL, messages=MESSAGES))


def refused(kind: type[Exception], fields: dict[str, Any]) -> str:
    """Make a request that fails; return the message, after a look for secrets in it."""
    with pytest.raises(kind) as caught:
        ask(fields)
    error: BaseException | None = caught.value
    while error is not None:
        assert CANARY not in f"{error} {error!r} {error.args}"
        error = error.__cause__ or error.__context__
    return str(caught.value)


def write_accounts(fields: dict[str, Any], *entries: dict[str, Any]) -> None:
    document = {"version": 4, "accounts": [{"projectId": "sim-project-1", **entry} for entry in entries]}
    Path(fields["accounts_file"]).write_text(json.dumps(document))


def access_token(simulator: Simulator, email: str = USER1) -> str:
    """Return an access token that the simulator has just issued."""
    account = Account.create(email, RefreshToken(SecretStr(simulator.account(email).refresh_token)))
    settings = Settings(
        token_url=simulator.token_url, oauth_client_id=simulator.client_id, oauth_client_secret=simulator.client_secret
    )
    clients = HttpClients()
    try:
        return fetch(account, settings, clients.sync(), 5.0).token.get_secret_value()
    finally:
        clients.close()


# The user's OAuth client


@pytest.mark.parametrize("absent", [{"oauth_client_id": None, "oauth_client_secret": None}, {"oauth_client_id": None}])
def test_a_missing_client_is_an_error_that_names_both_settings_and_says_why_none_is_built_in(
    absent: dict[str, Any], fields: dict[str, Any], simulator: Simulator
) -> None:
    message = refused(litellm.AuthenticationError, {**fields, **absent})
    for wanted in (
        "`oauth_client_id`",
        "`oauth_client_secret`",
        "LITELLM_ANTIGRAVITY_OAUTH_CLIENT_ID",
        "LITELLM_ANTIGRAVITY_OAUTH_CLIENT_SECRET",
        "None is built in: ",
    ):
        assert wanted in message
    assert simulator.log == []


@pytest.mark.parametrize("wrong", [{"oauth_client_secret": CANARY}, {"oauth_client_id": CANARY}])
def test_a_wrong_client_is_an_error_that_names_both_settings(
    wrong: dict[str, Any], fields: dict[str, Any], simulator: Simulator
) -> None:
    message = refused(litellm.AuthenticationError, {**fields, **wrong})
    assert "invalid_client" in message
    assert "`oauth_client_id`" in message
    assert "`oauth_client_secret`" in message
    assert simulator.token_calls() == 1  # what is wrong is wrong for every account


def test_an_account_that_needs_no_client_serves_where_none_is_set(
    fields: dict[str, Any], simulator: Simulator, tmp_path: Path
) -> None:
    write_accounts(
        fields,
        {"email": "first@example.com", "refreshToken": "1//x"},
        {"email": "second@example.com", "tokenCommand": script(tmp_path, f"echo {access_token(simulator)}")},
    )
    assert USER1 in ask({**fields, "oauth_client_id": None, "oauth_client_secret": None})


# authorized_user files


def write_gcloud(simulator: Simulator, path: Path, **changes: Any) -> None:
    document = {
        "type": "authorized_user",
        "client_id": simulator.client_id,
        "client_secret": simulator.client_secret,
        "refresh_token": simulator.account(USER1).refresh_token,
        **changes,
    }
    path.write_text(json.dumps({name: value for name, value in document.items() if value is not None}))


@pytest.fixture
def gcloud(fields: dict[str, Any], tmp_path: Path) -> Path:
    """A file beside the accounts file, which names it by a relative path; no OAuth client is set."""
    fields["oauth_client_id"] = fields["oauth_client_secret"] = None
    write_accounts(fields, {"email": USER1, "authorizedUserFile": "gcloud.json"})
    return tmp_path / "gcloud.json"


def test_an_authorized_user_file_brings_its_own_client(
    gcloud: Path, fields: dict[str, Any], simulator: Simulator
) -> None:
    write_gcloud(simulator, gcloud)
    assert USER1 in ask(fields)
    assert simulator.token_calls() == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot read"),
        ("", "is not JSON"),
        (f'{{"type": "authorized_user", "refresh_token": "{CANARY}"', "is not JSON"),
        ("\udcff", "is not JSON"),
        ("[]", "is not an authorized_user file"),
        (json.dumps({"type": "service_account", "private_key": CANARY}), "is not an authorized_user file"),
        (json.dumps({"type": "authorized_user", "client_id": CANARY}), "lacks client_secret, refresh_token"),
        (
            json.dumps({"type": "authorized_user", "client_id": 1, "client_secret": CANARY, "refresh_token": ""}),
            "lacks client_id, refresh_token",
        ),
    ],
)
def test_a_bad_authorized_user_file_is_an_error_that_names_the_file_and_what_is_wrong(
    content: str | None, said: str, gcloud: Path, fields: dict[str, Any], simulator: Simulator
) -> None:
    if content is not None:
        gcloud.write_bytes(content.encode("utf-8", "surrogateescape"))
    message = refused(litellm.InternalServerError, fields)
    assert said in message
    assert str(gcloud) in message
    assert simulator.log == []


def test_a_bad_authorized_user_file_is_the_next_account_s_turn(
    gcloud: Path, fields: dict[str, Any], simulator: Simulator, tmp_path: Path
) -> None:
    write_gcloud(simulator, tmp_path / "good.json")
    for broken in ({"client_secret": CANARY}, {"refresh_token": None}):
        write_gcloud(simulator, gcloud, **broken)
        write_accounts(
            fields,
            {"email": "first@example.com", "authorizedUserFile": str(gcloud)},
            {"email": USER1, "authorizedUserFile": str(tmp_path / "good.json")},
        )
        assert USER1 in ask(fields)


def test_an_authorized_user_file_with_an_unknown_client_is_named(
    gcloud: Path, fields: dict[str, Any], simulator: Simulator
) -> None:
    write_gcloud(simulator, gcloud, client_secret=CANARY)
    message = refused(litellm.InternalServerError, fields)
    assert "invalid_client" in message
    assert str(gcloud) in message
    assert "oauth_client_id" not in message


def test_a_revoked_authorized_user_is_back_when_its_file_has_changed(
    gcloud: Path, fields: dict[str, Any], simulator: Simulator
) -> None:
    write_gcloud(simulator, gcloud)
    simulator.revoke(USER1)
    for _ in range(2):
        refused(litellm.AuthenticationError, fields)
    assert simulator.token_calls() == 1
    simulator.sign_in(USER1)
    write_gcloud(simulator, gcloud, quota_project_id="another-size-too")
    # Another process; this one looks at the file once a second.
    [text] = together(ask, [(fields,)])
    assert USER1 in text


# Token commands


def script(folder: Path, body: str) -> list[str]:
    path = folder / "print-token"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o700)
    return [str(path)]


needs_sh = pytest.mark.skipif(os.name == "nt", reason="the commands of these tests are shell scripts")


def run(*argv: str, timeout: float = 30.0) -> Grant:
    clients = HttpClients()
    try:
        return fetch(Account.create(USER1, TokenCommand(argv)), Settings(), clients.sync(), timeout)
    finally:
        clients.close()


@needs_sh
@pytest.mark.parametrize(
    ("printed", "lifetime"),
    [
        ("{}", DEFAULT_LIFETIME_SECONDS),
        ('{{"access_token": "{}", "expires_in": 1800}}', 1800),
        ('{{"access_token": "{}", "expires_in": "1800"}}', 1800),
        ('{{"access_token": "{}"}}', DEFAULT_LIFETIME_SECONDS),
        ('{{"access_token": "{}", "expires_in": -5}}', DEFAULT_LIFETIME_SECONDS),
        ('{{"access_token": "{}", "expires_in": "soon"}}', DEFAULT_LIFETIME_SECONDS),
        ('{{"access_token": "{}", "expires_in": NaN}}', DEFAULT_LIFETIME_SECONDS),
    ],
)
def test_a_token_command_prints_a_token_or_json(
    printed: str, lifetime: float, fields: dict[str, Any], simulator: Simulator, tmp_path: Path
) -> None:
    argv = script(tmp_path, f"echo complaint >&2; echo {shlex.quote(printed.format(access_token(simulator)))}")
    assert run(*argv).lifetime == lifetime
    write_accounts(fields, {"email": USER1, "tokenCommand": argv})
    assert USER1 in ask(fields)


@needs_sh
def test_processes_run_a_token_command_once(fields: dict[str, Any], simulator: Simulator, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    argv = script(tmp_path, f"echo run >> {runs}; sleep 0.2; echo {access_token(simulator)}")
    write_accounts(fields, {"email": USER1, "tokenCommand": argv})
    assert all(USER1 in text for text in together(ask, [(fields,)] * 4))
    assert runs.read_text() == "run\n"


@needs_sh
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (f"echo {CANARY} >&2; echo {CANARY}; exit 3", "ended with code 3; run it by hand"),
        ("kill -9 $$", "ended with code -9"),
        ("true", "printed neither a token"),
        (f"echo {CANARY} and more", "printed neither a token"),
        (f"echo {CANARY}; echo {CANARY}", "printed neither a token"),
        (f'echo \'{{"token":"{CANARY}"}}\'', "printed neither a token"),
        (f"echo '[\"{CANARY}\"]'", "printed neither a token"),
        (f'echo \'{{"access_token": "{CANARY} two"}}\'', "printed neither a token"),
    ],
)
def test_a_token_command_that_fails_is_named_and_its_output_is_not_shown(
    body: str, said: str, fields: dict[str, Any], tmp_path: Path
) -> None:
    write_accounts(fields, {"email": USER1, "tokenCommand": script(tmp_path, body)})
    message = refused(litellm.InternalServerError, fields)
    assert said in message
    assert "print-token" in message


@needs_sh
def test_a_token_command_that_hangs_is_ended(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    argv = script(tmp_path, f"echo {CANARY}; sleep 5; touch {ended}")
    with pytest.raises(CredentialError, match=r"did not end within 0\.3 s") as caught:
        run(*argv, timeout=0.3)
    assert CANARY not in str(caught.value)
    assert not ended.exists()


@needs_sh
def test_a_token_command_knows_no_shell(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    argv = script(tmp_path, 'printf "%s" "$#"')
    assert run(*argv, f"; touch {touched}", "$(id)").token.get_secret_value() == "2"
    assert not touched.exists()


def test_a_token_command_is_given_no_input() -> None:
    code = "import sys; print('end-of-file' if sys.stdin.read() == '' else 'input')"
    assert run(sys.executable, "-c", code).token.get_secret_value() == "end-of-file"


@pytest.mark.parametrize("make", [lambda path: path / "missing", lambda path: path])
def test_a_token_command_that_cannot_be_run_is_named(
    make: Callable[[Path], Path], fields: dict[str, Any], tmp_path: Path
) -> None:
    write_accounts(fields, {"email": USER1, "tokenCommand": [str(make(tmp_path)), CANARY]})
    assert "cannot run token command" in refused(litellm.InternalServerError, fields)


@given(st.text(max_size=20))
def test_what_a_command_prints_is_a_token_only_if_a_header_can_hold_it(printed: str) -> None:
    from litellm_antigravity.credentials.sources import _plain_token

    token = _plain_token(printed.encode("utf-8", "replace"))
    if token is not None:
        text = token.get_secret_value()
        assert text == printed.strip()
        assert all(33 <= ord(character) <= 126 for character in text)


# Static tokens


def test_a_static_token_is_used_as_it_is(fields: dict[str, Any], simulator: Simulator) -> None:
    write_accounts(fields, {"email": USER1, "accessToken": access_token(simulator)})
    asked = simulator.token_calls()
    assert USER1 in ask(fields)
    assert simulator.token_calls() == asked


def test_a_static_token_that_is_refused_is_out_until_there_is_a_new_one(
    fields: dict[str, Any], simulator: Simulator
) -> None:
    write_accounts(fields, {"email": USER1, "accessToken": CANARY})
    assert "put a new one into the accounts file" in refused(litellm.AuthenticationError, fields)
    assert "auth, 10m" in refused(litellm.RateLimitError, fields)
    assert len(simulator.requests(status=401)) == 1
    write_accounts(fields, {"email": USER1, "accessToken": access_token(simulator)})
    assert USER1 in ask(fields)


def test_a_static_token_that_is_refused_is_the_next_account_s_turn_with_a_warning(
    fields: dict[str, Any], simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    write_accounts(
        fields,
        {"email": "first@example.com", "accessToken": CANARY},
        {"email": USER1, "accessToken": access_token(simulator)},
    )
    for _ in range(2):
        assert USER1 in ask(fields)
    warnings = [line for line in caplog.messages if "put a new one into the accounts file" in line]
    assert len(warnings) == 1
    assert CANARY not in caplog.text


# Projects


def without_projects(simulator: Simulator, folder: Path) -> dict[str, Any]:
    simulator.write_accounts_file(folder / "antigravity-accounts.json", projects=False)
    return fields_of(simulator, folder, account_selection_strategy="sticky")


def questions(simulator: Simulator) -> int:
    return len(simulator.requests(path="loadCodeAssist"))


@pytest.mark.parametrize("form", ["string", "object"])
def test_a_project_is_found_out_once_per_host_however_it_is_spelt(form: Any, tmp_path: Path) -> None:
    with Simulator([SimulatedAccount(USER1, project="found", project_form=form)]) as simulator:
        fields = without_projects(simulator, tmp_path)
        assert all(USER1 in text for text in together(ask, [(fields,)] * 4))
        assert questions(simulator) == 1
        assert simulator.requests(kind="served")[-1].body["project"] == "found"


def test_an_account_without_a_project_is_the_next_one_s_turn_and_alone_an_error_that_says_so(tmp_path: Path) -> None:
    accounts = [SimulatedAccount(USER1, project=None), SimulatedAccount("user2@example.com", project="theirs")]
    with Simulator(accounts) as simulator:
        assert "user2@example.com" in ask(without_projects(simulator, tmp_path))
    with Simulator(accounts[:1]) as simulator:
        (tmp_path / "alone").mkdir()
        message = refused(litellm.InternalServerError, without_projects(simulator, tmp_path / "alone"))
        assert "names no project" in message
        assert '"projectId"' in message


def test_a_found_project_is_forgotten_with_the_credential(simulator: Simulator, tmp_path: Path) -> None:
    fields = without_projects(simulator, tmp_path)
    for _ in range(2):
        assert USER1 in together(ask, [(fields,)])[0]
    assert questions(simulator) == 1
    simulator.sign_in(USER1)
    without_projects(simulator, tmp_path)
    assert USER1 in together(ask, [(fields,)])[0]
    assert questions(simulator) == 2


def test_a_project_in_the_file_is_not_asked_for(fields: dict[str, Any], simulator: Simulator) -> None:
    assert USER1 in ask(fields)
    assert questions(simulator) == 0


@pytest.mark.parametrize("kind", ["bad-request", "capacity", "server-error", "html", "html-error", "drop", "quota"])
def test_a_project_that_cannot_be_found_out_is_the_next_account_s_turn(
    kind: Any, simulator: Simulator, tmp_path: Path
) -> None:
    simulator.refuse(kind, target="project", email=USER1)
    assert "user2@example.com" in ask(without_projects(simulator, tmp_path))


def test_a_401_to_the_question_for_the_project_costs_one_forced_refresh(simulator: Simulator, tmp_path: Path) -> None:
    fields = without_projects(simulator, tmp_path)
    simulator.refuse("unauthorized", target="project", email=USER1, times=1)
    assert USER1 in ask(fields)
    assert simulator.token_calls() == 2
    assert questions(simulator) == 2
