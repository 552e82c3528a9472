"""Refusals that come without an error status: broken replies, broken streams, broken connections."""

from __future__ import annotations

from typing import Any

from litellm_antigravity.masking import mask_emails
from litellm_antigravity.refusals.body import error_in
from litellm_antigravity.refusals.failed import begins_known_error, error_as_text
from litellm_antigravity.refusals.kinds import RefusalKind
from litellm_antigravity.refusals.messages import clean
from litellm_antigravity.refusals.parser import not_json_message, refusal_from
from litellm_antigravity.refusals.refusal import Refusal


def refusal_in_reply(reply: object, *, now: float, whole: bool = True) -> Refusal | None:
    """Return what is wrong with the body of a 200; ``None`` for a Gemini reply.

    Args:
        reply: the decoded JSON: the envelope with ``response``.
        now: the wall time in epoch seconds.
        whole: False for one event of a stream, which may lack candidates.
    """
    error = error_in(reply)
    if error is not None:
        return refusal_from(error, 200, {}, now)
    if not isinstance(reply, dict):
        return _broken(f"upstream answered 200 with a JSON {_json_type(reply)}, not with a reply")
    response = reply.get("response")
    if not isinstance(response, dict):
        return _broken("upstream answered 200 without a `response`") if whole else None
    candidates = response.get("candidates")
    first = candidates[0] if isinstance(candidates, list) and candidates else None
    if not isinstance(first, dict):
        return None if not whole or response.get("promptFeedback") else _broken("upstream's reply has no candidate")
    known_error = _known_error(first)
    if known_error is not None:
        return error_as_text(known_error)
    if whole and not first.get("content") and not first.get("finishReason") and not response.get("promptFeedback"):
        return _broken("upstream's reply has an empty candidate")
    return None


def not_json_refusal(content_type: str, status: int) -> Refusal:
    """Return the refusal for an answer that should have been JSON.

    Args:
        content_type: the ``Content-Type`` header; may be empty.
        status: the HTTP status.
    """
    return _broken(not_json_message(content_type, status), 502 if status == 200 else status)


def connection_refusal(error: Exception | str, *, host: str) -> Refusal:
    """Return the refusal for an upstream that could not be reached, or that hung up.

    Args:
        error: what went wrong.
        host: whom it was about.
    """
    said = mask_emails(clean(str(error))).rstrip(".")
    if not said or "header" in said.lower():  # "Illegal header value ..." quotes the header, and with it the token
        said = type(error).__name__ if isinstance(error, Exception) else "no reason given"
    message = f"no answer from {host}: {said}. Is `endpoint` right, and can this machine reach it?"
    return Refusal(RefusalKind.TRANSPORT, 503, message)


def timeout_refusal(phase: str, *, silent: bool = False) -> Refusal:
    """Return the refusal for a time-out; status 408, as RFC 9110 has it for a request that took too long.

    Args:
        phase: what was being waited for.
        silent: whether it was the account's turn that was over, rather than the request's time.
    """
    return Refusal(RefusalKind.TRANSPORT, 408, f"timed out: {phase}", silent=silent)


def truncated_stream(events: int) -> Refusal:
    """Return the refusal for a stream that ended without a finish reason.

    Args:
        events: how many events came before.
    """
    return _broken(f"upstream's stream broke off after {events} event{'' if events == 1 else 's'}, before its end")


def too_long_refusal(most: int) -> Refusal:
    """Return the refusal for a reply, or an event of a stream, without an end in sight.

    Args:
        most: how many bytes it may have.
    """
    return _broken(f"upstream's reply is longer than {most / 1e6:g} MB (the setting `max_reply_megabytes`)")


def unreadable_refusal() -> Refusal:
    """Return the refusal for an answer that is packed as nobody asked, or is longer than any such answer."""
    return _broken("what upstream answers cannot be unpacked, or is longer than it can be")


def _broken(message: str, status: int = 502) -> Refusal:
    """Return a broken reply; to those behind us it is a bad gateway (RFC 9110), whatever status it came with."""
    return Refusal(RefusalKind.BROKEN_REPLY, status, message)


def _known_error(candidate: dict[str, Any]) -> str | None:
    """Return the whole text of a candidate if it is an error that is known to come as a model's text."""
    content = candidate.get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    if not isinstance(parts, list) or not parts:
        return None
    texts = [part.get("text") for part in parts if isinstance(part, dict) and not part.get("thought")]
    if len(texts) != len(parts) or not all(isinstance(text, str) for text in texts):
        return None
    text = "".join(str(text) for text in texts)
    return " ".join(text.split()) if begins_known_error(text) else None


def _json_type(value: object) -> str:
    if isinstance(value, list):
        return "list"
    if isinstance(value, str):
        return "string"
    return "null" if value is None else "number" if not isinstance(value, bool) else "boolean"
