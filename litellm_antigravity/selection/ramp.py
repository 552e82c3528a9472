"""The ramp: newcomers come to an account one by one after another one has fallen out, or it has come back itself. Pure.

When an account falls out, everybody who was on it goes to the next one. If that is close to its limit too, it refuses
all who arrive before its first refusal is known. So for a while an account takes one newcomer, and the next one an
interval later: by then others have heard how the first one fared. Others wait for their turn, or go where a turn is
free. It is virtual scheduling (GCRA, ITU-T I.371), and what load balancers call slow start, for a crowd that moves.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from litellm_antigravity.cooldowns import CLOCK_TOLERANCE_SECONDS, Cooldown

SETTLED_SECONDS: Final = 600.0
"""A process that has used an account within that time is at home there."""


class Start(NamedTuple):
    """A newcomer's start at an account, in epoch seconds."""

    account_id: str
    at: float


def next_start(last: Mapping[str, float | None], now: float, interval: float, latest: float) -> Start | None:
    """Return where and when a newcomer starts; ``None`` if that is later than ``latest``.

    Args:
        last: the start that was given out last at each account, if there was one; those preferred come first.
        now: epoch seconds.
        interval: between two starts at an account, in seconds.
        latest: epoch seconds.
    """
    best: Start | None = None
    for account_id, before in last.items():
        # A start that is far ahead was given out by a clock that has gone back since.
        is_void = before is None or before - now > CLOCK_TOLERANCE_SECONDS
        at = now if before is None or is_void else max(now, before + interval)
        if best is None or at < best.at:
            best = Start(account_id, at)
        if at <= now:
            break
    return best if best is not None and best.at <= latest else None


def turn_of_host(now: float, interval: float, hosts: int, before: int) -> float:
    """Return from when on newcomers of a host may start: hosts take turns of an interval each.

    Args:
        now: epoch seconds.
        interval: between two newcomers of all hosts, in seconds.
        hosts: how many there are.
        before: how many of them come before this one.
    """
    late = (now - before * interval) % (hosts * interval)
    return now if late < interval else now + hosts * interval - late


@dataclass(frozen=True, slots=True)
class Falls:
    """When accounts fell out lately: the last two of them.

    Attributes:
        last: when the last one did, in epoch seconds; ``-math.inf`` if none.
        account_id: which one.
        before: when the last other one did.
    """

    last: float = -math.inf
    account_id: str = ""
    before: float = -math.inf

    @classmethod
    def of(cls, cooldowns: Mapping[str, Collection[Cooldown]], reasons: Collection[str]) -> Falls:
        """Return the last falls for one of these reasons, from the cooldowns of each account."""
        falls = sorted(
            (max((one.since for one in known if one.reason in reasons), default=-math.inf), account_id)
            for account_id, known in cooldowns.items()
        )[-2:]
        if not falls:
            return cls()
        return cls(*falls[-1], falls[0][0] if len(falls) > 1 else -math.inf)

    def of_others(self, account_id: str) -> float:
        """Return when another account than this one fell out last."""
        return self.before if account_id == self.account_id else self.last


def came_back(cooldowns: Collection[Cooldown], reasons: Collection[str], now: float) -> float:
    """Return when the last of an account's cooldowns ended by itself; ``-math.inf`` if none has."""
    return max((one.until for one in cooldowns if one.reason in reasons and one.until <= now), default=-math.inf)


__all__ = ["SETTLED_SECONDS", "Falls", "Start", "came_back", "next_start", "turn_of_host"]
