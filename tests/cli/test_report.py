"""``report``: what it tells of the decisions that are kept, how far back those go, and its page."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import pytest
from click.testing import CliRunner, Result
from support import NOW, ROOT

from litellm_antigravity.cli import cli
from litellm_antigravity.cli.report_words import WAITS
from litellm_antigravity.clock import SystemClock
from litellm_antigravity.events import WaitsFor
from litellm_antigravity.observability.reporting import cost_of
from litellm_antigravity.observability.ring import SLOTS, Ring
from litellm_antigravity.settings.costs import ModelCosts

pytestmark = pytest.mark.once

SONNET, FLASH = "claude-sonnet-4-6", "gemini-3-flash"
COSTS = {SONNET: {"input_cost_per_token": 1e-6, "output_cost_per_token": 1e-5, "cache_read_input_token_cost": 1e-7}}


@pytest.fixture
def ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ring:
    monkeypatch.setattr(SystemClock, "time", lambda _: NOW)
    monkeypatch.setenv("OPENCODE_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("LITELLM_ANTIGRAVITY_MODEL_COSTS", str(tmp_path / "costs.json"))
    (tmp_path / "costs.json").write_text(json.dumps(COSTS))
    monkeypatch.chdir(tmp_path)
    made = Ring(tmp_path / "state")
    made.open()
    return made


def put(ring: Ring, what: str, *, ago: float = 60.0, account: str = "spare", model: str = SONNET, **more: Any) -> None:
    assert ring.add({"t": NOW - ago, "k": what, "a": account, "m": model, "f": "claude", "p": 7, **more})


def report(*options: str, **variables: str) -> Result:
    return CliRunner(env={"COLUMNS": "120", **variables}).invoke(cli, ["report", *options], catch_exceptions=False)


def told(*options: str) -> Any:
    result = report("--json", *options)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_it_tells_who_was_served_by_whom_and_what_that_took(ring: Ring) -> None:
    for account in ("first", "second", "first"):
        put(ring, "chosen", account=account)
        put(ring, "used", account=account, u=[1000, 400, 50])
    put(ring, "chosen", account="second", model=FLASH)
    put(ring, "refused", account="second", model=FLASH, c="quota")
    put(ring, "benched", account="second", model=FLASH, c="quota", w="gemini", d=600.0)
    put(ring, "switched", account="second", model=FLASH, c="quota")
    put(ring, "waited", w="nobody", d=2.5)
    put(ring, "waited", w="nobody", d=1.5)
    found = told()
    served = {(one["account"], one["model"]): one for one in found["served"]}
    assert served["first", SONNET] | {"cost": None} == {
        "account": "first", "model": SONNET, "requests": 2, "answered": 2, "refused": {},
        "input_tokens": 2000, "cached_tokens": 800, "output_tokens": 100, "cost": None,
    }  # fmt: skip
    assert served["first", SONNET]["cost"] == pytest.approx(2 * (600 * 1e-6 + 400 * 1e-7 + 50 * 1e-5))
    assert served["second", FLASH]["refused"] == {"quota": 1}
    assert found["cost"] == pytest.approx(3 * (600 * 1e-6 + 400 * 1e-7 + 50 * 1e-5))
    assert found["processes"] == {"7": {"first": 2, "second": 2}}
    assert (found["refusals"], found["cooldowns"], found["switches"]) == ({"quota": 1}, {"quota": 1}, 1)
    assert found["waits"] == [{"why": "nobody", "count": 2, "seconds": 4.0, "longest": 2.5}]


def test_a_model_without_a_price_has_a_cost_that_is_unknown(ring: Ring) -> None:
    put(ring, "chosen", model=FLASH)
    put(ring, "used", model=FLASH, u=[1000, 0, 50])
    assert (told()["cost"], told()["without_price"]) == (None, [FLASH])
    assert "cost unknown" in report().stdout
    put(ring, "used", u=[1000, 0, 0])
    assert f"that is $0.0010, without {FLASH}, of which no price is known" in report(COLUMNS="300").stdout


def test_a_long_request_costs_what_long_ones_do() -> None:
    price = ModelCosts(
        input_cost_per_token=1.0,
        output_cost_per_token=2.0,
        input_cost_per_token_above_200k_tokens=10.0,
        output_cost_per_token_above_200k_tokens=20.0,
    )
    assert cost_of(price, 200_000, 100_000, 1) == 200_002.0
    assert cost_of(price, 200_001, 0, 1) == 2_000_030.0


def test_it_says_how_far_back_what_is_kept_goes(ring: Ring) -> None:
    put(ring, "chosen", ago=3 * 3600.0)
    assert "The last 1 d; the first decision that is kept is of" in report().stdout
    for number in range(SLOTS):
        put(ring, "chosen", ago=1800.0 - number)
    assert "Of the last 1 d, the last 30 m are kept whole" in report().stdout
    assert told()["complete_since"] == NOW - 1800.0
    assert "The last 25 m;" in report("--since", "25m").stdout
    assert told("--since", "25m")["served"][0]["requests"] < SLOTS


@pytest.mark.usefixtures("ring")
@pytest.mark.parametrize(("span", "seconds"), [("90m", 5400), ("1h30m", 5400), ("2d", 172_800), ("30s", 30)])
def test_a_span_is_typed_as_people_write_it(span: str, seconds: int) -> None:
    assert told("--since", span)["since"] == NOW - seconds


@pytest.mark.usefixtures("ring")
@pytest.mark.parametrize("span", ["yesterday", "", "5", "-3h", "3 weeks", "0h", "0m 0s"])
def test_what_is_no_span_is_said_to_be_none(span: str) -> None:
    result = report("--since", span)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "24h, 90m, 2d or 1h30m" in " ".join(result.stderr.split())


class Page(HTMLParser):
    """Notes what a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [str(value) for name, value in attrs if name in ("src", "href", "action", "data", "srcset")]


def test_the_page_needs_nothing_else_and_names_are_text_in_it(ring: Ring, tmp_path: Path) -> None:
    name = "<script>alert(1)</script>"
    put(ring, "chosen", account=name, model='"><img src=x>')
    put(ring, "refused", account=name, model='"><img src=x>', c="<b>")
    result = report("--html", str(tmp_path / "report.html"))
    assert result.exit_code == 0
    text = (tmp_path / "report.html").read_text("utf-8")
    page = Page(text)
    assert not page.tags & {"script", "img", "link", "iframe", "b"}
    assert page.addresses == []
    assert "default-src 'none'" in text
    assert not re.search(r"url\(|@import|https?:", text)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert [file.name for file in tmp_path.glob("report*")] == ["report.html"]


@pytest.mark.usefixtures("ring")
def test_a_page_that_cannot_be_written_fails_in_a_line(tmp_path: Path) -> None:
    result = report("--html", str(tmp_path / "nowhere" / "report.html"))
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr


def test_rows_of_any_shape_are_no_reason_to_fail(ring: Ring) -> None:
    put(ring, "used", u="x")
    put(ring, "used", u=[1, 2])
    put(ring, "waited", d="long", w=None)
    ring.add({"t": NOW, "k": "chosen"})
    ring.add({"t": NOW, "k": 5, "p": {}})
    assert report().exit_code == 0
    assert told()["served"]


def test_the_page_of_the_commands_tells_of_it() -> None:
    text = (ROOT / "docs" / "command-line.md").read_text("utf-8")
    assert "report --since 24h" in text


def test_there_are_words_for_every_reason_to_wait() -> None:
    assert {*WAITS} == {*get_args(WaitsFor)}
