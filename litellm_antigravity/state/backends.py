"""Which backends there are: a new one is a module of its own, a line here, and a word in the setting's type."""

from __future__ import annotations

from pathlib import Path

from litellm_antigravity.clock import Clock
from litellm_antigravity.selection.vitals import VitalsRules
from litellm_antigravity.settings import Settings
from litellm_antigravity.settings.model import StateBackend
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.resilient import ResilientStore


def host_ledger(backend: StateBackend, directory: Path, *, on_network: bool) -> Ledger:
    """Return the ledger that processes on this host share, as it is: its methods fail where it cannot be used.

    Args:
        backend: what keeps it.
        directory: where.
        on_network: use the folder though it is on a network file system.
    """
    # Imported only when it is used: whoever may not have diskcache can do without.
    if backend == "sqlite":
        from litellm_antigravity.state.sqlite import SqliteStore

        return SqliteStore(directory, on_network=on_network)
    from litellm_antigravity.state.disk import DiskStore

    return DiskStore(directory, on_network=on_network)


def shared_ledger(
    backend: StateBackend, directory: Path, clock: Clock, rules: VitalsRules, *, on_network: bool
) -> Ledger:
    """Return the ledger that processes on this host share, and that never fails a request; nothing is opened yet.

    Args:
        backend: what keeps it.
        directory: where.
        clock: the source of time.
        rules: by which vitals change.
        on_network: use the folder though it is on a network file system.
    """
    primary = host_ledger(backend, directory, on_network=on_network)
    return ResilientStore(primary, clock, rules=rules, background=True)


def ledger_of(settings: Settings, clock: Clock, rules: VitalsRules) -> Ledger:
    """Return the ledger that the settings say; see `shared_ledger`."""
    on_network = settings.state_dir_on_network
    return shared_ledger(settings.state_backend, settings.state_dir, clock, rules, on_network=on_network)


__all__ = ["host_ledger", "ledger_of", "shared_ledger"]
