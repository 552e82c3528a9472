"""Upstream's refusals: what they mean, and what is to be done about each (DESIGN, section 7). Pure, no I/O."""

from __future__ import annotations

from litellm_antigravity.refusals.durations import parse_duration
from litellm_antigravity.refusals.parser import (
    connection_refusal,
    not_json_refusal,
    parse_refusal,
    refusal_in_reply,
    timeout_refusal,
    truncated_stream,
)
from litellm_antigravity.refusals.policy import (
    Failover,
    GiveUp,
    NextAccount,
    Record,
    RetrySameAccount,
    Step,
    record_for,
)
from litellm_antigravity.refusals.refusal import Refusal, RefusalKind

__all__ = [
    "Failover",
    "GiveUp",
    "NextAccount",
    "Record",
    "Refusal",
    "RefusalKind",
    "RetrySameAccount",
    "Step",
    "connection_refusal",
    "not_json_refusal",
    "parse_duration",
    "parse_refusal",
    "record_for",
    "refusal_in_reply",
    "timeout_refusal",
    "truncated_stream",
]
