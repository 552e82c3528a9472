"""What upstream refuses, in what words, and what follows from it: pure, no I/O, time passed in (docs/failover.md)."""

from __future__ import annotations

from litellm_antigravity.refusals.durations import parse_duration
from litellm_antigravity.refusals.kinds import Fault, RefusalKind, Then
from litellm_antigravity.refusals.parser import parse_refusal
from litellm_antigravity.refusals.policy import (
    Cooling,
    Failover,
    GiveUp,
    NextAccount,
    NextStep,
    RetrySameAccount,
    cooldown_for,
    penalty_for,
    refunds_token,
    retry_cost,
)
from litellm_antigravity.refusals.refusal import Refusal
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
    "Cooling",
    "Failover",
    "Fault",
    "GiveUp",
    "NextAccount",
    "NextStep",
    "Refusal",
    "RefusalKind",
    "RetrySameAccount",
    "Then",
    "connection_refusal",
    "cooldown_for",
    "not_json_refusal",
    "parse_duration",
    "parse_refusal",
    "penalty_for",
    "refunds_token",
    "refusal_in_reply",
    "retry_cost",
    "timeout_refusal",
    "too_long_refusal",
    "truncated_stream",
    "unreadable_refusal",
]
