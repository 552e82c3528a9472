"""Dispatchers on a simulator, with a state in memory and a clock that only moves when told; and who was asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from serving import settings_of
from support import FakeClock

from litellm_antigravity.dispatch import Dispatcher
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.state.memory import MemoryStore

MODEL = "claude-sonnet-4-6"
EMAILS = [f"user{number}@example.com" for number in range(1, 5)]
FIRST, SECOND, THIRD = EMAILS[:3]
BODY: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}

NewDispatcher = Callable[..., Dispatcher]


def dispatchers(simulator: Simulator, clock: FakeClock, folder: Path, **defaults: Any) -> NewDispatcher:
    """Return a function that makes a dispatcher with a state of its own: sticky, and waiting for nobody.

    Args:
        simulator: whose accounts it has.
        clock: the dispatcher's.
        folder: where the accounts file is.
        defaults: settings, which those of a call come before.
    """

    def made(**settings: Any) -> Dispatcher:
        fields = {"account_selection_strategy": "sticky", "max_rate_limit_wait_seconds": 0, **defaults, **settings}
        return Dispatcher(
            settings_of(simulator, folder, **fields), store=MemoryStore(), clock=clock, jitter=lambda: 0.5
        )

    return made


@pytest.fixture
def new_dispatcher(simulator: Simulator, clock: FakeClock, tmp_path: Path) -> NewDispatcher:
    """Return `dispatchers` on the test's own simulator, whatever number of accounts that has."""
    return dispatchers(simulator, clock, tmp_path)


def asked(simulator: Simulator) -> list[str]:
    """Return the accounts that upstream was asked for a reply with, in order."""
    return [entry.email or "" for entry in simulator.log if entry.model is not None]


def served_by(simulator: Simulator) -> list[str]:
    """Return the accounts that have served, in order."""
    return [entry.email or "" for entry in simulator.log if entry.kind == "served"]
