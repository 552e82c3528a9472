"""A binding: which account a conversation is on. What is shared; `bindings` has the rules."""

from __future__ import annotations

from dataclasses import dataclass


def caller_in(key: str) -> str:
    """Return the part of a conversation's key that all conversations of one caller share.

    Args:
        key: the caller's part, a point, and the rest.
    """
    return key.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Binding:
    """Which account a conversation is on.

    Attributes:
        account_id: its account.
        family: the quota family that it draws on.
        used_at: when this was written last, in epoch seconds.
        seconds: how long it holds from then.
        number: how many conversations the host had placed by then; what is far behind has not been used for long.
        detour: the account that serves it for as long as its own does not.
        is_placed: whether it has had no content from its account yet.
    """

    account_id: str
    family: str
    used_at: float
    seconds: float
    number: int = 0
    detour: str | None = None
    is_placed: bool = False

    @property
    def until(self) -> float:
        """When it is over unless it is used, in epoch seconds."""
        return self.used_at + self.seconds

    @property
    def serving(self) -> str:
        """The account that serves it now, as far as is known."""
        return self.detour or self.account_id

    def remaining(self, now: float) -> float:
        """Return the seconds left at ``now``; a clock that went back does not prolong it."""
        left = self.used_at + self.seconds - now
        if left <= 0.0:
            return 0.0
        return min(left, self.seconds)


__all__ = ["Binding", "caller_in"]
