"""Timing two things fairly: in turns, so that whatever else the machine does falls on both."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence


def in_turns(actions: Mapping[str, Callable[[], object]], *, rounds: int, each: int) -> dict[str, float]:
    """Return the median seconds per call of each action, over ``rounds`` x ``each`` calls in alternating turns."""
    timed = {name: _timed(action) for name, action in actions.items()}
    return {name: taken for name, (taken,) in medians_in_turns(timed, rounds=rounds, each=each).items()}


def medians_in_turns(
    actions: Mapping[str, Callable[[], Sequence[float]]], *, rounds: int, each: int = 1
) -> dict[str, tuple[float, ...]]:
    """Return the medians of what each action measures itself, over ``rounds`` x ``each`` calls in alternating turns."""
    samples: dict[str, list[Sequence[float]]] = {name: [] for name in actions}
    for action in actions.values():
        for _ in range(min(each, 5)):
            action()
    gc.collect()
    for _ in range(rounds):
        for name, action in actions.items():
            samples[name].extend(action() for _ in range(each))
    return {name: tuple(map(statistics.median, zip(*taken, strict=True))) for name, taken in samples.items()}


def _timed(action: Callable[[], object]) -> Callable[[], tuple[float]]:
    def timed() -> tuple[float]:
        began = time.perf_counter()
        action()
        return (time.perf_counter() - began,)

    return timed


def microseconds(seconds: float) -> str:
    """Return a duration for a table."""
    return f"{seconds * 1e6:,.0f}"
