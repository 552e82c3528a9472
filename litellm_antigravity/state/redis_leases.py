"""Locks and signs of life in Redis: leases with an owner's token, renewed while their holder lives.

Every lease expires; nobody frees another's. A holder that is cut off for longer than a lease lasts loses it, and finds
that out when it renews: whoever needs more than that has the locks of its own host beside it.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from litellm_antigravity.errors import StateUnavailableError
from litellm_antigravity.state.redis_link import RedisLink
from litellm_antigravity.state.redis_scripts import RELEASE, TAKE

LEASE_SECONDS: Final = 10.0
"""How long a lease lasts that is not renewed: so long a killed process keeps what it held."""

_MILLISECONDS: Final = int(LEASE_SECONDS * 1000)
_RENEW_SECONDS: Final = LEASE_SECONDS / 4
_FIRST_PAUSE, _LONGEST_PAUSE = 0.005, 0.1


class RedisLeases:
    """The leases of one process. Thread-safe; a thread of its own renews them while there are any.

    Args:
        link: to the server.
    """

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self.forked()

    def forked(self) -> None:
        """Start afresh in a forked child: the leases are the parent's, who renews them."""
        self._lock = threading.Lock()
        self._held: dict[str, str] = {}  # key -> token
        self._keeper: threading.Thread | None = None
        self._owner: str | None = None

    @contextmanager
    def lock(self, name: str, timeout: float) -> Iterator[bool]:
        """Hold a lock by name across hosts; yields False when it was not to be had in time."""
        key, token, ends = self._key("lock", name), secrets.token_hex(16), time.monotonic() + timeout
        pause = _FIRST_PAUSE
        while not (held := self._take(key, token)) and (left := ends - time.monotonic()) > 0:
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE)
        if not held:
            yield False
            return
        self._keep(key, token)
        try:
            yield True
        finally:
            with self._lock:
                self._held.pop(key, None)
            with contextlib.suppress(StateUnavailableError):  # it expires
                self._link.run(RELEASE, [key], token)

    def _take(self, key: str, token: str) -> bool:
        return bool(self._link.run(TAKE, [key], token, _MILLISECONDS, 1))

    def stay_alive(self, owner: str) -> None:
        """Let the others see that this process lives."""
        key = self._key("life", owner)
        with self._lock:
            if key in self._held:
                return
        self._take(key, owner)
        self._owner = owner
        self._keep(key, owner)

    def is_alive(self, owner: str) -> bool:
        """Return whether the process behind ``owner`` has renewed its sign of life."""
        if owner == self._owner:
            return True
        return bool(self._link.call(lambda client: client.exists(self._key("life", owner))))

    def _key(self, kind: str, name: str) -> str:
        return self._link.place.key(f"{kind}:{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:32]}")

    def _keep(self, key: str, token: str) -> None:
        with self._lock:
            self._held[key] = token
            if self._keeper is None or not self._keeper.is_alive():
                self._keeper = threading.Thread(
                    target=_renew, args=(weakref.ref(self),), name="antigravity-leases", daemon=True
                )
                with contextlib.suppress(RuntimeError):  # no thread to be had: they expire
                    self._keeper.start()

    def renew(self) -> bool:
        """Renew every lease once; return whether there are any."""
        with self._lock:
            held = dict(self._held)
        for key, token in held.items():
            with contextlib.suppress(StateUnavailableError):  # the next time, perhaps
                is_sign = token == self._owner  # nobody releases a sign of life; a lock that is gone was perhaps let go
                self._link.run(TAKE, [key], token, _MILLISECONDS, int(is_sign))
        return bool(held)

    def close(self) -> None:
        """Renew nothing any more: what is held expires."""
        with self._lock:
            self._held.clear()
            self._owner = None


def _renew(reference: weakref.ref[RedisLeases]) -> None:
    while True:
        time.sleep(_RENEW_SECONDS)
        leases = reference()
        if leases is None or not leases.renew():
            return
        del leases


__all__ = ["LEASE_SECONDS", "RedisLeases"]
