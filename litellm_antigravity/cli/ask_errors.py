"""What went wrong with the request of ``ask``, in a sentence or two that help: what it is, and what to do."""

from __future__ import annotations

import re
from typing import Final

from litellm_antigravity.attempts import UNSIGNED
from litellm_antigravity.errors import AllAccountsLimitedError, AntigravityError, RequestRefusedError
from litellm_antigravity.models import BUILT_IN_MODELS, canonical_model
from litellm_antigravity.refusals import RefusalKind
from litellm_antigravity.settings.names import nearest

# LiteLLM puts its class names before a message, some of them twice, and the first error behind that of a stream.
_BEFORE: Final = re.compile(r"^(?:litellm\.\w+: |\w+(?:Error|Exception|Timeout): |\w+Exception - )+")
_BEHIND: Final = re.compile(r"\s*Original exception: .*", re.DOTALL)

_HINTS: Final = {
    RefusalKind.CAPACITY: "That is nobody's quota: try again in a moment, or ask another model.",
    RefusalKind.REFUSED_REQUEST: "Upstream gives no reason; try again in a minute.",
    RefusalKind.BANNED: "`litellm-antigravity status` shows the account and what to do.",
    RefusalKind.CALLER: "Upstream refuses the request itself, so no other account was asked.",
    RefusalKind.FAILED_REPLY: "The model has failed, not the account: try again.",
}


def told(error: BaseException, model: str) -> AntigravityError:
    """Return the error as people are told of it.

    Args:
        error: what LiteLLM raised.
        model: that was asked.
    """
    ours = _ours(error)
    if isinstance(ours, AllAccountsLimitedError):
        return AntigravityError(_limited(ours))
    if isinstance(ours, RequestRefusedError):
        return AntigravityError(_refused(ours, model))
    if ours is not None:
        return ours
    return AntigravityError(_BEHIND.sub("", _BEFORE.sub("", str(error))).strip() or type(error).__name__)


def _ours(error: BaseException) -> AntigravityError | None:
    """Return the error of this package in whose place LiteLLM's was raised."""
    known: BaseException | None = error
    for _ in range(20):
        if known is None or isinstance(known, AntigravityError):
            return known
        known = known.__cause__ or known.__context__
    return None


def _limited(error: AllAccountsLimitedError) -> str:
    head = str(error).partition(" [")[0]
    reasons = sorted({line.rpartition(": ")[2].partition(",")[0] for line in error.accounts})
    if error.retry_after is None:  # it names the command already
        return f"{head} Reason: {', '.join(reasons)}."
    return f"{head} Reason: {', '.join(reasons)}. `litellm-antigravity status` shows each account."


def _refused(error: RequestRefusedError, model: str) -> str:
    refusal = error.refusal
    said = refusal.message.strip()
    if refusal.kind is RefusalKind.NOT_AVAILABLE:
        name = canonical_model(model)
        meant = None if name in BUILT_IN_MODELS else nearest(name, BUILT_IN_MODELS)
        hint = f"Did you mean {meant}?" if meant else "`litellm-antigravity models` lists what there is."
    elif refusal.kind is RefusalKind.TRANSPORT and refusal.reason == UNSIGNED:
        hint = "`litellm-antigravity doctor` looks what keeps this machine from it."
    elif refusal.kind is RefusalKind.TRANSPORT and refusal.status >= 500 and "?" not in said:
        said, hint = f"Upstream answered {refusal.status}: {said}", "The other accounts got no better: try again."
    else:
        hint = _HINTS.get(refusal.kind, "")
    return f"{said if said.endswith(('.', '?', '!', ')')) else f'{said}.'} {hint}".strip()
