"""When much goes wrong at once: a silent account, an upstream that fails for everybody, and a crowd that waits.

Counted at the simulator, with real processes. Takes minutes.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from processes import together
from rich.table import Table
from serving import MESSAGES, MODEL, fields_of

from litellm_antigravity.simulator import Simulator

Call = tuple[float, float, bool]
"""One caller's request: when it began and ended, in epoch seconds, and whether it was served."""

STRATEGIES = ("sticky", "round-robin", "hybrid")
_WORKERS = (8, 8)  # processes, and threads in each
_OUTAGE_SECONDS = 15.0
_RECOVERY_SECONDS = 6.0


def table() -> Table:
    """Measure, and return the table."""
    result = Table("what", "measured", title="a silent account, an outage, a crowd that waits")
    only = os.environ.get("OUTAGE", "silent outage waiting").split()
    if "silent" in only:
        for strategy in STRATEGIES:
            for stream in (False, True):
                result.add_row(*_silent(strategy, stream=stream))
    if "outage" in only:
        for accounts in (4, 10):
            for through_router in (False, True):
                result.add_row(*_outage(accounts, through_router=through_router))
    if "waiting" in only:
        result.add_row(*_waiting())
    return result


def calls(
    fields: dict[str, Any], threads: int, stop: Path, requests: int, through_router: bool, params: dict[str, Any]
) -> list[Call]:
    """In a process: make requests in threads, up to a number for each or until a file exists; return how they went."""
    import litellm

    import litellm_antigravity

    litellm.suppress_debug_info = True
    litellm_antigravity.register(litellm_antigravity.Settings(**fields))
    ask: Callable[..., Any] = litellm.completion
    params = {"model": MODEL, "messages": MESSAGES, **params}
    if through_router:
        deployment = {"model_name": "pool", "litellm_params": {"model": MODEL}}
        ask = litellm.Router(model_list=[deployment]).completion
        params["model"] = "pool"

    def one() -> Call:
        began = time.time()
        try:
            reply = ask(**params)
            if params.get("stream"):
                list(reply)
        except Exception:  # noqa: BLE001 - whatever it is, the caller was not served
            return began, time.time(), False
        return began, time.time(), True

    if stop.with_name("hold").exists():  # the first failure imports half of LiteLLM, and is not what is measured
        one()
        stop.with_name(f"ready-{os.getpid()}").touch()
        while stop.with_name("hold").exists():
            time.sleep(0.05)

    def several(_: int) -> list[Call]:
        made: list[Call] = []
        while not stop.exists() and len(made) < requests:
            made.append(one())
        return made

    with ThreadPoolExecutor(threads) as executor:
        return [call for made in executor.map(several, range(threads)) for call in made]


def crowd(fields: dict[str, Any], processes: int, *args: Any) -> list[Call]:
    """Run `calls` in several processes at once."""
    results = together(calls, [(fields, *args)] * processes)
    return sorted(call for made in results for call in made)


def model_requests(simulator: Simulator) -> int:
    """Return how many requests for a model's reply upstream has had."""
    return sum(entry.model is not None for entry in simulator.log)


def _silent(strategy: str, *, stream: bool) -> tuple[str, str]:
    with Simulator(4) as simulator, tempfile.TemporaryDirectory() as folder:
        fields = fields_of(simulator, Path(folder), account_selection_strategy=strategy)
        simulator.refuse("hang", email="user1@example.com")
        made = crowd(fields, 1, 1, Path(folder) / "never", 12, False, {"timeout": 12, "stream": stream})
    outcomes = [served for *_, served in made]
    failed = outcomes.index(True) if True in outcomes else len(outcomes)
    taken = sorted((ended - began for began, ended, _ in made), reverse=True)
    what = f"{strategy}, {'streamed' if stream else 'whole'}: 1 of 4 silent, timeout=12, 12 requests in turn"
    late = f"{sum(not served for *_, served in made)} time out, {failed} of them before anybody is served"
    return what, f"{late}; longest {_seconds(taken[:4])}"


def _outage(accounts: int, *, through_router: bool) -> tuple[str, str]:
    processes, threads = _WORKERS
    with Simulator(accounts) as simulator, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fields = fields_of(simulator, folder, account_selection_strategy="round-robin")
        simulator.refuse("server-error")
        stop, hold = folder / "stop", folder / "hold"
        hold.touch()
        counted: list[float] = []

        def heal() -> None:
            while len(list(folder.glob("ready-*"))) < processes:
                time.sleep(0.05)
            simulator.clear_log()
            hold.unlink()
            time.sleep(_OUTAGE_SECONDS / 2)
            counted.extend((model_requests(simulator), time.time()))
            time.sleep(_OUTAGE_SECONDS / 2)
            counted.extend((model_requests(simulator), time.time()))
            simulator.heal()
            time.sleep(_RECOVERY_SECONDS)
            stop.touch()

        thread = threading.Thread(target=heal)
        thread.start()
        made = crowd(fields, processes, threads, stop, 10**6, through_router, {})
        thread.join()
    upstream_before, half_time, upstream, healed = counted
    first = sum(began < half_time for began, *_ in made)
    second = sum(half_time <= began < healed for began, *_ in made)
    failed_after = [ended - healed for began, ended, served in made if began >= healed and not served]
    what = f"{accounts} accounts answer 500, {processes * threads} workers"
    ratios = (upstream_before / max(1, first), (upstream - upstream_before) / max(1, second))
    ratio = f"{ratios[0]:.2f}, then {ratios[1]:.2f} upstream requests per caller's request ({first}, {second})"
    return (
        what + (", through a Router with default retries" if through_router else ""),
        f"{ratio}; normal {max(failed_after, default=0.0):.1f} s after recovery",
    )


def _waiting() -> tuple[str, str]:
    with Simulator(6, quota=20, quota_window_seconds=30) as simulator, tempfile.TemporaryDirectory() as folder:
        fields = fields_of(simulator, Path(folder), max_rate_limit_wait_seconds=60)
        made = crowd(fields, 4, 4, Path(folder) / "never", 13, False, {})
        refused = sum(entry.status == 429 for entry in simulator.log)
    served = sum(served for *_, served in made)
    return (
        "6 accounts of 20 requests per 30 s, 4 processes with 4 requests at once, max_rate_limit_wait_seconds=60",
        f"{served} of {len(made)} served, {refused} refusals, longest {_seconds([max(b - a for a, b, _ in made)])}",
    )


def _seconds(taken: Sequence[float]) -> str:
    return ", ".join(f"{one:.1f}" for one in taken) + " s"
