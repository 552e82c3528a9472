"""What is in flight on other hosts: told through Redis, and seen by this host's processes as by one more of their own.

The process that carries has a second page among those of `pages`: what the others there have in flight is what this
host has, and in it stands what the other hosts have. So nobody who counts asks Redis, and a page whose process died
counts no longer. In Redis a host's counts are one text, which its owner renews; it is gone some seconds after the last
time. What is known of other hosts is as old as the last exchange.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import socket
import time
from collections.abc import Mapping
from typing import Final, Literal

from litellm_antigravity.errors import StateUnavailableError
from litellm_antigravity.state.backend import Backend
from litellm_antigravity.state.database import DatabaseBackend
from litellm_antigravity.state.pages import HOSTS, HOSTS_BEFORE, Pages
from litellm_antigravity.state.redis_link import RedisLink
from litellm_antigravity.state.redis_scripts import FLIGHTS

logger = logging.getLogger("litellm_antigravity")

SHARE_SECONDS: Final = 3.0
"""How long what a host has told counts that does not tell it again."""

BUSY_SECONDS: Final = 0.1
"""Between two exchanges, while anything is in flight or has just changed."""

_IDLE_SECONDS: Final = 0.5
_REST_SECONDS: Final = 1.0  # after one that failed
_MOST_OF_THE_TIME: Final = 4  # of the time that an exchange takes: a slow server is to have time for other things
_MOST_ACCOUNTS: Final = 400  # each is up to 19 characters, and a text has 8 KB
_MOST_COUNT: Final = 0xFFFF
_COUNT: Final = re.compile(rb"([0-9a-f]{1,12}):([0-9]{1,5})")


class JoinedFlights:
    """Exchanges counts of requests in flight with other hosts; in the process that carries. Not thread-safe.

    Args:
        page: a relay: another page than that in which the process has its own counts.
        link: to Redis.
        what: is in flight there: requests to accounts, or of callers; those are told once anybody of the host has any.
    """

    def __init__(self, page: Pages, link: RedisLink, what: Literal["flight", "caller"] = "flight") -> None:
        self._page = page
        self._link = link
        self._is_of_accounts = what == "flight"
        self._keys = [link.place.key(name) for name in (f"{what}s", f"{what}-ends")]
        self._host = ""
        self._told: Mapping[int, int] = {}
        self._theirs: Mapping[int, int] = {}
        self._busy_until = self._not_before = self._due_at = 0.0

    @classmethod
    def of(cls, backend: Backend, link: RedisLink) -> list[JoinedFlights]:
        """Return what exchanges those of the processes that share a backend, and whose they are."""
        if not isinstance(backend, DatabaseBackend):
            return []
        return [cls(backend.pages.relay(), link), cls(backend.callers_pages.relay(), link, "caller")]

    def exchange(self) -> None:
        """Tell what this host has in flight, and learn what the others have, if it is time to. Never fails."""
        began, page = time.monotonic(), self._page
        if began < self._not_before or not (self._is_of_accounts or page.is_used):
            return
        try:
            if page.claim():
                self._host, self._theirs = _name_of(page), {}
            ours = page.others(of_host=True)
            if began < self._due_at and ours == self._told:
                return
            if ours:
                self._busy_until = began + SHARE_SECONDS
            self._show(page, self._swapped(ours, SHARE_SECONDS if began < self._busy_until else 0.0))
        except StateUnavailableError as error:  # the rows have the same server, and warn of it
            logger.debug("What is in flight on other hosts is not known: %s.", error)
            self.forget()
            self._not_before = began + _REST_SECONDS
            return
        self._told = ours
        ended = time.monotonic()
        self._not_before = ended + max(BUSY_SECONDS, _MOST_OF_THE_TIME * (ended - began))
        self._due_at = self._not_before if ours or any(self._theirs.values()) else ended + _IDLE_SECONDS

    def _swapped(self, ours: Mapping[int, int], seconds: float) -> dict[int, int]:
        """Put this host's counts into Redis for so long; return those of the others, added up, and who is before us."""
        busiest = sorted(ours.items(), key=lambda one: -one[1])[:_MOST_ACCOUNTS]
        text = ",".join(f"{key:x}:{count}" for key, count in busiest)
        told = self._link.run(FLIGHTS, self._keys, self._host, text, int(seconds * 1000))
        found: dict[int, int] = {}
        for other in told[1::2]:
            for key, count in _counts_in(other).items():
                found[key] = found.get(key, 0) + count
        if self._is_of_accounts:
            found |= {HOSTS: len(told) // 2, HOSTS_BEFORE: sum(name < self._host.encode() for name in told[::2])}
        return found

    def _show(self, page: Pages, theirs: Mapping[int, int]) -> None:
        for key in self._theirs.keys() - theirs.keys():
            page.write(key, 0)
        for key, count in theirs.items():
            if not page.write(key, count):
                page.place(key)
                page.write(key, count)
        self._theirs = theirs

    def forget(self) -> None:
        """Go on with this host's counts alone."""
        self._show(self._page, {})
        self._told, self._due_at = {}, 0.0

    def close(self) -> None:
        """Take back what was told, and give the page back."""
        if self._told:
            with contextlib.suppress(StateUnavailableError):  # it expires
                self._swapped({}, 0.0)
        self.forget()
        self._page.close()


def _counts_in(text: bytes) -> dict[int, int]:
    """Return the counts that a host has told; nothing of what no host of this package tells."""
    found: dict[int, int] = {}
    for one in text.split(b",")[:_MOST_ACCOUNTS]:
        told = _COUNT.fullmatch(one)
        if told is not None:
            key, count = int(told[1], 16), int(told[2])
            if key and 0 < count <= _MOST_COUNT:
                found[key] = count
    return found


def _name_of(page: Pages) -> str:
    """Return what the host is called in Redis: the same whichever of its processes carries."""
    return hashlib.blake2b(f"{socket.gethostname()} {page.identity}".encode(), digest_size=12).hexdigest()


__all__ = ["BUSY_SECONDS", "SHARE_SECONDS", "JoinedFlights"]
