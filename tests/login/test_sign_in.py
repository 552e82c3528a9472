from __future__ import annotations

import logging
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest
from pydantic import SecretStr
from signing_in import EMAILS, PROGRAM, Browser, User, browser, run, served, user, visit
from support import HANG_SECONDS, free_port

from litellm_antigravity.accounts import AccountsFile, RefreshToken
from litellm_antigravity.cooldowns import WHOLE_ACCOUNT, Cooldown
from litellm_antigravity.login import callback as callback_module
from litellm_antigravity.login.callback import PATH, listening
from litellm_antigravity.login.clients import NO_CLIENT
from litellm_antigravity.simulator.people import agree, decline
from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.state.sqlite import SqliteStore

__all__ = ["browser", "user"]  # fixtures

pytestmark = pytest.mark.once
ASKS = "(a)dd new account(s) or (f)resh start? [a/f]:"


# The first account


def test_a_sign_in_leaves_an_account_that_serves_with_no_variable_set(user: User, browser: Browser) -> None:
    browser.agrees_as(EMAILS[2])
    result = user.login()
    assert result.exit_code == 0, result.output
    (entry,) = user.entries()
    account = user.simulator.account(EMAILS[2])
    assert (entry["email"], entry["refreshToken"]) == (EMAILS[2], account.refresh_token)
    assert entry["managedProjectId"] == account.project
    assert entry["oauthClient"] == {
        "clientId": user.simulator.client_id,
        "clientSecret": user.simulator.client_secret,
    }
    assert f"Signed in as {EMAILS[2]}, project {account.project}." in result.stdout
    assert user.accounts_file.stat().st_mode & 0o777 == 0o600
    assert user.accounts_file.parent.stat().st_mode & 0o777 == 0o700
    user.client_secrets.unlink()
    served()
    assert [one.email for one in user.simulator.requests(kind="served")] == [EMAILS[2]]


def test_no_secret_is_printed(user: User, browser: Browser) -> None:
    browser.agrees_as(EMAILS[0])
    result = user.login()
    answers = [one for one in user.simulator.log if one.kind in ("consented", "signed-in")]
    assert len(answers) == 2
    for secret in (user.simulator.client_secret, user.simulator.account(EMAILS[0]).refresh_token):
        assert secret not in result.output
    assert "sim-4" not in result.output
    assert "code=" not in result.output
    assert "verifier" not in result.output.replace("code_verifier", "")


def test_the_terms_come_first_and_a_no_changes_nothing(user: User, browser: Browser) -> None:
    result = user.login(typed="n\n")
    assert result.exit_code == 1
    assert result.stdout.startswith("Google's Antigravity terms forbid third-party clients")
    assert browser.pages == []
    assert user.simulator.log == []
    assert not user.accounts_file.parent.exists()


@pytest.mark.usefixtures("user")
def test_without_a_client_five_lines_say_how_to_make_one_and_what_is_asked_for(browser: Browser) -> None:
    result = run("auth", "login")
    assert result.exit_code == 1
    assert result.stderr == f"Error: {NO_CLIENT}\n"
    assert len(NO_CLIENT.splitlines()) == 5
    for word in (
        "console.cloud.google.com",
        "Desktop app",
        "--client-secrets FILE",
        "cloud-platform",
        "userinfo.email",
    ):
        assert word in NO_CLIENT
    assert max(map(len, NO_CLIENT.splitlines())) <= 120
    assert browser.pages == []


def test_the_client_of_the_settings_is_asked_with_and_kept_too(
    user: User, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_OAUTH_CLIENT_ID", user.simulator.client_id)
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_OAUTH_CLIENT_SECRET", user.simulator.client_secret)
    browser.agrees_as(EMAILS[0])
    assert run("auth", "login", typed="y\nn\n").exit_code == 0
    assert user.entries()[0]["oauthClient"]["clientId"] == user.simulator.client_id


def test_a_second_account_needs_no_client_named_again(user: User, browser: Browser) -> None:
    browser.agrees_as(EMAILS[0], EMAILS[1])
    assert user.login().exit_code == 0
    user.client_secrets.unlink()
    assert run("auth", "login", typed="a\nn\n").exit_code == 0
    assert user.emails() == EMAILS[:2]


@pytest.mark.parametrize("content", ["{", "[]", '{"type": "service_account"}', '{"installed": {"client_id": ""}}'])
def test_a_file_that_is_no_client_is_an_error_that_names_it(user: User, browser: Browser, content: str) -> None:
    user.client_secrets.write_text(content)
    result = user.login()
    assert result.exit_code == 1
    assert str(user.client_secrets) in result.stderr
    assert browser.pages == []


# With accounts present


def test_two_are_listed_a_adds_and_a_third_is_there(user: User, browser: Browser) -> None:
    """The walk that people know from opencode-antigravity-auth."""
    user.save(*EMAILS[:2])
    browser.agrees_as(EMAILS[2])
    assert run("auth", "list").stdout.startswith("2 account(s) saved:\n")
    result = user.login(typed="a\nn\n")
    assert result.exit_code == 0, result.output
    listed = f"2 account(s) saved:\n  1. {EMAILS[0]}\n  2. {EMAILS[1]}\n"
    assert result.stdout.index("terms forbid") < result.stdout.index(listed) < result.stdout.index(ASKS)
    assert "Go on?" not in result.stdout  # one question before it begins, not two
    assert run("auth", "list").stdout.startswith("3 account(s) saved:\n")
    assert EMAILS[2] in run("auth", "list").stdout
    assert user.emails() == EMAILS[:3]


def test_more_accounts_are_added_in_one_go(user: User, browser: Browser) -> None:
    browser.agrees_as(*EMAILS)
    result = user.login(typed="y\ny\ny\ny\nn\n")
    assert result.exit_code == 0, result.output
    assert user.emails() == EMAILS
    assert result.stdout.count("Add another account?") == 4
    assert result.stdout.count("terms forbid") == 1


def test_without_questions_one_account_is_added(user: User, browser: Browser) -> None:
    user.save(EMAILS[0])
    browser.agrees_as(EMAILS[1])
    result = user.login("--yes", typed="")
    assert result.exit_code == 0, result.output
    assert "[" not in result.stdout.replace("[localhost]", "")
    assert user.emails() == EMAILS[:2]


def test_another_answer_is_asked_for_again(user: User, browser: Browser) -> None:
    user.save(EMAILS[0])
    browser.agrees_as(EMAILS[1])
    result = user.login(typed="y\nA\nn\n")
    assert result.exit_code == 0, result.output
    assert result.stdout.count(ASKS) == 2
    assert user.emails() == EMAILS[:2]


def test_a_fresh_start_puts_the_new_account_in_the_place_of_all_others(user: User, browser: Browser) -> None:
    user.save(*EMAILS[:2])
    browser.agrees_as(EMAILS[2], EMAILS[3])
    assert user.login(typed="f\ny\nn\n").exit_code == 0
    assert user.emails() == EMAILS[2:]


def test_a_fresh_start_that_does_not_come_to_an_end_takes_nobody_away(user: User, browser: Browser) -> None:
    user.save(*EMAILS[:2])
    before = user.accounts_file.read_bytes()
    browser.does(lambda url: visit(decline(url)))
    assert user.login(typed="f\n").exit_code == 1
    assert user.accounts_file.read_bytes() == before


def test_a_broken_accounts_file_is_neither_passed_over_nor_written_over(user: User, browser: Browser) -> None:
    user.save(EMAILS[0])
    user.accounts_file.write_text("{")
    result = user.login()
    assert result.exit_code == 1
    assert "not valid JSON" in result.stderr
    assert user.accounts_file.read_text() == "{"
    assert browser.pages == []


@pytest.mark.parametrize(("backend", "kind"), [("diskcache", DiskStore), ("sqlite", SqliteStore)])
def test_who_signs_in_again_gets_a_new_credential_and_is_no_longer_revoked(
    backend: str, kind: type[DiskStore | SqliteStore], user: User, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_STATE_BACKEND", backend)
    user.save(EMAILS[0], EMAILS[1])
    old = user.simulator.account(EMAILS[0]).refresh_token
    store = kind(user.folder / "state")
    try:
        account = AccountsFile(user.accounts_file).load().accounts[0]
        store.extend_cooldown(Cooldown(account.id, WHOLE_ACCOUNT, float("inf"), "revoked", time.time(), fact=True))
        browser.agrees_as(EMAILS[0])
        result = user.login(typed="a\nn\n")
        assert result.exit_code == 0, result.output
        cooldown = store.refresh().cooldown(account.id, WHOLE_ACCOUNT)
        assert cooldown is None or cooldown.remaining(time.time()) == 0
    finally:
        store.close()
    assert f"Signed in again as {EMAILS[0]}" in result.stdout
    assert user.emails() == EMAILS[:2]
    assert user.entries()[0]["refreshToken"] not in ("", old)
    assert user.entries()[0]["projectId"] == "sim-project"  # what the user chose stays


def test_who_agrees_a_second_time_gets_a_refresh_token_again(user: User, browser: Browser) -> None:
    browser.agrees_as(EMAILS[0], EMAILS[0])
    result = user.login(typed="y\ny\nn\n")
    assert result.exit_code == 0, result.output
    (entry,) = user.entries()
    assert entry["refreshToken"] == user.simulator.account(EMAILS[0]).refresh_token


def test_who_signs_in_again_keeps_name_and_switches(user: User, browser: Browser) -> None:
    user.save(EMAILS[0], EMAILS[1])
    file = AccountsFile(user.accounts_file)
    account = file.load().accounts[0]
    file.update_entry(account.id, label="work", enabled=False, disabledFamilies=["claude"])
    browser.agrees_as(EMAILS[0])
    assert user.login(typed="a\nn\n").exit_code == 0
    again = file.load().accounts[0]
    assert again.credential.fingerprint != account.credential.fingerprint
    assert (again.id, again.label, again.enabled) == (account.id, "work", False)
    assert again.disabled_families == {"claude"}


def test_a_sign_in_takes_the_place_of_a_file_or_command_of_the_same_account(user: User, browser: Browser) -> None:
    assert run("auth", "add", "--no-check", "--email", EMAILS[0], "--command", "gcloud").exit_code == 0
    browser.agrees_as(EMAILS[0])
    result = user.login(typed="a\nn\n")
    assert result.exit_code == 0, result.output
    (account,) = AccountsFile(user.accounts_file).load().accounts
    assert account.credential == RefreshToken(SecretStr(user.simulator.account(EMAILS[0]).refresh_token))
    assert account.oauth_client is not None


def test_a_ban_is_nothing_that_signing_in_again_lifts(user: User, browser: Browser) -> None:
    user.save(EMAILS[0])
    store = DiskStore(user.folder / "state")
    try:
        account = AccountsFile(user.accounts_file).load().accounts[0]
        store.extend_cooldown(Cooldown(account.id, WHOLE_ACCOUNT, float("inf"), "banned", time.time(), fact=True))
        browser.agrees_as(EMAILS[0])
        assert user.login(typed="a\nn\n").exit_code == 0
        cooldown = store.refresh().cooldown(account.id, WHOLE_ACCOUNT)
        assert cooldown is not None
        assert cooldown.remaining(time.time()) == float("inf")
    finally:
        store.close()


def test_a_sign_in_makes_no_shared_state_where_there_is_none(user: User, browser: Browser) -> None:
    browser.agrees_as(EMAILS[0])
    assert user.login().exit_code == 0
    assert not (user.folder / "state").exists()


# By hand


def test_the_address_that_a_browser_elsewhere_was_sent_to_is_pasted(user: User) -> None:
    output, result = by_hand(user, lambda url: [agree(url, EMAILS[0])])
    assert result == 0, output
    assert user.emails() == EMAILS[:1]
    assert "http://127.0.0.1:51121" not in output.replace("http%3A%2F%2F", "")  # nobody listens there


def test_what_was_pasted_wrongly_is_asked_for_again(user: User) -> None:
    output, result = by_hand(
        user, lambda url: ["http://127.0.0.1/?code=4/x&state=other", "what?", agree(url, EMAILS[0])]
    )
    assert result == 0, output
    assert "belongs to another sign-in" in output
    assert user.emails() == EMAILS[:1]


def test_three_wrong_answers_are_enough(user: User) -> None:
    output, result = by_hand(user, lambda _: ["http://127.0.0.1/?code=4/x&state=other"] * 3)
    assert result == 1
    assert output.count("belongs to another sign-in") == 3
    assert not user.accounts_file.exists()


def test_a_no_can_be_pasted_as_well(user: User) -> None:
    output, result = by_hand(user, lambda url: [decline(url)])
    assert result == 1
    assert "declined in the browser" in output
    assert not user.accounts_file.exists()


def test_where_no_browser_can_be_opened_the_answer_comes_by_hand(
    user: User, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    result = user.login(typed="y\n")
    assert result.exit_code == 1
    assert "No browser can be opened here" in result.stdout
    assert "Paste the address here:" in result.stdout
    assert "The input ended before the question was answered." in result.stderr
    assert browser.pages == []


def by_hand(user: User, pasted: Any) -> tuple[str, int]:
    """Sign in with ``--no-browser`` in a process of its own; ``pasted`` makes what is typed from the page's address."""
    process = subprocess.Popen(
        [*PROGRAM, "auth", "login", "--client-secrets", str(user.client_secrets), "--no-browser", "--yes"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **user.environment()},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    seen = ""
    try:
        for line in process.stdout:
            seen += line
            if line.startswith("http"):
                process.stdin.write("".join(f"{one}\n" for one in pasted(line.strip())))
                process.stdin.flush()
                break
        rest, _ = process.communicate(timeout=HANG_SECONDS)
    finally:
        process.kill()
    return seen + rest, process.returncode


# On loopback


def test_an_answer_that_belongs_to_another_sign_in_is_refused_and_the_right_one_still_taken(
    user: User, browser: Browser
) -> None:
    statuses: list[int] = []

    def tries(url: str) -> None:
        right = agree(url, EMAILS[0])
        answers = ["state=other&code=4/x", "code=4/x", "error=access_denied", "", right.partition("?")[2]]
        statuses.extend(visit(re.sub(r"\?.*", f"?{one}", right)).status_code for one in answers)

    browser.does(tries)
    result = user.login()
    browser.join()
    assert statuses == [400, 400, 400, 400, 200]
    assert result.exit_code == 0, result.output
    assert "belongs to another sign-in" in result.stderr
    assert user.emails() == EMAILS[:1]


def test_a_port_that_is_taken_is_left_to_whoever_has_it() -> None:
    first = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first))
        taken.listen()
        with listening(first) as one, listening(first) as other:
            addresses = {one.redirect_uri, other.redirect_uri}
            assert len(addresses) == 2
            assert f"http://127.0.0.1:{first}{PATH}" not in addresses
    with listening(first) as again:
        assert again.redirect_uri == f"http://127.0.0.1:{first}{PATH}"


def test_a_sign_in_works_while_port_51121_is_taken(user: User, browser: Browser) -> None:
    browser.agrees_as(EMAILS[0])
    with listening() as whoever:  # on 51121, or on the next one if somebody has it
        result = user.login()
    assert result.exit_code == 0, result.output
    (address,) = re.findall(r"answer at (\S+) \(Ctrl-C", result.stdout)
    assert address != whoever.redirect_uri
    assert user.emails() == EMAILS[:1]


def test_an_answer_that_comes_while_the_browser_still_opens_is_taken(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, it was taken for another sign-in's, and the command waited a quarter of an hour for one."""
    pages: list[int] = []
    monkeypatch.setattr(
        "litellm_antigravity.login.browser.open_page",
        lambda url: pages.append(visit(agree(url, EMAILS[0])).status_code),
    )
    monkeypatch.setattr("litellm_antigravity.cli.auth_login._PATIENCE_SECONDS", 5.0)
    result = user.login()
    assert (result.exit_code, pages) == (0, [200]), result.output
    assert user.emails() == EMAILS[:1]


def test_the_browser_has_its_page_before_the_program_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, the program had the answer first, and might end while the browser still waited: it showed an error."""
    with listening(free_port()) as callback, ThreadPoolExecutor(1) as threads:
        callback.expect(lambda answer: answer == "code=1")
        waiting = threads.submit(callback.wait, 60.0)
        show, came_first = callback_module._Handler._show, []

        def show_late(handler: Any, status: int, page: str) -> None:
            wait([waiting], 0.5)
            came_first.append(waiting.done())
            show(handler, status, page)

        monkeypatch.setattr(callback_module._Handler, "_show", show_late)
        assert visit(f"{callback.redirect_uri}?code=1").status_code == 200
        assert (waiting.result(HANG_SECONDS), came_first) == ("code=1", [False])


def test_a_browser_that_opens_a_connection_and_says_nothing_keeps_nobody_waiting() -> None:
    with listening(free_port()) as callback:
        host, port = httpx.URL(callback.redirect_uri).host, httpx.URL(callback.redirect_uri).port
        with socket.create_connection((host, port)):
            callback.expect(lambda answer: answer == "code=1")
            assert visit(f"{callback.redirect_uri}?code=1").status_code == 200
            assert visit(f"http://{host}:{port}/favicon.ico").status_code == 404


# What goes wrong


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_words_and_addresses_are_never_broken(
    user: User, browser: Browser, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    browser.agrees_as(EMAILS[0])
    result = user.login()
    assert result.exit_code == 0, result.output
    long = [line for line in result.stdout.splitlines() if len(line) > columns]
    assert all(" " not in line.strip() or "/" in line for line in long)  # addresses and paths alone
    assert browser.pages[0] in result.stdout.splitlines()
    user.client_secrets.unlink()
    user.accounts_file.unlink()
    lines = run("auth", "login").stderr.splitlines()
    assert max(map(len, lines)) <= max(columns, len("   https://console.cloud.google.com/auth/clients"))
    assert " ".join(" ".join(lines).split()) == " ".join(f"Error: {NO_CLIENT}".split())


def test_neither_codes_nor_tokens_reach_a_log(user: User, browser: Browser, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    codes: list[str] = []

    def person(url: str) -> None:
        # In a process of its own, whose HTTP client logs what the page answers.
        code = "import sys; from litellm_antigravity.simulator.people import agree; print(agree(*sys.argv[1:]))"
        done = subprocess.run([sys.executable, "-c", code, url, EMAILS[0]], capture_output=True, text=True, check=True)
        answer = done.stdout.strip()
        codes.extend(parse_qs(urlsplit(answer).query)["code"])
        with urllib.request.build_opener().open(answer) as page:
            page.read()

    browser.does(person)
    result = user.login()
    assert result.exit_code == 0, result.output
    said = caplog.text + result.output
    for secret in (*codes, user.simulator.account(EMAILS[0]).refresh_token, user.simulator.client_secret):
        assert secret not in said
        assert quote(secret, safe="") not in said


def test_the_help_imports_nothing_slow_and_shows_examples() -> None:
    code = (
        "import sys\n"
        "from litellm_antigravity.cli import cli\n"
        "cli(['auth', 'login', '--help'], standalone_mode=False)\n"
        "slow = {'litellm', 'diskcache', 'aiohttp', 'rich', 'httpx', 'pydantic', 'http.server'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--client-secrets client_secret.json" in done.stdout


def test_a_sign_in_imports_no_litellm(user: User) -> None:
    code = (
        "import sys\n"
        "from litellm_antigravity.cli import cli\n"
        "try:\n    cli(['auth', 'login', '--no-browser', '--client-secrets', sys.argv[1]], standalone_mode=False)\n"
        "except BaseException as error:\n    print(repr(error))\n"
        "assert 'litellm' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(user.client_secrets)], input="y\n", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Paste the address here" in done.stdout


def test_paths_are_shown_as_they_are(user: User, browser: Browser, tmp_path: Path) -> None:
    browser.agrees_as(EMAILS[0])
    elsewhere = tmp_path / "elsewhere" / "accounts.json"
    result = user.login("--accounts-file", str(elsewhere))
    assert result.exit_code == 0, result.output
    assert f"1 account(s) saved in {elsewhere}." in result.stdout
    assert elsewhere.exists()
    assert not user.accounts_file.exists()
