"""Remembers decisions: one listener, which puts each into the ring with what it was made by."""

from __future__ import annotations

import functools
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from litellm_antigravity import events
from litellm_antigravity.accounts import Account
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.forking import AtRestInForks
from litellm_antigravity.masking import mask_emails, shown
from litellm_antigravity.observability.ring import LONGEST_ID, SLOTS, Ring
from litellm_antigravity.selection.vitals import Vitals, VitalsRules

MOST_ACCOUNTS: Final = 4
"""So many accounts' numbers are kept of a decision: the chosen one's and those of the first others in the file."""

_LONGEST_NAME: Final = 48  # characters of a label, a model or an id: a record has to fit into a slot
_PLAIN_ID: Final = re.compile(rf"[0-9a-f-]{{1,{LONGEST_ID}}}")
_NOT_TOLD: Final = (events.Sent, events.Served, events.Started)  # what most requests do anyway


_LOOK_SECONDS: Final = 0.25  # between two looks of the thread for something to write
_QUIET_LOOKS: Final = 40  # after so many it ends

# With more than so many waiting, only every eighth look writes: what the ring would have written over by then is never
# put into words.
_MANY: Final = 64
_BUSY_LOOKS: Final = 8

_Seen: TypeAlias = "tuple[Account, Vitals, tuple[Cooldown, ...] | None]"
_Heard: TypeAlias = "tuple[float, events.Event, tuple[_Seen, ...]]"


class Remembering(AtRestInForks):
    """Puts what it hears into the ring, a moment later and in a thread of its own: no request waits for that.

    Args:
        ring: of this process.
        rules: of health and bucket.
        now: the wall clock.
    """

    always = True
    _fork_rank = 15  # its lock is held while the ring's is taken

    def __init__(self, ring: Ring, rules: VitalsRules, now: Callable[[], float]) -> None:
        self.ring = ring
        self._fresh = Vitals.fresh(rules)
        self._rules = rules
        self._now = now
        self._begin()

    def _start_over(self) -> None:
        self._heard: deque[_Heard] = deque(maxlen=SLOTS)  # older ones would be written over anyway
        self._writer: threading.Thread | None = None

    def wants(self) -> bool:
        """Return whether it remembers: always."""
        return True

    def hear(self, event: events.Event) -> None:
        """Remember an event, if it is a decision or changes the next one."""
        if isinstance(event, events.Chosen):
            self._heard.append((event.inputs.now, event, self._seen(event)))
            if self._writer is None:
                self._begin_writing()
        elif not isinstance(event, _NOT_TOLD):
            self._heard.append((self._now(), event, ()))

    def _begin_writing(self) -> None:
        writer = threading.Thread(target=self._write, name="antigravity-decisions", daemon=True)
        try:
            writer.start()
        except RuntimeError:  # no thread to be had: whoever reads in this process has it written
            return
        self._writer = writer

    def _write(self) -> None:
        quiet = busy = 0
        while quiet < _QUIET_LOOKS:
            time.sleep(_LOOK_SECONDS)
            heard = len(self._heard)
            quiet = 0 if heard else quiet + 1
            busy = (busy + 1) % _BUSY_LOOKS if heard > _MANY else 0
            if not busy:
                self.flush()
        self._writer = None  # the next decision begins anew
        self.flush()

    def flush(self) -> None:
        """Write down what was heard; may touch the disk."""
        with self._lock:  # of those who write
            if self._heard:
                self.ring.open()
            while self._heard:
                at, event, seen = self._heard.popleft()
                if isinstance(event, events.Chosen):
                    self._put(at, event, seen)
                else:
                    self.ring.add({"t": round(at, 3), "k": type(event).__name__.lower(), **_fields(event)})

    def _seen(self, event: events.Chosen) -> tuple[_Seen, ...]:
        """Return what the choice has seen of some accounts: values that do not change any more."""
        availability, view = event.inputs.availability, event.inputs.view
        accounts = availability.snapshot.enabled[:MOST_ACCOUNTS]
        mine = availability.snapshot.by_id.get(event.about.account_id)
        if mine is not None and all(one is not mine for one in accounts):
            accounts = (mine, *accounts[: MOST_ACCOUNTS - 1])
        return tuple((one, view.vitals.get(one.id, self._fresh), availability.benched.get(one.id)) for one in accounts)

    def _put(self, at: float, event: events.Chosen, seen: tuple[_Seen, ...]) -> None:
        record = {
            "t": round(at, 3),
            "k": "chosen",
            "x": event.about.account_id,
            **_about(event.about),
            "s": event.strategy,
            "w": event.why,
            "n": [event.free, event.enabled, event.tried],
            "p": os.getpid(),
        }
        if not self.ring.add({**record, "i": [self._numbers(*one, at) for one in seen]}):
            self.ring.add(record)  # names of 48 characters may be long in bytes

    def _numbers(
        self, account: Account, vitals: Vitals, benched: tuple[Cooldown, ...] | None, now: float
    ) -> list[object]:
        """Return name, health, tokens, seconds since the last use, and what benches it for how long."""
        idle = None if vitals.last_used is None else round(now - vitals.last_used, 1)
        numbers = [
            _name(account.label),
            round(vitals.health_now(now, self._rules), 1),
            round(vitals.tokens_now(now, self._rules), 1),
            idle,
        ]
        if not benched:
            return numbers
        longest = max(benched, key=lambda one: one.until)
        left = longest.remaining(now)
        return [*numbers, longest.reason[:_LONGEST_NAME], round(left, 1) if left < 1e9 else None]


@functools.lru_cache(maxsize=4096)
def _name(label: str) -> str:
    return mask_emails(shown(label))[:_LONGEST_NAME]


def _about(about: events.About) -> dict[str, object]:
    said: dict[str, object] = {"a": _name(about.account), "m": _name(about.model), "f": about.family}
    if about.request_id is not None:
        said["r"] = _called(about.request_id)
    return said


def _called(request_id: str) -> str:
    """Return a request's id, which may come from a header of its caller, as it may be shown."""
    return request_id if _PLAIN_ID.fullmatch(request_id) else shown(request_id, LONGEST_ID)


def _fields(event: events.Event) -> dict[str, Any]:
    """Return what is remembered of an event that is no choice."""
    said: dict[str, Any] = {"p": os.getpid()}
    if isinstance(event, events.AccountEvent):
        said.update(_about(event.about))
    if isinstance(event, events.Waited):
        said.update(m=_name(event.model), f=event.family, w=event.why, d=round(event.seconds, 3))
        if event.request_id is not None:
            said["r"] = _called(event.request_id)
    if isinstance(event, (events.Refused, events.Benched, events.Switched, events.OutOfRetries)):
        said["c"] = event.kind
    if isinstance(event, events.Used):
        said["u"] = [event.sent, event.cached, event.made]
    if isinstance(event, events.Benched):
        said.update(w=event.pool[:_LONGEST_NAME], d=round(event.seconds, 1) if event.seconds < 1e9 else None)
    if isinstance(event, events.OutOfCapacity):
        said.update(m=_name(event.model), f=event.family, d=round(event.seconds, 1))
    if isinstance(event, events.Refreshed):
        said["a"] = _name(event.account)
    if isinstance(event, events.Back):
        said.update(w=event.how)
    return said


__all__ = ["MOST_ACCOUNTS", "Remembering"]
