"""Replies that say that they failed: the model's fault, or nobody's, and never the account's."""

from __future__ import annotations

import re
from typing import Final

from litellm_antigravity.refusals.kinds import RefusalKind
from litellm_antigravity.refusals.refusal import Refusal

KIND: Final = RefusalKind.FAILED_REPLY

FAILED_FINISHES: Final = {
    "MALFORMED_FUNCTION_CALL": "the model's call of a tool cannot be read",
    "MALFORMED_RESPONSE": "the model's reply cannot be read",
    "UNEXPECTED_TOOL_CALL": "the model called a tool that it was not offered",
    "TOO_MANY_TOOL_CALLS": "the model called tools in a row without end",
    "MISSING_THOUGHT_SIGNATURE": "the model's call of a tool lacks its thought signature",
}
"""Finish reasons of the Gemini API for a reply that is of no use, and what they mean. LiteLLM calls them all "stop"."""

EMPTY_FINISHES: Final = frozenset({"STOP", "FINISH_REASON_UNSPECIFIED"})
"""Finish reasons that are a failure where nothing was said."""

_EMPTY: Final = "EMPTY_REPLY"
_DISGUISED: Final = "ERROR_AS_TEXT"
_INCOMPLETE: Final = "INCOMPLETE_CALL"

LONGEST_DISGUISED: Final = 400
"""Characters; a model that writes about such things writes more."""

_BEGINNINGS: Final = ("this version of antigravity is no longer supported", "your current version of antigravity")
_ABOUT: Final = re.compile(
    r"\b(?:out of date|out-of-date|outdated|no longer supported|unsupported version|(?:newer|latest|current) version"
    r"|please (?:update|upgrade)|update to|upgrade to|verify your account|verification (?:is )?required)\b"
)


def failed_finish(reason: str, said: str = "") -> Refusal:
    """Return the refusal for a reply that ends with one of `FAILED_FINISHES`.

    Args:
        reason: the finish reason.
        said: upstream's ``finishMessage``, if any.
    """
    more = f": {said}" if said else ""
    return Refusal(RefusalKind.FAILED_REPLY, 500, f"{FAILED_FINISHES[reason]} ({reason}{more})", reason=reason)


def empty_reply(*, thought: bool) -> Refusal:
    """Return the refusal for a reply that ends properly and says nothing.

    Args:
        thought: whether the model thought before that.
    """
    what = "has only thoughts" if thought else "is empty"
    return Refusal(RefusalKind.FAILED_REPLY, 500, f"the model's reply {what}", reason=_EMPTY)


def incomplete_call(name: str) -> Refusal:
    """Return the refusal for a call whose arguments came in pieces, and not all of them.

    Args:
        name: of the tool.
    """
    message = f"the model's call of {name!r} broke off before all of its arguments had come"
    return Refusal(RefusalKind.FAILED_REPLY, 500, message, reason=_INCOMPLETE)


def error_as_text(text: str) -> Refusal:
    """Return the refusal for a text that is upstream's error, and none of the model's."""
    return Refusal(RefusalKind.FAILED_REPLY, 500, f"upstream said as a model's text: {text}", reason=_DISGUISED)


def is_another_accounts_turn(refusal: Refusal) -> bool:
    """Return whether another account may fare better: an error may be the account's, a model's failure is not."""
    return refusal.reason == _DISGUISED


def begins_known_error(text: str) -> bool:
    """Return whether a short text is one of the errors that are known to come as a model's text."""
    if not _plain(text.lstrip()[:LONGEST_DISGUISED]).startswith(_BEGINNINGS):  # of a long text no more is looked at
        return False
    return len(_plain(text)) <= LONGEST_DISGUISED


def may_be_error(text: str) -> bool:
    """Return whether a whole text may be an error: what surrounds it has to tell."""
    said = _plain(text)
    return len(said) <= LONGEST_DISGUISED and (said.startswith(_BEGINNINGS) or _ABOUT.search(said) is not None)


def may_become_error(text: str) -> bool:
    """Return whether a text that may go on may be one."""
    said = _plain(text)
    return may_be_error(text) or any(beginning.startswith(said) for beginning in _BEGINNINGS)


def _plain(text: str) -> str:
    return " ".join(text.split()).lower()
