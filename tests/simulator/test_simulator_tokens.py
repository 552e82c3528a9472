"""The simulator's token endpoint, access tokens and projects: who is let in, and for how long."""

from __future__ import annotations

import pytest
from simulator_client import FIRST, GENERATE, PROJECT, SECOND, Client, _with_project, client, simulator
from support import FakeClock

from litellm_antigravity.simulator import SimulatedAccount, Simulator

__all__ = ["client", "simulator"]  # fixtures

pytestmark = pytest.mark.once


# The token endpoint


def test_a_refresh_token_is_exchanged_for_an_access_token(client: Client) -> None:
    answer = client.refresh()
    assert answer.status_code == 200
    fields = answer.json()
    assert fields["access_token"].startswith("sim-")
    assert (fields["expires_in"], fields["token_type"]) == (3600, "Bearer")
    assert "refresh_token" not in fields
    assert client.refresh().json()["access_token"] != fields["access_token"]


@pytest.mark.parametrize(
    ("changed", "status", "error"),
    [
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"client_id": "another"}, 401, "invalid_client"),
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_secret": ""}, 401, "invalid_client"),
        ({"refresh_token": "1//unknown"}, 400, "invalid_grant"),
        ({"refresh_token": ""}, 400, "invalid_request"),
    ],
)
def test_the_token_endpoint_refuses_as_oauth_says(
    client: Client, changed: dict[str, str], status: int, error: str
) -> None:
    answer = client.refresh(**changed)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert client.simulator.log[-1].kind == error


def test_the_token_endpoint_takes_forms_only(client: Client) -> None:
    assert client.http.post("/token", json={"grant_type": "refresh_token"}).json()["error"] == "invalid_request"


def test_another_simulator_has_other_secrets() -> None:
    one, other = Simulator(), Simulator()
    assert one.client_id != other.client_id
    assert one.client_secret != other.client_secret
    assert one.accounts[0].refresh_token != other.accounts[0].refresh_token


def test_a_revoked_login_gets_invalid_grant_and_its_access_tokens_die(client: Client) -> None:
    assert client.ask().status_code == 200
    client.simulator.revoke(FIRST)
    assert client.ask().status_code == 401
    refused = client.refresh()
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert client.simulator.log[-1].email == FIRST
    assert client.ask(SECOND).status_code == 200


def test_signing_in_again_ends_a_revocation_with_a_new_refresh_token(client: Client) -> None:
    old = client.simulator.account(FIRST).refresh_token
    client.simulator.revoke(FIRST)
    new = client.simulator.sign_in(FIRST)
    assert new != old
    assert client.refresh().status_code == 200
    assert client.refresh(refresh_token=old).json()["error"] == "invalid_grant"


def test_rotation_returns_a_new_refresh_token_and_keeps_the_old_one_valid(client: Client) -> None:
    old = client.simulator.account(FIRST).refresh_token
    client.simulator.rotate_refresh_tokens = True
    new = client.refresh().json()["refresh_token"]
    assert new == client.simulator.account(FIRST).refresh_token != old
    assert client.refresh(refresh_token=old).status_code == 200


def test_rotation_can_end_the_old_refresh_token(client: Client) -> None:
    old = client.simulator.account(FIRST).refresh_token
    client.simulator.rotate_refresh_tokens = True
    client.simulator.keep_old_refresh_tokens = False
    new = client.refresh().json()["refresh_token"]
    assert client.refresh(refresh_token=old).json()["error"] == "invalid_grant"
    assert client.refresh(refresh_token=new).status_code == 200


def test_token_calls_are_counted_per_account_whether_they_succeed_or_not(client: Client) -> None:
    client.refresh()
    client.refresh(client_id="another")
    client.refresh(SECOND)
    assert client.simulator.token_calls() == 3
    assert client.simulator.token_calls(FIRST) == 2
    client.simulator.clear_log()
    assert client.simulator.token_calls() == 0
    assert client.simulator.log == []


# Access tokens and projects


def test_an_unknown_token_is_unauthenticated(client: Client) -> None:
    for headers in ({}, {"authorization": "Bearer sim-made-up"}, {"authorization": f"Basic {client.signed()}"}):
        answer = client.http.post(GENERATE, json=client.envelope(), headers=headers)
        assert answer.status_code == 401
        assert answer.json()["error"]["status"] == "UNAUTHENTICATED"
        assert client.simulator.log[-1].email is None


def test_an_access_token_lives_as_long_as_its_endpoint_said(client: Client, clock: FakeClock) -> None:
    client.signed()
    clock.advance(3599)
    assert client.ask().status_code == 200
    clock.advance(1)
    assert client.ask().status_code == 401


def test_expired_tokens_are_those_of_one_account_or_of_all(client: Client) -> None:
    assert client.ask().status_code == client.ask(SECOND).status_code == 200
    client.simulator.expire_tokens(FIRST)
    assert [client.ask().status_code, client.ask(SECOND).status_code] == [401, 200]
    client.simulator.expire_tokens()
    assert client.ask(SECOND).status_code == 401
    client.tokens.clear()
    assert client.ask(SECOND).status_code == 200


def test_a_project_of_another_account_is_denied_without_details(client: Client) -> None:
    body = client.envelope() | {"project": client.simulator.account(SECOND).project}
    answer = client.ask(body=body)
    assert answer.status_code == 403
    assert answer.json()["error"]["status"] == "PERMISSION_DENIED"
    assert "details" not in answer.json()["error"]
    assert client.simulator.log[-1].kind == "wrong-project"


def test_the_project_is_told_as_a_string_or_as_an_object_or_not_at_all() -> None:
    accounts = [
        SimulatedAccount("a@example.com", project="one"),
        SimulatedAccount("b@example.com", project="two", project_form="object"),
        SimulatedAccount("c@example.com", project=None),
    ]
    with Simulator(accounts) as simulator:
        client = Client(simulator)
        told = [client.ask(one.email, path=PROJECT, body={"metadata": {}}).json() for one in accounts]
        assert client.http.post(PROJECT, json={}).status_code == 401
        assert client.ask("c@example.com", body=_with_project(client)).status_code == 403
    assert told[0]["cloudaicompanionProject"] == "one"
    assert told[1]["cloudaicompanionProject"] == {"id": "two"}
    assert "cloudaicompanionProject" not in told[2]
