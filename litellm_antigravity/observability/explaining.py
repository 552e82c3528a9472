"""Why the next request would go where it would go: what the pool would do now, and what speaks for and against each.

Looks only. `_nobody` follows `AccountPool._wait_or_probe`; a test compares the two in a thousand states.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypeAlias

from litellm_antigravity import events
from litellm_antigravity.accounts import Account
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.errors import AllAccountsLimitedError
from litellm_antigravity.lease import LeaseRequest
from litellm_antigravity.masking import mask_emails, shown
from litellm_antigravity.pool import AccountPool
from litellm_antigravity.selection.strategy import Chosen, Hold, earliest_return
from litellm_antigravity.selection.vitals import Vitals
from litellm_antigravity.state.in_flight import busy_pause
from litellm_antigravity.state.ledger import PROBE_INTERVAL_SECONDS
from litellm_antigravity.wording import all_limited, no_capacity, nowhere_available, spell_remaining

Outcome: TypeAlias = Literal["serve", "wait", "probe", "fail"]

RULES: Final[Mapping[str, str]] = {
    "current": "the account that this process is on",
    "next": "the next one in the file that is free",
    "best score": "the best score",
    "nobody has a score": "nobody has a score, and it is the current or the next one",
    "turn": "its turn",
    "named": "the one that the deployment names",
    "bound": "the account of the conversation",
    "new": "a new conversation, and it has the fewest",
    "detour": "the conversation's account is limited for a short while",
    "rebound": "the conversation has moved here",
}
"""What the words of strategies mean, of `selection.strategy.Chosen.why`."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One account, as the choice sees it.

    Attributes:
        account: its label.
        state: chosen, free, limited or disabled.
        said: what took it or left it.
        health: points.
        tokens: requests left in its bucket.
        idle_seconds: since the last request; ``None`` for never.
        score: by which the strategy compares; ``None`` where it does not.
        seconds: until it is free; ``None`` when that takes somebody to act.
    """

    account: str
    state: Literal["chosen", "free", "limited", "disabled"]
    said: str
    health: float
    tokens: float
    idle_seconds: float | None
    score: float | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a request would meet now.

    Attributes:
        at: epoch seconds.
        model: the canonical name.
        family: the quota family.
        strategy: who chooses.
        outcome: an account serves or probes, or the request waits or fails.
        account_id: whose account that is, if it is one.
        why: the rule, in a word; of a wait or a failure a sentence.
        seconds: that it waits.
        candidates: every account, in file order.
    """

    at: float
    model: str
    family: str
    strategy: str
    outcome: Outcome
    account_id: str | None
    why: str
    seconds: float
    candidates: tuple[Candidate, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values, without the id."""
        fields = asdict(self)
        del fields["account_id"]
        return fields


def explain(pool: AccountPool, asked: LeaseRequest) -> Explanation:
    """Return what the pool would do with a request now, and why; nothing is taken. May touch the disk.

    Args:
        pool: of the accounts.
        asked: by the request.

    Raises:
        AccountsFileError: when there are no accounts to be had.
    """
    choice, inputs = pool.look(asked)
    account_id: str | None = None
    seconds = 0.0
    outcome: Outcome
    held = inputs.view.capacity.get(asked.model)
    if held is not None and (left := held.remaining(inputs.now)) > 0:
        outcome, why = "fail", no_capacity(asked.model, left).message
    elif isinstance(choice, Chosen):
        outcome, account_id, why = "serve", choice.account_id, choice.why
    elif isinstance(choice, Hold):
        outcome, seconds, why = "wait", choice.seconds, "it is worth waiting for the current account"
    else:
        outcome, account_id, seconds, why = _nobody(pool, asked, inputs)
    candidates = tuple(
        _candidate(pool, account, asked, inputs, chosen=account.id == account_id, why=why)
        for account in inputs.availability.snapshot.accounts
    )
    return Explanation(
        at=inputs.now,
        model=asked.model,
        family=asked.family,
        strategy=pool.strategy.name,
        outcome=outcome,
        account_id=account_id,
        why=mask_emails(shown(why)),
        seconds=seconds,
        candidates=candidates,
    )


def _nobody(pool: AccountPool, asked: LeaseRequest, inputs: events.Inputs) -> tuple[Outcome, str | None, float, str]:
    """Return outcome, account, seconds to wait, and why, where no account is free."""
    availability, now = inputs.availability, inputs.now
    earliest = earliest_return(asked, availability, now)
    if earliest <= min(pool.settings.max_rate_limit_wait_seconds - asked.waited, asked.patience):
        return "wait", None, earliest, "every account is limited, and the first one is back soon"
    if _are_full(pool, availability.candidates(asked.tried)):
        return "wait", None, busy_pause(0.0), "every account that is free has as many requests in flight as it may have"
    if availability.free:
        return "fail", None, 0.0, "every account that is free has been tried for this request"
    enabled, benched = availability.snapshot.enabled, availability.benched
    for account in enabled:
        if account.id not in asked.tried and _may_be_probed(pool, benched[account.id], now):
            return "probe", account.id, 0.0, "its cooldown is long, and nobody has probed it for an hour"
    if (refusal := nowhere_available(enabled, benched, asked.model, now)) is not None:
        return "fail", None, 0.0, refusal.message
    error: AllAccountsLimitedError = all_limited(enabled, benched, asked.model, now)
    return "fail", None, 0.0, str(error)


def _are_full(pool: AccountPool, account_ids: Collection[str]) -> bool:
    at_most = pool.settings.max_in_flight_per_account
    if at_most is None or not account_ids:
        return False
    counts = pool.store.in_flight.counts()
    return all(counts.get(account_id, 0) >= at_most for account_id in account_ids)


def _may_be_probed(pool: AccountPool, cooldowns: tuple[Cooldown, ...], now: float) -> bool:
    long = all(PROBE_INTERVAL_SECONDS < one.until - one.since < math.inf for one in cooldowns)
    return long and pool.store.may_probe(cooldowns, now)


def _candidate(
    pool: AccountPool, account: Account, asked: LeaseRequest, inputs: events.Inputs, *, chosen: bool, why: str
) -> Candidate:
    now, availability = inputs.now, inputs.availability
    vitals = inputs.view.vitals.get(account.id, Vitals.fresh(pool.rules))
    left = availability.remaining(account.id, now)
    score = pool.strategy.score(account.id, asked.family, inputs.view, now) if account.enabled else None
    state: Literal["chosen", "free", "limited", "disabled"]
    if chosen:
        state, said = "chosen", RULES.get(why, why)
    elif not account.enabled:
        state, said = "disabled", "disabled"
    elif account.id in availability.benched:
        longest = max(availability.benched[account.id], key=lambda one: one.remaining(now))
        state, said = "limited", f"{longest.reason}, {_until(left)}"
    else:
        state, said = "free", _left_out(asked, account.id, why, score)
    return Candidate(
        account=mask_emails(shown(account.label)),
        state=state,
        said=shown(said),
        health=round(vitals.health_now(now, pool.rules), 2),
        tokens=round(vitals.tokens_now(now, pool.rules), 2),
        idle_seconds=None if vitals.last_used is None else round(max(0.0, now - vitals.last_used), 1),
        score=None if score is None else round(score, 2),
        seconds=None if math.isinf(left) else round(left, 1),
    )


def _until(left: float) -> str:
    return "until somebody acts" if math.isinf(left) else f"{spell_remaining(left)} left"


def _left_out(asked: LeaseRequest, account_id: str, why: str, score: float | None) -> str:
    """Return why a free account is not chosen."""
    if account_id in asked.tried:
        return "tried before"
    if why == "best score":
        return "too little health, or no token left" if score is None else "a lower score"
    return {
        "current": "not the account that this process is on",
        "next": "later in the file",
        "turn": "not its turn",
        "bound": "not the account of the conversation",
        "new": "has more conversations, or comes later in the file",
    }.get(why, "not asked")


__all__ = ["RULES", "Candidate", "Explanation", "explain"]
