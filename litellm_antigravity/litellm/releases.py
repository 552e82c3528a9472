"""Which releases of LiteLLM this package is for. Imports nothing."""

from __future__ import annotations

import re
from typing import Final

OLDEST: Final = (1, 90, 0)
NEWEST_TRIED: Final = (1, 110, 2)
COMPROMISED: Final = frozenset({(1, 82, 7), (1, 82, 8)})
"""Releases that somebody else had put a credential stealer into."""


def parsed(version: str) -> tuple[int, ...]:
    """Return the first three numbers of a version."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def spelled(release: tuple[int, ...]) -> str:
    """Return a release as people write it."""
    return ".".join(map(str, release))


def problem_with(version: str) -> str | None:
    """Return what is wrong with a release of LiteLLM, and what to do; ``None`` when nothing is known to be."""
    release = parsed(version)
    if release in COMPROMISED:
        return f"LiteLLM {version} was compromised: remove it, and change every credential that it could read."
    if release < OLDEST:
        return f"LiteLLM {version} is too old. Install {spelled(OLDEST)} or newer."
    return None


__all__ = ["COMPROMISED", "NEWEST_TRIED", "OLDEST", "parsed", "problem_with", "spelled"]
