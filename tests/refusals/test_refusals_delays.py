"""How long a refusal is said to last: every source of a delay, and which one counts."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusal_bodies import BARE, K, exhausted, info, parse, retry_info
from support import NOW

from litellm_antigravity.refusals import (
    parse_refusal,
)

pytestmark = pytest.mark.once


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
