"""Real processes that have LiteLLM imported already: forked from a server, so that each costs milliseconds.

They run functions of test modules. `together` lets all of them begin at the same moment.
"""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.synchronize import Barrier
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # no download at import

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["litellm", "litellm_antigravity.litellm.registration", "diskcache"])

PATIENCE_SECONDS = 60.0


def _run(function: Callable[..., Any], args: Sequence[Any], barrier: Barrier, results: Connection) -> None:
    try:
        barrier.wait(PATIENCE_SECONDS)
        results.send((True, function(*args)))
    except BaseException:  # noqa: BLE001 - the parent raises it again
        results.send((False, traceback.format_exc()))


def together(function: Callable[..., Any], each: Sequence[Sequence[Any]]) -> list[Any]:
    """Run ``function`` in one process per entry of ``each``, all at once; return the results in that order."""
    barrier = _CONTEXT.Barrier(len(each))
    pipes = [_CONTEXT.Pipe(duplex=False) for _ in each]
    processes = [
        _CONTEXT.Process(target=_run, args=(function, args, barrier, sender), daemon=True)
        for args, (_, sender) in zip(each, pipes, strict=True)
    ]
    try:
        for process in processes:
            process.start()
        outcomes = []
        for process, (receiver, sender) in zip(processes, pipes, strict=True):
            sender.close()
            if not wait([receiver, process.sentinel], PATIENCE_SECONDS) or not receiver.poll(1.0):
                msg = f"process {process.pid} gave no result; exit code {process.exitcode}"
                raise AssertionError(msg)
            outcomes.append(receiver.recv())
    finally:
        for process in processes:
            if process.pid is not None:
                process.kill()
                process.join()
    failures = [trace for succeeded, trace in outcomes if not succeeded]
    if failures:
        raise AssertionError("in a child process:\n" + failures[0])
    return [result for _, result in outcomes]


def one_after_the_other(function: Callable[..., Any], each: Sequence[Sequence[Any]]) -> list[Any]:
    """Run ``function`` in one process per entry of ``each``, each of them gone before the next begins."""
    return [together(function, [args])[0] for args in each]
