"""Conversations through a proxy with four workers: on how many accounts each was, and what that left of the caches."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.table import Table
from talking import KEYS_MODEL, NAMES, Talk, accounts_each, began_on, keys_config, pool_config, started_proxy, talks

from litellm_antigravity.simulator import Simulator

CONVERSATIONS, TURNS, ACCOUNTS = 20, 30, 4

_PROCESS: dict[str, Any] = {"sticky_scope": "process"}
_SLOTS: dict[str, Any] = {"pid_offset_enabled": True, "offset_source": "slot"}
_SESSION = {"optional_pre_call_checks": ["session_affinity"]}
_OWN_COOLDOWNS = {"disable_cooldowns": True}

SETUPS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "sticky, conversation": (pool_config(account_selection_strategy="sticky"), tuple(NAMES)),
    "hybrid, conversation": (pool_config(), ("no name", "LiteLLM's header")),
    "sticky, process": (pool_config(account_selection_strategy="sticky", **_PROCESS), ("no name",)),
    "sticky, process, slots": (pool_config(account_selection_strategy="sticky", **_PROCESS, **_SLOTS), ("no name",)),
    "hybrid, process": (pool_config(**_PROCESS), ("no name",)),
    "round-robin": (pool_config(account_selection_strategy="round-robin"), ("no name",)),
    "keys, LiteLLM's session_affinity": (keys_config(ACCOUNTS, _SESSION, None), ("no name", "LiteLLM's header")),
    "keys, ours": (
        keys_config(ACCOUNTS, _OWN_COOLDOWNS, {"account_selection_strategy": "sticky"}),
        ("no name", "LiteLLM's header"),
    ),
    "keys, ours by session_affinity": (
        keys_config(ACCOUNTS, {**_SESSION, **_OWN_COOLDOWNS}, {"account_selection_strategy": "sticky"}),
        ("no name", "LiteLLM's header"),
    ),
}


def table(setups: dict[str, tuple[dict[str, Any], tuple[str, ...]]] | None = None) -> Table:
    """Measure, and return the table. What one account alone gives is 100 % of the cached tokens."""
    result = Table(
        "setup",
        "names",
        "accounts each",
        "begun on each",
        "cached, % of one account",
        "429",
        "failed",
        title=f"{CONVERSATIONS} conversations of {TURNS} turns at once, {ACCOUNTS} accounts, 4 workers",
    )
    chosen = setups or SETUPS
    alone: dict[bool, int] = {}
    for is_key in {label.startswith("keys") for label in chosen}:
        config = keys_config(1, {}, None) if is_key else pool_config()
        alone[is_key] = sum(one.cached for one in _run(config, "no name", accounts=1)[0])
    for label, (config, namings) in chosen.items():
        is_key = label.startswith("keys")
        for naming in namings:
            found, refused = _run(config, naming)
            began = began_on(found)
            counts = sorted(began.values()) + [0] * (ACCOUNTS - len(began))
            result.add_row(
                label,
                naming,
                f"{accounts_each(found):.2f}",
                f"{min(counts)} to {max(counts)}",
                f"{100 * sum(one.cached for one in found) / alone[is_key]:.1f}",
                str(refused),
                str(sum(len(one.failed) for one in found)),
            )
    return result


def drained_table() -> Table:
    """Measure what happens when one account is drained in the middle, and return the table."""
    result = Table(
        "setup",
        "conversations on the drained one",
        "moves each, of those (most)",
        "moves of the others",
        "429",
        "failed",
        title="one of the accounts drained when half of the turns are over",
    )
    for label in ("sticky, conversation", "hybrid, conversation", "sticky, process", "sticky, process, slots"):
        drained: list[str] = []
        found, refused = _run(SETUPS[label][0], "no name", drained=drained)
        concerned = [one for one in found if drained[0] in one.served_by]
        others = [one for one in found if drained[0] not in one.served_by]
        moves = [one.moves for one in concerned] or [0]
        result.add_row(
            label,
            str(len(concerned)),
            f"{sum(moves) / len(moves):.2f} ({max(moves)})",
            str(sum(one.moves for one in others)),
            str(refused),
            str(sum(len(one.failed) for one in found)),
        )
    return result


def _run(
    config: dict[str, Any], naming: str, *, accounts: int = ACCOUNTS, drained: list[str] | None = None
) -> tuple[list[Talk], int]:
    with tempfile.TemporaryDirectory() as folder, Simulator(accounts, models=[KEYS_MODEL]) as simulator:
        simulator.set_latency(0.02)

        def drain() -> None:
            if drained is not None:
                drained.append(simulator.requests(kind="served")[-1].email or "")
                simulator.drain(drained[0], None, 600)

        with closing(started_proxy(simulator, Path(folder, "proxy"), config)) as proxy:
            found = talks(proxy, "model", conversations=CONVERSATIONS, turns=TURNS, naming=naming, midway=drain)
        return found, len(simulator.requests(status=429))
