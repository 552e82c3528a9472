"""The conversations that a view knows: a bounded number of them, and how many each account has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from litellm_antigravity.selection.binding import Binding, caller_in

DEFAULT_LIMIT: Final = 10_000

_SLICE_SECONDS: Final = 60.0


class KnownBindings:
    """Bindings by conversation, the least recently written ones first; there are ``limit`` at most.

    Beyond that the caller with the most conversations loses its oldest one: names cost nothing, and whoever makes them
    up without end pushes out nobody's but his own.

    How many conversations an account has is counted by the minute in which they end, so that to ask for it costs no
    look at each of them. Readers hold no lock; whoever writes holds the replica's.
    """

    __slots__ = ("_by_key", "_callers", "_counts", "limit", "placed")

    def __init__(self) -> None:
        self.limit = DEFAULT_LIMIT
        self.placed = 0
        self._by_key: dict[str, Binding] = {}
        self._callers = _Callers()
        self._counts: dict[tuple[str, str, float, int], int] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._by_key

    def __len__(self) -> int:
        return len(self._by_key)

    def items(self) -> Iterator[tuple[str, Binding]]:
        """Yield every conversation that is known, also those that are over."""
        yield from list(self._by_key.items())

    def get(self, key: str) -> Binding | None:
        """Return a conversation's binding, whether or not it is over."""
        return self._by_key.get(key)

    def put(self, key: str, binding: Binding) -> None:
        """Take over a conversation's binding as the one that was written last."""
        before = self._by_key.pop(key, None)
        self._by_key[key] = binding
        self._count(binding, 1)
        if before is not None:
            self._count(before, -1)
        self._callers.put(key)
        while len(self._by_key) > self.limit:
            self._count(self._by_key.pop(self._callers.pop_oldest_of_most()), -1)

    def _count(self, binding: Binding, change: int) -> None:
        key = (binding.family, binding.serving, binding.seconds, int(binding.until // _SLICE_SECONDS))
        count = self._counts.get(key, 0) + change
        if count:
            self._counts[key] = count
        else:
            self._counts.pop(key, None)

    def load(self, family: str, now: float) -> dict[str, float]:
        """Return how many living conversations of a family each account has.

        One that has been used within the first half of its time counts as one; then it counts less and less, since
        nobody knows whether it goes on.
        """
        load: dict[str, float] = {}
        for (of_family, account_id, seconds, ends), count in list(self._counts.items()):
            if of_family == family:
                left = (ends + 1) * _SLICE_SECONDS - now
                if left > 0:
                    load[account_id] = load.get(account_id, 0.0) + count * min(1.0, 2.0 * left / seconds)
        return load


class _Callers:
    """The conversations of each caller, the least recently written first; knows at once who has the most."""

    __slots__ = ("_keys", "_most", "_with")

    def __init__(self) -> None:
        self._keys: dict[str, dict[str, None]] = {}
        self._with: dict[int, dict[str, None]] = {}  # callers by how many they have
        self._most = 0

    def put(self, key: str) -> None:
        """Note that a conversation was written, perhaps for the first time."""
        keys = self._keys.setdefault(caller_in(key), {})
        before = len(keys)
        keys.pop(key, None)
        keys[key] = None
        self._resize(caller_in(key), before, len(keys))

    def pop_oldest_of_most(self) -> str:
        """Forget the oldest conversation of the caller who has the most, and return it."""
        caller = next(iter(self._with[self._most]))
        keys = self._keys[caller]
        key = next(iter(keys))
        del keys[key]
        self._resize(caller, len(keys) + 1, len(keys))
        if not keys:
            del self._keys[caller]
        return key

    def _resize(self, caller: str, before: int, after: int) -> None:
        if before:
            del self._with[before][caller]
            if not self._with[before]:
                del self._with[before]
        if after:
            self._with.setdefault(after, {})[caller] = None
        if after > self._most or self._most not in self._with:
            self._most = after


__all__ = ["DEFAULT_LIMIT", "KnownBindings"]
