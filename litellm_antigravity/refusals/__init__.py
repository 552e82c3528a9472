"""What upstream refuses, in what words, and what follows: pure, time passed in (docs/design.md, "Refusals")."""

from __future__ import annotations

from litellm_antigravity.refusals.durations import parse_duration
from litellm_antigravity.refusals.parser import parse_refusal
from litellm_antigravity.refusals.policy import (
    Failover,
    GiveUp,
    NextAccount,
    NextStep,
    Record,
    RetrySameAccount,
    record_for,
    retry_cost,
)
from litellm_antigravity.refusals.refusal import Refusal, RefusalKind
from litellm_antigravity.refusals.replies import (
    connection_refusal,
    not_json_refusal,
    refusal_in_reply,
    timeout_refusal,
    too_long_refusal,
    truncated_stream,
    unreadable_refusal,
)

__all__ = [
    "Failover",
    "GiveUp",
    "NextAccount",
    "NextStep",
    "Record",
    "Refusal",
    "RefusalKind",
    "RetrySameAccount",
    "connection_refusal",
    "not_json_refusal",
    "parse_duration",
    "parse_refusal",
    "record_for",
    "refusal_in_reply",
    "retry_cost",
    "timeout_refusal",
    "too_long_refusal",
    "truncated_stream",
    "unreadable_refusal",
]
