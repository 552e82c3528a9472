"""How many refusals it takes until all processes know that an account has run dry; trees side by side.

    python -m tests.benchmarks.pressure [--quick] [TREE] ...

Each TREE is a checkout with a virtual environment in ``.venv``, this one by default; ``TREE:ramp_seconds=0`` changes a
setting. Real processes, LiteLLM and HTTP; refusals are counted at the simulator, which one process of this tree runs.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests"))

from rich.console import Console  # noqa: E402 - the path comes first
from serving import fields_of  # noqa: E402

from litellm_antigravity.simulator import Simulator  # noqa: E402

STRATEGIES: dict[str, dict[str, Any]] = {
    "sticky": {"account_selection_strategy": "sticky"},
    "sticky, PID offset": {"account_selection_strategy": "sticky", "pid_offset_enabled": True},
    "hybrid": {"account_selection_strategy": "hybrid"},
    "round-robin": {"account_selection_strategy": "round-robin"},
}

# It runs in each tree, and knows public names only that all of them have.
WORKER = """
import json, os, sys, time
from concurrent.futures import ThreadPoolExecutor
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm
import litellm_antigravity
fields, threads, requests, stream = json.loads(sys.argv[1])
litellm.suppress_debug_info = True
litellm_antigravity.register(litellm_antigravity.Settings(**fields))

def one(_):
    began = time.time()
    try:
        reply = litellm.completion(
            model="antigravity/claude-sonnet-4-6", messages=[{"role": "user", "content": "Hello"}], stream=stream
        )
        if stream:
            list(reply)
    except Exception as error:
        return began, time.time(), str(error)[:200]
    return began, time.time(), ""

print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(threads) as executor:
    print(json.dumps(list(executor.map(one, range(requests)))), flush=True)
"""


@dataclass
class Case:
    """What is asked, of what.

    Attributes:
        name: of the case.
        upstream: the simulator's arguments.
        processes: how many.
        threads: in each.
        requests: of each process.
        fields: settings.
        stream: whether replies are streamed.
        meanwhile: called with the simulator when all processes begin, in a thread of its own.
    """

    name: str
    upstream: dict[str, Any]
    processes: int = 4
    threads: int = 4
    requests: int = 50
    fields: dict[str, Any] = field(default_factory=dict)
    stream: bool = False
    meanwhile: Callable[[Simulator], None] | None = None


def _run_dry(simulator: Simulator) -> None:
    """Let the account that everybody is on run dry, and the next one have little left."""
    time.sleep(3.0)
    busiest = max((entry.email or "" for entry in simulator.log), key=[one.email or "" for one in simulator.log].count)
    order = [f"user{number}@example.com" for number in range(1, 5)]
    next_one = order[(order.index(busiest) + 1) % 4]
    simulator.set_quota(next_one, "claude", 6, 600)
    simulator.drain(busiest, "claude", reset_seconds=600)


CASES = [
    Case(
        "pressure", {"accounts": 6, "quota": 20, "quota_window_seconds": 30}, fields={"max_rate_limit_wait_seconds": 60}
    ),
    Case("long quota", {"accounts": 6, "quota": 10}, threads=1, requests=12),
    Case("40 streams", {"accounts": 4}, threads=10, requests=60, stream=True, meanwhile=_run_dry),
]


def run(tree: str, case: Case, fields: dict[str, Any]) -> str:
    """Run a case; return what came of it."""
    path, _, setting = tree.partition(":")
    name, _, value = setting.partition("=")
    more = {name: json.loads(value)} if name else {}
    with tempfile.TemporaryDirectory() as folder, Simulator(**case.upstream) as simulator:
        if case.stream:
            simulator.set_latency(0.3, per_chunk=0.05)
        given = fields_of(simulator, Path(folder), **case.fields, **fields, **more)
        argument = json.dumps([given, case.threads, case.requests, case.stream])
        workers = [
            subprocess.Popen(
                [f"{path}/.venv/bin/python", "-c", WORKER, argument],
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(case.processes)
        ]
        for worker in workers:
            assert worker.stdout is not None
            while worker.stdout.readline() != "ready\n":
                pass
        began = time.time()
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        if case.meanwhile is not None:
            threading.Thread(target=case.meanwhile, args=(simulator,), daemon=True).start()
        calls = [call for worker in workers for call in json.loads(worker.communicate()[0].splitlines()[-1])]
        windows: dict[tuple[str, int], int] = {}
        for entry in simulator.log:
            if entry.status == 429:
                key = (entry.email or "", int((entry.at - began) // case.upstream.get("quota_window_seconds", 3600)))
                windows[key] = windows.get(key, 0) + 1
    failed = [message for *_, message in calls if message]
    refusals = sum(windows.values())
    each = " ".join(str(count) for _, count in sorted(windows.items()))
    took = max(end for _, end, _ in calls) - began
    longest = max(end - start for start, end, _ in calls)
    said = f"; {failed[0]}" if failed else ""
    served = f"{len(calls) - len(failed)} of {len(calls)} served in {took:.1f} s, longest {longest:.1f} s{said}"
    return f"{refusals / max(1, len(windows)):.2f} refusals per window ({each}), {served}"


def main() -> None:
    """Print a line per case, strategy and tree."""
    arguments = sys.argv[1:]
    only = [one.removeprefix("--") for one in arguments if one.startswith("--")]
    trees = [one for one in arguments if not one.startswith("--")] or [str(ROOT)]
    say = Console(width=240, highlight=False).print
    for case in CASES:
        if only and case.name.split()[0] not in only:
            continue
        for name, fields in STRATEGIES.items():
            for tree in trees:
                say(f"{case.name:12}{name:20}{tree.rpartition('/')[2]:24}", run(tree, case, fields))


if __name__ == "__main__":
    main()
