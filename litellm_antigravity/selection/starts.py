"""Where a process begins: PID offset, slot and number, so that processes of one host begin on different accounts."""

from __future__ import annotations

from collections.abc import Callable

from litellm_antigravity import events
from litellm_antigravity.accounts import AccountsSnapshot
from litellm_antigravity.identity import ProcessIdentity
from litellm_antigravity.models import ModelFamily
from litellm_antigravity.settings import Settings
from litellm_antigravity.state.ledger import Ledger


def pid_offset(pid: int, count: int) -> int:
    """Return the PID offset of a process among ``count`` accounts: ``pid % count``.

    Raises:
        ValueError: if there is no account.
    """
    if count < 1:
        msg = "a PID offset needs at least one account"
        raise ValueError(msg)
    return pid % count


def start_index(base: int, offset: int, count: int) -> int:
    """Return where a process starts in the list of enabled accounts: ``(base + offset) % count``.

    Raises:
        ValueError: if there is no account.
    """
    if count < 1:
        msg = "a start index needs at least one account"
        raise ValueError(msg)
    return (base + offset) % count


class Starts:
    """Where this process begins. What it claims of the host for that, it claims when it is first needed, and once.

    Claimed anew when the store says so: a slot and a number that came from no shared state may be others' as well.

    Args:
        settings: say which offset there is.
        store: of slots and numbers.
        identity: gives who this process is.
    """

    def __init__(self, settings: Settings, store: Ledger, identity: Callable[[], ProcessIdentity]) -> None:
        self._settings = settings
        self._store = store
        self._identity = identity
        self._version = store.claims_version()
        self._number: int | None = None
        self._indices: dict[ModelFamily, int] = {}
        self.slot: int | None = None

    @property
    def version(self) -> int:
        """What changes when everything is claimed anew."""
        version = self._store.claims_version()
        if version != self._version:
            self._version, self.slot, self._number = version, None, None
            self._indices.clear()
        return version

    @property
    def number(self) -> int:
        """The next number of a counter of the host's, when this process asked for it."""
        if self._number is None:
            self._number = self._store.next_cursor_start()
        return self._number

    def index(self, snapshot: AccountsSnapshot, family: ModelFamily) -> int:
        """Return where this process starts in the list of enabled accounts (docs/selection.md)."""
        if self.version == self._version and family in self._indices:
            return self._indices[family]
        count, offset = len(snapshot.enabled), None
        if self._settings.pid_offset_enabled and count > 1:
            if self._settings.offset_source == "slot":
                if self.slot is None:
                    self.slot = self._store.claim_slot(self._identity().owner)
                offset = self.slot % count
            else:
                offset = pid_offset(self._identity().pid, count)
        self._indices[family] = start = start_index(snapshot.base_index.get(family, 0), offset or 0, count)
        if events.wanted():
            source = self._settings.offset_source
            events.emit(events.Started(family=family, index=start, offset=offset, source=source))
        return start
