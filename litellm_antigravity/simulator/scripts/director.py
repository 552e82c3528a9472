"""Plays a script: which reply a request gets, and what happens before it. No I/O; any thread may call."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from litellm_antigravity.clock import Clock
from litellm_antigravity.models import canonical_model, family_of
from litellm_antigravity.simulator.answers import Pace
from litellm_antigravity.simulator.replies import ModelReply, Served, reply_to
from litellm_antigravity.simulator.scripts.document import Action, Call, Conversation, Event, Reply, Script, When
from litellm_antigravity.simulator.signatures import signed


class Director:
    """One run of a script.

    Args:
        script: what to play.
        clock: for what happens by time; the run begins now.
        perform: does an action, given the account whose request is being answered.
        on_note: called with each note of the script.
    """

    def __init__(
        self,
        script: Script,
        *,
        clock: Clock,
        perform: Callable[[Action, str], object],
        on_note: Callable[[str], object] | None = None,
    ) -> None:
        self.script = script
        self._clock = clock
        self._began = clock.time()
        self._perform = perform
        self._on_note = on_note
        self._lock = threading.Lock()
        self._requests = 0
        self._to_come: list[Event] = list(script.events)
        self._given: set[int] = set()  # the replies whose actions are done, by their identity
        self._calls = itertools.count(1)

    @property
    def requests(self) -> int:
        """How many requests for a reply there have been."""
        return self._requests

    @property
    def events_to_come(self) -> int:
        """How many events have not happened yet."""
        return len(self._to_come)

    def before(self, served: Served) -> None:
        """Have happen what is due before a request is answered."""
        for action in self._due(served):
            if action.note is not None and self._on_note is not None:
                self._on_note(action.note)
            self._perform(action, served.email)

    def _due(self, served: Served) -> list[Action]:
        with self._lock:
            self._requests += 1
            elapsed = self._clock.time() - self._began
            due = [one for one in self._to_come if _is_due(one, self._requests, elapsed)]
            self._to_come = [one for one in self._to_come if one not in due]
            actions = [action for event in due for action in event.do]
            reply = self._reply_for(served)
            if reply is not None and id(reply) not in self._given:
                self._given.add(id(reply))
                actions += reply.do
            return actions

    def reply(self, served: Served) -> ModelReply:
        """Return what the model says to a request."""
        reply = self._reply_for(served)
        if reply is None:
            return reply_to(served, None)
        parts = list(self._parts(reply, served))
        pace = None if reply.pace is None else Pace(reply.pace.seconds, reply.pace.per_chunk)
        return ModelReply(signed(served.model, parts), reply.finish_reason, pace=pace)

    def _reply_for(self, served: Served) -> Reply | None:
        for conversation in self.script.conversations:
            if _fits(conversation.when, served):
                return conversation.replies[_place(served.request, conversation)]
        return None

    def _parts(self, reply: Reply, served: Served) -> Iterator[dict[str, Any]]:
        if reply.thinking is not None and _thinks_aloud(served.request):
            yield {"text": reply.thinking, "thought": True}
        if reply.text is not None:
            yield {"text": self._filled_in(reply.text, served)}
        for call in reply.calls:
            yield self._called(call, served)

    def _called(self, call: Call, served: Served) -> dict[str, Any]:
        offered = set(_tools(served.request))
        chosen = next((one for one in call.tools if one.tool in offered), None)
        if chosen is None:
            wanted = " or ".join(str(one.tool) for one in call.tools)
            return {"text": f"(The script calls {wanted}, which this request does not offer.)"}
        about: dict[str, Any] = {"name": chosen.tool, "args": chosen.arguments}
        if "claude" in canonical_model(served.model):
            about["id"] = f"toolu_vrtx_sim{next(self._calls)}"  # upstream numbers Claude's calls, and nobody else's
        return {"functionCall": about}

    def _filled_in(self, text: str, served: Served) -> str:
        known = {"{account}": served.email, "{model}": served.model, "{request}": str(self._requests)}
        for name, value in known.items():
            text = text.replace(name, value)
        return text


def _is_due(event: Event, request: int, elapsed: float) -> bool:
    if event.at_request is not None:
        return request >= event.at_request
    return event.at_seconds is not None and elapsed >= event.at_seconds


def _place(request: Mapping[str, Any], conversation: Conversation) -> int:
    """Return which reply it is: as many of the model's turns as the history has, from the beginning after the last."""
    said = len([turn for turn in request["contents"] if turn.get("role") == "model"])
    return said % len(conversation.replies)


def _fits(when: When, served: Served) -> bool:
    if when.tools is not None and when.tools != bool(list(_tools(served.request))):
        return False
    if when.family is not None and when.family != family_of(served.model):
        return False
    if when.model is not None and canonical_model(when.model) != canonical_model(served.model):
        return False
    return when.says is None or when.says.casefold() in _last_words(served.request).casefold()


def _thinks_aloud(request: Mapping[str, Any]) -> bool:
    """Return whether thoughts are asked for; without that upstream returns none."""
    thinking = (request.get("generationConfig") or {}).get("thinkingConfig") or {}
    return bool(thinking.get("includeThoughts")) and thinking.get("thinkingBudget") != 0


def _tools(request: Mapping[str, Any]) -> Iterator[str]:
    for tool in request.get("tools") or ():
        for declaration in tool.get("functionDeclarations") or ():
            yield declaration["name"]


def _last_words(request: Mapping[str, Any]) -> str:
    """Return the last words of the user's, however many results of tools have come since."""
    for turn in reversed(request["contents"]):
        words = " ".join(str(part["text"]) for part in turn["parts"] if "text" in part)
        if turn.get("role", "user") == "user" and words:
            return words
    return ""


__all__ = ["Director"]
