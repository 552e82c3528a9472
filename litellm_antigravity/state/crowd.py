"""What the processes of a whole host share because they are many: the retry budget, turns to wait, and slots."""

from __future__ import annotations

import abc
import itertools
from contextlib import AbstractContextManager
from typing import Final, Protocol

from litellm_antigravity.models import ModelFamily
from litellm_antigravity.selection.retry_budget import MAX_TOKENS, RetryBudget
from litellm_antigravity.selection.turns import next_turn
from litellm_antigravity.state.rows import decode, encode, number_in

BUDGET_KEY: Final = "retries"


class CrowdStore(Protocol):
    """The part of `StateStore` that is about many requests at once; times are epoch seconds."""

    def take_retry(self, cost: float, now: float) -> bool:
        """Take tokens for a retry from the host's budget; return False, and take none, when there are too few."""
        ...

    def give_retry(self, gain: float, now: float) -> None:
        """Give tokens to the host's retry budget: something worked."""
        ...

    def claim_turn(self, family: ModelFamily, earliest: float, latest: float) -> float:
        """Return when a request that waits for an account wakes up; see `next_turn`."""
        ...

    def slot_owners(self) -> dict[int, str]:
        """Return the slots that somebody has claimed, whether or not the claimant lives still."""
        ...

    def free_slot(self, number: int) -> None:
        """Let the next process that claims a slot have this one, though its owner may live."""
        ...


class Rows(abc.ABC):
    """What a backend supplies to change rows, and the operations of `CrowdStore` written over it."""

    @abc.abstractmethod
    def _atomic(self) -> AbstractContextManager[None]:
        """Return a section in which no other process and no other thread writes; all of it happens or nothing."""

    @abc.abstractmethod
    def _get(self, key: str) -> str | None:
        """Return a row's text as committed, or as written within this section."""

    @abc.abstractmethod
    def _put(self, key: str, text: str, *, watched: bool) -> None:
        """Write a row; a watched one reaches every process's view."""

    def take_retry(self, cost: float, now: float) -> bool:
        """Take tokens for a retry; see `CrowdStore.take_retry`."""
        with self._atomic():
            left = (decode_budget(self._get(BUDGET_KEY)) or RetryBudget()).taken(cost, now)
            if left is None:
                return False
            self._put(BUDGET_KEY, encode_budget(left), watched=True)
            return True

    def give_retry(self, gain: float, now: float) -> None:
        """Give tokens to the budget; see `CrowdStore.give_retry`."""
        with self._atomic():
            known = decode_budget(self._get(BUDGET_KEY)) or RetryBudget()
            more = known.given(gain, now)
            if more is not known:
                self._put(BUDGET_KEY, encode_budget(more), watched=True)

    def claim_turn(self, family: ModelFamily, earliest: float, latest: float) -> float:
        """Return when a request that waits wakes up; see `CrowdStore.claim_turn`."""
        key = f"turn/{family}"
        with self._atomic():
            turn = next_turn(number_in(decode(self._get(key)), "at"), earliest, latest)
            self._put(key, encode({"at": turn}), watched=False)
            return turn

    def slot_owners(self) -> dict[int, str]:
        """Return the slots that somebody has claimed; see `CrowdStore.slot_owners`."""
        found: dict[int, str] = {}
        with self._atomic():
            for number in itertools.count():  # they are given out from 0 on, and their rows stay
                row = decode(self._get(f"slot/{number}"))
                if row is None:
                    return found
                if isinstance(owner := row.get("owner"), str):
                    found[number] = owner
        raise AssertionError  # pragma: no cover - the numbers do not end

    def free_slot(self, number: int) -> None:
        """Free a slot; see `CrowdStore.free_slot`."""
        with self._atomic():
            if self._get(f"slot/{number}") is not None:
                self._put(f"slot/{number}", encode({"owner": None}), watched=False)


def encode_budget(budget: RetryBudget) -> str:
    """Return the text of the retry budget's row."""
    return encode({"tokens": budget.tokens, "at": budget.at})


def decode_budget(text: object) -> RetryBudget | None:
    """Return the retry budget in a row, within its bounds; ``None`` for a malformed row."""
    fields = decode(text)
    tokens, at = number_in(fields, "tokens"), number_in(fields, "at")
    if tokens is None or at is None:
        return None
    return RetryBudget(min(max(tokens, 0.0), MAX_TOKENS), at)
