"""Whether a lock in a folder keeps two processes apart: some file systems take locks without keeping them.

Run as a program, with a file's path and ``try`` or ``hold``, it tries to lock the file and says ``locked`` or ``free``;
with ``hold`` it keeps the lock until it dies.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import filelock

from litellm_antigravity.state.kernel_locks import lock_on

_HANG_SECONDS = 30.0


def problem_with_locks(folder: Path) -> str | None:
    """Return why locks cannot be relied on in a folder; ``None`` when they can. Leaves nothing behind.

    Raises:
        OSError: when the folder cannot be written to.
    """
    with tempfile.TemporaryDirectory(prefix="doctor-", dir=folder) as name:
        file = Path(name) / "probe.lock"
        lock = lock_on(file, 0)
        try:
            with lock:
                if _ask(file) != "locked":
                    return "two processes can hold one lock at the same time"
            if _ask(file) != "free":
                return "a lock that was let go is still held"
            return None if _survives_its_holder(file) else "a lock outlives the process that held it"
        except (filelock.Timeout, NotImplementedError, OSError, subprocess.SubprocessError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            return f"locks cannot be had ({why})"


def _command(file: Path, what: str) -> list[str]:
    return [sys.executable, "-m", __name__, str(file), what]


def _ask(file: Path) -> str:
    return subprocess.run(  # noqa: S603 - this interpreter, this module
        _command(file, "try"), capture_output=True, text=True, timeout=_HANG_SECONDS, check=True
    ).stdout.strip()


def _survives_its_holder(file: Path) -> bool:
    with subprocess.Popen(_command(file, "hold"), stdout=subprocess.PIPE, text=True) as holder:  # noqa: S603 - so here
        try:
            if holder.stdout is None or holder.stdout.readline().strip() != "free":
                return False
        finally:
            holder.kill()
    with contextlib.suppress(filelock.Timeout), lock_on(file, 0):
        return True
    return False


def main() -> None:
    """Try the lock; see the module."""
    file, what = sys.argv[1:]
    try:
        with lock_on(Path(file), 0):
            _say("free")
            while what == "hold":
                time.sleep(1)
    except filelock.Timeout:
        _say("locked")


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
