"""Access tokens that several hosts share: one refresh serves them all, where the settings say so."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from litellm_antigravity.clock import Clock
from litellm_antigravity.errors import StateUnavailableError
from litellm_antigravity.selection.vitals import VitalsRules
from litellm_antigravity.state import kinds
from litellm_antigravity.state.layers import QUESTION_SECONDS, JoinedStore
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.redis_link import RedisPlace
from litellm_antigravity.state.rows import TokenRow
from litellm_antigravity.state.sealing import TokenSeal, sealed_generation

REFRESH_LOCK = "refresh:"
"""What the name of a lock begins with that is held during a refresh."""


class TokenSharingStore(JoinedStore):
    """A ledger of one host that shares access tokens with other hosts as well.

    Args:
        primary: the state of the host.
        place: where the hosts meet.
        clock: the source of time.
        seal: encrypts what leaves the host.
        rules: by which vitals change.
        patience: see `JoinedStore`.
    """

    def __init__(
        self,
        primary: Ledger,
        place: RedisPlace,
        clock: Clock,
        *,
        seal: TokenSeal,
        rules: VitalsRules | None = None,
        patience: float = QUESTION_SECONDS,
    ) -> None:
        self._seal = seal
        super().__init__(primary, place, clock, rules=rules, patience=patience)

    def read_token(self, account_id: str) -> TokenRow | None:
        """Return the newest token of an account that any host has."""
        ours = super().read_token(account_id)
        text = self._ask(lambda ledger: ledger.replica.backend.read(_key(account_id)) or "")
        theirs = self._seal.opened(account_id, text) if text else None
        if theirs is None or not self._is_newer(theirs, ours):
            return ours
        known = self._update(kinds.TOKEN, account_id, lambda known: theirs if self._is_newer(theirs, known) else None)
        return known.after or known.before

    def _is_newer(self, theirs: TokenRow, ours: TokenRow | None) -> bool:
        if ours is None:
            return True
        is_over = ours.expires_at is not None and ours.expires_at <= self._clock.time()
        return theirs.generation > ours.generation and (theirs.credential == ours.credential or is_over)

    def write_token(self, account_id: str, token: str, expires_at: float | None, credential: str) -> TokenRow:
        """Cache a token, and tell the other hosts; its generation is above that of every host's last one."""
        row = super().write_token(account_id, token, expires_at, credential)
        self._seal.prepare()
        told = self._ask(lambda ledger: self._told(ledger, account_id, row))
        if told is None or told == row.generation:
            return row
        newest = replace(row, generation=told)
        self._update(kinds.TOKEN, account_id, lambda known: newest if known == row else None)
        return newest

    def _told(self, ledger: Ledger, account_id: str, row: TokenRow) -> int:
        generation = row.generation

        def change(texts: Mapping[str, str | None]) -> Mapping[str, str]:
            nonlocal generation
            generation = max(row.generation, sealed_generation(texts[_key(account_id)]) + 1)
            return {_key(account_id): self._seal.sealed(account_id, replace(row, generation=generation))}

        ledger.replica.backend.update([_key(account_id)], change)
        return generation

    @contextmanager
    def exclusive(self, name: str, timeout: float) -> Iterator[bool]:
        """Hold a lock by name; that of a refresh among all hosts, as long as Redis can be used."""
        ends = time.monotonic() + timeout
        with super().exclusive(name, timeout) as held:
            if not held or not name.startswith(REFRESH_LOCK):
                yield held
                return
            with self._among_hosts(name, max(0.0, ends - time.monotonic())) as mine:
                yield mine

    @contextmanager
    def _among_hosts(self, name: str, timeout: float) -> Iterator[bool]:
        # Whether Redis answers at all is asked first, since that has a bound.
        if not self._tell(lambda ledger: ledger.replica.backend.read("cursor")) or self._claims is None:
            yield True
            return
        lock = self._claims.replica.backend.lock(name, timeout)
        try:
            held = lock.__enter__()
        except StateUnavailableError as error:
            self.breaker.failed(str(error))
            yield True
            return
        try:
            yield held
        finally:
            lock.__exit__(None, None, None)


def _key(account_id: str) -> str:
    return f"sealed/{account_id}"


__all__ = ["REFRESH_LOCK", "TokenSharingStore"]
