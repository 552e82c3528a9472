"""Timing two things fairly: in turns, so that whatever else the machine does falls on both."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping


def in_turns(actions: Mapping[str, Callable[[], object]], *, rounds: int, each: int) -> dict[str, float]:
    """Return the median seconds per call of each action, over ``rounds`` x ``each`` calls in alternating turns."""
    samples: dict[str, list[float]] = {name: [] for name in actions}
    for action in actions.values():
        for _ in range(min(each, 5)):
            action()
    gc.collect()
    for _ in range(rounds):
        for name, action in actions.items():
            for _ in range(each):
                began = time.perf_counter()
                action()
                samples[name].append(time.perf_counter() - began)
    return {name: statistics.median(taken) for name, taken in samples.items()}


def microseconds(seconds: float) -> str:
    """Return a duration for a table."""
    return f"{seconds * 1e6:,.0f}"
