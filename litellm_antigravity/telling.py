"""Making events of what the pool does: for those that take more than a line."""

from __future__ import annotations

from litellm_antigravity import events
from litellm_antigravity.lease import Lease, LeaseRequest, Wait


def tell_choice(lease: Lease, asked: LeaseRequest, strategy: str, inputs: events.Inputs) -> None:
    """Tell that an account was chosen.

    Args:
        lease: that came of it.
        asked: by the request.
        strategy: who chose.
        inputs: by what.
    """
    free, enabled = len(inputs.availability.free), len(inputs.availability.snapshot.enabled)
    events.emit(
        events.Chosen(
            about=lease.about,
            strategy=strategy,
            why=lease.why,
            free=free,
            enabled=enabled,
            tried=len(asked.tried),
            inputs=inputs,
        )
    )


def tell_wait(asked: LeaseRequest, wait: Wait, earliest: float, why: events.WaitsFor) -> None:
    """Tell that a request waits.

    Args:
        asked: by it.
        wait: how long it sleeps.
        earliest: seconds until the first account is back.
        why: see `events.WaitsFor`.
    """
    events.emit(
        events.Waited(
            model=asked.model,
            family=asked.family,
            seconds=wait.seconds,
            earliest=earliest,
            why=why,
            request_id=asked.request_id,
        )
    )


__all__ = ["tell_choice", "tell_wait"]
