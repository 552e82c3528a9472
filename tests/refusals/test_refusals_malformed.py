"""Bodies that are not what they should be, and what of a body gets into a message."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusal_bodies import K, denied, error, exhausted, info, parse
from support import NOW

from litellm_antigravity.refusals import (
    Refusal,
    connection_refusal,
    parse_refusal,
    refusal_in_reply,
)

pytestmark = pytest.mark.once


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
