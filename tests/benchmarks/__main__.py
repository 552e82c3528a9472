"""Run benchmarks and print their tables."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "helpers"))  # where the tests' helpers are
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # no download at import

from rich.console import Console
from rich.table import Table

from . import (
    bindings,
    conversations,
    crowd,
    eventloop,
    growth,
    hosts,
    memory,
    metrics,
    outage,
    proxy,
    requests,
    selection,
    starts,
    streams,
)

TABLES: dict[str, Callable[[], Table]] = {
    "selection": selection.table,
    "requests": requests.table,
    "streams": streams.table,
    "starts": starts.table,
    "memory": memory.table,
    "metrics": metrics.table,
    "growth": growth.table,
    "eventloop": eventloop.table,
    "proxy": proxy.table,
    "outage": outage.table,
    "crowd": crowd.table,
    "bindings": bindings.table,
    "conversations": conversations.table,
    "drained": conversations.drained_table,
    "hosts": hosts.table,
}
QUICK: dict[str, Callable[[], Table]] = {
    "selection": lambda: selection.table(rounds=7),
    "requests": lambda: requests.table(rounds=8),
    "streams": lambda: streams.table(first_rounds=25, whole_rounds=3),
    "starts": lambda: starts.table(rounds=3),
}
SLOW = (
    "growth",
    "eventloop",
    "proxy",
    "outage",
    "crowd",
    "bindings",
    "conversations",
    "drained",
    "hosts",
)  # minutes each


def main() -> None:
    """Print the tables named on the command line, or all but those that take minutes; ``--quick`` for fewer rounds."""
    console = Console(width=None if sys.stdout.isatty() else 110)
    quick = "--quick" in sys.argv
    names = [name for name in sys.argv[1:] if name != "--quick"]
    with console.status("measuring ..."):
        for name in names or [name for name in (QUICK if quick else TABLES) if name not in SLOW]:
            console.print(QUICK[name]() if quick and name in QUICK else TABLES[name]())


if __name__ == "__main__":
    main()
