"""Tells the pool how requests ended, without keeping their callers: what cannot be written in time is written later."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from litellm_antigravity.deadlines import time_limit
from litellm_antigravity.errors import StateBusyError
from litellm_antigravity.lease import Lease, Outcome
from litellm_antigravity.pool import AccountPool
from litellm_antigravity.threads import QUICK, Threads


class Reports:
    """Reports to a pool.

    Args:
        pool: whose leases are reported.
        threads: where what takes longer is done.
    """

    def __init__(self, pool: AccountPool, threads: Threads) -> None:
        self.pool = pool
        self._threads = threads

    def report(self, lease: Lease, outcome: Outcome, seconds: float) -> None:
        """Do what `AccountPool.report` does; come back after ``seconds`` at most, or a moment if there are none."""
        self.pool.recorder.tell(lease, outcome)
        self.record(lease, outcome, seconds)

    async def areport(self, lease: Lease, outcome: Outcome, seconds: float) -> None:
        """Do what `report` does without blocking the event loop."""
        lease.end()
        self.pool.recorder.tell(lease, outcome)
        if self.pool.changes_anything(lease, outcome):
            await self._threads.run(QUICK, partial(self.write, partial(self.pool.record, lease, outcome), seconds))

    def record(self, lease: Lease, outcome: Outcome, seconds: float) -> None:
        """Do what `report` does for an outcome that has been told already."""
        lease.end()
        if self.pool.changes_anything(lease, outcome):
            self.write(partial(self.pool.record, lease, outcome), seconds)

    def write(self, write: Callable[[], None], seconds: float) -> None:
        """Write something to the shared state; what others hold up longer than ``seconds`` is left to a thread."""
        try:
            with time_limit(seconds):
                write()
        except StateBusyError:
            self._threads.later(QUICK, write)


__all__ = ["Reports"]
