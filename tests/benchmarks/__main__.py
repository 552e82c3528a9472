"""Run every benchmark and print the tables."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # where the tests' helpers are
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # no download at import

from rich.console import Console

from . import proxy, requests, selection


def main() -> None:
    """Print the tables named on the command line (``selection``, ``requests``, ``proxy``), or the first two."""
    console = Console()
    wanted = sys.argv[1:] or ["selection", "requests"]
    with console.status("measuring ..."):
        for name in wanted:
            tables = {"selection": selection.table, "requests": requests.table, "proxy": proxy.table}
            console.print(tables[name]())


if __name__ == "__main__":
    main()
