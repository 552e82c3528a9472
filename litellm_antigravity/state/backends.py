"""Which backends there are: a new one is a module of its own, a line here, and a word in the setting's type."""

from __future__ import annotations

from pathlib import Path

from litellm_antigravity.clock import Clock
from litellm_antigravity.selection.vitals import VitalsRules
from litellm_antigravity.settings.model import StateBackend
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.resilient import ResilientStore


def shared_ledger(
    backend: StateBackend, directory: Path, clock: Clock, rules: VitalsRules, *, on_network: bool
) -> Ledger:
    """Return the ledger that processes on this host share; nothing is opened yet.

    Args:
        backend: what keeps it.
        directory: where.
        clock: the source of time.
        rules: by which vitals change.
        on_network: use the folder though it is on a network file system.
    """
    # Imported only when it is used: whoever may not have diskcache can do without.
    if backend == "sqlite":
        from litellm_antigravity.state.sqlite import SqliteStore as Store
    else:
        from litellm_antigravity.state.disk import DiskStore as Store  # type: ignore[assignment]
    return ResilientStore(Store(directory, on_network=on_network), clock, rules=rules, background=True)


__all__ = ["shared_ledger"]
