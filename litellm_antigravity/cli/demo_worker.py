"""A worker of the demo: a process of its own that calls `litellm.completion` as it is told.

It is made by a starter, a process that imports LiteLLM. Where processes can be forked, one starter imports it once and
forks all workers; elsewhere each worker is a starter of its own. The first line on a starter's standard input is JSON:
``{"port": ..., "token": "...", "workers": [1, 2], "folder": "..."}``, see `demo_link`.

Orders come as ``{"settings": {...}, "model": "...", "requests": 6}``. A worker says ``{"served": true}`` or
``{"error": "..."}`` for each request and ``{"done": true}`` at the end of an order. It ends when its connection does,
so it never outlives the demo.
"""

from __future__ import annotations

import codecs
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NoReturn

from litellm_antigravity.cli.demo_link import Beat, Link


def main() -> None:
    """Import LiteLLM, then become a worker, or fork some."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the demo ends its workers itself
    wanted = json.loads(sys.stdin.readline())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints is no answer
    port, token, workers = wanted["port"], wanted["token"], wanted["workers"]
    link = Link.to_demo(port, token, ("starter", workers[0]), pid=os.getpid())
    with Beat(link):
        _import()
    if len(workers) == 1:
        _work(workers[0], port, token)
    _fork(workers, port, token, Path(wanted["folder"]), link)


def _import() -> None:
    import litellm

    import litellm_antigravity

    litellm.suppress_debug_info = True
    litellm_antigravity.register()
    codecs.lookup("ascii")  # else a thread may be importing it while another process is forked


def _fork(workers: Sequence[int], port: int, token: str, folder: Path, link: Link) -> None:
    """Fork the workers, and tell how each of them ends."""
    waiting, all_there = os.pipe()
    numbers: dict[int, int] = {}
    for number in workers:
        pid = os.fork()
        if pid == 0:
            try:
                os.close(all_there)
                os.read(waiting, 1)  # a thread takes a process id on Linux; those of the workers are to be consecutive
                with (folder / f"worker-{number}.log").open("wb") as errors:
                    os.dup2(errors.fileno(), sys.stderr.fileno())
                    os.dup2(errors.fileno(), sys.stdout.fileno())
                _work(number, port, token)
            except BaseException:  # noqa: BLE001 - its last words, whatever it is
                traceback.print_exc()
            finally:
                os._exit(1)  # never on into what the starter does
        numbers[pid] = number
    os.close(all_there)
    while numbers:
        pid, status = os.wait()
        link.say(ended=numbers.pop(pid), code=os.waitstatus_to_exitcode(status))


def _work(number: int, port: int, token: str) -> NoReturn:
    link = Link.to_demo(port, token, ("worker", number), pid=os.getpid())
    orders: SimpleQueue[Mapping[str, Any]] = SimpleQueue()
    threading.Thread(target=_listen, args=(link, orders), daemon=True).start()
    with Beat(link):
        _carry_out(iter(orders.get, None), link)
    raise AssertionError  # the listener ends the process


def _listen(link: Link, orders: SimpleQueue[Mapping[str, Any]]) -> None:
    """Take orders, and end the process at once when there can be no more, whatever it is doing."""
    for order in link:
        orders.put(order)
    os._exit(0)


def _carry_out(orders: Iterator[Mapping[str, Any] | None], link: Link) -> None:
    import litellm

    import litellm_antigravity
    from litellm_antigravity import Settings

    for order in orders:
        assert order is not None  # noqa: S101 - nobody puts one in
        litellm_antigravity.register(Settings(**order["settings"]))
        for number in range(1, order["requests"] + 1):
            messages = [{"role": "user", "content": f"Question {number}"}]
            try:
                litellm.completion(model=order["model"], messages=messages)
            except Exception as error:  # noqa: BLE001 - the demo shows it, whatever it is
                link.say(error=f"{type(error).__name__}: {error}"[:500])
            else:
                link.say(served=True)
        link.say(done=True)


if __name__ == "__main__":
    main()
