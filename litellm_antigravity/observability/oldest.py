"""Files of processes, of which only so many are kept: those written last."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path


def forget_oldest(directory: Path, suffix: str, most: int, *, before: float = -math.inf) -> None:
    """Remove files, so that there is room for one more.

    Args:
        directory: where they are.
        suffix: of their names.
        most: how many there may be, with the one that is to come.
        before: those that were written last before this moment go in any case, in epoch seconds.
    """
    files = sorted(((_written_at(path), path) for path in directory.glob(f"*{suffix}")), reverse=True)
    for number, (written_at, path) in enumerate(files, 1):
        if number >= most or written_at < before:
            with contextlib.suppress(OSError):  # another process has, or has it open on Windows
                path.unlink()


def _written_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return -math.inf


__all__ = ["forget_oldest"]
