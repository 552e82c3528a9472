"""Watches one reply as it comes: whether it says something, and whether it failed before it did.

Nothing here reads or waits: the whole reply is taken, or the events of a stream one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from litellm_antigravity.errors import RequestRefusedError
from litellm_antigravity.refusals import Refusal, failed
from litellm_antigravity.wire.calls import PartialCalls

Json: TypeAlias = dict[str, Any]

_NO_CONTENT: Final = frozenset({"text", "thought", "thoughtSignature"})
_COUNTS: Final = ("candidatesTokenCount", "thoughtsTokenCount")


class ReplyWatch:
    """What is known of a reply so far.

    Args:
        last_try: whether another try has failed already: then an empty reply is taken as it is.
        whole: whether nothing has reached the caller before the reply's end.

    Attributes:
        begun: whether there is something for the caller: words, a call, a thought, or the end.
        usage: upstream's count of tokens, as it came last; empty until one has come.
    """

    def __init__(self, *, last_try: bool = False, whole: bool = False) -> None:
        self.begun = False
        self.usage: Mapping[str, Any] = {}
        self._last_try = last_try
        self._whole = whole
        self._calls = PartialCalls()
        self._said = False
        self._thought = False
        self._ended = False
        self._ends_with_call = False
        self._text: str | None = ""
        self._counted = False

    @property
    def is_complete(self) -> bool:
        """Whether a reply without a finish reason may end here: its last word is a whole call."""
        return self._ends_with_call and self._calls.unfinished is None

    def take(self, reply: Json) -> Json:
        """Return a reply, or an event of one, with whole calls only.

        Raises:
            RequestRefusedError: when the reply ends here and has failed.
        """
        reply = self._calls.assemble(reply)
        usage = reply.get("usageMetadata")
        if isinstance(usage, Mapping):
            self.usage = usage
        if self._ended:
            return reply
        candidate = _first_candidate(reply)
        for part in _parts(candidate):
            self._look_at(part)
        if isinstance(usage, Mapping) and any(usage.get(name) for name in _COUNTS):
            self._counted = True
        finish = candidate.get("finishReason")
        if finish:
            self._ended = True
            failure = self._failure(str(finish), candidate)
            if failure is not None:
                raise RequestRefusedError(failure)
        elif "promptFeedback" in reply:
            self._ended = True
        waits = not self._ended and self._said and self._may_be_error(failed.may_become_error)
        self.begun = self._ended or self._thought or (self._said and not waits)
        return reply

    def end(self) -> None:
        """Take note that nothing more comes.

        Raises:
            RequestRefusedError: when a call is incomplete.
        """
        if self._calls.unfinished is not None:
            raise RequestRefusedError(failed.incomplete_call(self._calls.unfinished))

    def may_be_repeated(self, refusal: Refusal) -> bool:
        """Return whether the caller has got no more than thoughts of a reply that failed."""
        return refusal.kind is failed.KIND and not self._said

    def _look_at(self, part: Mapping[str, Any]) -> None:
        self._ends_with_call = "functionCall" in part or (self._ends_with_call and not part.get("text"))
        if part.get("thought"):
            self._thought = True
            self._text = None
        elif part.keys() - _NO_CONTENT:
            self._said, self._text = True, None
        elif part.get("text"):
            self._said = True
            if self._text is not None and len(self._text) <= failed.LONGEST_DISGUISED:
                self._text += str(part["text"])

    def _may_be_error(self, looks_like_one: Callable[[str], bool] = failed.may_be_error) -> bool:
        """Return whether words are upstream's own: without thoughts beside them, and not counted as tokens."""
        return not self._counted and self._text is not None and looks_like_one(self._text)

    def _failure(self, finish: str, candidate: Mapping[str, Any]) -> Refusal | None:
        if self._calls.unfinished is not None:
            return failed.incomplete_call(self._calls.unfinished)
        if self._said:
            if self._text is not None and self._may_be_error():
                return failed.error_as_text(self._text)
            retried = self._whole and not self._last_try and finish in failed.FAILED_FINISHES
            return failed.failed_finish(finish, _message(candidate)) if retried else None
        if self._thought and self._last_try and not self._whole:
            return None  # the caller has thoughts already; the finish reason says the rest
        if finish in failed.FAILED_FINISHES:
            return failed.failed_finish(finish, _message(candidate))
        if finish in failed.EMPTY_FINISHES and not self._last_try:
            return failed.empty_reply(thought=self._thought)
        return None


def watched(reply: Json, *, last_try: bool) -> Json | Refusal:
    """Return a whole reply with whole calls only, or its failure."""
    watch = ReplyWatch(last_try=last_try, whole=True)
    try:
        reply = watch.take(reply)
        watch.end()
    except RequestRefusedError as error:
        return error.refusal
    return reply


def _message(candidate: Mapping[str, Any]) -> str:
    said = candidate.get("finishMessage")
    return said if isinstance(said, str) else ""


def _first_candidate(reply: Mapping[str, Any]) -> Mapping[str, Any]:
    candidates = reply.get("candidates")
    first = candidates[0] if isinstance(candidates, list) and candidates else None
    return first if isinstance(first, dict) else {}


def _parts(candidate: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    content = candidate.get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


__all__ = ["ReplyWatch", "watched"]
