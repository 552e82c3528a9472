"""Every series there is: its name, what it means, its labels. A new one is an entry here.

Names are OpenMetrics': counters end in ``_total``, units are spelt out. Labels are bounded: accounts, families, and
words of this package. No model's name is one, since models' names come from requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Type: TypeAlias = Literal["counter", "gauge"]


@dataclass(frozen=True, slots=True)
class Series:
    """A series.

    Attributes:
        name: without the prefix, and without a counter's ``_total``.
        type: of OpenMetrics.
        help: what it means; one sentence.
        labels: their names, in the order in which values are given.
        unit: the name's last word, if it is one.
    """

    name: str
    type: Type
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""

    @property
    def full_name(self) -> str:
        """The name of the metric family."""
        return f"{PREFIX}_{self.name}"

    @property
    def sample(self) -> str:
        """The name of its samples, as queries have it."""
        return f"{self.full_name}_total" if self.type == "counter" else self.full_name


PREFIX: Final = "antigravity"

_PER_FAMILY: Final = ("account", "family")

# What is counted where it happens; see `counting`.
REQUESTS: Final = Series(
    "requests", "counter", "Requests sent to upstream; one that is tried again is sent again.", _PER_FAMILY
)
SERVED: Final = Series("served", "counter", "Requests that were answered, streams to their end.", _PER_FAMILY)
REFUSALS: Final = Series(
    "refusals", "counter", "Requests that upstream refused, by the class of the refusal.", (*_PER_FAMILY, "class")
)
SWITCHES: Final = Series(
    "switches", "counter", "Requests that left an account for another one, and what they met.", (*_PER_FAMILY, "class")
)
BENCHED: Final = Series(
    "cooldowns", "counter", "Cooldowns begun or prolonged, by the class of the refusal.", (*_PER_FAMILY, "class")
)
BACK: Final = Series("cooldowns_ended", "counter", "Cooldowns that ended before their time, and how.", ("how",))
PROBES: Final = Series("probes", "counter", "Requests that tried an account before a long cooldown ended.", _PER_FAMILY)
SELECTIONS: Final = Series(
    "selections", "counter", "Accounts chosen, by strategy and the rule that took them.", ("family", "strategy", "why")
)
BINDINGS: Final = Series(
    "bindings", "counter", "Requests of conversations: hit, new, detour or rebound.", ("family", "outcome")
)
WAITS: Final = Series("waits", "counter", "Times that a request waited for an account, and why.", ("family", "why"))
WAIT_SECONDS: Final = Series(
    "wait_seconds", "counter", "Seconds that requests waited for an account.", ("family", "why"), "seconds"
)
NO_RETRIES: Final = Series(
    "retries_denied", "counter", "Requests that failed because the host's retry budget was spent.", _PER_FAMILY
)
NO_CAPACITY: Final = Series(
    "capacity_holds", "counter", "Times that a model was found to have no capacity for anybody.", ("family",)
)
REFRESHES: Final = Series("token_refreshes", "counter", "Access tokens fetched.", ("account",))
TOKENS: Final = Series(
    "model_tokens", "counter", "Tokens of answers: input, of that cached, and output.", (*_PER_FAMILY, "type")
)

COUNTERS: Final = {
    one.name: one
    for one in (
        REQUESTS, SERVED, REFUSALS, SWITCHES, BENCHED, BACK, PROBES, SELECTIONS, BINDINGS, WAITS, WAIT_SECONDS,
        NO_RETRIES, NO_CAPACITY, REFRESHES, TOKENS,
    )
}  # fmt: skip
"""By name."""

# What is read off the shared state when somebody asks; see `collecting`.
AVAILABLE: Final = Series("account_available", "gauge", "Whether the account may serve the family now.", _PER_FAMILY)
COOLDOWN: Final = Series(
    "account_cooldown_seconds",
    "gauge",
    "Seconds until the quota pool may be used again; +Inf until somebody acts.",
    ("account", "pool", "class"),
    "seconds",
)
HEALTH: Final = Series("account_health", "gauge", "Health of the account, in points.", ("account",))
BUCKET: Final = Series("account_bucket", "gauge", "Requests left in the account's bucket.", ("account",))
LAST_USED: Final = Series(
    "account_last_used_timestamp_seconds", "gauge", "When the account was used last.", ("account",), "seconds"
)
IN_FLIGHT: Final = Series("in_flight_requests", "gauge", "Requests that are under way.", ("account",))
QUOTA_LEFT: Final = Series(
    "quota_left_ratio", "gauge", "What is left of a quota, from 0 to 1.", ("account", "pool", "window"), "ratio"
)
ACCOUNTS: Final = Series(
    "accounts", "gauge", "Accounts of the accounts file by what they can do for the family.", ("family", "state")
)
PROCESSES: Final = Series("processes", "gauge", "Living processes that use the shared state.")
SHARED: Final = Series("state_shared", "gauge", "Whether the shared state can be used; 0 on memory alone.")
BUDGET: Final = Series("retry_budget_tokens", "gauge", "What is left of the host's retry budget.")

GAUGES: Final = (
    AVAILABLE, COOLDOWN, HEALTH, BUCKET, LAST_USED, IN_FLIGHT, QUOTA_LEFT, ACCOUNTS, PROCESSES, SHARED, BUDGET,
)  # fmt: skip

SERIES: Final[Mapping[str, Series]] = {one.sample: one for one in (*COUNTERS.values(), *GAUGES)}
"""All, by the name that queries use."""


__all__ = ["COUNTERS", "GAUGES", "PREFIX", "SERIES", "Series"]
