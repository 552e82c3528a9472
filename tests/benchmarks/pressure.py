"""How many refusals it takes until all processes know that an account has run dry.

    python tests/benchmarks/pressure.py [CASE] ... [SETTING=VALUE] ...

CASE is ``pressure``, ``long`` or ``streams``; all by default. Real processes, LiteLLM and HTTP; refusals are counted at
the simulator. It knows public names only: another checkout's interpreter measures that checkout.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))  # where the tests' helpers are

from processes import together
from serving import MESSAGES, MODEL, fields_of

from litellm_antigravity.simulator import Simulator

STRATEGIES: dict[str, dict[str, Any]] = {
    "sticky": {"account_selection_strategy": "sticky"},
    "sticky, PID offset": {"account_selection_strategy": "sticky", "pid_offset_enabled": True},
    "hybrid": {"account_selection_strategy": "hybrid"},
    "round-robin": {"account_selection_strategy": "round-robin"},
}
PROCESSES = 4

Call = tuple[float, float, str]
"""When a request began and ended, in epoch seconds, and why it failed; empty when it was served."""


@dataclass
class Case:
    """What is asked, of what.

    Attributes:
        upstream: the simulator's arguments.
        threads: in each process.
        requests: of each process.
        fields: settings.
        stream: whether replies are streamed.
        meanwhile: called with the simulator when all processes begin, in a thread of its own.
    """

    upstream: dict[str, Any]
    threads: int
    requests: int
    fields: dict[str, Any] = field(default_factory=dict)
    stream: bool = False
    meanwhile: Callable[[Simulator], None] | None = None


def _run_dry(simulator: Simulator) -> None:
    """Let the account that most are on run dry, and the one after it have little left."""
    while len(simulator.log) < 60:
        time.sleep(0.05)
    emails = [entry.email or "" for entry in simulator.log]
    busiest = max(emails, key=emails.count)
    after = int(busiest[4]) % 4 + 1
    simulator.set_quota(f"user{after}@example.com", "claude", 6, 600)
    simulator.drain(busiest, "claude", reset_seconds=600)


CASES = {
    "pressure": Case(
        {"accounts": 6, "quota": 20, "quota_window_seconds": 30}, 4, 50, {"max_rate_limit_wait_seconds": 60}
    ),
    "long": Case({"accounts": 6, "quota": 10}, 1, 14),
    "streams": Case({"accounts": 4}, 10, 60, stream=True, meanwhile=_run_dry),
}


def calls(fields: Mapping[str, Any], threads: int, requests: int, stream: bool, start: float) -> list[Call]:
    """In a process: make requests in threads from a moment on; return how they went."""
    import litellm

    import litellm_antigravity

    litellm.suppress_debug_info = True
    litellm_antigravity.register(litellm_antigravity.Settings(**fields))

    def one(_: int) -> Call:
        began = time.time()
        try:
            reply: Any = litellm.completion(model=MODEL, messages=MESSAGES, stream=stream)
            if stream:
                list(reply)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller was not served
            return began, time.time(), f"{type(error).__name__}: {error}"[:200]
        return began, time.time(), ""

    time.sleep(max(0.0, start - time.time()))
    with ThreadPoolExecutor(threads) as executor:
        return list(executor.map(one, range(requests)))


def run(case: Case, fields: Mapping[str, Any]) -> str:
    """Run a case; return what came of it."""
    with tempfile.TemporaryDirectory() as folder, Simulator(**case.upstream) as simulator:
        if case.stream:
            simulator.set_latency(0.3, per_chunk=0.05)
        given = fields_of(simulator, Path(folder), **case.fields, **fields)
        if case.meanwhile is not None:
            threading.Thread(target=case.meanwhile, args=(simulator,), daemon=True).start()
        start = time.time() + 2.0
        each = [(given, case.threads, case.requests, case.stream, start)] * PROCESSES
        made = [call for answers in together(calls, each) for call in answers]
        windows: dict[tuple[str, int], int] = {}
        for entry in simulator.log:
            if entry.status == 429:
                key = (entry.email or "", int((entry.at - start) // case.upstream.get("quota_window_seconds", 3600)))
                windows[key] = windows.get(key, 0) + 1
    failed = [message for *_, message in made if message]
    refusals = sum(windows.values())
    counted = " ".join(f"{email.partition('@')[0]}: {count}" for (email, _), count in sorted(windows.items()))
    took = max(end for _, end, _ in made) - start
    longest = max(end - began for began, end, _ in made)
    said = f"; {failed[0]}" if failed else ""
    served = f"{len(made) - len(failed)} of {len(made)} served in {took:.1f} s, longest {longest:.1f} s{said}"
    return f"{refusals / max(1, len(windows)):.2f} refusals per window ({counted}), {served}"


def main() -> None:
    """Print a line per case and strategy."""
    more = {name: json.loads(value) for name, _, value in (one.partition("=") for one in sys.argv[1:] if "=" in one)}
    together(time.time, [()] * PROCESSES)  # the fork server takes its time to start
    names = [one for one in sys.argv[1:] if "=" not in one] or [*CASES]
    for name in names:
        for strategy, fields in STRATEGIES.items():
            sys.stdout.write(f"{name:10}{strategy:20}{run(CASES[name], {**fields, **more})}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
