"""A 200 that is no reply, and refusals that have no body at all."""

from __future__ import annotations

from typing import Any

import pytest
from refusal_bodies import BODIES, UNSUPPORTED, K, parse
from support import NOW

from litellm_antigravity.refusals import (
    RefusalKind,
    connection_refusal,
    not_json_refusal,
    refusal_in_reply,
    timeout_refusal,
    truncated_stream,
)

pytestmark = pytest.mark.once


# A 200 that is no reply


def reply(*parts: object, **candidate: object) -> dict[str, Any]:
    return {"response": {"candidates": [{"content": {"role": "model", "parts": list(parts)}, **candidate}]}}


GOOD_REPLIES: dict[str, dict[str, Any]] = {
    "text": reply({"text": "Hello"}, finishReason="STOP"),
    "a tool call": reply({"functionCall": {"name": "f", "args": {}}}),
    "a blocked prompt": {"response": {"promptFeedback": {"blockReason": "SAFETY"}}},
    "a finish reason alone": {"response": {"candidates": [{"finishReason": "MAX_TOKENS"}]}},
    "an answer about versions": reply({"text": f"Upstream may say: {UNSUPPORTED}"}),
    "a long answer about versions": reply({"text": UNSUPPORTED + " That means: " + "word " * 100}),
    "a thought before the text": reply({"text": UNSUPPORTED, "thought": True}, {"text": "Yes."}),
}
BROKEN_REPLIES: dict[str, object] = {
    "null": None,
    "a list": [],
    "a text": "Hello",
    "an empty object": {},
    "no response": {"traceId": "x"},
    "response of another type": {"response": "Hello"},
    "no candidates": {"response": {"usageMetadata": {}}},
    "an empty candidate list": {"response": {"candidates": []}},
    "candidates of another type": {"response": {"candidates": {"0": {}}}},
    "an empty candidate": {"response": {"candidates": [{}]}},
    "a candidate of another type": {"response": {"candidates": ["Hello"]}},
}
KNOWN_ERRORS = {
    "the version text": reply({"text": UNSUPPORTED}, finishReason="STOP"),
    "the version text in two parts": reply({"text": UNSUPPORTED[:20]}, {"text": UNSUPPORTED[20:]}),
    "a newer one": reply(
        {"text": "Your current version of Antigravity is out of date. Please visit https://x.example"}
    ),
}


@pytest.mark.parametrize("name", GOOD_REPLIES)
def test_a_gemini_reply_is_no_refusal(name: str) -> None:
    assert refusal_in_reply(GOOD_REPLIES[name], now=NOW) is None
    assert refusal_in_reply(GOOD_REPLIES[name], now=NOW, whole=False) is None


@pytest.mark.parametrize("name", BROKEN_REPLIES)
def test_a_200_that_is_no_gemini_reply_is_broken(name: str) -> None:
    refusal = refusal_in_reply(BROKEN_REPLIES[name], now=NOW)
    assert refusal is not None
    assert (refusal.kind, refusal.status, refusal.retry_after) == (K.BROKEN_REPLY, 502, None)


@pytest.mark.parametrize(
    "event", [{"response": {"usageMetadata": {}}}, {"response": {"candidates": [{}]}}, {"traceId": "x"}]
)
def test_one_event_of_a_stream_may_lack_candidates(event: object) -> None:
    assert refusal_in_reply(event, now=NOW, whole=False) is None


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("name", KNOWN_ERRORS)
def test_an_error_that_comes_as_a_text_is_a_failed_reply(name: str, whole: bool) -> None:
    """Before, it counted against the account."""
    refusal = refusal_in_reply(KNOWN_ERRORS[name], now=NOW, whole=whole)
    assert refusal is not None
    assert (refusal.kind, refusal.retry_after) == (K.FAILED_REPLY, None)


def test_what_is_no_object_is_noticed_in_a_stream_too() -> None:
    for event in (["x"], None):
        refusal = refusal_in_reply(event, now=NOW, whole=False)
        assert refusal is not None
        assert refusal.kind is K.BROKEN_REPLY


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    "name", [name for name, row in BODIES.items() if isinstance(row[1], dict) and "code" in str(row[1])]
)
def test_an_error_inside_a_200_is_classified_by_what_it_says(name: str, whole: bool) -> None:
    status, body, _, _ = BODIES[name]
    assert refusal_in_reply(body, now=NOW, whole=whole) == parse(status, body)
    assert refusal_in_reply([body], now=NOW, whole=whole) == parse(status, body)


@pytest.mark.parametrize(
    ("name", "kind", "status"),
    [
        ("RESOURCE_EXHAUSTED", K.REFUSED_REQUEST, 429),
        ("UNAUTHENTICATED", K.AUTH, 401),
        ("UNAVAILABLE", K.CAPACITY, 503),
        ("INVALID_ARGUMENT", K.CALLER, 400),
        ("INTERNAL", K.TRANSPORT, 500),
        ("NEVER_HEARD_OF", K.BROKEN_REPLY, 200),
    ],
)
def test_an_error_inside_a_200_without_a_number_goes_by_its_name(name: str, kind: RefusalKind, status: int) -> None:
    refusal = refusal_in_reply({"error": {"message": "No.", "status": name}}, now=NOW)
    assert refusal is not None
    assert (refusal.kind, refusal.status) == (kind, status)


# Refusals without a body


def test_an_unreachable_upstream_is_named() -> None:
    refusal = connection_refusal(ConnectionRefusedError(111, "Connection refused"), host="cloud.example.com")
    assert refusal.kind is K.TRANSPORT
    assert "cloud.example.com" in refusal.message
    assert "Connection refused" in refusal.message
    assert "ValueError" in connection_refusal(ValueError(), host="x").message


def test_a_connection_error_that_quotes_a_header_is_named_and_not_quoted() -> None:
    message = connection_refusal(ValueError("Illegal header value b'Bearer c\\nanary'"), host="x").message
    assert "anary" not in message
    assert "ValueError" in message


def test_a_time_out_is_a_transport_problem_that_says_what_was_waited_for() -> None:
    refusal = timeout_refusal("connecting to cloud.example.com")
    assert (refusal.kind, refusal.status) == (K.TRANSPORT, 408)
    assert "connecting to cloud.example.com" in refusal.message


def test_a_truncated_stream_and_an_answer_without_json_are_broken_replies() -> None:
    assert truncated_stream(3).kind is K.BROKEN_REPLY
    assert "3 events" in truncated_stream(3).message
    page = not_json_refusal("text/html; charset=utf-8", 200)
    assert (page.kind, page.status) == (K.BROKEN_REPLY, 502)
    assert "text/html, not JSON; is `endpoint` right, or is a proxy in between?" in page.message
    assert "not valid JSON" in not_json_refusal("application/json", 200).message
    assert not_json_refusal("", 200).message
