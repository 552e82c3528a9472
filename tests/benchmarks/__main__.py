"""Run every benchmark and print the tables."""

from __future__ import annotations

import os
import sys

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # no download at import

from rich.console import Console

from . import requests, selection


def main() -> None:
    """Print the tables named on the command line (``selection``, ``requests``), or both."""
    console = Console()
    wanted = sys.argv[1:] or ["selection", "requests"]
    with console.status("measuring ..."):
        for name in wanted:
            console.print({"selection": selection.table, "requests": requests.table}[name]())


if __name__ == "__main__":
    main()
