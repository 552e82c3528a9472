"""Calls to other providers are as they were before this package was registered and its Router installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from before_and_after import CALLS
from serving import fields_of
from support import run_python

from litellm_antigravity.simulator import Simulator

PROGRAM = """
import sys
from before_and_after import before_and_after
from support import answer
answer(before_and_after(sys.argv[1:]))
"""


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(2) as started:
        yield started


def test_other_providers_answer_and_fail_as_before(simulator: Simulator, tmp_path: Path) -> None:
    fields = fields_of(simulator, tmp_path)
    environment = [f"LITELLM_ANTIGRAVITY_{name.upper()}={value}" for name, value in fields.items()]
    before, same_router, new_router = run_python(PROGRAM, *environment)
    assert len(before) == len(CALLS) * 8
    assert same_router == before
    assert new_router == before
    assert not simulator.log
