"""The decision log: one line for each event that people asked to see, in words that they search for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from litellm_antigravity import events
from litellm_antigravity.cooldowns import WHOLE_ACCOUNT
from litellm_antigravity.logs import decision, decisions_are_visible
from litellm_antigravity.wording import spell_remaining

OF_CONVERSATIONS: Final = frozenset({"bound", "new", "detour", "rebound", "least loaded", "ramp", "cap"})
"""The rules that a line names: what a strategy does by itself, its name says."""


class DecisionLog:
    """Writes events down as lines; see `logs.decision` for where."""

    always = False

    wants = staticmethod(decisions_are_visible)
    """Whether anybody would see a line."""

    def hear(self, event: events.Event) -> None:
        """Write an event down, if there are words for it."""
        write = _WORDS.get(type(event))
        if write is not None:
            write(event)


def _chosen(event: events.Chosen) -> None:
    why = f"{event.why}; " if event.why in OF_CONVERSATIONS else ""
    tried = f", {event.tried} tried before" if event.tried else ""
    message = "[accounts] %s: %s serves %s (%s%d of %d free%s)"
    decision(message, event.strategy, event.about.account, event.about.model, why, event.free, event.enabled, tried)


def _benched(event: events.Benched) -> None:
    pool = "everything" if event.pool == WHOLE_ACCOUNT else event.pool
    message = "[accounts] %s: %s for %s, out of %s for %s"
    decision(message, event.about.account, event.kind, event.about.model, pool, spell_remaining(event.seconds))


def _switched(event: events.Switched) -> None:
    decision("[accounts] %s: %s; trying another account", event.about.account, event.kind)


def _out_of_retries(event: events.OutOfRetries) -> None:
    decision("[accounts] %s: %s; the retry budget is spent", event.about.account, event.kind)


def _waited(event: events.Waited) -> None:
    if event.why == "nobody":
        decision("[accounts] every account is limited for %s; waiting %.1f s", event.model, event.earliest)
    elif event.why == "turn":
        decision("[accounts] newcomers come one by one; waiting %.2f s for a turn", event.seconds)
    elif event.why == "share":
        decision("[accounts] others first: the caller has more than its share in flight; waiting %.2f s", event.seconds)


def _refreshed(event: events.Refreshed) -> None:
    decision("[accounts] %s: new access token, good for %.0f s", event.account, event.lifetime)


def _started(event: events.Started) -> None:
    if event.offset is not None:
        decision(_OFFSETS[event.source], event.offset)
    decision("[accounts] Starting account index for '%s': %d", event.family, event.index)


_OFFSETS: Final = {
    "pid": "[accounts] Applying PID offset: %d (process.pid %% accounts.length)",
    "slot": "[accounts] Applying slot offset: %d (slot %% accounts.length)",
}

_WORDS: Final[dict[type[events.Event], Callable[[Any], None]]] = {
    events.Chosen: _chosen,
    events.Benched: _benched,
    events.Switched: _switched,
    events.OutOfRetries: _out_of_retries,
    events.Waited: _waited,
    events.Refreshed: _refreshed,
    events.Started: _started,
}

DECISION_LOG: Final = DecisionLog()
"""The one of this process; every pool has it listen."""


__all__ = ["DECISION_LOG", "DecisionLog"]
