"""A stand-in for Google on loopback: for the demo, for tests, and for users' dry runs.

It serves the token endpoint and the Cloud Code paths that this package uses, is strict about what it is sent, and
refuses on demand. Importing this package does not import aiohttp; using it does.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from litellm_antigravity.simulator.accounts import SimulatedAccount
    from litellm_antigravity.simulator.log import LoggedRequest
    from litellm_antigravity.simulator.replies import ModelReply, Served
    from litellm_antigravity.simulator.serving import serve_forever
    from litellm_antigravity.simulator.simulator import Simulator

_WHERE = {
    "LoggedRequest": "log",
    "ModelReply": "replies",
    "Served": "replies",
    "SimulatedAccount": "accounts",
    "Simulator": "simulator",
    "serve_forever": "serving",
}

__all__ = ["LoggedRequest", "ModelReply", "Served", "SimulatedAccount", "Simulator", "serve_forever"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value
    return value
