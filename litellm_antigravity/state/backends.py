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


def ledger_of(settings: Settings, clock: Clock, rules: VitalsRules) -> Ledger:
    """Return the ledger that processes share by these settings, and that never fails a request; nothing is opened yet.

    Args:
        settings: where it is, and whether other hosts share it.
        clock: the source of time.
        rules: by which vitals change.

    Raises:
        SettingsError: hosts are to be joined, but redis-py is not installed, or tokens are to be shared without a key.
    """
    on_network = settings.state_dir_on_network
    primary = host_ledger(settings.state_backend, settings.state_dir, on_network=on_network)
    if settings.redis is None:
        return ResilientStore(primary, clock, rules=rules, background=True)
    from litellm_antigravity.state.layers import JoinedStore
    from litellm_antigravity.state.redis_connect import place_of, seal_of

    place = place_of(settings)
    if place is None:
        return ResilientStore(primary, clock, rules=rules, background=True)
    if settings.share_tokens == "redis":
        from litellm_antigravity.state.shared_tokens import TokenSharingStore

        return TokenSharingStore(primary, place, clock, rules=rules, seal=seal_of(settings))
    return JoinedStore(primary, place, clock, rules=rules)


__all__ = ["host_ledger", "ledger_of"]
