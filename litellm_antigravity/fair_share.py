"""Fair share between callers (``fair_share``): whether a request waits because its caller has more than its share.

The rule is `selection.fairness`; this knows where its figures come from. A request that waits looks again and again, as
one does that meets full accounts, and goes when its time to wait is over: fairness fails no request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from litellm_antigravity.accounts import AccountsSnapshot
from litellm_antigravity.identity import ProcessIdentity
from litellm_antigravity.lease import LeaseRequest, Wait
from litellm_antigravity.selection.availability import Availability
from litellm_antigravity.selection.fairness import ALWAYS_FREE, PRESSURE, Caller, is_held, pressure_of, share_key
from litellm_antigravity.settings import Settings
from litellm_antigravity.state.in_flight import Flight, busy_pause
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.pages import key_of
from litellm_antigravity.telling import told

_MOST_PATIENCE: Final = 0.25  # a pause is at most this part of the time that a request has left
_KNOWN_CALLERS: Final = 10_000


class FairShare:
    """Decides that; one for each pool.

    Args:
        settings: say what an account takes, and how long a request may wait.
        store: the shared state.
        identity: gives who this process is: the caller of requests that name none.
    """

    def __init__(self, settings: Settings, store: Ledger, identity: Callable[[], ProcessIdentity]) -> None:
        self._at_most = settings.max_in_flight_per_account or 0
        self._longest = settings.max_rate_limit_wait_seconds
        self._store = store
        self._identity = identity
        self._known: tuple[AccountsSnapshot, int, dict[Caller | None, int]] | None = None  # one value: threads share it

    @classmethod
    def of(cls, settings: Settings, store: Ledger, identity: Callable[[], ProcessIdentity]) -> FairShare | None:
        """Return what the settings say; ``None`` where nothing is shared fairly."""
        return cls(settings, store, identity) if settings.fair_share else None

    def hold(
        self, asked: LeaseRequest, snapshot: AccountsSnapshot, availability: Callable[[str], Availability]
    ) -> Wait | None:
        """Return how long a request waits before another look; ``None`` when it goes on.

        Args:
            asked: by it.
            snapshot: the accounts.
            availability: gives who is free for a model; asked where that matters only.
        """
        pause = busy_pause(asked.waited)
        is_under_way = asked.tried or asked.turn is not None
        if is_under_way or pause > min(self._longest - asked.waited, asked.patience * _MOST_PATIENCE):
            return None
        key = self._key(asked, snapshot)
        if self._store.callers.count(key) < ALWAYS_FREE:
            return None
        free = availability(asked.model).free
        if not free:
            return None  # everybody waits then
        takes, counts = self._at_most * len(free), self._store.in_flight.counts()
        in_flight = sum(counts.get(account_id, 0) for account_id in free)
        pressure = pressure_of(in_flight, takes, len(free), len(snapshot.enabled))
        if pressure < PRESSURE or not is_held(key, self._store.callers.counts(), pressure, takes):
            return None
        return told(Wait(pause), asked, pause, "share")

    def begin(self, asked: LeaseRequest, snapshot: AccountsSnapshot) -> Flight:
        """Count a request as its caller's; may touch the disk, once.

        Args:
            asked: by it.
            snapshot: the accounts.
        """
        return self._store.callers.begin(self._key(asked, snapshot))

    def _key(self, asked: LeaseRequest, snapshot: AccountsSnapshot) -> int:
        known = self._known
        if known is None or known[0] is not snapshot or len(known[2]) > _KNOWN_CALLERS:
            self._known = known = (snapshot, key_of(" ".join(sorted(snapshot.by_id))), {})
        _, scope, keys = known
        key = keys.get(asked.caller)
        if key is None:
            caller = asked.caller or Caller(f"process {self._identity().owner}")
            keys[asked.caller] = key = share_key(caller, scope)
        return key


__all__ = ["FairShare"]
