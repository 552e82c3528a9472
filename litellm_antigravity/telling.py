"""Making events of what the pool does: for those that take more than a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

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


def tell_sent(lease: Lease) -> None:
    """Tell that a request goes to upstream, if anybody wants to know."""
    if events.wanted():
        events.emit(events.Sent(about=lease.about))


def told(wait: Wait, asked: LeaseRequest, earliest: float, why: events.WaitsFor) -> Wait:
    """Return how a request waits; whoever wants to know has been told of it.

    Args:
        wait: how long it sleeps.
        asked: by it.
        earliest: seconds until the first account is back.
        why: see `events.WaitsFor`.
    """
    if events.wanted():
        model, family, slept, called = asked.model, asked.family, wait.seconds, asked.request_id
        events.emit(
            events.Waited(model=model, family=family, seconds=slept, earliest=earliest, why=why, request_id=called)
        )
    return wait


def tell_usage(lease: Lease, usage: object) -> None:
    """Tell how many tokens an answer took, if upstream has said so and anybody wants to know.

    Args:
        lease: of the request.
        usage: ``usageMetadata`` of the Gemini API.
    """
    if not events.wanted() or not isinstance(usage, Mapping):
        return
    counted = {name: _count(usage.get(name)) for name in _COUNTS}
    sent, cached, *made = counted.values()
    if sent or sum(made):
        events.emit(events.Used(about=lease.about, sent=sent, cached=min(cached, sent), made=sum(made)))


_COUNTS: Final = ("promptTokenCount", "cachedContentTokenCount", "candidatesTokenCount", "thoughtsTokenCount")


def _count(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < 10**9 else 0


__all__ = ["tell_choice", "tell_sent", "tell_usage", "told"]
