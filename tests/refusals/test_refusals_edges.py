"""Edges of refusals that mutants lived on: limits from both sides, words for people, replies that are nearly right."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import litellm
import pytest
from support import NOW

from litellm_antigravity.litellm.other_providers import refusal_of
from litellm_antigravity.refusals import (
    Cooling,
    Failover,
    NextAccount,
    Refusal,
    RefusalKind,
    connection_refusal,
    cooldown_for,
    not_json_refusal,
    parse_duration,
    parse_refusal,
    refusal_in_reply,
    truncated_stream,
)

pytestmark = pytest.mark.once


def parse(status: int, error: Any = None, **headers: str) -> Refusal:
    body = b"" if error is None else json.dumps({"error": error}).encode()
    return parse_refusal(status, headers, body, now=NOW)


# Statuses


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (399, RefusalKind.BROKEN_REPLY),
        (400, RefusalKind.CALLER),
        (402, RefusalKind.CALLER),
        (499, RefusalKind.CALLER),
        (500, RefusalKind.TRANSPORT),
        (599, RefusalKind.TRANSPORT),
        (600, RefusalKind.BROKEN_REPLY),
        (200, RefusalKind.BROKEN_REPLY),
    ],
)
def test_four_hundreds_are_the_callers_and_five_hundreds_upstreams(status: int, kind: RefusalKind) -> None:
    refusal = parse(status)
    assert (refusal.kind, refusal.status) == (kind, status)


@pytest.mark.parametrize(
    ("code", "status"), [(399, 200), (400, 400), (599, 599), (600, 200), ("404", 404), ("40", 200), (True, 200)]
)
def test_of_an_error_inside_a_200_only_an_error_status_counts(code: object, status: int) -> None:
    assert parse(200, {"code": code, "message": "x"}).status == status


@pytest.mark.parametrize("status", [400, 429, 500, 599])
def test_an_error_status_of_the_response_beats_the_one_in_its_body(status: int) -> None:
    assert parse(status, {"code": 503, "message": "x"}).status == status


@pytest.mark.parametrize("status", [399, 600])
def test_where_the_response_has_no_error_status_the_one_in_its_body_counts(status: int) -> None:
    assert parse(status, {"code": 503, "message": "x"}).status == 503


class FailedError(Exception):
    """As LiteLLM's exceptions are: a status it has guessed, and upstream's body in the message."""

    def __init__(self, code: object, status: int = 500) -> None:
        super().__init__(json.dumps({"error": {"code": code, "message": "x"}}))
        self.status_code = status


@pytest.mark.parametrize(
    ("code", "status"), [(399, 500), (400, 400), (599, 599), (600, 500), (None, 500), ("404", 500)]
)
def test_of_litellms_exceptions_the_status_that_upstream_wrote_counts(code: object, status: int) -> None:
    refusal = refusal_of(FailedError(code), "gemini")
    assert refusal is not None
    assert refusal.status == status


def test_what_is_no_exception_of_upstreams_tells_nothing_of_an_account() -> None:
    assert refusal_of("no exception", "gemini") is None
    failed = refusal_of(litellm.APIConnectionError("x", "gemini", "gemini-3-flash"), "gemini")
    assert failed is not None
    assert (failed.kind, failed.status) == (RefusalKind.TRANSPORT, 503)


@pytest.mark.parametrize(("status", "is_redirect"), [(299, False), (300, True), (399, True), (400, False)])
def test_a_redirect_is_called_one(status: int, is_redirect: bool) -> None:
    assert ("a redirect" in parse(status).message) is is_redirect


def test_a_redirect_without_a_place_names_none() -> None:
    assert parse(302).message == "upstream answered 302, a redirect that is not followed; is `endpoint` right?"


# 429


def quota_failure(quota_id: str) -> dict[str, Any]:
    return {"message": "x", "details": [{"violations": [{"quotaId": quota_id}]}]}


@pytest.mark.parametrize(
    ("quota_id", "kind"),
    [
        ("GenerateRequestsPerDayPerProject", RefusalKind.QUOTA),
        ("GenerateRequestsPerMinutePerDay", RefusalKind.QUOTA),
        ("GenerateRequestsPerMinutePerProject", RefusalKind.RATE),
        ("generaterequestsperday", RefusalKind.RATE),
    ],
)
def test_the_period_of_a_quota_tells_a_quota_from_a_rate(quota_id: str, kind: RefusalKind) -> None:
    """With a text that alone would say the other thing."""
    other = "Individual quota reached" if kind is RefusalKind.RATE else "slow down: rate limit"
    error = quota_failure(quota_id)
    if "PerM" in quota_id or "PerD" in quota_id:
        error["message"] = other
    assert parse(429, error).kind is kind


@pytest.mark.parametrize("name", ["quotaResetTimeStamp", "quotaResetDelay"])
def test_a_quota_with_a_reset_in_its_details_is_one(name: str) -> None:
    value = "2023-11-14T23:13:20Z" if name == "quotaResetTimeStamp" else "3600s"
    error = {"message": "Your quota is used up", "details": [{"metadata": {name: value}}]}
    assert parse(429, error).kind is RefusalKind.QUOTA
    assert parse(429, {**error, "message": "Too much"}).kind is RefusalKind.RATE


# Delays


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(10**15 - 1, 1e15 - 1), (10**15, None), (-1, None), (True, None), ("12", 12.0), ("1.5", None)],
)
def test_the_seconds_of_a_duration_message_are_a_count(seconds: object, expected: float | None) -> None:
    assert parse_duration({"seconds": seconds}) == expected


@pytest.mark.parametrize(("hint", "seconds"), [(None, 10.0), (4.0, 4.0), (10.0, 10.0), (60.0, 10.0)])
def test_a_refused_request_benches_its_account_for_ten_seconds_at_most(hint: float | None, seconds: float) -> None:
    refusal = Refusal(RefusalKind.REFUSED_REQUEST, 429, "x", retry_after=hint)
    assert cooldown_for(refusal, family="claude", model="claude-sonnet-4-6") == Cooling("claude", seconds)


def test_without_failures_in_a_row_a_quota_without_a_hint_takes_the_first_step() -> None:
    refusal = Refusal(RefusalKind.QUOTA, 429, "x")
    assert cooldown_for(refusal, family="claude", model="claude-sonnet-4-6") == Cooling("claude", 60.0)


@pytest.mark.parametrize(("length", "is_read"), [(100, True), (101, False)])
def test_a_delay_has_a_hundred_characters_at_most(length: int, is_read: bool) -> None:
    assert (parse_duration("3s".ljust(length)) is not None) is is_read
    info = {"metadata": {"quotaResetTimeStamp": "2023-11-14T22:23:20Z".ljust(length)}}
    assert (parse(429, {"message": "x", "details": [info]}).retry_after is not None) is is_read


def test_a_date_counts_from_now_also_where_there_is_no_body() -> None:
    assert parse_refusal(429, {"Retry-After": "Tue, 14 Nov 2023 22:23:20 GMT"}, b"", now=NOW).retry_after == 600.0


@pytest.mark.parametrize(("ago", "delay"), [(0.0, 1.0), (31 * 86400.0, 1.0), (31 * 86400.0 + 1, None)])
def test_a_reset_time_that_is_over_means_now_unless_it_is_over_for_a_month(ago: float, delay: float | None) -> None:
    moment = datetime.fromtimestamp(NOW - ago, timezone.utc).isoformat()
    error = {"message": "x", "details": [{"metadata": {"quotaResetTimeStamp": moment}}]}
    assert parse(429, error).retry_after == delay


# What a request does next


def limited(seconds: float | None, kind: RefusalKind = RefusalKind.RATE) -> Refusal:
    return Refusal(kind, 429, "x", retry_after=seconds)


@pytest.mark.parametrize(
    ("refusal", "is_kept"),
    [
        (limited(20.0), True),
        (limited(20.0, RefusalKind.QUOTA), True),
        (limited(20.5), False),
        (limited(None), False),
        (limited(20.0, RefusalKind.TRANSPORT), False),
    ],
)
def test_an_account_that_is_back_within_the_sticky_wait_is_not_done_with(refusal: Refusal, is_kept: bool) -> None:
    failover = Failover(switch_on_first_rate_limit=True, random=lambda: 0.5, sticky_wait=20.0)
    assert failover.next_step("a", refusal) == NextAccount()
    assert failover.tried == (set() if is_kept else {"a"})


def test_an_account_is_waited_for_once_in_a_request_and_so_may_another_be() -> None:
    failover = Failover(switch_on_first_rate_limit=True, random=lambda: 0.5, sticky_wait=20.0)
    for _ in range(2):
        failover.next_step("a", limited(20.0))
    failover.next_step("b", limited(20.0))
    assert failover.tried == {"a"}


# Words for people


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": "invalid_grant", "error_description": "Bad Request"}, "invalid_grant: Bad Request"),
        ({"error": "invalid_grant", "error_description": "  "}, "invalid_grant"),
        ({"error": "invalid_grant", "error_description": 7}, "invalid_grant"),
        ({"error": "invalid_grant"}, "invalid_grant"),
    ],
)
def test_an_oauth_error_is_its_word_and_what_is_said_of_it(body: dict[str, object], said: str) -> None:
    refusal = parse_refusal(400, {}, json.dumps(body).encode(), now=NOW)
    assert (refusal.kind, refusal.message) == (RefusalKind.REVOKED, said)


@pytest.mark.parametrize(("length", "is_kept"), [(200, True), (201, False)])
def test_a_reason_has_two_hundred_characters_at_most(length: int, is_kept: bool) -> None:
    assert parse(400, {"message": "x", "details": [{"reason": "R" * length}]}).reason == (
        "R" * length if is_kept else None
    )


def test_of_the_host_of_a_redirect_a_hundred_characters_are_shown() -> None:
    message = parse_refusal(302, {"Location": f"https://{'h' * 200}/"}, b"", now=NOW).message
    assert f" to {'h' * 100} that is not followed" in message


def test_a_text_without_a_content_type_is_said_to_have_none() -> None:
    message = parse_refusal(502, {}, b"plain words", now=NOW).message
    assert message.startswith("upstream answered 502 with a body without a content type, not JSON")


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("", "a body without a content type, not JSON"),
        ("application/json; charset=utf-8", "with a body that is not valid JSON"),
        ("application/problem+json", "with a body that is not valid JSON"),
        ("text/plain; charset=utf-8", "with text/plain, not JSON"),
        ("x" * 101, f"with {'x' * 100}, not JSON"),
    ],
)
def test_a_body_that_is_not_json_is_called_what_it_is(content_type: str, expected: str) -> None:
    refusal = not_json_refusal(content_type, 500)
    assert expected in refusal.message
    assert refusal.message.startswith("upstream answered 500 with ")
    assert refusal.status == 500


def test_to_those_behind_us_a_200_that_is_no_reply_is_a_bad_gateway() -> None:
    assert not_json_refusal("text/html", 200).status == 502
    assert not_json_refusal("text/html", 403).status == 403


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"  <html><title>Sign in</title>", ' ("Sign in")'),
        (b"<html>no title", ""),
        (b"  plain words", ' ("plain words")'),
    ],
)
def test_of_a_page_its_title_is_shown_and_of_a_text_its_beginning(body: bytes, shown: str) -> None:
    message = parse_refusal(502, {"Content-Type": "text/html"}, body, now=NOW).message
    assert message.startswith(f"upstream answered 502 with text/html, not JSON{shown};")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError("refused..."), "refused"),
        (OSError("...refused"), "...refused"),
        (OSError(""), "OSError"),
        (ValueError("Illegal header value b'Bearer x'"), "ValueError"),
        ("", "no reason given"),
        ("EXTRA X", "EXTRA X"),
    ],
)
def test_a_connection_that_failed_is_described_without_what_it_was_to_carry(error: Exception | str, said: str) -> None:
    refusal = connection_refusal(error, host="example.com")
    assert refusal.message.startswith(f"no answer from example.com: {said}. Is `endpoint` right")
    assert (refusal.kind, refusal.status) == (RefusalKind.TRANSPORT, 503)


@pytest.mark.parametrize(("events", "said"), [(0, "0 events"), (1, "1 event"), (2, "2 events")])
def test_a_stream_that_broke_off_says_after_how_many_events(events: int, said: str) -> None:
    assert f"after {said}, before its end" in truncated_stream(events).message


@pytest.mark.parametrize(
    ("reply", "name"), [([], "list"), ("x", "string"), (None, "null"), (7, "number"), (True, "boolean")]
)
def test_a_reply_of_another_json_type_is_named(reply: object, name: str) -> None:
    refusal = refusal_in_reply(reply, now=NOW)
    assert refusal is not None
    assert refusal.message == f"upstream answered 200 with a JSON {name}, not with a reply"


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (None, "upstream answered 200 without a `response`"),
        ({"candidates": []}, "upstream's reply has no candidate"),
        ({"candidates": [{"index": 0}]}, "upstream's reply has an empty candidate"),
    ],
)
def test_a_reply_that_lacks_something_says_what(response: object, said: str) -> None:
    refusal = refusal_in_reply({"response": response}, now=NOW)
    assert refusal is not None
    assert refusal.message == said


def test_a_blocked_prompt_needs_no_content() -> None:
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "candidates": [{"index": 0}]}
    assert refusal_in_reply({"response": blocked}, now=NOW) is None


# An error in disguise

UNSUPPORTED = "This version of Antigravity is no longer supported"


def saying(*parts: Any) -> dict[str, Any]:
    return {"response": {"candidates": [{"content": {"parts": list(parts)}, "finishReason": "STOP"}]}}


@pytest.mark.parametrize(
    "parts",
    [
        [{"text": UNSUPPORTED}],
        [{"text": f"  {UNSUPPORTED.upper()}. Please update."}],
        [{"text": UNSUPPORTED[:10]}, {"text": UNSUPPORTED[10:]}],
        [{"text": UNSUPPORTED[:3]}, {"text": UNSUPPORTED[3:]}],
        [{"text": UNSUPPORTED + "x" * (400 - len(UNSUPPORTED))}],
        [{"text": " " * 36 + UNSUPPORTED}],
    ],
)
def test_upstreams_dislike_of_a_client_is_no_answer(parts: list[Any]) -> None:
    refusal = refusal_in_reply(saying(*parts), now=NOW)
    assert refusal is not None
    assert refusal.kind is RefusalKind.FAILED_REPLY


@pytest.mark.parametrize(
    "parts",
    [
        [],
        ["no part"],
        [{"text": UNSUPPORTED}, {"functionCall": {"name": "f"}}],
        [{"text": UNSUPPORTED}, {"text": 7}],
        [{"text": UNSUPPORTED}, {"text": "so I think", "thought": True}],
        [{"text": UNSUPPORTED + "x" * (401 - len(UNSUPPORTED))}],
        [{"text": f"That {UNSUPPORTED}"}],
    ],
)
def test_what_only_looks_like_it_is_an_answer(parts: list[Any]) -> None:
    assert refusal_in_reply(saying(*parts), now=NOW) is None


@pytest.mark.parametrize("parts", [None, {"text": UNSUPPORTED}, "x"])
def test_parts_that_are_no_list_are_no_dislike(parts: object) -> None:
    reply = {"response": {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]}}
    assert refusal_in_reply(reply, now=NOW) is None


# Addresses


@pytest.mark.parametrize(("length", "is_kept"), [(2000, True), (2001, False)])
def test_an_address_has_two_thousand_characters_at_most(length: int, is_kept: bool) -> None:
    url = "https://accounts.google.com/".ljust(length, "x")
    info = {"reason": "VALIDATION_REQUIRED", "metadata": {"validation_url": url}}
    assert parse(403, {"message": "x", "details": [info]}).url == (url if is_kept else None)
