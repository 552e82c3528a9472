"""The last decisions, read from the ring: what `remembering` has put there, with whole names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from litellm_antigravity.masking import shown
from litellm_antigravity.observability.ring import LONGEST_ID, Ring

SHORTEST_ID: Final = 8
"""So many characters of a request's id name it."""

_NAMES: Final[Mapping[str, str]] = {
    "t": "at", "k": "what", "a": "account", "m": "model", "f": "family", "r": "request_id", "s": "strategy",
    "w": "why", "c": "class", "d": "seconds", "p": "pid",
}  # fmt: skip
_NUMBERS: Final = ("account", "health", "tokens", "idle_seconds", "limited_by", "seconds")


def remembered(ring: Ring, request_id: str | None = None, *, usage: bool = False) -> list[dict[str, Any]]:
    """Return the decisions of all processes of the host, oldest first; touches the disk.

    Args:
        ring: any process's.
        request_id: only what concerns this request, named by its id or the first characters of it.
        usage: also what answers took, which is no decision: ``used``, with ``tokens`` sent, cached and made.
    """
    records = [one for one in ring.records() if usage or one.get("k") != "used"]
    if request_id is not None:
        records = [one for one in records if _is_of(one, request_id)]
    return [_spelled(one) for one in records]


def current_of(ring: Ring, pid: int, family: str) -> str | None:
    """Return the id of the account that a process chose last for a family; ``None`` if that is not remembered."""
    mine = [one for one in ring.records() if (one.get("k"), one.get("p"), one.get("f")) == ("chosen", pid, family)]
    found = mine[-1].get("x") if mine else None
    return found if isinstance(found, str) else None


def _is_of(record: Mapping[str, Any], request_id: str) -> bool:
    known = record.get("r")
    if not isinstance(known, str):
        return False
    return known == shown(request_id, LONGEST_ID) or (len(request_id) >= SHORTEST_ID and known.startswith(request_id))


def _spelled(record: Mapping[str, Any]) -> dict[str, Any]:
    said = {name: record[key] for key, name in _NAMES.items() if key in record}
    counts, inputs = record.get("n"), record.get("i")
    if isinstance(counts, list) and len(counts) == 3:
        said.update(free=counts[0], accounts=counts[1], tried=counts[2])
    if isinstance(tokens := record.get("u"), list):
        said["tokens"] = tokens
    if isinstance(inputs, list):
        said["inputs"] = [dict(zip(_NUMBERS, one, strict=False)) for one in inputs if isinstance(one, list)]
    return said


__all__ = ["SHORTEST_ID", "current_of", "remembered"]
