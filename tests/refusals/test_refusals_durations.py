"""Durations as upstream writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litellm_antigravity.refusals import parse_duration

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3.957525076s", 3.957525076),
        ("290.979975ms", 0.290979975),
        ("510.790006ms", 0.510790006),
        ("754.431528ms", 0.754431528),
        ("1h16m0.667s", 4560.667),
        ("256527.79s", 256_527.79),
        ("71h15m27.791609974s", 256_527.791609974),
        ("143h4m52.730699158s", 515_092.730699158),
        ("515092.730699158s", 515_092.730699158),
        ("39s", 39.0),
        ("2h10m5s", 7805.0),
        ("5m", 300.0),
        ("5m290ms", 300.29),
        ("510us", 0.00051),
        ("510µs", 0.00051),
        ("7ns", 7e-9),
        ("1d2h", 93_600.0),
        ("0s", 0.0),
        (" 4s ", 4.0),
        ({"seconds": "3", "nanos": 5}, 3.000000005),
        ({"seconds": 39}, 39.0),
        ({"nanos": 500_000_000}, 0.5),
    ],
)
def test_every_duration_that_was_seen_is_read(value: object, seconds: float) -> None:
    assert parse_duration(value) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "s",
        "39",
        "-3s",
        "+3s",
        "3 s",
        "3sec",
        "3x",
        ".5s",
        "1e3s",
        "NaNs",
        "infs",
        "٣s",
        "3s!",
        "9" * 400 + "s",
        None,
        True,
        39,
        3.5,
        b"3s",
        [],
        ["3s"],
        {},
        {"seconds": "-3"},
        {"seconds": "x"},
        {"seconds": True},
        {"seconds": 3, "nanos": "x"},
        {"seconds": 10**30},
        {"minutes": 3},
    ],
)
def test_what_is_no_duration_is_none(value: object) -> None:
    assert parse_duration(value) is None


@given(hours=st.integers(0, 999), minutes=st.integers(0, 59), nanos=st.integers(0, 59_999_999_999))
def test_a_duration_as_go_prints_it_comes_back(hours: int, minutes: int, nanos: int) -> None:
    seconds = f"{nanos // 10**9}.{nanos % 10**9:09d}"
    expected = hours * 3600 + minutes * 60 + nanos / 1e9
    assert parse_duration(f"{hours}h{minutes}m{seconds}s") == pytest.approx(expected)


@given(st.text(max_size=30) | st.text("0123456789.dhmsun", max_size=30))
def test_any_text_is_a_duration_of_no_less_than_nothing_or_none(text: str) -> None:
    seconds = parse_duration(text)
    assert seconds is None or seconds >= 0
