"""What happened in a span of time: who was served by whom, refusals, waits, cached tokens, and what they cost.

From the last decisions, which are kept in a bounded number: a report says since when none of them is missing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from litellm_antigravity.settings.costs import ModelCosts

FORMAT: Final = 1
"""Of the JSON. It rises when something is taken away or changes its meaning; what is added leaves it as it is."""

_LONG_TOKENS: Final = 200_000
"""Above so many tokens of a request some models cost more for each."""


@dataclass(slots=True)
class Served:
    """What an account did for a model.

    Attributes:
        account: its label.
        model: the canonical name.
        requests: for which it was chosen, or probed.
        answered: how many of them told what they took.
        refused: how many upstream refused, by class.
        input_tokens: of the answered ones.
        cached_tokens: how many of those were in upstream's prompt cache.
        output_tokens: of the answers, thoughts included.
        cost: in US dollars; ``None`` where the model has no price.
    """

    account: str
    model: str
    requests: int = 0
    answered: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None


@dataclass(slots=True)
class Waits:
    """How often requests waited for one reason, and for how long.

    Attributes:
        why: see `events.WaitsFor`.
        count: how often.
        seconds: all together.
        longest: of them, in seconds.
    """

    why: str
    count: int = 0
    seconds: float = 0.0
    longest: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """What happened in a span of time; times are epoch seconds.

    Attributes:
        now: when it was made.
        since: what it was asked about.
        first: of what is kept; ``None`` for nothing.
        complete_since: nothing is missing after it; later than ``since`` where older decisions were written over.
        served: by account and model, the most requests first.
        processes: how many requests each process had, by account.
        refusals: by class.
        switches: how often a request left an account for another one.
        cooldowns: how often a quota pool was benched, by class.
        waits: by reason.
    """

    now: float
    since: float
    first: float | None
    complete_since: float
    served: tuple[Served, ...]
    processes: Mapping[int, Mapping[str, int]]
    refusals: Mapping[str, int]
    switches: int
    cooldowns: Mapping[str, int]
    waits: tuple[Waits, ...]

    @property
    def cost(self) -> float | None:
        """What is known of the cost, in US dollars; ``None`` when nothing is."""
        known = [one.cost for one in self.served if one.cost is not None]
        return math.fsum(known) if known else None

    @property
    def without_price(self) -> list[str]:
        """The models that were used and have no price."""
        return sorted({one.model for one in self.served if one.cost is None and one.answered})

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values; docs/command-line.md describes them."""
        return {
            "format": FORMAT,
            **asdict(self),
            "processes": {str(pid): dict(accounts) for pid, accounts in self.processes.items()},
            "cost": self.cost,
            "without_price": self.without_price,
        }


def reported(
    records: Iterable[Mapping[str, Any]],
    *,
    since: float,
    now: float,
    full_since: float | None,
    costs: Mapping[str, ModelCosts],
) -> Report:
    """Return the report of decisions.

    Args:
        records: of `decisions.remembered`, with usage, oldest first.
        since: what is older is left out.
        now: epoch seconds.
        full_since: nothing is missing after it; ``None`` when nothing is missing at all.
        costs: prices by model.
    """
    tally = _Tally(costs)
    first: float | None = None
    for record in records:
        if since <= record["at"] <= now:
            first = record["at"] if first is None else first
            tally.take(record)
    return Report(
        now,
        since,
        first,
        since if full_since is None else max(since, full_since),
        tuple(sorted(tally.served.values(), key=lambda one: (-one.requests, one.account, one.model))),
        {pid: dict(accounts.most_common()) for pid, accounts in sorted(tally.processes.items())},
        dict(tally.refusals.most_common()),
        tally.switches,
        dict(tally.cooldowns.most_common()),
        tuple(sorted(tally.waits.values(), key=lambda one: -one.seconds)),
    )


class _Tally:
    def __init__(self, costs: Mapping[str, ModelCosts]) -> None:
        self._costs = costs
        self.served: dict[tuple[str, str], Served] = {}
        self.processes: dict[int, Counter[str]] = {}
        self.refusals: Counter[str] = Counter()
        self.cooldowns: Counter[str] = Counter()
        self.waits: dict[str, Waits] = {}
        self.switches = 0

    def take(self, record: Mapping[str, Any]) -> None:
        """Count a record, if it is one that is counted; rows of others may have any shape."""
        what, kind = record.get("what"), str(record.get("class"))
        if what in ("chosen", "probed"):
            account, pid = str(record.get("account")), record.get("pid")
            self._of(record).requests += 1
            if isinstance(pid, int):
                self.processes.setdefault(pid, Counter())[account] += 1
        elif what == "used":
            self._used(record)
        elif what == "refused":
            refused = self._of(record).refused
            refused[kind] = refused.get(kind, 0) + 1
            self.refusals[kind] += 1
        elif what == "switched":
            self.switches += 1
        elif what == "benched":
            self.cooldowns[kind] += 1
        elif what == "waited":
            self._waited(str(record.get("why")), _number(record.get("seconds")))

    def _of(self, record: Mapping[str, Any]) -> Served:
        account, model = str(record.get("account")), str(record.get("model"))
        return self.served.setdefault((account, model), Served(account, model))

    def _used(self, record: Mapping[str, Any]) -> None:
        tokens = record.get("tokens")
        if not isinstance(tokens, list) or len(tokens) != 3 or not all(isinstance(one, int) for one in tokens):
            return
        sent, cached, made = tokens
        one = self._of(record)
        one.answered += 1
        one.input_tokens += sent
        one.cached_tokens += cached
        one.output_tokens += made
        price = self._costs.get(one.model)
        if price is not None:
            one.cost = (one.cost or 0.0) + cost_of(price, sent, cached, made)

    def _waited(self, why: str, seconds: float) -> None:
        waits = self.waits.setdefault(why, Waits(why))
        waits.count += 1
        waits.seconds += seconds
        waits.longest = max(waits.longest, seconds)


def cost_of(price: ModelCosts, sent: int, cached: int, made: int) -> float:
    """Return what a request costs, in US dollars; thoughts cost what the rest of the answer does.

    Args:
        price: of the model.
        sent: tokens of the request.
        cached: how many of those were in the prompt cache.
        made: tokens of the answer.
    """
    read, written = price.input_cost_per_token, price.output_cost_per_token
    from_cache = price.cache_read_input_token_cost
    if sent > _LONG_TOKENS:
        read = _first(price.input_cost_per_token_above_200k_tokens, read)
        written = _first(price.output_cost_per_token_above_200k_tokens, written)
        from_cache = price.cache_read_input_token_cost_above_200k_tokens or from_cache
    return (sent - cached) * read + cached * _first(from_cache, read) + made * written


def _first(special: float | None, usual: float) -> float:
    return usual if special is None else special


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else 0.0


__all__ = ["FORMAT", "Report", "Served", "Waits", "cost_of", "reported"]
