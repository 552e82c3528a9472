"""What `acquire` and `report` cost: per strategy, by accounts and by processes that write; trees side by side.

    python -m tests.benchmarks.costs [TREE] ...

Each TREE is a checkout with a virtual environment in ``.venv``, this one by default; ``TREE:sqlite`` chooses a backend,
``TREE@20`` has the requests belong to 20 conversations (`LeaseRequest.conversation`).
What is told is the time of the processor per request, in microseconds: what else a machine does falls on it least.
Trees are measured in turns; each number is the median of five rounds.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console

ROOT = Path(__file__).parents[2]
STRATEGIES = ("sticky", "round-robin", "hybrid")
COUNTS = (10, 100, 1000)
WRITERS = (1, 8)
ROUNDS = 5
REQUESTS = {1: 600, 8: 150}

# It runs in each tree, and knows public names only that all of them have.
WORKER = """
import itertools, json, sys, time
from pathlib import Path
from pydantic import SecretStr
from litellm_antigravity.accounts import Account, StaticToken, static_accounts
from litellm_antigravity.pool import SERVED, AccountPool, LeaseRequest
from litellm_antigravity.settings import Settings

strategy, count, requests, backend, conversations, folder = sys.argv[1:]
accounts = [
    Account.create(f"user{number}@example.com", StaticToken(SecretStr(f"token-{number}")), project_id="project")
    for number in range(int(count))
]
# A bucket that refills at once, since a benchmark asks faster than any account bears.
fields = {"token_bucket": {"max_tokens": 50, "regeneration_rate_per_minute": 1e9}}
if backend:
    fields["state_backend"] = backend
settings = Settings(account_selection_strategy=strategy, state_dir=Path(folder), **fields)
pool = AccountPool(settings, accounts=static_accounts(*accounts))

turn = itertools.count()

def request():
    if not conversations:
        return pool.report(pool.acquire("claude-sonnet-4-6"), SERVED)
    name = f"conversation {next(turn) % int(conversations)}"
    pool.report(pool.try_acquire(LeaseRequest("claude-sonnet-4-6", conversation=name)), SERVED)

for _ in range(2 * len(accounts)):  # an account's first request makes its row, which is not what a later one costs
    request()
print("ready", flush=True)
for line in sys.stdin:  # a round
    began = time.process_time()
    for _ in range(int(requests)):
        request()
    print(json.dumps((time.process_time() - began) / int(requests) * 1e6), flush=True)
"""


class Crowd:
    """Processes of one tree that share one state."""

    def __init__(self, tree: str, strategy: str, count: int, writers: int, folder: Path) -> None:
        named, _, conversations = tree.partition("@")
        path, _, backend = named.partition(":")
        arguments = [strategy, str(count), str(REQUESTS[writers]), backend, conversations, str(folder)]
        self._processes = [
            subprocess.Popen(
                [f"{path}/.venv/bin/python", "-c", WORKER, *arguments],
                cwd=path,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(writers)
        ]
        for process in self._processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"

    def round(self) -> float:
        """Have each make its requests, all at once; return what one costs."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        return statistics.median(float(process.stdout.readline()) for process in self._processes if process.stdout)

    def end(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.communicate("")


def main() -> None:
    """Print a line per case: what each tree takes, and how that compares with the first one."""
    trees = sys.argv[1:] or [str(ROOT), f"{ROOT}:sqlite"]
    say = Console(width=200, highlight=False).print
    say("strategy, accounts, processes:", *trees)
    for strategy in STRATEGIES:
        for count in COUNTS:
            for writers in WRITERS:
                with tempfile.TemporaryDirectory() as folder:
                    crowds = [
                        Crowd(tree, strategy, count, writers, Path(folder, str(number)))
                        for number, tree in enumerate(trees)
                    ]
                    rounds = [[crowd.round() for crowd in crowds] for _ in range(ROUNDS + 1)][1:]
                    for crowd in crowds:
                        crowd.end()
                taken = [statistics.median(column) for column in zip(*rounds, strict=True)]
                cells = [f"{each:5.0f} µs ({100 * (each / taken[0] - 1):+4.0f} %)" for each in taken]
                say(f"{strategy:12}{count:5}{writers:3}: ", *cells)


if __name__ == "__main__":
    main()
