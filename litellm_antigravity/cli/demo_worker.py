"""A worker of the demo: a process of its own that calls `litellm.completion` as it is told on standard input.

Orders come as JSON, one a line: ``{"settings": {...}, "model": "...", "requests": 6}``. Answers go to standard output
in the same form: ``{"ready": true, "pid": ...}`` once, then for each request ``{"served": true}`` or
``{"error": "..."}``, and ``{"done": true}`` at the end of an order. It ends when standard input does, so it never
outlives the demo.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from queue import SimpleQueue
from typing import Any, TextIO


def main() -> None:
    """Import LiteLLM, then carry out orders until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the demo ends its workers itself
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="ascii")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints is no answer
    orders: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()
    _work(iter(orders.get, None), answers)


def _listen(orders: SimpleQueue[str]) -> None:
    """Take orders, and end the process at once when there can be no more, whatever it is doing."""
    for line in sys.stdin:
        orders.put(line)
    os._exit(0)


def _work(orders: Iterator[str], answers: TextIO) -> None:
    import litellm

    import litellm_antigravity
    from litellm_antigravity import Settings

    def say(**answer: object) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    litellm.suppress_debug_info = True
    litellm_antigravity.register()
    say(ready=True, pid=os.getpid())
    for line in orders:
        order: Mapping[str, Any] = json.loads(line)
        litellm_antigravity.register(Settings(**order["settings"]))
        for number in range(1, order["requests"] + 1):
            messages = [{"role": "user", "content": f"Question {number}"}]
            try:
                litellm.completion(model=order["model"], messages=messages)
            except Exception as error:  # noqa: BLE001 - the demo shows it, whatever it is
                say(error=f"{type(error).__name__}: {error}"[:500])
            else:
                say(served=True)
        say(done=True)


if __name__ == "__main__":
    main()
