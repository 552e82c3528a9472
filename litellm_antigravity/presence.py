"""Telling the other processes which account this one is on: for ``status``, at a price that no request notices."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

from litellm_antigravity.clock import Clock
from litellm_antigravity.identity import ProcessIdentity
from litellm_antigravity.models import ModelFamily
from litellm_antigravity.selection.starts import Starts
from litellm_antigravity.selection.strategy import Strategy
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.rows import Presence

_CHANGED_SECONDS: Final = 5.0  # between two rows, with a strategy that changes accounts all the time
_REPEAT_SECONDS: Final = 300.0


class Announcer:
    """Says which account this process is on, when that changes and now and then. The pool's lock guards `news`.

    Args:
        store: where it is said.
        clock: the source of time.
        identity: gives who this process is.
        strategy: of the pool.
        starts: know the slot of this process.
    """

    def __init__(
        self,
        store: Ledger,
        clock: Clock,
        identity: Callable[[], ProcessIdentity],
        strategy: Strategy,
        starts: Starts,
    ) -> None:
        self._store = store
        self._clock = clock
        self._identity = identity
        self._strategy = strategy
        self._starts = starts
        self._current: dict[str, str] = {}
        self._told: Mapping[str, str] = {}
        self._told_at = -math.inf
        self._has_told = False

    def news(self, account_id: str, family: ModelFamily, *, keeps: bool) -> Presence | None:
        """Note the account of a request; return what the others are to be told now, if anything.

        Args:
            account_id: its id.
            family: of the request.
            keeps: whether the process stays with it; the others are told of a change at once then.
        """
        self._current[family] = account_id
        now = self._clock.monotonic()
        changed = 0.0 if keeps else _CHANGED_SECONDS
        if now - self._told_at < (changed if self._current != self._told else _REPEAT_SECONDS):
            return None
        self._told_at, self._told = now, dict(self._current)
        identity = self._identity()
        return Presence(
            identity.owner, identity.pid, self._strategy.name, self._clock.time(), self._starts.slot, self._told
        )

    def tell(self, news: Presence) -> None:
        """Write down what `news` returned; may touch the disk, and takes no lock."""
        self._store.announce(news)
        if not self._has_told:
            self._has_told = True
            self._store.processes()  # forgets the dead: every process leaves a row and a file behind
