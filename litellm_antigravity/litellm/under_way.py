"""Requests to pinned deployments of other providers that are under way: in flight, and named in the answer's headers.

They are kept in what LiteLLM's logging object knows of the call, which every hook is shown, and which goes when nobody
reads a stream any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from typing_extensions import Self

from litellm_antigravity.lease import Lease
from litellm_antigravity.litellm.told_headers import forget_account, tell_account
from litellm_antigravity.state.in_flight import Flight

_HELD: Final = "litellm_antigravity_under_way"


class _Held:
    """A request in flight. What copies the details of a call, or writes them down, gets nothing of it."""

    __slots__ = ("deployment_id", "flight")

    def __init__(self, flight: Flight | None = None, deployment_id: object = None) -> None:
        self.flight = flight
        self.deployment_id = deployment_id

    def __deepcopy__(self, memo: object) -> Self:
        return type(self)()

    def __reduce__(self) -> tuple[type[Self], tuple[()]]:
        return type(self), ()

    def __repr__(self) -> str:
        return "<a request under way>"


def details_of(kwargs: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what LiteLLM's logging object knows of a call; ``None`` where a call has none yet.

    LiteLLM 1.90 gives it one later. What is put into the call's own arguments instead would be sent.

    Args:
        kwargs: of a call.
    """
    details = getattr(kwargs.get("litellm_logging_obj"), "model_call_details", None)
    return details if isinstance(details, dict) else None


def begin(details: dict[str, Any] | None, lease: Lease, deployment_id: str) -> None:
    """Have a request be in flight until `end`, or until nobody knows the call any more.

    Args:
        details: see `details_of`; without any it is not counted, since nothing would tell its end.
        lease: of the request.
        deployment_id: that it goes to.
    """
    if details is None:
        lease.end()
        return
    tell_account(details, lease)
    details[_HELD] = _Held(lease.flight, deployment_id)


def end(kwargs: Mapping[str, Any], deployment_id: str, *, served: bool) -> None:
    """Count a request no longer; neither blocks nor fails.

    Args:
        kwargs: of the call, or what `details_of` returns for it.
        deployment_id: that it went to: another attempt may be under way.
        served: whether that has answered it.
    """
    details = details_of(kwargs)
    if details is None:
        details = kwargs if isinstance(kwargs, dict) else {}
    held = details.get(_HELD)
    if not isinstance(held, _Held) or held.deployment_id != deployment_id:
        return
    del details[_HELD]
    if held.flight is not None:
        held.flight.end()
    if not served:
        forget_account(details)


__all__ = ["begin", "details_of", "end"]
