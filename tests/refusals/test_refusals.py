"""Which class an upstream error is: every body of docs/upstream.md, every row of docs/design.md, and others."""

from __future__ import annotations

import json
import pickle
from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import NOW

from litellm_antigravity.refusals import (
    Refusal,
    RefusalKind,
    connection_refusal,
    not_json_refusal,
    parse_refusal,
    refusal_in_reply,
    timeout_refusal,
    truncated_stream,
)

pytestmark = pytest.mark.once

K = RefusalKind
ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"
BARE = "Resource has been exhausted (e.g. check quota)."
BANNED_OLD = (
    "Gemini has been disabled in this account for violation of Terms of\n\t\tService. If you believe this is a mistake"
)
VALIDATION_URL = "https://accounts.google.com/signin/continue?sarp=1&continue=x"
APPEAL_URL = "https://forms.example.com/appeal?id=7"
UNSUPPORTED = "This version of Antigravity is no longer supported. Please update to receive the latest features!"


def info(reason: str | None, **metadata: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"@type": ERROR_INFO, "domain": "cloudcode-pa.googleapis.com", "metadata": metadata}
    return entry if reason is None else {**entry, "reason": reason}


def retry_info(delay: str) -> dict[str, Any]:
    return {"@type": RETRY_INFO, "retryDelay": delay}


def error(code: int, message: str, status: str, *details: object) -> dict[str, Any]:
    fields: dict[str, Any] = {"code": code, "message": message, "status": status}
    return {"error": {**fields, "details": list(details)} if details else fields}


def parse(status: int, body: object, **headers: str) -> Refusal:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return parse_refusal(status, named, body if isinstance(body, bytes) else json.dumps(body).encode(), now=NOW)


def exhausted(message: str, *details: object) -> dict[str, Any]:
    return error(429, message, "RESOURCE_EXHAUSTED", *details)


def denied(message: str, *details: object) -> dict[str, Any]:
    return error(403, message, "PERMISSION_DENIED", *details)


WEEKLY = exhausted(
    "Individual quota reached. Contact your administrator to enable overages. Resets in 71h15m27s.",
    info(
        "QUOTA_EXHAUSTED",
        uiMessage="true",
        model="gpt-oss-120b-medium",
        quotaResetDelay="71h15m27.791609974s",
        quotaResetTimeStamp="2026-05-27T16:32:54Z",
    ),
    retry_info("256527.791609974s"),
)
CAPACITY_MESSAGE = "No capacity available for model gemini-3-pro-low on the server"
CAPACITY = error(
    503, CAPACITY_MESSAGE, "UNAVAILABLE", info("MODEL_CAPACITY_EXHAUSTED", model="gemini-3-pro-low"), retry_info("39s")
)
VERIFICATION = denied(
    "Verify your account to continue.",
    info(
        "VALIDATION_REQUIRED",
        validation_error_message="Verify your account to continue.",
        validation_url_link_text="Verify",
        validation_url=VALIDATION_URL,
    ),
)
BANNED = denied(
    "This service has been disabled in this account for violation of Terms of Service. Please submit an appeal to "
    "continue using this product.",
    info("TOS_VIOLATION", uiMessage="true", appeal_url_link_text="Appeal", appeal_url=APPEAL_URL),
)
PER_DAY = {"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}
PER_MINUTE = {"violations": [{"quotaId": "GenerateContentInputTokensPerModelPerMinute-FreeTier"}]}

# What was sent, and what must come out: class, delay. Named after where the body is written down.
BODIES: dict[str, tuple[int, object, RefusalKind, float | None]] = {
    # docs/upstream.md, "Error bodies"
    "weekly quota": (429, WEEKLY, K.QUOTA, 256527.791609974),
    "quota, older text": (
        429,
        exhausted("You have exhausted your capacity on this model. Your quota will reset after 25h20m26s."),
        K.QUOTA,
        25 * 3600 + 20 * 60 + 26,
    ),
    "quota, newer text": (
        429,
        exhausted("Individual quota reached. Contact your administrator to enable overages. Resets in 160h20m10s."),
        K.QUOTA,
        160 * 3600 + 20 * 60 + 10,
    ),
    "quota, text without a reset": (
        429,
        exhausted("Individual quota reached. Please upgrade your subscription to increase your limits."),
        K.QUOTA,
        None,
    ),
    "capacity on a model, text without a reset": (
        429,
        exhausted("You have exhausted your capacity on this model."),
        K.QUOTA,
        None,
    ),
    "credits": (429, exhausted("Not enough credits.", info("INSUFFICIENT_G1_CREDITS_BALANCE")), K.QUOTA, None),
    "bare 429": (429, exhausted(BARE), K.REFUSED_REQUEST, None),
    "capacity 503": (503, CAPACITY, K.CAPACITY, 39.0),
    "capacity 503 without RetryInfo": (
        503,
        error(503, CAPACITY_MESSAGE, "UNAVAILABLE", info("MODEL_CAPACITY_EXHAUSTED")),
        K.CAPACITY,
        None,
    ),
    "capacity as 429": (
        429,
        exhausted(CAPACITY_MESSAGE, info("MODEL_CAPACITY_EXHAUSTED"), retry_info("39s")),
        K.CAPACITY,
        39.0,
    ),
    "capacity as 429, text only": (429, exhausted(CAPACITY_MESSAGE), K.CAPACITY, None),
    "per minute": (
        429,
        exhausted("Slow down.", info("RATE_LIMIT_EXCEEDED", quotaResetDelay="754.431528ms")),
        K.RATE,
        1.0,
    ),
    "529": (529, error(529, "Overloaded", "UNAVAILABLE"), K.CAPACITY, None),
    "verification": (403, VERIFICATION, K.VERIFICATION, None),
    "verification, text only": (403, denied("Verify your account to continue."), K.VERIFICATION, None),
    "verification, other text": (403, denied("Account verification required"), K.VERIFICATION, None),
    "banned": (403, BANNED, K.BANNED, None),
    "banned, old text": (403, denied(BANNED_OLD), K.BANNED, None),
    "401": (401, error(401, "Invalid bearer token", "UNAUTHENTICATED"), K.AUTH, None),
    "404": (404, error(404, "Requested entity was not found.", "NOT_FOUND"), K.NOT_AVAILABLE, None),
    "invalid_grant, as OAuth says it": (
        400,
        {"error": "invalid_grant", "error_description": "Token has been expired or revoked."},
        K.REVOKED,
        None,
    ),
    "invalid_grant, as Google APIs say it": (
        400,
        error(400, "invalid_grant: Bad Request", "INVALID_ARGUMENT"),
        K.REVOKED,
        None,
    ),
    "invalid_grant in a 401": (401, error(401, "Token refresh: invalid_grant", "UNAUTHENTICATED"), K.REVOKED, None),
    # docs/design.md, "Refusals", what is left of it
    "quota text with a reset": (429, exhausted("Weekly quota is used up; it resets in 5h."), K.QUOTA, 5 * 3600.0),
    "quota text with a reset in the details": (
        429,
        exhausted("Quota is used up.", info(None, quotaResetDelay="1h16m0.667s")),
        K.QUOTA,
        4560.667,
    ),
    "per-minute text": (429, exhausted("Too many requests per minute."), K.RATE, None),
    "per-minute text with quota and reset": (
        429,
        exhausted("Quota of requests per minute exceeded; resets in 20s."),
        K.RATE,
        20.0,
    ),
    "daily quota id": (429, exhausted("You exceeded it.", PER_DAY, retry_info("39s")), K.QUOTA, 39.0),
    "per-minute quota id": (429, exhausted("You exceeded it.", PER_MINUTE), K.RATE, None),
    "429 with a delay and no reason": (429, exhausted(BARE, retry_info("39s")), K.RATE, 39.0),
    "429 with an unknown reason": (429, exhausted("No.", info("SOMETHING_NEW")), K.RATE, None),
    "429 with nothing": (429, b"", K.REFUSED_REQUEST, None),
    "503 without details": (503, error(503, "Unavailable", "UNAVAILABLE"), K.CAPACITY, None),
    "500": (500, error(500, "Internal error", "INTERNAL"), K.TRANSPORT, None),
    "501": (501, b"", K.TRANSPORT, None),
    "502": (502, b"<html><title>Bad Gateway</title></html>", K.TRANSPORT, None),
    "504": (504, error(504, "Deadline exceeded", "DEADLINE_EXCEEDED"), K.TRANSPORT, None),
    "other 403": (403, denied("The caller does not have permission"), K.NOT_AVAILABLE, None),
    "400": (400, error(400, "Invalid value at 'contents[0].role'", "INVALID_ARGUMENT"), K.CALLER, None),
    "408": (408, b"", K.TRANSPORT, None),
    "409": (409, error(409, "Aborted", "ABORTED"), K.CALLER, None),
    "413": (413, b"too large", K.CALLER, None),
    "422": (422, error(422, "No", "INVALID_ARGUMENT"), K.CALLER, None),
    "redirect": (302, b"", K.BROKEN_REPLY, None),
    "a status that is none": (0, b"", K.BROKEN_REPLY, None),
    "204": (204, b"", K.BROKEN_REPLY, None),
}


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


# Delays, in the order of docs/design.md, "Refusals"

SOURCES: list[tuple[str, float]] = [
    ("RetryInfo", 11),
    ("quotaResetDelay", 22),
    ("quotaResetTimeStamp", 33),
    ("Retry-After", 44),
    ("retry-after-ms", 55),
    ("text", 66),
]


def delay_from(present: Collection[str], *, spoilt: Collection[str] = ()) -> float | None:
    details: list[dict[str, Any]] = []
    if "RetryInfo" in present:
        details.append(retry_info("-1s" if "RetryInfo" in spoilt else "11s"))
    if "quotaResetTimeStamp" in present:
        when = "9999-12-31T23:59:59Z" if "quotaResetTimeStamp" in spoilt else "2023-11-14T22:13:53Z"  # NOW + 33 s
        details.append(info("A", quotaResetTimeStamp=when))
    if "quotaResetDelay" in present:
        details.append(info("B", quotaResetDelay="99999999999999s" if "quotaResetDelay" in spoilt else "22s"))
    headers = {}
    if "Retry-After" in present:
        headers["RETRY-AFTER"] = "NaN" if "Retry-After" in spoilt else "44"
    if "retry-after-ms" in present:
        headers["Retry-After-Ms"] = "inf" if "retry-after-ms" in spoilt else "55000"
    message = "It resets in 66s." if "text" in present else "It resets."
    body = json.dumps(exhausted(message, *details)).encode()
    return parse_refusal(429, headers, body, now=NOW).retry_after


@given(present=st.sets(st.sampled_from([name for name, _ in SOURCES])))
def test_the_first_delay_that_is_present_counts(present: set[str]) -> None:
    expected = next((seconds for name, seconds in SOURCES if name in present), None)
    assert delay_from(present) == expected


@given(spoilt=st.sets(st.sampled_from([name for name, _ in SOURCES if name != "text"])))
def test_a_delay_that_cannot_be_is_passed_over_for_the_next_one(spoilt: set[str]) -> None:
    expected = next(seconds for name, seconds in SOURCES if name not in spoilt)
    assert delay_from({name for name, _ in SOURCES}, spoilt=spoilt) == expected


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("0", 1.0),
        ("0.2", 1.0),
        ("Tue, 14 Nov 2023 22:23:20 GMT", 600.0),
        ("Tuesday, 14-Nov-23 22:23:20 GMT", 600.0),
        ("Tue Nov 14 22:23:20 2023", 600.0),
        ("Tue, 14 Nov 2023 22:13:00 GMT", 1.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", None),
        ("-5", None),
        ("inf", None),
        ("1e3", None),
        ("2678401", None),
        ("soon", None),
        ("", None),
        ("9" * 5000, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    assert parse(429, exhausted("No."), Retry_After=value).retry_after == seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2023-11-14T22:13:50Z", 30.0),
        ("2023-11-14t22:13:50.250z", 30.25),
        ("2023-11-14T22:13:50.123456789Z", 30.123456789),
        ("2023-11-15T00:13:50+02:00", 30.0),
        ("2023-11-14T22:13:60Z", 40.0),
        ("2023-11-14T22:13:00Z", 1.0),
        ("1970-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("2023-13-14T22:13:50Z", None),
        ("2023-11-14T22:13:50", None),
        ("٢٠٢٣-11-14T22:13:50Z", None),
        ("tomorrow", None),
    ],
)
def test_a_reset_time_is_counted_from_now(value: str, seconds: float | None) -> None:
    delay = parse(429, exhausted("No.", info("QUOTA_EXHAUSTED", quotaResetTimeStamp=value))).retry_after
    assert delay == (None if seconds is None else pytest.approx(seconds, abs=1e-5))


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Your quota will reset after 2h10m5s.", 7805.0),
        ("Resets in 71h15m27s.", 256_527.0),
        ("QUOTA RESETS IN 5M", 300.0),
        ("quota resets in 290.9ms", 1.0),
        ("quota resets in 1d 2h 3m", 93_780.0),
        ("quota resets in 32d", None),
        ("quota resets in a while", None),
        ("quota presets in 5s", None),
        ("quota resets after 5 apples", None),
    ],
)
def test_both_reset_texts_are_read(message: str, seconds: float | None) -> None:
    assert parse(429, exhausted(message)).retry_after == seconds


def test_no_hint_is_none_and_not_a_number() -> None:
    assert parse(429, exhausted(BARE)).retry_after is None


def test_a_retry_after_header_turns_a_bare_429_into_a_rate_limit() -> None:
    refusal = parse(429, exhausted(BARE), Retry_After="12")
    assert (refusal.kind, refusal.retry_after) == (K.RATE, 12.0)


# Bodies that are not what they should be


def test_a_page_is_judged_by_its_status_and_named_as_a_page() -> None:
    page = b"<!doctype html><html><head><title>Verify your account &amp; more</title></head></html>"
    refusal = parse(403, page, Content_Type="text/html; charset=utf-8")
    assert refusal.kind is K.NOT_AVAILABLE
    assert "403" in refusal.message
    assert "text/html, not JSON" in refusal.message
    assert "Verify your account & more" in refusal.message
    assert "`endpoint`" in refusal.message


def test_plain_text_is_shown_and_decides_nothing() -> None:
    refusal = parse(403, b"verify your account", Content_Type="text/plain")
    assert refusal.kind is K.NOT_AVAILABLE
    assert "verify your account" in refusal.message


def test_a_page_with_404_is_a_wrong_address_and_benches_no_model() -> None:
    assert parse(404, b"<html>Not Found</html>", Content_Type="text/html").kind is K.BROKEN_REPLY
    assert parse(404, b"404 page not found", Content_Type="text/plain").kind is K.BROKEN_REPLY


def test_a_redirect_says_where_it_would_have_gone_and_no_more() -> None:
    message = parse(302, b"", Location="https://login.example.com/path?secret=1").message
    assert "login.example.com" in message
    assert "secret" not in message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"null",
        b"[]",
        b"7",
        b'"x"',
        b"{",
        b"\xff\xfe\x00",
        b"[" * 200_000,
        b'{"error":' * 5000 + b"1" + b"}" * 5000,
        b'{"error":{"message":"' + b"x" * 10_000_000 + b'"}}',
        b'{"error":{"details":' + b"9" * 5000 + b"}}",
        b'{"error":{"message":7,"status":[],"code":"x","details":{"reason":{},"metadata":[1]}}}',
        b'{"error":{"details":[{"violations":[1,{"quotaId":2}]},{"retryDelay":null},{"metadata":{"model":1}}]}}',
    ],
    ids=[
        "nothing",
        "blanks",
        "null",
        "a list",
        "a number",
        "a text",
        "half an object",
        "no UTF-8",
        "deep lists",
        "deep objects",
        "ten megabytes",
        "a long number",
        "wrong types",
        "wrong types in lists",
    ],
)
def test_a_body_of_any_shape_is_judged_by_its_status(body: bytes) -> None:
    refusal = parse(503, body)
    assert (refusal.kind, refusal.status) == (K.CAPACITY, 503)
    assert "503" in refusal.message


def test_a_broken_byte_does_not_cost_the_rest_of_the_body() -> None:
    body = json.dumps(exhausted("x", info("QUOTA_EXHAUSTED"))).encode().replace(b'"x"', b'"\xff"')
    assert parse(429, body).kind is K.QUOTA


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
DETAIL = st.fixed_dictionaries(
    {},
    optional={
        "@type": JSON,
        "reason": JSON | st.sampled_from(["QUOTA_EXHAUSTED", "TOS_VIOLATION"]),
        "retryDelay": JSON,
        "violations": JSON,
        "metadata": JSON
        | st.fixed_dictionaries(
            {}, optional=dict.fromkeys(("model", "appeal_url", "quotaResetDelay", "quotaResetTimeStamp"), JSON)
        ),
    },
)
ERROR = st.fixed_dictionaries(
    {
        "error": JSON
        | st.fixed_dictionaries({}, optional=dict.fromkeys(("code", "message", "status", "details"), JSON))
        | st.fixed_dictionaries({"details": st.lists(DETAIL | JSON, max_size=4), "message": JSON})
    }
)
BODY = st.binary(max_size=200) | (JSON | ERROR).map(lambda value: json.dumps(value).encode())
HEADERS = st.dictionaries(
    st.sampled_from(["Retry-After", "retry-after-ms", "Content-Type", "Location"]) | st.text(max_size=5),
    st.text(max_size=40)
    | st.from_regex(r"\A[A-Z][a-z]{2}, [0-9]{1,3} [A-Z][a-z]{2} [0-9]{1,5} [0-9:]{1,9} [-+A-Z0-9]{0,6}\Z"),
)


@given(status=st.integers(0, 999), headers=HEADERS, body=BODY, now=st.floats(0, 4e9))
def test_no_response_makes_the_parser_raise(status: int, headers: dict[str, str], body: bytes, now: float) -> None:
    refusal = parse_refusal(status, headers, body, now=now)
    assert refusal.message
    assert refusal.message == " ".join(refusal.message.split())
    assert len(refusal.message) <= 1000
    assert refusal.retry_after is None or 1.0 <= refusal.retry_after <= 31 * 86_400
    assert refusal.url is None or refusal.url.startswith("https://")
    assert pickle.loads(pickle.dumps(refusal)) == refusal  # noqa: S301  # our own bytes


@given(reply=JSON | ERROR, whole=st.booleans())
def test_no_reply_makes_the_check_raise(reply: object, whole: bool) -> None:
    refusal = refusal_in_reply(reply, now=NOW, whole=whole)
    assert refusal is None or refusal.message
    if whole:
        assert refusal is not None  # nothing that hypothesis makes here is a Gemini reply


# Words


@pytest.mark.parametrize(
    "secret",
    [
        "ya29.a0AfB_byC-canary/x",
        "1//0gCanary-canary_canary",
        "AIzaSyCanaryCanaryCanary",
        "GOCSPX" + "-canarycanary",
        "eyJhbGciOiJ.canary.canary",
        "Bearer canary-canary-canary",
    ],
)
@pytest.mark.parametrize("pad", [0, 985, 7990])
def test_no_token_gets_into_a_message(secret: str, pad: int) -> None:
    said = "x " * (pad // 2) + f"The token {secret} is bad"
    for refusal in (
        parse(401, error(401, said, "UNAUTHENTICATED")),
        parse(502, said.encode()),
        connection_refusal(said, host="example.com"),
        Refusal(K.AUTH, 401, said),
    ):
        assert "canary" not in repr(refusal).lower()


def test_addresses_with_a_password_and_e_mails_do_not_get_into_a_message() -> None:
    message = parse(403, denied("Ask canary.person@gmail.com via http://joe:canary@proxy:80")).message
    assert "canary" not in message
    assert "ca***n@gmail.com" in message


def test_control_characters_and_line_ends_are_removed() -> None:
    message = parse(400, error(400, "a\x1b[31m\r\nb\u202e\t c\x00 \ud800d\u2028e", "X")).message
    assert message == "a[31m b c d e"
    assert message.isprintable()


def test_a_message_is_at_most_a_thousand_characters() -> None:
    assert len(parse(400, error(400, "word " * 5000, "X")).message) == 1000


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
