"""Signed thoughts that several hosts share, where the settings have them share tokens: sealed, and gone after an hour.

A request asks once, for all that it lacks; what it gets its own host knows from then on. Each is a key of Redis's that
expires, named by a hash of the tool call's id. Whoever has Redis alone can read none, and put none in another's place.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from litellm_antigravity.clock import SystemClock
from litellm_antigravity.errors import StateUnavailableError
from litellm_antigravity.forking import ForkAware
from litellm_antigravity.settings import Settings
from litellm_antigravity.state.questions import QUESTION_SECONDS, Breaker, answer_of
from litellm_antigravity.state.redis_connect import place_of, seal_of
from litellm_antigravity.state.redis_link import RedisLink, RedisPlace
from litellm_antigravity.state.sealing import Seal

KEPT_SECONDS: Final = 3600
"""A conversation whose next turn comes later may find its thoughts on the host only that it came from."""

MAX_CHARS: Final = 128 * 1024
"""A longer text is neither written nor read."""

_WHAT: Final = "thoughts/"


class JoinedThoughts(ForkAware):
    """The texts of thoughts in Redis, by their rows' names. Never raises.

    Args:
        place: where the hosts meet.
        seal: encrypts what leaves the host.
        patience: seconds that a request waits for the answer at most.
    """

    def __init__(self, place: RedisPlace, seal: Seal, *, patience: float = QUESTION_SECONDS) -> None:
        self._link = RedisLink(place)
        self._seal = seal
        self._patience = patience
        self._breaker = Breaker(SystemClock())
        self._watch_forks()

    @classmethod
    def of(cls, settings: Settings) -> JoinedThoughts | None:
        """Return what the settings say; ``None`` where hosts share none.

        Raises:
            SettingsError: as `place_of` and `seal_of`.
        """
        place = place_of(settings) if settings.share_tokens == "redis" else None
        return None if place is None else cls(place, seal_of(settings))

    def _after_fork_in_child(self) -> None:
        self._link.forked()

    def put(self, row: str, text: str) -> None:
        """Tell the other hosts; takes as long as Redis does."""
        if self._breaker.is_open:
            return
        sealed = self._seal.sealed_text(_WHAT + row, text)
        if len(sealed) <= MAX_CHARS:
            try:
                self._link.call(lambda client: client.set(self._key(row), sealed, ex=KEPT_SECONDS))
            except StateUnavailableError as error:
                self._breaker.failed(str(error))

    def get(self, rows: Sequence[str]) -> Mapping[str, str] | None:
        """Return the texts that other hosts have told, in one round trip; ``None`` without an answer in time."""
        if self._breaker.is_open:
            return None
        self._seal.prepare()
        found = answer_of(lambda: self._get(rows), self._breaker, self._patience, self._link.place.description)
        if found is not None:
            self._breaker.worked()
        return found

    def _get(self, rows: Sequence[str]) -> dict[str, str]:
        keys = [self._key(row) for row in rows]
        texts: list[Any] = self._link.call(lambda client: client.mget(keys))
        found: dict[str, str] = {}
        for row, sealed in zip(rows, texts, strict=True):
            if isinstance(sealed, bytes) and len(sealed) <= MAX_CHARS:
                with contextlib.suppress(UnicodeDecodeError):
                    text = self._seal.opened_text(_WHAT + row, sealed.decode("ascii"))
                    if text is not None:
                        found[row] = text
        return found

    def _key(self, row: str) -> str:
        return self._link.place.key(f"thought:{row}")

    def close(self) -> None:
        """Close the connections; the next call opens them again."""
        self._link.close()


__all__ = ["KEPT_SECONDS", "MAX_CHARS", "JoinedThoughts"]
