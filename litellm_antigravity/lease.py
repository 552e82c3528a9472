"""A request's hold on an account, and how it can end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from litellm_antigravity.accounts import Account
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.models import ModelFamily
from litellm_antigravity.refusals import Refusal


class Served:
    """The outcome of a request that was answered."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "SERVED"


SERVED: Final = Served()
Outcome: TypeAlias = Served | Refusal


@dataclass(frozen=True, slots=True)
class Lease:
    """One request's hold on an account.

    Attributes:
        account: who serves the request.
        model: the canonical model name.
        family: the quota family it draws on.
        since: when it was taken, in epoch seconds.
        probes: the cooldowns that this request probes; empty for an ordinary one.
        others: how many other accounts are free for it, that it has not tried.
    """

    account: Account
    model: str
    family: ModelFamily
    since: float
    probes: tuple[Cooldown, ...] = ()
    others: int = 0


@dataclass(frozen=True, slots=True)
class Wait:
    """No account is free now, but one will be soon enough to wait for it."""

    seconds: float
