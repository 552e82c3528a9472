"""Real processes that have LiteLLM imported already: forked from a server, so that each costs milliseconds.

`together` runs a function of a test module in several of them at once; an `Agent` lives on and is asked things.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from typing import Any

from support import HANG_SECONDS
from typing_extensions import Self

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # no download at import

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "litellm",
        "litellm_antigravity.litellm.registration",
        "diskcache",
        # What LiteLLM and httpx import for their first request; a missing one is skipped.
        "httpcore",
        "litellm.litellm_core_utils.default_encoding",
        "litellm.proxy._types",
        # What the test modules import.
        "pytest",
        "hypothesis.strategies",
        "litellm_antigravity.simulator.simulator",
    ]
)


def _run(function: Callable[..., Any], args: Sequence[Any], barrier: Barrier, results: Connection) -> None:
    try:
        barrier.wait(HANG_SECONDS)
        result = function(*args)
        barrier.wait(HANG_SECONDS)  # nobody ends before everybody is done: what a process holds, it holds
        results.send((True, result))
    except threading.BrokenBarrierError:
        results.send((False, "another process failed or was late"))
    except BaseException:  # noqa: BLE001 - the parent raises it again
        barrier.abort()
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
            if not wait([receiver, process.sentinel], HANG_SECONDS) or not receiver.poll(1.0):
                msg = f"process {process.pid} gave no result; exit code {process.exitcode}"
                raise AssertionError(msg)
            outcomes.append(receiver.recv())
    finally:
        for process in processes:
            if process.pid is not None:
                process.kill()
                process.join()
    failures = sorted((trace for succeeded, trace in outcomes if not succeeded), key=len)
    if failures:
        raise AssertionError("in a child process:\n" + failures[-1])
    return [result for _, result in outcomes]


def one_after_the_other(function: Callable[..., Any], each: Sequence[Sequence[Any]]) -> list[Any]:
    """Run ``function`` in one process per entry of ``each``, each of them gone before the next begins."""
    return [together(function, [args])[0] for args in each]


def _serve(fields: dict[str, Any], questions: Connection) -> None:
    import litellm
    from serving import MESSAGES, MODEL, text_of

    import litellm_antigravity

    litellm_antigravity.register(litellm_antigravity.Settings(**fields))

    def answer(params: dict[str, Any]) -> str:
        try:
            reply = litellm.completion(**{"model": MODEL, "messages": MESSAGES, **params})
            return text_of(list(reply) if params.get("stream") else reply)
        except Exception as error:  # noqa: BLE001 - the parent looks at it
            return f"{type(error).__name__}: {error}"

    while (params := questions.recv()) is not None:
        questions.send(answer(params))


class Agent:
    """A process that calls `litellm.completion` whenever it is asked to.

    Args:
        fields: its settings.
    """

    def __init__(self, fields: dict[str, Any]) -> None:
        self._questions, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_serve, args=(fields, theirs), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process.pid is not None
        return self._process.pid

    def ask(self, **params: Any) -> str:
        """Have it make a request; return the text, or the error's name and message."""
        self._questions.send(params)
        if not self._questions.poll(HANG_SECONDS):
            msg = f"agent {self.pid} does not answer"
            raise AssertionError(msg)
        return str(self._questions.recv())

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        self._process.kill()
        self._process.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def started(function: Callable[..., Any], *args: Any) -> BaseProcess:
    """Return a process that runs ``function`` and that its caller ends or waits for."""
    process = _CONTEXT.Process(target=function, args=args, daemon=True)
    process.start()
    return process


def shared_number() -> Any:
    """Return a number that processes of `started` share, when they are handed it: a ``multiprocessing.Value``."""
    return _CONTEXT.Value("d", 0.0)
