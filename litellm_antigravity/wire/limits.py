"""How long an exchange may take: a number of seconds over everything, as opposed to httpx's limits per phase."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import httpx


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """The limits of one exchange, in seconds; ``math.inf`` for none.

    httpx's own time-out is for each read anew: what drips byte by byte never meets it. These hold whatever comes.

    Attributes:
        total: from the beginning until the first content is there, or the whole reply where it is not streamed: over
            connecting, sending, headers and body.
        first_byte: from the beginning until the response's headers are there. When this has run out and ``total`` has
            not, the refusal is ``silent``: another account may still be asked.
        connect: until the connection is there, TLS included.
        gap: between two contents of a stream, after the first one. Comments, empty events and events without content
            are no contents. What the reader does in between does not count.
    """

    total: float
    first_byte: float = math.inf
    connect: float = math.inf
    gap: float = math.inf


Limits: TypeAlias = TimeLimits | httpx.Timeout
"""Ours, or a caller's own `httpx.Timeout`, which holds for each phase, and for each read anew, as in httpx."""
