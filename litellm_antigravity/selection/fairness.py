"""Fair share: who waits first when the pool is close to what it takes. Pure.

A caller is a key of the proxy's, or a process. As long as there is room, everybody gets what he asks for. When there is
hardly any left, callers with more than their share leave the rest to the others: weighted max-min fairness, kept by
holding newcomers back rather than by taking anything away.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Final, NamedTuple

PRESSURE: Final = 0.8
"""Under this part of what the pool takes, nobody is held back."""

ALWAYS_FREE: Final = 2
"""Nobody with fewer requests in flight than this is held back."""

_STEPS: Final = 12  # of a weight that doubles
_MIDDLE: Final = 128  # stands for a weight of 1


class Caller(NamedTuple):
    """Who asks.

    Attributes:
        name: what tells callers apart; told to nobody.
        weight: of a caller with twice the weight twice as much is a fair share.
    """

    name: str
    weight: float = 1.0


def share_key(caller: Caller, scope: int) -> int:
    """Return the 48 bits that stand for a caller, 8 of which are the weight: whoever reads it knows that as well.

    Args:
        caller: with a weight that is rounded to 6 %, and to within 1/1500 and 1500.
        scope: which accounts are shared.
    """
    hashed = hashlib.blake2b(f"{scope}\n{caller.name}".encode("utf-8", "surrogatepass"), digest_size=5).digest()
    code = _MIDDLE + round(_STEPS * math.log2(caller.weight))
    return int.from_bytes(hashed, "big") << 8 | max(1, min(255, code))


def weight_in(key: int) -> float:
    """Return the weight of the caller that a key stands for."""
    return math.pow(2.0, ((key & 0xFF) - _MIDDLE) / _STEPS)


def pressure_of(in_flight: int, takes: int, free: int, accounts: int) -> float:
    """Return how much of what the pool takes is in use.

    Args:
        in_flight: requests on the accounts that are free.
        takes: how many they take; 0 when nobody has said. Then the accounts that are at their limits tell.
        free: how many accounts are.
        accounts: how many there are.
    """
    return in_flight / takes if takes else 1.0 - free / max(1, accounts)


def is_held(key: int, callers: Mapping[int, int], pressure: float, takes: int) -> bool:
    """Return whether a caller's next request waits, since it has more in flight than its share.

    Args:
        key: of the caller.
        callers: how many requests each caller has in flight.
        pressure: see `pressure_of`.
        takes: as there.
    """
    mine = callers.get(key, 0)
    if mine < ALWAYS_FREE or pressure < PRESSURE:
        return False
    # More than the pool takes may be in flight: accounts fall out. One caller alone has all of it in any case.
    whole = max(takes, sum(callers.values()))
    return mine > whole * weight_in(key) / sum(map(weight_in, callers))


__all__ = ["ALWAYS_FREE", "PRESSURE", "Caller", "is_held", "pressure_of", "share_key", "weight_in"]
