"""Metrics: the counts of all processes, whoever is asked, and the state of accounts, in formats that others read."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from processes import Agent, together
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as prometheus
from serving import fields_of, some_requests
from support import ROOT

from litellm_antigravity import Settings
from litellm_antigravity.accounts import Account, StaticToken
from litellm_antigravity.cli import cli
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.observability.collecting import MOST_NAMES, REMOVED, Collector
from litellm_antigravity.observability.counts import Counts
from litellm_antigravity.observability.exposition import exposed
from litellm_antigravity.observability.known import KnownAccounts
from litellm_antigravity.observability.series import COUNTERS, SERIES
from litellm_antigravity.selection.vitals import VitalsRules
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.state.memory import MemoryStore

pytestmark = pytest.mark.once

NAME = "claude-sonnet-4-6"


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(4) as started:
        yield started


def openmetrics(text: str) -> Any:
    """Return the metric families of a text in the newer format."""
    return openmetrics_families(text)  # type: ignore[no-untyped-call]


def metrics(fields: dict[str, Any], *options: str) -> str:
    """Return what the command prints, of the processes with these settings."""
    variables = {f"LITELLM_ANTIGRAVITY_{name.upper()}": str(value) for name, value in fields.items()}
    result = CliRunner(env=variables).invoke(cli, ["metrics", *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def samples(text: str) -> dict[tuple[str, tuple[str, ...]], float]:
    """Return the samples of a text by name and label values."""
    return {(one.name, tuple(one.labels.values())): one.value for family in prometheus(text) for one in family.samples}


def total(text: str, name: str, *having: str) -> float:
    """Return the sum of the samples of this name that have these label values."""
    return sum(number for (one, labels), number in samples(text).items() if one == name and set(having) <= set(labels))


def test_what_any_process_says_adds_up_to_what_upstream_has_seen_of_all(simulator: Simulator, tmp_path: Path) -> None:
    """Four processes, refusals of several kinds, two of them gone: the sums are those of the simulator's log."""
    fields = fields_of(simulator, tmp_path, statistics="always", account_selection_strategy="round-robin")
    simulator.drain("user1@example.com", "claude", 900)
    simulator.refuse("server-error", email="user2@example.com", times=2)
    together(some_requests, [(fields, 12)] * 4)
    said = metrics(fields)
    log = [entry for entry in simulator.log if entry.model is not None]
    assert total(said, "antigravity_requests_total") == len(log) > 48
    served = Counter(entry.email for entry in log if entry.kind == "served")
    sent = Counter(entry.email for entry in log)
    for email in sent:
        masked = f"us***{(email or '')[4]}@example.com"
        assert total(said, "antigravity_requests_total", masked) == sent[email]
        assert total(said, "antigravity_served_total", masked) <= served[email]
    assert total(said, "antigravity_served_total") == served.total() - 4 * 3  # those that nobody has read
    assert total(said, "antigravity_refusals_total") == len(log) - served.total()
    assert total(said, "antigravity_refusals_total", "quota") == sum(entry.kind == "quota" for entry in log)
    assert total(said, "antigravity_selections_total") >= 48
    assert total(said, "antigravity_token_refreshes_total") == simulator.token_calls()
    assert total(said, "antigravity_model_tokens_total", "input") > total(said, "antigravity_served_total")
    assert samples(said)["antigravity_accounts", ("claude", "cooling_down")] == 1
    assert 0 < total(said, "antigravity_account_cooldown_seconds", "us***1@example.com", "claude", "quota") <= 900
    assert "user1@example.com" not in said
    assert total(metrics(fields), "antigravity_requests_total") == len(log)


def test_what_a_killed_process_has_counted_is_counted_once(simulator: Simulator, tmp_path: Path) -> None:
    fields = fields_of(simulator, tmp_path, statistics="always")
    with Agent(fields) as one, Agent(fields) as another:
        for _ in range(3):
            one.ask()
        another.ask()
        assert total(metrics(fields), "antigravity_requests_total") == 4
        one.kill()
        another.ask()
        counts = Counts(tmp_path / "state")
        for _ in range(3):  # the first one adds the page of the dead to the totals
            assert sum(number for name, number in counts.totals().items() if name.startswith("requests\t")) == 5
        assert len(list((tmp_path / "state" / "counts").glob("*.counts"))) == 1
        assert total(metrics(fields), "antigravity_requests_total") == 5


def test_a_killed_summing_counts_nothing_twice(tmp_path: Path) -> None:
    """The page of a dead process that is in the totals already is left out, and goes."""
    here = Counts(tmp_path)
    here.open()
    here.add("requests\ta b\tclaude", 7)
    [page] = (tmp_path / "counts").glob("*.counts")
    totals = tmp_path / "counts" / "totals.json"
    totals.write_text(json.dumps({"counts": {"requests\ta b\tclaude": 7}, "folded": [page.name]}))
    assert Counts(tmp_path).totals() == {"requests\ta b\tclaude": 7}
    assert list((tmp_path / "counts").glob("*.counts")) == []


def test_pages_grow_and_are_private(tmp_path: Path) -> None:
    counts = Counts(tmp_path)
    for number in range(5000):
        counts.open()
        counts.add(f"requests\tacct-{number:016} label\tclaude")
        counts.add(f"requests\tacct-{number:016} label\tclaude", 2)
    found = Counts(tmp_path).totals(tidy=False)
    assert len(found) == 5000
    assert set(found.values()) == {3.0}
    [page] = (tmp_path / "counts").glob("*.counts")
    assert page.stat().st_mode & 0o777 == 0o600
    assert page.parent.stat().st_mode & 0o777 == 0o700


def test_counts_go_on_where_there_is_no_folder_to_be_had(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    counts = Counts(tmp_path / "state")
    counts.open()
    counts.add("waits\tclaude\tnobody")
    assert counts.totals() == {"waits\tclaude\tnobody": 1}


def test_a_folder_that_is_emptied_begins_anew(tmp_path: Path) -> None:
    counts = Counts(tmp_path)
    counts.open()
    counts.add("waits\tclaude\tnobody", 5)
    for file in (tmp_path / "counts").iterdir():
        file.unlink()
    counts._look_at = 0.0
    counts.open()
    counts.add("waits\tclaude\tnobody")
    assert counts.totals() == {"waits\tclaude\tnobody": 1}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_counts_on_a_page_of_its_own(tmp_path: Path) -> None:
    counts = Counts(tmp_path)
    counts.open()
    counts.add("waits\tclaude\tnobody")
    child = os.fork()
    if child == 0:
        counts.open()
        counts.add("waits\tclaude\tnobody", 10)
        os._exit(0)
    os.waitpid(child, 0)
    counts.add("waits\tclaude\tnobody")
    assert counts.totals() == {"waits\tclaude\tnobody": 12}


# The formats, the names, and how many there are


def collected(number: int, folder: Path) -> str:
    """Return the series of so many accounts, each of which has been through something."""
    made = [Account.create(f"user{each}@example.com", StaticToken(secret("t"))) for each in range(number)]
    store, rules, counts = MemoryStore(), VitalsRules(), Counts(folder)
    for account in made:
        counts.open()
        store.begin_request(account.id, 1000.0, rules, require_token=False)
        store.extend_cooldown(Cooldown(account.id, "claude", 5000.0, "quota", 1000.0, fact=True))
        for name in ("requests", "served"):
            for family in ("claude", "gemini"):
                counts.add(f"{name}\t{account.id} {account.label}\t{family}", 3)
        counts.add(f"refusals\t{account.id} {account.label}\tclaude\tquota")
    known = KnownAccounts(tuple(made))
    collector = Collector(lambda: known, store, counts, rules, lambda: 2000.0)
    return exposed(collector.collect(), openmetrics=False)


def secret(text: str) -> Any:
    from pydantic import SecretStr

    return SecretStr(text)


def test_both_formats_are_read_by_prometheus_own_parsers() -> None:
    odd = Account.create(None, StaticToken(secret("t")), label='a "b" \\ c')
    store, rules = MemoryStore(), VitalsRules()
    store.extend_cooldown(Cooldown(odd.id, "*", float("inf"), "banned", 1000.0, fact=True))
    store.extend_cooldown(Cooldown(odd.id, "claude", 4000.0, "what a file says", 1000.0, fact=True))
    known = KnownAccounts((odd,))
    families = Collector(lambda: known, store, Counts(Path("/nowhere")), rules, lambda: 2000.0).collect()
    for parse, newer in ((openmetrics, True), (prometheus, False)):
        read = {
            (one.name, tuple(one.labels.values())): one.value
            for family in parse(exposed(families, openmetrics=newer))
            for one in family.samples
        }
        assert read["antigravity_account_cooldown_seconds", ('a "b" \\ c', "*", "banned")] == float("inf")
        assert read["antigravity_account_cooldown_seconds", ('a "b" \\ c', "claude", "other")] == 2000.0
        assert read["antigravity_account_available", ('a "b" \\ c', "gemini")] == 0.0
        assert read["antigravity_accounts", ("claude", "out")] == 1.0
    names = {family.name for family in openmetrics(exposed(families, openmetrics=True))}
    assert names == {one.full_name for one in SERIES.values()}


def test_the_names_of_accounts_are_distinct_masked_and_bounded(tmp_path: Path) -> None:
    said = collected(MOST_NAMES + 50, tmp_path)
    assert re.search(r"user\d", said) is None
    accounts = {labels[0] for (name, labels) in samples(said) if name == "antigravity_account_health"}
    assert len(accounts) == MOST_NAMES
    assert total(said, "antigravity_requests_total") == 6 * (MOST_NAMES + 50)
    assert total(said, "antigravity_requests_total", REMOVED) == 6 * 50


def test_every_series_is_described_and_the_board_asks_for_no_other() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    assert {name for name in SERIES if f"`{name}`" not in page} == set()
    board = (ROOT / "config_examples" / "grafana.json").read_text("utf-8")
    json.loads(board)
    asked = set(re.findall(r"\bantigravity_\w+", board))
    assert asked - SERIES.keys() == set()
    assert asked >= {one.sample for one in COUNTERS.values() if one.name in ("requests", "refusals", "bindings")}


def test_nothing_is_counted_where_the_settings_say_so(simulator: Simulator, tmp_path: Path) -> None:
    assert Settings().statistics == "proxy"
    fields = fields_of(simulator, tmp_path)
    with Agent(fields) as one:
        one.ask()
        assert not (tmp_path / "state" / "counts").exists()
        assert total(metrics(fields), "antigravity_requests_total") == 0
