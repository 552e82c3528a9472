"""One refresh serves every process on the host: real processes, a real state folder, a real token endpoint."""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import litellm
import pytest
from processes import Agent, together
from pydantic import SecretStr
from serving import MESSAGES, MODEL, fields_of, text_of
from support import FakeClock

import litellm_antigravity
from litellm_antigravity import Settings
from litellm_antigravity.accounts import Account, AccountsFile
from litellm_antigravity.credentials.shared import EARLY_SECONDS, STALE_SECONDS, SharedTokens
from litellm_antigravity.errors import CredentialError, GrantRevokedError
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.state.disk import DiskStore
from litellm_antigravity.wire.http import HttpClients

pytestmark = pytest.mark.once

USER1 = "user1@example.com"


class Host:
    """What one process has, with handles of its own; several of these stand for several processes.

    Args:
        fields: the settings.
        clock: the source of time.
    """

    def __init__(self, fields: dict[str, Any], clock: FakeClock) -> None:
        settings = Settings(**fields)
        self.accounts = AccountsFile(settings.accounts_file, clock=clock)
        self.store = DiskStore(settings.state_dir)
        self.tokens = SharedTokens(settings, self.accounts, self.store, HttpClients(), clock)

    @property
    def account(self) -> Account:
        return self.accounts.current().accounts[0]

    def token(self, **more: Any) -> str:
        return self.tokens.token(self.account, **more).get_secret_value()


@pytest.fixture
def simulator(antigravity_simulator: Simulator) -> Simulator:
    return antigravity_simulator


@pytest.fixture
def fields(simulator: Simulator, tmp_path: Path) -> dict[str, Any]:
    return fields_of(simulator, tmp_path, account_selection_strategy="sticky")


@pytest.fixture
def new_host(fields: dict[str, Any], clock: FakeClock) -> Iterator[Callable[[], Host]]:
    hosts: list[Host] = []

    def make() -> Host:
        hosts.append(Host(fields, clock))
        return hosts[-1]

    yield make
    for host in hosts:
        host.store.close()


def until(true: Callable[[], bool]) -> None:
    for _ in range(1000):
        if true():
            return
        time.sleep(0.01)
    pytest.fail("it did not come to pass within 10 s")


def ask(fields: dict[str, Any]) -> str:
    """In a child process: make a request."""
    litellm_antigravity.register(Settings(**fields))
    return text_of(litellm.completion(model=MODEL, messages=MESSAGES))


# One refresh is enough


def test_eight_processes_that_start_at_once_fetch_one_token(tmp_path: Path) -> None:
    with Simulator(1) as simulator:
        simulator.set_token_latency(0.2)
        texts = together(ask, [(fields_of(simulator, tmp_path),)] * 8)
        assert all(USER1 in text for text in texts)
        assert simulator.token_calls() == 1


def test_the_threads_of_a_process_fetch_one_token(simulator: Simulator, new_host: Callable[[], Host]) -> None:
    simulator.set_token_latency(0.1)
    host = new_host()
    with ThreadPoolExecutor(8) as threads:
        tokens = list(threads.map(lambda _: host.token(), range(8)))
    assert len(set(tokens)) == 1
    assert simulator.token_calls() == 1


def test_a_401_met_by_several_processes_costs_one_forced_refresh(tmp_path: Path) -> None:
    with Simulator(1) as simulator:
        fields = fields_of(simulator, tmp_path)
        agents = [Agent(fields) for _ in range(4)]
        try:
            for agent in agents:
                assert USER1 in agent.ask()
            simulator.clear_log()
            simulator.expire_tokens()
            simulator.set_token_latency(0.2)
            with ThreadPoolExecutor(4) as threads:
                texts = list(threads.map(lambda agent: agent.ask(), agents))
        finally:
            for agent in agents:
                agent.kill()
        assert all(USER1 in text for text in texts)
        assert len(simulator.requests(status=401)) == 4
        assert simulator.token_calls() == 1


def test_when_the_refreshing_process_is_killed_the_next_one_refreshes(tmp_path: Path) -> None:
    with Simulator(1) as simulator:
        fields = fields_of(simulator, tmp_path)
        with Agent(fields) as winner, Agent(fields) as loser, ThreadPoolExecutor(2) as threads:
            simulator.set_token_latency(30.0)
            asking = threads.submit(winner.ask)
            until(lambda: simulator.token_calls() == 1)
            waiting = threads.submit(loser.ask)
            simulator.set_token_latency(0.0)
            winner.kill()
            assert USER1 in waiting.result()
            assert simulator.token_calls() == 2
            assert asking.exception() is not None


# Before a token expires


@pytest.mark.parametrize("left", [EARLY_SECONDS + 1, 3000])
def test_a_token_with_more_than_five_minutes_left_is_used_as_it_is(
    left: float, simulator: Simulator, new_host: Callable[[], Host], clock: FakeClock
) -> None:
    ours, theirs = new_host(), new_host()
    token = ours.token()
    clock.advance(3600 - left)
    assert ours.token() == theirs.token() == token
    assert not refreshing()
    assert simulator.token_calls() == 1


def test_with_five_minutes_left_the_next_token_is_fetched_in_the_background_once_per_host(
    simulator: Simulator, new_host: Callable[[], Host], clock: FakeClock
) -> None:
    ours, theirs = new_host(), new_host()
    token = ours.token()
    assert theirs.token() == token
    clock.advance(3600 - EARLY_SECONDS)
    assert ours.token() == token
    assert theirs.token() == token
    until(lambda: not refreshing())
    renewed = {ours.token(), theirs.token()} - {token}  # one of them has fetched it; the other one need not look yet
    assert len(renewed) == 1
    clock.advance(EARLY_SECONDS - STALE_SECONDS)  # stale in every memory, so that both look
    assert {ours.token(), theirs.token()} == renewed
    assert simulator.token_calls() == 2


def refreshing() -> bool:
    return any(thread.name == "antigravity-refresh" for thread in threading.enumerate())


def test_a_background_refresh_that_fails_disturbs_nobody_and_is_not_repeated_by_others(
    simulator: Simulator, new_host: Callable[[], Host], clock: FakeClock
) -> None:
    ours, theirs = new_host(), new_host()
    token = ours.token()
    clock.advance(3600 - EARLY_SECONDS)
    simulator.refuse("server-error", target="token")
    for host in (ours, theirs, ours, theirs):
        assert host.token() == token
        until(lambda: not refreshing())
    assert simulator.token_calls() == 2


def test_a_token_with_less_than_a_minute_left_is_replaced_before_it_is_used(
    simulator: Simulator, new_host: Callable[[], Host], clock: FakeClock
) -> None:
    ours, theirs = new_host(), new_host()
    token = ours.token()
    clock.advance(3600 - STALE_SECONDS)
    renewed = ours.token()
    assert renewed != token
    assert theirs.token() == renewed
    assert simulator.token_calls() == 2


# invalid_grant


def test_a_revoked_grant_is_asked_about_once_and_benches_the_account_everywhere(
    simulator: Simulator, fields: dict[str, Any]
) -> None:
    simulator.revoke(USER1)
    simulator.set_token_latency(0.2)
    texts = together(ask, [(fields,)] * 4)
    assert not any(USER1 in text for text in texts)
    assert simulator.token_calls(USER1) == 1


def test_an_account_is_back_as_soon_as_it_has_signed_in_again(simulator: Simulator, fields: dict[str, Any]) -> None:
    simulator.revoke(USER1)
    with Agent(fields) as first, Agent(fields) as second:
        assert USER1 not in first.ask() + second.ask()
        simulator.sign_in(USER1)
        simulator.write_accounts_file(fields["accounts_file"])
        with Agent(fields) as third:
            assert "user1@" in third.ask()
        assert simulator.token_calls(USER1) == 2


def test_when_only_a_revoked_account_is_left_the_error_says_to_sign_in_again(tmp_path: Path) -> None:
    with Simulator(1) as simulator:
        simulator.revoke(USER1)
        litellm_antigravity.register(Settings(**fields_of(simulator, tmp_path)))
        for _ in range(2):
            with pytest.raises(litellm.AuthenticationError, match=r"(?i)revoked") as caught:
                litellm.completion(model=MODEL, messages=MESSAGES)
            assert USER1 not in str(caught.value)
        assert simulator.token_calls() == 1


def test_a_sign_in_during_the_refresh_is_used_at_once(
    simulator: Simulator, fields: dict[str, Any], new_host: Callable[[], Host]
) -> None:
    host = new_host()
    account = host.account
    simulator.revoke(USER1)
    simulator.set_token_latency(0.5)
    with ThreadPoolExecutor(1) as threads:
        token = threads.submit(host.tokens.token, account)
        until(lambda: simulator.token_calls() == 1)
        simulator.sign_in(USER1)
        simulator.write_accounts_file(fields["accounts_file"])
        assert token.result().get_secret_value()
    assert simulator.token_calls() == 2
    assert host.store.refresh().cooldowns == {}


def test_a_sign_in_that_is_revoked_too_is_what_the_account_is_benched_for(
    simulator: Simulator, fields: dict[str, Any], new_host: Callable[[], Host]
) -> None:
    host = new_host()
    account = host.account
    simulator.revoke(USER1)
    simulator.set_token_latency(0.5)
    with ThreadPoolExecutor(1) as threads:
        token = threads.submit(host.tokens.token, account)
        until(lambda: simulator.token_calls() == 1)
        simulator.sign_in(USER1)
        simulator.write_accounts_file(fields["accounts_file"])
        simulator.revoke(USER1)
        assert isinstance(token.exception(), GrantRevokedError)
    [cooldown] = host.store.refresh().cooldowns[account.id].values()
    assert cooldown.credential == host.account.credential.fingerprint != account.credential.fingerprint
    assert math.isinf(cooldown.until)


# A rotated refresh token


def entry_of(fields: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = json.loads(Path(fields["accounts_file"]).read_text())["accounts"][0]
    return entry


def change_entry(fields: dict[str, Any], **changes: Any) -> None:
    path = Path(fields["accounts_file"])
    document = json.loads(path.read_text())
    document["accounts"][0].update(changes)
    path.write_text(json.dumps(document))


def test_a_rotated_refresh_token_is_written_back_and_the_packed_projects_stay(
    simulator: Simulator, fields: dict[str, Any], new_host: Callable[[], Host], clock: FakeClock
) -> None:
    old = simulator.account(USER1).refresh_token
    change_entry(fields, refreshToken=f"{old}|chosen|managed")
    simulator.rotate_refresh_tokens, simulator.keep_old_refresh_tokens = True, False
    ours, theirs = new_host(), new_host()
    token = ours.token()
    new = simulator.account(USER1).refresh_token
    assert new != old
    assert entry_of(fields)["refreshToken"] == f"{new}|chosen|managed"
    assert theirs.token() == token
    clock.advance(3600)
    assert theirs.token() != token
    assert simulator.token_calls() == 2


def test_processes_that_waited_for_a_rotation_use_its_token(tmp_path: Path) -> None:
    with Simulator(1) as simulator:
        simulator.rotate_refresh_tokens, simulator.keep_old_refresh_tokens = True, False
        simulator.set_token_latency(0.2)
        texts = together(ask, [(fields_of(simulator, tmp_path),)] * 4)
        assert all(USER1 in text for text in texts)
        assert simulator.token_calls() == 1


def test_a_newer_sign_in_is_not_overwritten_by_a_rotation(
    simulator: Simulator, fields: dict[str, Any], new_host: Callable[[], Host]
) -> None:
    host = new_host()
    account = host.account
    simulator.rotate_refresh_tokens = True
    simulator.set_token_latency(0.5)
    with ThreadPoolExecutor(1) as threads:
        token = threads.submit(host.tokens.token, account)
        until(lambda: simulator.token_calls() == 1)
        newer = simulator.sign_in(USER1)
        change_entry(fields, refreshToken=newer)
        assert token.result().get_secret_value()
    assert entry_of(fields)["refreshToken"] == newer


def test_a_reply_without_a_refresh_token_leaves_the_file_as_it_is(
    fields: dict[str, Any], new_host: Callable[[], Host]
) -> None:
    before = Path(fields["accounts_file"]).read_bytes()
    new_host().token()
    assert Path(fields["accounts_file"]).read_bytes() == before


# A token endpoint that does not do its work


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("server-error", "HTTP 500"),
        ("html", "without an access token"),
        ("html-error", "HTTP 502"),
        ("drop", "cannot reach the token endpoint"),
        ("refused-request", "HTTP 429"),
    ],
)
def test_a_token_that_cannot_be_had_is_somebody_else_s_turn(
    kind: Any, said: str, simulator: Simulator, fields: dict[str, Any], new_host: Callable[[], Host]
) -> None:
    simulator.refuse(kind, target="token", email=USER1)
    assert "user2@example.com" in ask(fields)
    with pytest.raises(CredentialError, match=said) as caught:
        new_host().token()
    assert caught.value.retryable
    assert simulator.account(USER1).label in str(caught.value)
    assert simulator.account(USER1).refresh_token not in str(caught.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/token", "https://oauth.invalid/token"])
def test_a_token_endpoint_that_is_not_there_is_named(url: str, fields: dict[str, Any], simulator: Simulator) -> None:
    with pytest.raises(litellm.InternalServerError, match=r"cannot reach the token endpoint at (127|oauth)"):
        ask({**fields, "token_url": url})
    assert simulator.log == []


def test_a_token_endpoint_that_hangs_costs_the_caller_no_more_than_his_time(
    simulator: Simulator, new_host: Callable[[], Host]
) -> None:
    simulator.refuse("hang", target="token")
    with pytest.raises(CredentialError, match=r"did not answer within 0\.2 s"):
        new_host().token(timeout=0.2)


def test_those_who_waited_for_a_refresh_that_failed_do_not_try_it_themselves(
    simulator: Simulator, new_host: Callable[[], Host], clock: FakeClock
) -> None:
    ours, theirs = new_host(), new_host()
    simulator.set_token_latency(0.5)
    simulator.refuse("server-error", target="token", times=1)
    with ThreadPoolExecutor(2) as threads:
        winner = threads.submit(ours.token)
        until(lambda: simulator.token_calls() == 1)
        loser = threads.submit(theirs.token)
        assert "HTTP 500" in str(winner.exception())
        assert str(loser.exception()) == str(winner.exception())
    assert simulator.token_calls() == 1
    clock.advance(1.0)
    assert ours.token() == theirs.token()  # whoever comes later does try


def test_those_whose_time_is_up_while_another_refreshes_give_up(
    simulator: Simulator, new_host: Callable[[], Host]
) -> None:
    ours, theirs = new_host(), new_host()
    simulator.set_token_latency(1.0)
    with ThreadPoolExecutor(1) as threads:
        winner = threads.submit(ours.token)
        until(lambda: simulator.token_calls() == 1)
        with pytest.raises(CredentialError, match="another process has not finished"):
            theirs.token(timeout=0.05)
        assert winner.result() == theirs.token()
    assert simulator.token_calls() == 1


@contextmanager
def dripping(body: bytes) -> Iterator[str]:
    """A token endpoint that sends a byte now and then, so that no single read takes long."""
    done = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            for byte in body:
                self.wfile.write(bytes([byte]))
                if done.wait(0.1):
                    return

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/token"
        done.set()
        server.shutdown()


def test_a_token_endpoint_that_drips_costs_the_caller_no_more_than_his_time(
    fields: dict[str, Any], clock: FakeClock
) -> None:
    with dripping(b'{"access_token": "canary"}' + b" " * 200) as url:
        host = Host({**fields, "token_url": url}, clock)
        with pytest.raises(CredentialError, match=r"did not answer within 0\.3 s"):
            host.token(timeout=0.3)
        host.store.close()


def test_no_error_and_no_log_line_shows_a_token(
    simulator: Simulator, fields: dict[str, Any], new_host: Callable[[], Host], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = new_host().token()
    simulator.refuse("server-error", target="token")
    host = new_host()
    with pytest.raises(CredentialError) as caught:
        host.token(rejected=SecretStr(token))
    shown = caplog.text + repr(caught.value) + repr(host.tokens) + repr(host.account)
    for secret in (token, simulator.account(USER1).refresh_token, fields["oauth_client_secret"]):
        assert secret not in shown
