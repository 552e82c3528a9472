"""Round-robin: the next available account each time (docs/selection.md)."""

from __future__ import annotations

from collections.abc import Sequence

from litellm_antigravity.lease import LeaseRequest
from litellm_antigravity.models import ModelFamily
from litellm_antigravity.selection.availability import Availability
from litellm_antigravity.selection.starts import Starts
from litellm_antigravity.selection.strategy import Choice, Chosen, Strategy
from litellm_antigravity.settings import Settings
from litellm_antigravity.state.view import StateView


def pick(available: Sequence[str], cursor: int) -> str:
    """Return ``available[cursor % len(available)]``.

    Raises:
        ValueError: if no account is available.
    """
    if not available:
        msg = "round-robin needs at least one available account"
        raise ValueError(msg)
    return available[cursor % len(available)]


class RoundRobin(Strategy):
    """Takes the next account each time. Its cursor begins at a number that no other process of the host has."""

    name = "round-robin"
    summary = "Each request goes to the next account; each worker begins with another one"
    takes_turns = True
    ignores_offset = "each process begins with another account anyway"

    def __init__(self, settings: Settings, starts: Starts) -> None:  # noqa: ARG002 - every strategy is made like this
        self._starts = starts
        self._steps: dict[tuple[int, ModelFamily], int] = {}  # from the start that was claimed last

    def choose(self, asked: LeaseRequest, view: StateView, availability: Availability, now: float) -> Choice:  # noqa: ARG002 - the protocol's signature
        """Return the account at the cursor; see `Strategy.choose`."""
        candidates = availability.candidates(asked.tried)
        if not candidates:
            return None
        steps = self._steps.get((self._starts.version, asked.family), 0)
        return Chosen(pick(candidates, self._starts.number + steps), False, "turn")

    def taken(self, account_id: str, family: ModelFamily) -> None:  # noqa: ARG002 - the protocol's signature
        """Move the cursor on."""
        key = (self._starts.version, family)
        self._steps[key] = self._steps.get(key, 0) + 1
