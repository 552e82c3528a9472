"""What a strategy is: what it is asked, what it may answer, and what the pool has to know of it."""

from __future__ import annotations

import math
from typing import ClassVar, Final, Literal, NamedTuple, Protocol, TypeAlias

from litellm_antigravity.lease import LeaseRequest
from litellm_antigravity.models import ModelFamily
from litellm_antigravity.selection.availability import Availability
from litellm_antigravity.selection.starts import Starts
from litellm_antigravity.settings import Settings
from litellm_antigravity.state.view import StateView

WAKE_MARGIN_SECONDS: Final = 0.01
"""Who waits sleeps a little past the end of a cooldown, rather than wake a little before it."""

_AGAIN_SECONDS: Final = 1.0  # between two tries of one account by one request, however soon its limit ends


class Chosen(NamedTuple):
    """The account that is to serve a request.

    Attributes:
        account_id: its id.
        takes_token: whether it may only do so if its bucket has a token left.
        why: in a word, why it is this one; empty where the strategy has no word for it.
        binds: whether the account becomes that of the request's conversation when it is taken.
    """

    account_id: str
    takes_token: bool = False
    why: str = ""
    binds: bool = False


class Hold(NamedTuple):
    """It is better to wait for an account than to take another one.

    Attributes:
        seconds: until it is back.
        at_most: seconds that the request may wait for it.
    """

    seconds: float
    at_most: float


Choice: TypeAlias = Chosen | Hold | None
"""``None``: there is nobody."""


Condition: TypeAlias = Literal["rested", "fit", "tired", "ill"]
"""What a strategy thinks of an account that is free: a tired one should be spared, an ill one does badly."""


class Strategy(Protocol):
    """How an account is chosen. One object per pool, which calls it under its lock.

    Attributes:
        name: the value of the setting ``account_selection_strategy``.
        summary: what it does, in one sentence without an end.
        keeps_account: whether a process stays with one account; the others are told of a change at once then.
        takes_turns: whether a choice counts as taken when it is made: the next one, of another thread, goes on from it.
        counts_requests: whether it chooses by the bucket and the last use: then each request is written when it begins.
        ignores_offset: why ``pid_offset_enabled`` makes no difference to it; ``None`` when it does, or nobody asks.
        patience: how many seconds a request may wait for its account though another one is free.
    """

    name: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    keeps_account: ClassVar[bool] = False
    takes_turns: bool = False
    counts_requests: bool = False
    ignores_offset: ClassVar[str | None] = None
    patience: float = 0.0

    def __init__(self, settings: Settings, starts: Starts) -> None: ...

    def choose(self, asked: LeaseRequest, view: StateView, availability: Availability, now: float) -> Choice:
        """Return who is to serve a request. It changes nothing: what is not taken has not been chosen.

        Args:
            asked: by the request.
            view: what is known of the shared state.
            availability: who is free for the model.
            now: epoch seconds.
        """
        ...

    def condition(self, account_id: str, view: StateView, now: float) -> Condition:  # noqa: ARG002 - for subclasses
        """Return what the strategy thinks of a free account: conversations stay on one that is fit."""
        return "fit"

    def score(self, account_id: str, family: ModelFamily, view: StateView, now: float) -> float | None:  # noqa: ARG002 - for subclasses
        """Return by what number the strategy compares a free account; ``None`` where it has none for it."""
        return None

    def taken(self, account_id: str, family: ModelFamily) -> None:
        """Remember that a request for the family goes to an account, whoever has chosen it."""
        ...


def earliest_return(asked: LeaseRequest, availability: Availability, now: float) -> float:
    """Return the seconds until an account can be asked that this request is not done with."""
    waits = []
    for account in availability.snapshot.enabled:
        again = account.id in asked.limited
        if asked.account_id not in (None, account.id) or (account.id in asked.tried and not again):
            continue
        wait = availability.remaining(account.id, now) + WAKE_MARGIN_SECONDS
        waits.append(max(wait, _AGAIN_SECONDS) if again else wait)
    return min(waits, default=math.inf)
