"""What counting and remembering cost a request, what a scrape costs, and whether many processes count exactly."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import litellm
from pydantic import SecretStr
from rich.table import Table

from litellm_antigravity import events
from litellm_antigravity.accounts import Account, RefreshToken
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.observability.collecting import Collector
from litellm_antigravity.observability.counting import Counting
from litellm_antigravity.observability.counts import Counts
from litellm_antigravity.observability.exposition import exposed
from litellm_antigravity.observability.known import KnownAccounts
from litellm_antigravity.observability.remembering import Remembering
from litellm_antigravity.observability.ring import Ring
from litellm_antigravity.selection.vitals import VitalsRules
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.state.disk import DiskStore

from .measure import in_turns, microseconds, ratio
from .requests import MESSAGES, providers
from .server import started

ACCOUNTS = 1000
PROCESSES = 8
REQUESTS = 100  # of each process


def table(*, rounds: int = 40) -> Table:
    """Measure, and return the table."""
    result = Table("what", "without", "with", "aim", title="metrics; medians")
    result.add_row(*_request(rounds))
    result.add_row(*_scrape(rounds))
    result.add_row(*_exact())
    return result


def _request(rounds: int) -> tuple[str, str, str, str]:
    """Return what a whole request costs where nobody listens, and with both listeners."""
    with tempfile.TemporaryDirectory() as folder, started() as base:
        params = providers(base, Path(folder))["antigravity"]
        state = Path(folder) / "state"
        listeners = (Counting(Counts(state)), Remembering(Ring(state), VitalsRules(), time.time))

        def call() -> object:
            return litellm.completion(messages=MESSAGES, **params)

        def heard() -> object:
            for one in listeners:
                events.listen(one)
            try:
                return call()
            finally:
                for one in listeners:
                    events.stop_listening(one)

        taken = in_turns({"without": call, "with": heard}, rounds=rounds, each=10)
    said = f"{microseconds(taken['with'])} µs, ratio {ratio(taken['with'], taken['without']):.3f}"
    return "completion", f"{microseconds(taken['without'])} µs", said, "ratio <= 1.01"


def _scrape(rounds: int) -> tuple[str, str, str, str]:
    """Return what a scrape of many accounts costs, of which each has been used and is limited for one family."""
    with tempfile.TemporaryDirectory() as folder:
        collect, lines = _much_to_collect(Path(folder))
        taken = in_turns({"scrape": collect}, rounds=rounds, each=3)["scrape"]
    name = f"a scrape of {ACCOUNTS} accounts, {lines:,} lines"
    return name, "", f"{float(microseconds(taken).replace(',', '')) / 1000:.1f} ms", "< 50 ms"


def _much_to_collect(folder: Path) -> tuple[Callable[[], str], int]:
    accounts = [
        Account.create(f"user{number}@example.com", RefreshToken(SecretStr(f"1//{number}")))
        for number in range(ACCOUNTS)
    ]
    store, rules, counts, now = DiskStore(folder), VitalsRules(), Counts(folder), time.time()
    for account in accounts:
        counts.open()
        store.begin_request(account.id, now, rules, require_token=False)
        store.extend_cooldown(Cooldown(account.id, "claude", now + 5000.0, "quota", now, fact=True))
        for family in ("claude", "gemini"):
            for name in ("requests", "served"):
                counts.add(f"{name}\t{account.id} {account.label}\t{family}", 3)
        counts.add(f"refusals\t{account.id} {account.label}\tclaude\tquota")
    known = KnownAccounts(tuple(accounts))
    collector = Collector(lambda: known, store, counts, rules, time.time)

    def collect() -> str:
        return exposed(collector.collect(), openmetrics=False)

    return collect, collect().count("\n")


def _exact() -> tuple[str, str, str, str]:
    """Return how many requests upstream has seen of many processes, and how many these have counted."""
    from processes import together
    from serving import fields_of

    with tempfile.TemporaryDirectory() as folder, Simulator(4) as simulator:
        fields = fields_of(simulator, Path(folder), statistics="always", account_selection_strategy="round-robin")
        simulator.drain("user1@example.com", "claude", 900)
        simulator.refuse("server-error", email="user2@example.com", times=20)
        together(_ask, [(fields,)] * PROCESSES)
        seen = sum(entry.model is not None for entry in simulator.log)
        counted = Counts(Path(folder) / "state").totals()
    sent = sum(number for name, number in counted.items() if name.startswith("requests\t"))
    return f"requests of {PROCESSES} processes", f"{seen} seen", f"{sent:.0f} counted", "the same"


def _ask(fields: dict[str, Any]) -> None:
    from serving import some_requests

    some_requests(fields, REQUESTS)


__all__ = ["table"]
