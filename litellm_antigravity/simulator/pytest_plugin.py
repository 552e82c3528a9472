"""The fixture ``antigravity_simulator``, for everybody who has this package and pytest installed.

Pytest loads this module at every start, so it imports nothing until the fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from litellm_antigravity.simulator.simulator import Simulator


@pytest.fixture
def antigravity_simulator() -> Iterator[Simulator]:
    """A started simulator with four accounts; it is closed when the test ends."""
    from litellm_antigravity.simulator.simulator import Simulator

    with Simulator() as simulator:
        yield simulator
