"""A short run of random faults; ``python -m tests.chaos`` runs longer ones."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import chaos
import pytest

pytestmark = pytest.mark.once


def test_whatever_happens_every_request_has_a_clear_end_and_nothing_is_left_behind(tmp_path: Path) -> None:
    """Another schedule in each run; ``CHAOS_SEED`` replays one."""
    seed = int(os.environ.get("CHAOS_SEED") or secrets.randbelow(2**31))
    outcome = chaos.run(seed, 15.0, tmp_path)
    assert not outcome.problems, f"again: CHAOS_SEED={seed} pytest {Path(__file__).name}"
    assert outcome.endings["served"] > 0


def test_a_seed_gives_one_schedule() -> None:
    first, again, other = ([(at, name) for at, name, _ in chaos.schedule(seed, 20.0)] for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert len(first) > 30
