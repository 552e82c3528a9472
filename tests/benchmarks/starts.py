"""How long commands take to start that need no network: whole processes, with an accounts file and a shared state."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.table import Table

from litellm_antigravity.state.disk import DiskStore

COMMANDS = (
    ["--version"],
    ["--help"],
    ["completion", "bash"],
    ["auth", "list"],
    ["models", "--offline"],
    ["status"],
    ["status", "--json"],
    ["reset", "--all", "--yes"],
)
_PROGRAM = [sys.executable, "-c", "from litellm_antigravity.cli import main; main()"]
_ACCOUNTS = 4


def table(*, rounds: int = 15) -> Table:
    """Measure, and return the table."""
    result = Table(
        "command",
        "median, s",
        "fastest, s (aim < 0.5)",
        "of it CPU, s",
        title=f"start to end of a command, {_ACCOUNTS} accounts; {rounds} rounds in turns",
    )
    with tempfile.TemporaryDirectory() as folder:
        environment = _environment(Path(folder))
        taken: dict[int, list[tuple[float, float]]] = {number: [] for number in range(len(COMMANDS))}
        for _ in range(rounds):
            for number, command in enumerate(COMMANDS):
                taken[number].append(_run(command, environment))
    for number, command in enumerate(COMMANDS):
        walls, cpus = zip(*taken[number], strict=True)
        result.add_row(" ".join(command), f"{statistics.median(walls):.2f}", f"{min(walls):.2f}", f"{min(cpus):.2f}")
    return result


def _environment(folder: Path) -> dict[str, str]:
    accounts = folder / "accounts.json"
    entries = [{"email": f"user{number}@example.com", "refreshToken": f"token-{number}"} for number in range(_ACCOUNTS)]
    accounts.write_text(json.dumps({"version": 4, "accounts": entries}))
    accounts.chmod(0o600)
    store = DiskStore(folder / "state")
    store.write_note("benchmark", {"at": time.time()})
    store.close()
    return {
        **os.environ,
        "LITELLM_ANTIGRAVITY_ACCOUNTS_FILE": str(accounts),
        "LITELLM_ANTIGRAVITY_STATE_DIR": str(folder / "state"),
        "LITELLM_ANTIGRAVITY_OAUTH_CLIENT_ID": "client",
    }


def _run(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Return the seconds and the seconds of CPU that a command took."""
    before, began = os.times(), time.perf_counter()
    subprocess.run([*_PROGRAM, *command], check=True, env=environment, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - began, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, cpu
