"""In which order those wake up who wait for an account: one after the other. Pure; time passed in.

Who waits is given a moment to wake up in, and everybody gets another one: the first when the account is back, the
others a step later each. So they do not all meet the account that is back first, and those who come later than an
account is exhausted again have heard of it before they ask. It is what virtual scheduling (GCRA, ITU-T I.371) does
for cells on a line.
"""

from __future__ import annotations

from typing import Final

STEP_SECONDS: Final = 0.05
"""Between two of them; the refusal of one is known to the fifth or so after it, as long as upstream says no quickly."""

SPAN_SECONDS: Final = 10.0
"""A turn that is later than this after an account's return was given for the return of another one."""


def next_turn(last: float | None, earliest: float, latest: float) -> float:
    """Return when the next one who waits wakes up, in epoch seconds.

    Args:
        last: the turn that was given last, if there was one.
        earliest: when the first account is back.
        latest: how long this one may wait; it wakes up then at the latest, in whatever company.
    """
    follows = last is not None and earliest <= last <= earliest + SPAN_SECONDS
    turn = last + STEP_SECONDS if follows and last is not None else earliest
    return min(turn, max(earliest, latest))
