"""What a request asks of the pool, its hold on an account, and how that can end."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from litellm_antigravity.accounts import Account
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.events import About
from litellm_antigravity.models import ModelFamily, canonical_model, family_of
from litellm_antigravity.refusals import Refusal
from litellm_antigravity.selection.fairness import Caller
from litellm_antigravity.state.in_flight import Flight


class Served:
    """The outcome of a request that was answered."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "SERVED"


SERVED: Final = Served()

BOUND: Final = "bound"
"""Why an account serves a request: its conversation is on it."""
NEW: Final = "new"
"""Its conversation begins there."""
DETOUR: Final = "detour"
"""Its conversation's own account cannot, and will be back soon."""
REBOUND: Final = "rebound"
"""Its conversation has left its account for good."""

TOLD: Final = {BOUND: "hit", NEW: "new", DETOUR: "detour", REBOUND: "rebound"}
"""What answers and metrics call it."""

Outcome: TypeAlias = Served | Refusal


@dataclass(slots=True)  # not frozen: to be made for every request, that would cost more than the rest of it
class LeaseRequest:
    """What a request asks of the pool, and what it has met so far. A value: nobody changes it.

    Attributes:
        model: a model name, with or without ``antigravity/``; afterwards the canonical one.
        tried: the ids of the accounts that the request is done with.
        limited: those of them that had reached a limit, and may be asked again once they are back.
        waited: seconds that it has waited for an account already.
        patience: seconds that it may still take.
        account_id: the one account that may serve it, when somebody else has chosen.
        overdrawn: accounts whose last token another process has just taken.
        conversation: the key of the conversation that the request belongs to, of at most 40 characters; ``None`` when
            nothing says which.
        turn: the id of the account at which it has its turn now, as a `Wait` said.
        request_id: what the request is called by those who sent it, for whoever asks what became of it.
        caller: who sent it, where accounts are shared fairly; this process when absent.
        family: the quota family of the model.
    """

    model: str
    tried: Collection[str] = ()
    limited: Collection[str] = ()
    waited: float = 0.0
    patience: float = math.inf
    account_id: str | None = None
    overdrawn: frozenset[str] = frozenset()
    conversation: str | None = None
    turn: str | None = None
    request_id: str | None = None
    caller: Caller | None = None
    family: ModelFamily = field(init=False)

    def __post_init__(self) -> None:
        self.model = canonical_model(self.model)
        self.family = family_of(self.model)


@dataclass(slots=True, unsafe_hash=True)  # not frozen, as above; a value all the same
class Lease:
    """One request's hold on an account.

    Attributes:
        account: who serves the request.
        model: the canonical model name.
        family: the quota family it draws on.
        since: when it was taken, in epoch seconds.
        probes: the cooldowns that this request probes; empty for an ordinary one.
        others: how many other accounts are free for it, that it has not tried.
        request_id: see `LeaseRequest`.
        conversation: the key of its conversation, if the account was chosen by that.
        why: why this account: `BOUND`, `NEW`, `DETOUR`, `REBOUND`, or the strategy's own word.
        flight: counts it among the requests in flight of its account; `AccountPool.report` ends that.
        share: counts it among its caller's, where accounts are shared fairly.
    """

    account: Account
    model: str
    family: ModelFamily
    since: float
    probes: tuple[Cooldown, ...] = ()
    others: int = 0
    request_id: str | None = None
    conversation: str | None = None
    why: str = ""
    flight: Flight | None = field(default=None, repr=False, compare=False)
    share: Flight | None = field(default=None, repr=False, compare=False)

    @property
    def about(self) -> About:
        """What events say of it."""
        return About(self.account.id, self.account.label, self.model, self.family, self.request_id)

    def still_in_flight(self) -> Lease:
        """Return it so that its report does not end the request."""
        return replace(self, flight=None, share=None)

    def end(self) -> None:
        """Count the request no longer as in flight; again does nothing, and neither blocks."""
        if self.flight is not None:
            self.flight.end()
        if self.share is not None:
            self.share.end()


@dataclass(frozen=True, slots=True)
class Wait:
    """No account is free now, but one will be soon enough to wait for it.

    Attributes:
        seconds: until then.
        turn: the id of the account that takes the request then, if it has its turn at one; see `Admission`.
    """

    seconds: float
    turn: str | None = None

    def after(self, asked: LeaseRequest) -> LeaseRequest:
        """Return what the request asks when it has waited."""
        waited = self.seconds if self.turn is None else 0.0  # else it waited for nobody who was limited
        return replace(asked, waited=asked.waited + waited, turn=self.turn)
