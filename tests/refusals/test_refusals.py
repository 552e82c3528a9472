"""Which class an upstream error is: every body of docs/upstream.md, every row of docs/design.md, and others."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusal_bodies import (
    APPEAL_URL,
    BANNED,
    BODIES,
    CAPACITY_MESSAGE,
    VALIDATION_URL,
    VERIFICATION,
    WEEKLY,
    K,
    denied,
    error,
    exhausted,
    info,
    parse,
)

from litellm_antigravity.refusals import (
    RefusalKind,
)

pytestmark = pytest.mark.once


@pytest.mark.parametrize("name", BODIES)
def test_every_known_body_has_its_class_and_delay(name: str) -> None:
    status, body, kind, delay = BODIES[name]
    refusal = parse(status, body)
    assert refusal.kind is kind
    assert refusal.retry_after == (None if delay is None else pytest.approx(delay, abs=1e-6))
    assert refusal.status == status


@pytest.mark.parametrize("name", [name for name, row in BODIES.items() if isinstance(row[1], dict)])
def test_a_body_in_a_list_and_with_a_byte_order_mark_is_the_same(name: str) -> None:
    status, body, _, _ = BODIES[name]
    assert parse(status, [body]) == parse(status, body)
    assert parse(status, b"\xef\xbb\xbf" + json.dumps(body).encode()) == parse(status, body)


@given(st.data())
def test_the_order_of_the_details_and_strangers_among_them_change_nothing(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["weekly quota", "capacity 503", "capacity as 429", "daily quota id"]))
    status, body, kind, delay = BODIES[name]
    assert isinstance(body, dict)
    strangers: list[object] = [
        None,
        7,
        "x",
        [],
        {},
        {"@type": "type.googleapis.com/google.rpc.DebugInfo", "detail": "x"},
    ]
    details = data.draw(st.permutations([*body["error"]["details"], *strangers]))
    refusal = parse(status, {"error": {**body["error"], "details": details}})
    assert refusal.kind is kind
    assert refusal.retry_after == pytest.approx(delay)


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 429, 500, 503])
@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("QUOTA_EXHAUSTED", K.QUOTA),
        ("INSUFFICIENT_G1_CREDITS_BALANCE", K.QUOTA),
        ("RATE_LIMIT_EXCEEDED", K.RATE),
        ("MODEL_CAPACITY_EXHAUSTED", K.CAPACITY),
        ("VALIDATION_REQUIRED", K.VERIFICATION),
        ("TOS_VIOLATION", K.BANNED),
    ],
)
def test_reasons_beat_status_codes_and_texts(status: int, reason: str, kind: RefusalKind) -> None:
    body = error(status, "Individual quota reached; verify your account, per minute", "UNKNOWN", info(reason))
    refusal = parse(status, body)
    assert (refusal.kind, refusal.reason) == (kind, reason)


@pytest.mark.parametrize(
    "text",
    [
        "Individual quota reached. Resets in 71h15m27s.",
        "requests per minute",
        "verify your account",
        "disabled in this account for violation of Terms of Service",
        "the text said invalid_grant",
        "No capacity available for model x",
    ],
)
@pytest.mark.parametrize(("status", "kind"), [(400, K.CALLER), (404, K.NOT_AVAILABLE), (500, K.TRANSPORT)])
def test_status_codes_beat_texts_so_what_a_request_quotes_harms_no_account(
    status: int, kind: RefusalKind, text: str
) -> None:
    assert parse(status, error(status, f"Invalid value: {text}", "X")).kind is kind


def test_the_gravest_of_several_reasons_decides() -> None:
    refusal = parse(403, denied("No.", info("NEW"), info("RATE_LIMIT_EXCEEDED"), info("TOS_VIOLATION")))
    assert (refusal.kind, refusal.reason) == (K.BANNED, "TOS_VIOLATION")


def test_the_older_list_of_errors_does_not_overrule_the_details() -> None:
    body = exhausted(CAPACITY_MESSAGE, info("MODEL_CAPACITY_EXHAUSTED", model="gemini-3-flash"))
    body["error"]["errors"] = [{"message": CAPACITY_MESSAGE, "domain": "global", "reason": "rateLimitExceeded"}]
    refusal = parse(429, body)
    assert (refusal.kind, refusal.model) == (K.CAPACITY, "gemini-3-flash")


def test_the_fields_of_a_quota_refusal_are_kept() -> None:
    refusal = parse(429, WEEKLY)
    assert refusal.reason == "QUOTA_EXHAUSTED"
    assert refusal.model == "gpt-oss-120b-medium"
    assert refusal.grpc_status == "RESOURCE_EXHAUSTED"
    assert refusal.message == WEEKLY["error"]["message"]
    assert refusal.url is None


def test_the_page_to_open_is_kept() -> None:
    assert parse(403, VERIFICATION).url == VALIDATION_URL
    assert parse(403, BANNED).url == APPEAL_URL


@pytest.mark.parametrize(
    "url",
    [
        "http://accounts.google.com/",
        "javascript:alert(1)",
        "https://",
        "https://user:secret@accounts.google.com/",
        "https://accounts.google.com/\x1b[2J",
        "https://accounts.google.com/ x",
        "https://[broken",
        "https://accounts.google.com/" + "x" * 3000,
        "",
    ],
)
def test_an_address_that_nobody_should_be_sent_to_is_dropped(url: str) -> None:
    refusal = parse(403, denied("Verify your account", info("VALIDATION_REQUIRED", validation_url=url)))
    assert (refusal.kind, refusal.url) == (K.VERIFICATION, None)
