"""Who this process is, for slots and for ``status``: a process id alone is no identity, because ids are recycled."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One life of one process: host, process id, start, and a nonce where those three collide.

    They do collide: in containers that share a host name, every first process has id 1.
    """

    pid: int
    owner: str

    @classmethod
    def read(cls, pid: Callable[[], int] = os.getpid) -> ProcessIdentity:
        """Return the identity of the calling process."""
        number = pid()
        return cls(number, f"{socket.gethostname()}:{number}:{_started(number)}:{secrets.token_hex(4)}")


def _started(pid: int) -> str:
    """Return the start time of a process: clock ticks since boot where /proc has them, else this moment."""
    try:
        # proc(5): the 22nd field; the second one, the command, may contain blanks and ends with the last ")"
        return Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return str(time.time_ns())
