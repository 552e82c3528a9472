"""A simulator in the foreground, and what to type to use it."""

from __future__ import annotations

import contextlib
import os
import shlex
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from litellm_antigravity.simulator.accounts import SimulatedAccount
from litellm_antigravity.simulator.control import CONTROL_PATH
from litellm_antigravity.simulator.log import LoggedRequest
from litellm_antigravity.simulator.quotas import FIVE_HOURS
from litellm_antigravity.simulator.simulator import Simulator


def serve_forever(
    *,
    port: int = 0,
    accounts: int | Sequence[SimulatedAccount] = 4,
    quota: int | None = None,
    quota_window_seconds: float = FIVE_HOURS,
    latency_seconds: float = 0.0,
    folder: str | os.PathLike[str] | None = None,
    announce: Callable[[str], object],
    on_request: Callable[[LoggedRequest], object] | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Run a simulator until Ctrl-C, for ``litellm-antigravity simulate``.

    Args:
        port: to listen on; 0 for any that is free.
        accounts: see `Simulator`.
        quota: see `Simulator`.
        quota_window_seconds: see `Simulator`.
        latency_seconds: see `Simulator`.
        folder: where the accounts file and the state go; a temporary one, removed at the end, by default.
        announce: called once with the text that says how to point the package at the simulator.
        on_request: see `Simulator`.
        stop: ends the run when set, as Ctrl-C does.

    Raises:
        OSError: when the port is taken.
    """
    stop = stop or threading.Event()
    with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as stack:
        simulator = stack.enter_context(
            Simulator(
                accounts,
                quota=quota,
                quota_window_seconds=quota_window_seconds,
                latency_seconds=latency_seconds,
                port=port,
                on_request=on_request,
            )
        )
        if folder is None:
            temporary = tempfile.TemporaryDirectory(prefix="antigravity-simulator-", ignore_cleanup_errors=True)
            folder = stack.enter_context(temporary)
        accounts_file = simulator.write_accounts_file(Path(folder) / "antigravity-accounts.json")
        announce(how_to_use(simulator, simulator.environment(accounts_file, Path(folder) / "state")))
        while not stop.wait(0.5):  # with a time-out, because a wait without one hides Ctrl-C on Windows
            pass


def how_to_use(simulator: Simulator, environment: Mapping[str, str]) -> str:
    """Return what to type in another terminal to use a simulator.

    Args:
        simulator: the simulator, running.
        environment: from `Simulator.environment`.
    """
    assign, quote = ("$env:{} = {}", _powershell) if os.name == "nt" else ("export {}={}", shlex.quote)
    lines = [assign.format(name, quote(value)) for name, value in environment.items()]
    count = len(simulator.accounts)
    return "\n".join(
        [
            f"Google is simulated at {simulator.url}, with {count} account{'s' if count != 1 else ''}. Ctrl-C ends it.",
            "To use it, type in another terminal:",
            "",
            *lines,
        ]
    )


def how_to_steer(simulator: Simulator) -> str:
    """Return what to type in another terminal to change what a simulator does while it runs.

    Args:
        simulator: the simulator, running.
    """
    url, token = simulator.url + CONTROL_PATH, simulator.control_token
    return "\n".join(
        [
            "To steer it while it runs, with this token (docs/simulator.md has more):",
            f"curl -H 'Authorization: Bearer {token}' {url}/actions -d '{{refuse: {{kind: capacity}}}}'",
        ]
    )


def _powershell(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
