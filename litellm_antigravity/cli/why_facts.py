"""What ``why`` shows, before it is text or JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from litellm_antigravity.cli.status_facts import check_known, pool_to_look_at
from litellm_antigravity.lease import LeaseRequest
from litellm_antigravity.models import ModelFamily
from litellm_antigravity.observability.decisions import current_of, remembered
from litellm_antigravity.observability.explaining import Explanation, explain
from litellm_antigravity.observability.ring import Ring
from litellm_antigravity.pool import AccountPool
from litellm_antigravity.settings import Settings


@dataclass(frozen=True, slots=True)
class Reason:
    """What the next request for a model would meet.

    Attributes:
        explanation: the pool's.
        pid: of the process whose current account was taken; ``None`` for a process that begins.
    """

    explanation: Explanation
    pid: int | None

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {"pid": self.pid, **self.explanation.as_json()}


def next_for(model: str, pid: int | None) -> Reason:
    """Return what the next request for a model would meet.

    Args:
        model: its name.
        pid: of the process that would send it; the one seen last when absent.

    Raises:
        AntigravityError: when nobody knows the model, or there are no accounts.
    """
    pool = pool_to_look_at(Settings())
    try:
        asked = LeaseRequest(model)
        check_known(asked.model, pool.store.refresh(), pool.settings)
        process = _on_account_of(pool, asked.family, pid)
        return Reason(explain(pool, asked), process)
    finally:
        pool.store.close()


def _on_account_of(pool: AccountPool, family: ModelFamily, pid: int | None) -> int | None:
    """Have the pool go on from where a process is; return its id."""
    present = [one for one in pool.store.processes(forget=False) if family in one.current and pid in (None, one.pid)]
    latest = max(present, key=lambda one: one.seen_at, default=None)
    if latest is None:
        return None
    # Processes tell of their account now and then; what they remember is newer.
    account_id = current_of(Ring(pool.settings.state_dir), latest.pid, family) or latest.current[family]
    pool.strategy.taken(account_id, family)
    return latest.pid


def decisions(request_id: str | None = None) -> list[dict[str, Any]]:
    """Return what is remembered of decisions, oldest first; see `remembered`."""
    return remembered(Ring(Settings().state_dir), request_id)


__all__ = ["Reason", "decisions", "next_for"]
