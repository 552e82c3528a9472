"""The strategies there are, by name. A new one needs a module, a line here, and its name among the settings."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from litellm_antigravity.selection.strategy import Strategy

_WHERE: Final = {
    "sticky": ("sticky", "Sticky"),
    "round-robin": ("round_robin", "RoundRobin"),
    "hybrid": ("hybrid", "Hybrid"),
}
STRATEGIES: Final = tuple(_WHERE)


def strategy_named(name: str) -> type[Strategy]:
    """Return the class of a strategy; imported now, so that to know the names costs nothing."""
    module, of_class = _WHERE[name]
    found: type[Strategy] = getattr(importlib.import_module(f"{__package__}.{module}"), of_class)
    return found
