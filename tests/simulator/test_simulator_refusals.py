"""What the simulator refuses: drained and spent quotas, and every fault on demand."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulator_client import (
    CLAUDE,
    FIRST,
    GEMINI,
    GENERATE,
    PROJECT,
    SECOND,
    STREAM,
    Client,
    Json,
    client,
    details_of,
    simulator,
    text_of,
    wait_until,
)
from support import FakeClock

from litellm_antigravity.simulator import SimulatedAccount, Simulator
from litellm_antigravity.simulator.bodies import spell_duration_proto, spell_go_duration

__all__ = ["client", "simulator"]  # fixtures

pytestmark = pytest.mark.once


# Quotas


def test_a_drained_pool_is_refused_with_the_remaining_time_in_every_form(client: Client, clock: FakeClock) -> None:
    client.simulator.drain(FIRST, "claude", reset_seconds=4000.5)
    clock.advance(100.25)
    answer = client.ask()
    assert answer.status_code == 429
    error, details = answer.json()["error"], details_of(answer)
    assert error["status"] == "RESOURCE_EXHAUSTED"
    assert error["message"].endswith("Resets in 1h5m0s.")
    assert details["RetryInfo"]["retryDelay"] == "3900.25s"
    info = details["ErrorInfo"]
    assert (info["reason"], info["domain"]) == ("QUOTA_EXHAUSTED", "cloudcode-pa.googleapis.com")
    assert info["metadata"] == {
        "uiMessage": "true",
        "model": CLAUDE,
        "quotaResetDelay": "1h5m0.25s",
        "quotaResetTimeStamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(math.ceil(clock.time() + 3900.25))),
    }


def test_a_drained_pool_blocks_neither_its_sibling_nor_another_account_and_comes_back(
    client: Client, clock: FakeClock
) -> None:
    client.simulator.drain(FIRST, "claude", reset_seconds=60)
    statuses = [client.ask(*who).status_code for who in ((FIRST, CLAUDE), (FIRST, GEMINI), (SECOND, CLAUDE))]
    assert statuses == [429, 200, 200]
    assert client.ask(FIRST, "gpt-oss-120b-medium").status_code == 429
    clock.advance(60)
    assert client.ask().status_code == 200


def test_both_families_can_be_drained_at_once(client: Client) -> None:
    client.simulator.drain(FIRST, None)
    assert [client.ask(model=model).status_code for model in (CLAUDE, GEMINI)] == [429, 429]
    client.simulator.heal()
    assert client.ask().status_code == 200


def test_a_quota_is_spent_per_account_and_family_and_comes_back_with_the_next_window() -> None:
    clock = FakeClock()
    with Simulator(quota=2, quota_window_seconds=100, clock=clock) as simulator:
        client = Client(simulator)
        assert [client.ask().status_code for _ in range(3)] == [200, 200, 429]
        assert [client.ask(model=GEMINI).status_code, client.ask(SECOND).status_code] == [200, 200]
        clock.advance(40)
        assert details_of(client.ask())["RetryInfo"]["retryDelay"] == "60s"
        clock.advance(60)
        assert client.ask().status_code == 200
        simulator.set_quota(FIRST, "claude", None)
        assert [client.ask().status_code for _ in range(5)] == [200] * 5
        simulator.set_quota(FIRST, "claude", 1, window_seconds=10)
        assert [client.ask().status_code for _ in range(2)] == [200, 429]


def test_a_refused_request_costs_no_quota(client: Client) -> None:
    client.simulator.set_quota(FIRST, "claude", 1)
    client.simulator.refuse("server-error", times=3)
    assert [client.ask().status_code for _ in range(5)] == [500, 500, 500, 200, 429]


@given(nanos=st.integers(min_value=0, max_value=400 * 3600 * 10**9))
def test_durations_are_spelled_so_that_they_can_be_read_back(nanos: int) -> None:
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3}
    for spelled in (spell_go_duration(nanos / 1e9), spell_duration_proto(nanos / 1e9)):
        assert re.fullmatch(r"(\d+h)?(\d+m)?\d+(\.\d+)?m?s", spelled)
        found = re.findall(r"([\d.]+)(ms|h|m|s)", spelled)
        assert sum(float(number) * units[unit] for number, unit in found) == pytest.approx(nanos / 1e9)


@pytest.mark.parametrize(
    ("seconds", "spelled"),
    [(0, "0s"), (0.290979975, "290.979975ms"), (39, "39s"), (4560.667, "1h16m0.667s"), (256527.5, "71h15m27.5s")],
)
def test_durations_look_like_upstreams(seconds: float, spelled: str) -> None:
    assert spell_go_duration(seconds) == spelled


# Refusals on demand


@pytest.mark.parametrize(
    ("kind", "options", "status", "grpc", "reason", "message"),
    [
        ("quota", {"reset_seconds": 90}, 429, "RESOURCE_EXHAUSTED", "QUOTA_EXHAUSTED", "Resets in 1m30s"),
        ("quota", {"reset_seconds": None}, 429, "RESOURCE_EXHAUSTED", "QUOTA_EXHAUSTED", "Individual quota reached"),
        ("rate", {}, 429, "RESOURCE_EXHAUSTED", "RATE_LIMIT_EXCEEDED", "per minute"),
        ("refused-request", {}, 429, "RESOURCE_EXHAUSTED", None, "Resource has been exhausted (e.g. check quota)."),
        ("capacity", {}, 503, "UNAVAILABLE", "MODEL_CAPACITY_EXHAUSTED", "No capacity available for model"),
        ("capacity", {"status": 429}, 429, "RESOURCE_EXHAUSTED", "MODEL_CAPACITY_EXHAUSTED", "No capacity"),
        ("capacity", {"status": 529}, 529, "UNAVAILABLE", "MODEL_CAPACITY_EXHAUSTED", "No capacity"),
        ("server-error", {}, 500, "INTERNAL", None, "Internal error"),
        ("server-error", {"status": 502}, 502, "UNAVAILABLE", None, ""),
        ("server-error", {"status": 504}, 504, "DEADLINE_EXCEEDED", None, ""),
        ("unauthorized", {}, 401, "UNAUTHENTICATED", None, "invalid authentication credentials"),
        ("verification", {}, 403, "PERMISSION_DENIED", "VALIDATION_REQUIRED", "Verify your account"),
        ("banned", {}, 403, "PERMISSION_DENIED", "TOS_VIOLATION", "violation of Terms of Service"),
        ("banned-old-text", {}, 403, "PERMISSION_DENIED", None, "violation of Terms of\n\t\tService"),
        ("not-available", {}, 404, "NOT_FOUND", None, "Requested entity was not found."),
        ("not-available", {"status": 403}, 403, "PERMISSION_DENIED", None, ""),
        ("bad-request", {"message": "no"}, 400, "INVALID_ARGUMENT", None, "no"),
    ],
)
@pytest.mark.parametrize("path", [GENERATE, STREAM])
def test_every_refusal_has_its_status_and_its_body(
    client: Client, path: str, kind: Any, options: Json, status: int, grpc: str, reason: str | None, message: str
) -> None:
    client.simulator.refuse(kind, times=1, **options)
    answer = client.ask(path=path)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["status"]) == (status, status, grpc)
    assert message in error["message"]
    if reason is None:
        assert "details" not in error
    else:
        assert details_of(answer)["ErrorInfo"]["reason"] == reason
    assert (client.simulator.log[-1].kind, client.simulator.log[-1].status) == (kind, status)
    assert client.ask(path=path).status_code == 200


@pytest.mark.parametrize(
    ("kind", "option"), [("quota", "reset_seconds"), ("rate", "retry_seconds"), ("capacity", "retry_seconds")]
)
def test_retry_hints_can_be_chosen_and_left_out(client: Client, kind: Any, option: str) -> None:
    for hint in (7.5, None):
        options: Json = {option: hint}
        client.simulator.refuse(kind, times=1, **options)
    assert details_of(client.ask())["RetryInfo"]["retryDelay"] == "7.5s"
    assert set(details_of(client.ask())) == {"ErrorInfo"}


def test_a_refusal_can_carry_headers(client: Client) -> None:
    client.simulator.refuse("refused-request", headers={"retry-after": "33"})
    assert client.ask().headers["retry-after"] == "33"


def test_verification_and_ban_tell_where_to_go(client: Client) -> None:
    client.simulator.refuse("verification", times=1)
    client.simulator.refuse("banned", times=1)
    metadata = [details_of(client.ask())["ErrorInfo"]["metadata"] for _ in range(2)]
    assert metadata[0]["validation_url"].startswith("https://accounts.google.com/signin/continue?")
    assert metadata[1]["appeal_url"].startswith("https://")


def test_pages_come_instead_of_json(client: Client) -> None:
    client.simulator.refuse("html", times=1)
    client.simulator.refuse("html-error", times=1)
    answers = [client.ask(path=STREAM) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 502]
    for answer in answers:
        assert answer.headers["content-type"].startswith("text/html")
        assert "<html" in answer.text


def test_an_empty_candidate_list_comes_whole_and_streamed(client: Client) -> None:
    client.simulator.refuse("empty-candidates", times=2)
    assert client.ask().json()["response"]["candidates"] == []
    assert [chunk["response"]["candidates"] for chunk in client.stream()] == [[]]


def test_an_unsupported_version_is_said_as_a_models_text(client: Client) -> None:
    client.simulator.refuse("version-unsupported", times=2)
    answers = [client.ask().json(), client.stream()[0]]
    assert all(text_of([answer]).startswith("This version of Antigravity is no longer") for answer in answers)


def test_a_truncated_stream_ends_cleanly_but_without_a_finish_reason(client: Client) -> None:
    client.simulator.refuse("truncated-stream", after_chunks=2, times=1)
    assert client.ask().status_code == 200  # a request that does not stream is not for this refusal
    chunks = client.stream()
    assert len(chunks) == 2
    assert all("finishReason" not in chunk["response"]["candidates"][0] for chunk in chunks)
    assert len(client.stream()) == 3


def test_a_truncated_stream_never_has_its_last_chunk(client: Client) -> None:
    client.simulator.refuse("truncated-stream", after_chunks=99, times=1)
    assert "finishReason" not in json.dumps(client.stream())


def test_a_truncated_stream_can_end_by_a_lost_connection(client: Client) -> None:
    client.simulator.refuse("truncated-stream", abrupt=True)
    received = client.received_before(httpx.RemoteProtocolError)
    assert received.count(b"data: ") == 1


def test_an_error_can_come_after_content(client: Client) -> None:
    client.simulator.refuse("mid-stream-error", status=503)
    first, second = client.stream()
    assert first["response"]["candidates"]
    assert second["error"]["code"] == 503


@pytest.mark.parametrize("path", [GENERATE, STREAM])
def test_a_dropped_connection_has_no_answer(client: Client, path: str) -> None:
    client.simulator.refuse("drop", times=1)
    client.signed()
    with pytest.raises(httpx.RemoteProtocolError):
        client.ask(path=path)
    assert (client.simulator.log[-1].kind, client.simulator.log[-1].status) == ("drop", 0)
    assert client.ask(path=path).status_code == 200


@pytest.mark.parametrize("path", [GENERATE, STREAM])
def test_a_hanging_request_is_in_flight_until_its_client_goes(client: Client, path: str) -> None:
    client.simulator.refuse("hang", times=1)
    client.signed()
    with pytest.raises(httpx.ReadTimeout):
        client.ask(path=path, timeout=0.05)
    assert (client.simulator.log[-1].kind, client.simulator.log[-1].status) == ("hang", 0)
    wait_until(lambda: client.ask().status_code == 200 and client.simulator.log[-1].in_flight == 1)


def test_a_stream_can_hang_after_content(client: Client) -> None:
    client.simulator.refuse("hang", after_chunks=1)
    received = client.received_before(httpx.ReadTimeout, timeout=0.3)
    assert received.count(b"data: ") == 1


def test_refusals_are_for_whom_they_name_and_queue_up(client: Client) -> None:
    simulator = client.simulator
    simulator.refuse("capacity", model="antigravity/Claude-Sonnet-4-6")
    simulator.refuse("verification", email=SECOND)
    simulator.refuse("not-available", family="gemini", times=2)
    asked = ((FIRST, CLAUDE), (SECOND, CLAUDE), (SECOND, GEMINI), (FIRST, GEMINI), (FIRST, GEMINI), (FIRST, GEMINI))
    assert [client.ask(*who).status_code for who in asked] == [503, 503, 403, 404, 404, 200]
    simulator.heal()
    assert client.ask().status_code == client.ask(SECOND).status_code == 200


def test_a_wrong_envelope_does_not_use_up_a_refusal(client: Client) -> None:
    client.simulator.refuse("capacity", times=1)
    assert client.ask(body={}).status_code == 400
    assert client.ask().status_code == 503


def test_the_token_endpoint_and_the_project_can_be_refused_too(client: Client) -> None:
    client.signed()
    client.simulator.refuse("server-error", target="token", status=503, times=1)
    client.simulator.refuse("html-error", target="project", times=1)
    client.simulator.refuse("drop", target="token", email=SECOND, times=1)
    assert client.refresh().status_code == 503
    assert client.refresh().status_code == 200
    with pytest.raises(httpx.RemoteProtocolError):
        client.refresh(SECOND)
    assert client.ask(path=PROJECT, body={}).status_code == 502
    assert client.ask(path=PROJECT, body={}).status_code == 200
    assert client.ask().status_code == 200


def test_heal_ends_a_revocation(client: Client) -> None:
    client.simulator.revoke(FIRST)
    client.simulator.heal()
    assert client.refresh().status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        lambda simulator: simulator.refuse("teapot"),
        lambda simulator: simulator.refuse("rate", reset_seconds=3),
        lambda simulator: simulator.refuse("rate", email="nobody@example.com"),
        lambda simulator: simulator.refuse("rate", family="gpt"),
        lambda simulator: simulator.refuse("rate", times=0),
        lambda simulator: simulator.refuse("rate", target="nowhere"),
        lambda simulator: simulator.refuse("version-unsupported", target="token"),
        lambda simulator: simulator.drain("nobody@example.com", "claude"),
        lambda simulator: simulator.drain(FIRST, "gpt"),
        lambda simulator: simulator.set_quota(FIRST, "gpt", 1),
        lambda simulator: simulator.revoke("nobody@example.com"),
        lambda _: Simulator(0),
        lambda _: Simulator([]),
        lambda _: Simulator([SimulatedAccount(FIRST), SimulatedAccount(FIRST)]),
    ],
)
def test_a_mistake_in_steering_is_an_error_at_once(wrong: Callable[[Any], object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        wrong(Simulator())
