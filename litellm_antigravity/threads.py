"""Threads of our own for what may block: the event loop's serve every other provider too and must not fill up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeAlias, TypeVar

from litellm_antigravity.forking import ForkAware

_Result = TypeVar("_Result")
Purpose: TypeAlias = str

TOKENS: Final = "antigravity-tokens"
"""For what may take seconds: a refresh, or waiting for another process's refresh."""

QUICK: Final = "antigravity"
"""For what follows a refusal, so that a failover never waits for a refresh."""

PREPARING: Final = "antigravity-preparing"
"""For what may take seconds before there is a request to serve."""

_COUNTS: Final = {TOKENS: 32, QUICK: 8, PREPARING: 16}


class Threads(ForkAware):
    """Thread pools by purpose; each is made when it is first needed, and again after a fork."""

    def __init__(self) -> None:
        self._after_fork_in_child()
        self._watch_forks()

    def _after_fork_in_child(self) -> None:
        self._executors: dict[Purpose, ThreadPoolExecutor] = {}

    def _executor(self, purpose: Purpose) -> ThreadPoolExecutor:
        executor = self._executors.get(purpose)
        if executor is None:
            executor = ThreadPoolExecutor(_COUNTS[purpose], thread_name_prefix=purpose)
            self._executors[purpose] = executor
        return executor

    async def run(self, purpose: Purpose, function: Callable[[], _Result]) -> _Result:
        """Return what a function returns that is called in a thread for this purpose."""
        return await asyncio.get_running_loop().run_in_executor(self._executor(purpose), function)

    def later(self, purpose: Purpose, function: Callable[[], object]) -> None:
        """Have a function called in a thread for this purpose; nobody hears what comes of it."""
        with contextlib.suppress(RuntimeError):  # the interpreter ends
            self._executor(purpose).submit(function)
