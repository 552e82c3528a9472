"""What answers say in their headers of how they were served: by which account, and why by that one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from litellm_antigravity.lease import TOLD, Lease
from litellm_antigravity.litellm.errors import ACCOUNT_HEADER
from litellm_antigravity.litellm.observing import note_reason
from litellm_antigravity.masking import header_value

DECISION_HEADER: Final = "x-litellm-antigravity-decision"


def headers_of(lease: Lease) -> dict[str, str]:
    """Return the account, masked, and what became of the conversation; nothing of that for a request without one."""
    headers = {ACCOUNT_HEADER: header_value(lease.account.label)}
    decision = TOLD.get(lease.why)
    return headers if decision is None else {**headers, DECISION_HEADER: decision}


def put_on(response: Any, headers: Mapping[str, str]) -> None:
    """Put the headers on a response of LiteLLM's."""
    hidden = response._hidden_params
    hidden["additional_headers"] = {**(hidden.get("additional_headers") or {}), **headers}


def remember(logging_obj: Any, lease: Lease, headers: Mapping[str, str]) -> None:
    """Leave the headers where the proxy's hook finds them, whatever the proxy makes of the response."""
    logging_obj.model_call_details.update(headers)
    note_reason(logging_obj, lease)


def tell_account(details: dict[str, Any], lease: Lease) -> None:
    """Leave the headers in the details of a call, for one that another provider is going to answer."""
    details.update(headers_of(lease))


def forget_account(details: dict[str, Any]) -> None:
    """Take them out again: it has not."""
    for name in (ACCOUNT_HEADER, DECISION_HEADER):
        details.pop(name, None)


def headers_in(holder: object) -> dict[str, str]:
    """Return the headers that were left on a response or on LiteLLM's logging object; empty when it has none."""
    hidden = getattr(holder, "_hidden_params", None)
    if isinstance(hidden, Mapping) and (found := _ours(hidden.get("additional_headers"))):
        return found
    return _ours(getattr(holder, "model_call_details", None))


def _ours(found: object) -> dict[str, str]:
    if not isinstance(found, Mapping):
        return {}
    ours = {name: found[name] for name in (ACCOUNT_HEADER, DECISION_HEADER) if isinstance(found.get(name), str)}
    return ours if ACCOUNT_HEADER in ours else {}


__all__ = ["DECISION_HEADER", "forget_account", "headers_in", "headers_of", "put_on", "remember", "tell_account"]
