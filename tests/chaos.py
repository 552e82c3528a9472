"""Random faults, at random moments, under processes that make requests all the time: what must hold whatever happens.

``python -m tests.chaos`` runs for a minute with a seed of its own and prints it; ``--seed`` replays a schedule. The
schedule is the same then; what the operating system makes of it differs a little from run to run. A small one is in
`test_chaos`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import secrets
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from support import HANG_SECONDS

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent / "helpers"))

from processes import shared_number, started, together
from serving import MESSAGES, fields_of, text_of

from litellm_antigravity import Settings
from litellm_antigravity.clock import SystemClock
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.selection.bucket import BucketRules
from litellm_antigravity.selection.vitals import VitalsRules
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.state.disk import DiskStore

WORKERS, THREADS, ACCOUNTS = 3, 2, 4
MODELS = ("antigravity/claude-sonnet-4-6", "antigravity/gemini-3-flash")
TIMEOUT_SECONDS = 3.0
LONGEST_INFERENCE_SECONDS = 7200.0
SHARED_COOLDOWNS, SHARED_TOKENS = 8, 40
RULES = VitalsRules(bucket=BucketRules(SHARED_TOKENS, 0.0, SHARED_TOKENS))
CLEAR = {
    "served",
    "APIConnectionError",
    "APIError",
    "AuthenticationError",
    "BadGatewayError",
    "InternalServerError",
    "MidStreamFallbackError",
    "RateLimitError",
    "ServiceUnavailableError",
    "Timeout",
}
"""How a request may end: with an answer, or with one of LiteLLM's own errors."""


# What happens


class Host:
    """Everything that a fault can befall: upstream, the state, the accounts file, the clock, the processes."""

    def __init__(self, simulator: Simulator, folder: Path) -> None:
        self.simulator = simulator
        self.folder = folder
        self.fields = fields_of(simulator, folder, max_rate_limit_wait_seconds=2)
        self.clock_is_ahead = shared_number()
        self.stop = folder / "stop"
        self.workers: list[tuple[BaseProcess, Path]] = []
        self.killed: list[Path] = []
        self.number = 0

    def start(self) -> None:
        log = self.folder / f"worker-{self.number}.jsonl"
        args = (self.fields, self.number, str(log), str(self.stop), self.clock_is_ahead)
        self.workers.append((started(work, *args), log))
        self.number += 1

    def kill(self, which: int) -> None:
        process, log = self.workers.pop(which)
        process.kill()
        process.join()
        self.killed.append(log)
        self.start()

    def corrupt(self, rng: random.Random) -> None:
        """Overwrite a part of the database while it is in use."""
        with contextlib.suppress(FileNotFoundError), (self.folder / "state" / "cache.db").open("r+b") as file:
            file.seek(rng.choice([0, 4096, 8192]))
            file.write(b"\xa5" * rng.choice([100, 4096]))

    def edit_accounts(self, rng: random.Random) -> None:
        """Disable one account, or leave half a file for a moment, as an editor that writes in place does."""
        path = Path(self.fields["accounts_file"])
        emails = [account.email for account in self.simulator.accounts]
        self.simulator.write_accounts_file(path, entries={rng.choice(emails): {"enabled": rng.random() < 0.3}})
        if rng.random() < 0.3:
            whole = path.read_bytes()
            path.write_bytes(whole[: rng.randrange(len(whole))])
            time.sleep(0.05)
            path.write_bytes(whole)

    def heal(self) -> None:
        self.simulator.heal()
        self.simulator.set_latency(0.0)
        self.simulator.set_token_latency(0.0)
        self.simulator.write_accounts_file(self.fields["accounts_file"])
        self.clock_is_ahead.value = 0.0


Fault = Callable[[Host], object]


def schedule(seed: int, seconds: float) -> Iterator[tuple[float, str, Fault]]:
    """Yield what happens: when (seconds from the start), its name, and how to do it. A seed gives one schedule."""
    rng, at = random.Random(seed), 1.0
    while at < seconds:
        name, fault = _fault(random.Random(rng.random()))
        yield at, name, fault
        at += rng.uniform(0.05, 0.5)


def _fault(rng: random.Random) -> tuple[str, Fault]:
    kind = rng.choice([*_REFUSALS, "dripping", "slow", "expired tokens", "slow tokens", "no tokens", *_HOST * 2])
    email = rng.choice([None, *(f"user{number}@example.com" for number in range(1, ACCOUNTS + 1))])
    if kind in _REFUSALS:
        options = {name: rng.choice(values) for name, values in _REFUSALS[kind].items()}
        times = 1 if kind == "unauthorized" else rng.randint(1, 6)
        return f"{kind} {email} {times} {options}", lambda host: host.simulator.refuse(
            kind, email=email, times=times, **options
        )
    faults: dict[str, Fault] = {
        "dripping": lambda host: host.simulator.set_latency(0.0, per_chunk=rng.uniform(0.01, 0.5)),
        "slow": lambda host: host.simulator.set_latency(rng.uniform(0.0, 1.0), refused=rng.uniform(0.0, 0.3)),
        "expired tokens": lambda host: host.simulator.expire_tokens(email),
        "slow tokens": lambda host: host.simulator.set_token_latency(rng.uniform(0.0, 1.0)),
        "no tokens": lambda host: host.simulator.refuse("server-error", target="token", email=email, times=2),
        "kill -9": lambda host: host.kill(rng.randrange(WORKERS)),
        "corrupt state": lambda host: host.corrupt(rng),
        "accounts file": lambda host: host.edit_accounts(rng),
        "clock": lambda host: setattr(host.clock_is_ahead, "value", rng.uniform(-3600.0, 3600.0)),
        "healed": lambda host: host.heal(),
    }
    return kind, faults[kind]


_HOST = ("kill -9", "corrupt state", "accounts file", "clock", "healed")
_REFUSALS: dict[str, dict[str, list[Any]]] = {
    "quota": {"reset_seconds": [1.0, 3.0]},
    "rate": {"retry_seconds": [None, 1.0, 2.0]},
    "refused-request": {},
    "capacity": {"retry_seconds": [None, 1.0]},
    "server-error": {"status": [500, 502, 504]},
    "unauthorized": {},
    "html-error": {},
    "html": {},
    "empty-candidates": {},
    "truncated-stream": {"abrupt": [True, False]},
    "mid-stream-error": {},
    "hang": {"after_chunks": [0, 1]},
    "drop": {},
}


# Who makes requests


def work(fields: dict[str, Any], number: int, log: str, stop: str, clock_is_ahead: Any) -> None:
    """In a process of its own: make requests until told to stop, and write down how each begins and ends."""
    import litellm

    import litellm_antigravity

    SystemClock.time = lambda _: time.time() + clock_is_ahead.value  # type: ignore[assignment,method-assign]
    litellm_antigravity.register(Settings(**fields))
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def tell(**entry: Any) -> None:
        os.write(out, json.dumps(entry).encode() + b"\n")

    def one(rng: random.Random, name: str) -> None:
        params: dict[str, Any] = {"stream": rng.random() < 0.5, "timeout": TIMEOUT_SECONDS, "max_retries": 0}
        model = rng.choice(MODELS)
        tell(began=name)
        try:
            reply = litellm.completion(model=model, messages=MESSAGES, **params)
            tell(ended=name, how="served", text=text_of(list(reply) if params["stream"] else reply), model=model)
        except Exception as error:  # noqa: BLE001 - how it ends is what is looked at
            tell(ended=name, how=type(error).__name__, text=str(error)[:300], model=model)
        time.sleep(rng.uniform(0.0, 0.05))

    def requests(thread: int) -> None:
        rng = random.Random(number * THREADS + thread)
        for count in range(1_000_000):
            if Path(stop).exists():
                return
            one(rng, f"{number}.{thread}.{count}")

    threads = [threading.Thread(target=requests, args=(thread,), daemon=True) for thread in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tell(over=True)


# What must hold


@dataclass
class Outcome:
    """What came of a run.

    Attributes:
        endings: how many requests ended how.
        events: how often what happened.
        problems: what must not be.
    """

    endings: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


def run(seed: int, seconds: float, folder: Path) -> Outcome:
    """Let a schedule happen, and look at what it leaves.

    Args:
        seed: of the schedule.
        seconds: that it takes.
        folder: empty; for the state, the accounts file and the workers' logs.
    """
    outcome = Outcome()
    with Simulator(ACCOUNTS) as simulator:
        host = Host(simulator, folder)
        try:
            for _ in range(WORKERS):
                host.start()
            began = time.monotonic()
            for at, name, fault in schedule(seed, seconds):
                time.sleep(max(0.0, began + at - time.monotonic()))
                outcome.events[name.split(" user")[0].split(" None")[0]] += 1
                fault(host)
            host.heal()
            host.stop.touch()
            _check_workers(host, outcome)
        finally:
            for process, _ in host.workers:
                process.kill()
                process.join()
        _check_logs(host, outcome)
        _check_state(host, outcome)
        _check_sharing(host, outcome)
        _check_recovery(host, outcome)
    return outcome


def _check_workers(host: Host, outcome: Outcome) -> None:
    ends = time.monotonic() + HANG_SECONDS
    for process, _ in host.workers:
        process.join(max(0.0, ends - time.monotonic()))
        if process.exitcode != 0:
            outcome.problems.append(f"worker {process.pid} has not ended by itself: exit code {process.exitcode}")


def _check_logs(host: Host, outcome: Outcome) -> None:
    for log in [*host.killed, *(log for _, log in host.workers)]:
        lines = log.read_text("utf-8").splitlines() if log.exists() else []
        entries = [json.loads(line) for line in lines]
        open_requests = {entry["began"] for entry in entries if "began" in entry}
        for entry in (entry for entry in entries if "ended" in entry):
            open_requests.discard(entry["ended"])
            outcome.endings[entry["how"]] += 1
            is_late = entry["how"] == "Timeout"
            if entry["how"] not in CLEAR or ("shared state" in entry["text"] and not is_late):  # it fails no request
                outcome.problems.append(f"no clear end: {entry}")
            elif entry["how"] == "served" and not _is_whole(entry["text"], entry["model"]):
                outcome.problems.append(f"a torn answer: {entry}")
        if open_requests and log not in host.killed:
            outcome.problems.append(f"requests without an end: {sorted(open_requests)}")


def _is_whole(text: str, model: str) -> bool:
    return text.startswith("Served by user") and text.endswith(f"@example.com with {model.partition('/')[2]}.")


def _check_state(host: Host, outcome: Outcome) -> None:
    from litellm_antigravity.state.kernel_locks import lock_on

    store = DiskStore(Path(host.fields["state_dir"]))
    view, now = store.refresh(), time.time()
    if (dropped := store.status().dropped_rows) > 0:
        outcome.problems.append(f"{dropped} rows are not what was written")
    for pools in view.cooldowns.values():
        for cooldown in pools.values():
            if not cooldown.fact and cooldown.remaining(now) > LONGEST_INFERENCE_SECONDS:
                outcome.problems.append(f"out for {cooldown.remaining(now):.0f} s by inference: {cooldown}")
    store.close()
    for path in (host.folder / "state").rglob("*.lock"):
        lock = lock_on(path, 0)
        try:
            lock.acquire()
            lock.release()
        except (TimeoutError, OSError) as error:
            outcome.problems.append(f"a lock is held by nobody who lives: {path} ({error})")


def share(folder: str, number: int, now: float) -> tuple[int, int]:
    """In a process of its own, beside others: learn of cooldowns, take tokens, claim a probe; return what was got."""
    with contextlib.closing(DiskStore(Path(folder))) as store:
        for each in range(SHARED_COOLDOWNS):
            store.extend_cooldown(Cooldown(f"chaos-{number}", f"model:{each}", now + 600, "quota", now, fact=True))
        admitted = [store.begin_request("chaos", now, RULES, require_token=True) for _ in range(SHARED_TOKENS)]
        long = Cooldown("chaos", "claude", now + 1e6, "quota", now - 7200, fact=True)
        return sum(admitted), sum(store.claim_probes([long], now) for _ in range(3))


def _check_sharing(host: Host, outcome: Outcome) -> None:
    """Whatever the state has been through: what one process learns all know, and what they share adds up."""
    folder, now = host.fields["state_dir"], time.time()
    results = together(share, [(folder, number, now) for number in range(WORKERS)])
    with contextlib.closing(DiskStore(Path(folder))) as store:
        view = store.refresh()
        known = sum(len(view.cooldowns.get(f"chaos-{number}", {})) for number in range(WORKERS))
        left = view.vitals["chaos"].tokens_now(now, RULES)
    for what, found, right in (
        ("cooldowns that processes told each other", known, WORKERS * SHARED_COOLDOWNS),
        ("requests on a bucket of that many", sum(admitted for admitted, _ in results), SHARED_TOKENS),
        ("tokens left in an empty bucket", left, 0),
        ("probes of one cooldown", sum(probes for _, probes in results), 1),
    ):
        if found != right:
            outcome.problems.append(f"{what}: {found}, not {right}")


def _check_recovery(host: Host, outcome: Outcome) -> None:
    """Once all inference is over, every account is free, and a new process is served."""
    host.clock_is_ahead.value = LONGEST_INFERENCE_SECONDS + 60.0
    host.simulator.expire_tokens()
    host.stop.unlink()
    host.start()
    process, log = host.workers[-1]
    ends = time.monotonic() + HANG_SECONDS
    while time.monotonic() < ends and process.is_alive() and not (log.exists() and b'"served"' in log.read_bytes()):
        time.sleep(0.05)
    if not log.exists() or b'"served"' not in log.read_bytes():
        said = log.read_text("utf-8")[-1000:] if log.exists() else "nothing"
        outcome.problems.append(f"a new process is not served after all faults: {said}")
    process.kill()
    process.join()


def main() -> int:
    """Run one schedule and print what came of it; the exit code says whether all held."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--show", action="store_true", help="print the schedule and do nothing")
    args = parser.parse_args()
    print(f"seed {args.seed}; again: python -m tests.chaos --seed {args.seed} --seconds {args.seconds:g}")  # noqa: T201
    if args.show:
        for at, name, _ in schedule(args.seed, args.seconds):
            print(f"{at:7.2f} s  {name}")  # noqa: T201
        return 0
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        outcome = run(args.seed, args.seconds, Path(folder))
    print(f"happened: {dict(outcome.events.most_common())}")  # noqa: T201
    print(f"requests: {dict(outcome.endings.most_common())}")  # noqa: T201
    for problem in outcome.problems:
        print(f"PROBLEM: {problem}")  # noqa: T201
    return 1 if outcome.problems else 0


if __name__ == "__main__":
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    sys.exit(main())
