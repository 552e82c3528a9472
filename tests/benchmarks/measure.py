"""Measuring things fairly: in turns, so that whatever else the machine does falls on all of them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

Rounds = list[float]
"""What was measured, one number per round."""


def in_turns(actions: Mapping[str, Callable[[], object]], *, rounds: int, each: int) -> dict[str, Rounds]:
    """Return the seconds per call of each action, in alternating turns of ``each`` calls: the median of each turn."""
    timed = {name: _timed(action) for name, action in actions.items()}
    return {name: columns[0] for name, columns in measured_in_turns(timed, rounds=rounds, each=each).items()}


def measured_in_turns(
    actions: Mapping[str, Callable[[], Sequence[float]]], *, rounds: int, each: int = 1
) -> dict[str, list[Rounds]]:
    """Do what `in_turns` does for actions that measure themselves; return the rounds of each of their numbers."""
    taken: dict[str, list[list[float]]] = {name: [] for name in actions}
    for action in actions.values():
        for _ in range(5):
            action()
    gc.collect()
    order = list(actions)
    for _ in range(rounds):
        for name in order:
            turn = [actions[name]() for _ in range(each)]
            taken[name].append([statistics.median(column) for column in zip(*turn, strict=True)])
        order.append(order.pop(0))  # nobody always comes after the same one
    return {name: [list(column) for column in zip(*turns, strict=True)] for name, turns in taken.items()}


def ratio(measured: Rounds, beside: Rounds) -> float:
    """Return the median of the rounds' ratios: what slows the machine down for a while falls on both of a round."""
    return statistics.median(one / other for one, other in zip(measured, beside, strict=True))


def microseconds(taken: Rounds) -> str:
    """Return a duration for a table."""
    return f"{statistics.median(taken) * 1e6:,.0f}"


def _timed(action: Callable[[], object]) -> Callable[[], tuple[float]]:
    def timed() -> tuple[float]:
        began = time.perf_counter()
        action()
        return (time.perf_counter() - began,)

    return timed


@contextlib.contextmanager
def event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Give an event loop, and end what still runs on it: LiteLLM's logging never ends by itself."""
    loop = asyncio.new_event_loop()
    try:
        yield loop
        for task in asyncio.all_tasks(loop):
            task.cancel()
            loop.run_until_complete(asyncio.wait([task]))
    finally:
        loop.close()
