"""What happens, as typed events: each decision and each outcome is told here once, and whoever wants to know listens.

The decision log is one listener. A place that has something to tell asks `wanted` first, so that an event nobody wants
is never made::

    if events.wanted():
        events.emit(events.Probed(...))

Listeners are called where it happens: perhaps on an event loop's thread, perhaps on several threads at once. They
neither wait nor touch the disk, and what they raise fails no request.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias

from litellm_antigravity.models import ModelFamily

if TYPE_CHECKING:
    from litellm_antigravity.selection.availability import Availability
    from litellm_antigravity.state.view import StateView

WaitsFor: TypeAlias = Literal["nobody", "named", "held", "turn", "busy", "share"]
"""Why a request waits: nobody is free, its one account is not, its strategy holds it for the current one, newcomers
come one by one, all have enough in flight, or its caller has more than its share."""

_LOGGER = logging.getLogger("litellm_antigravity")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that has just happened."""


class About(NamedTuple):
    """Which request on which account an event is about.

    Attributes:
        account_id: whose.
        account: its label; no whole e-mail.
        model: the canonical name of the model.
        family: the quota family.
        request_id: LiteLLM's id of the call; ``None`` for a request that came without one.
    """

    account_id: str
    account: str
    model: str
    family: ModelFamily
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountEvent(Event):
    """Something that happened to a request on an account."""

    about: About


class Inputs(NamedTuple):
    """By what an account was chosen: what a listener may read while it is called, and no longer.

    Attributes:
        availability: who was free.
        view: of the shared state; it goes on.
        now: epoch seconds.
    """

    availability: Availability
    view: StateView
    now: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen(AccountEvent):
    """An account is to serve a request.

    Attributes:
        strategy: who chose.
        why: the strategy's word for the rule that took it; empty where it has none.
        free: how many accounts were free for the model.
        enabled: how many there were.
        tried: how many the request had tried before.
        inputs: by which it was chosen.
    """

    strategy: str
    why: str = ""
    free: int
    enabled: int
    tried: int = 0
    inputs: Inputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent(AccountEvent):
    """A request goes to upstream; one that is tried again is sent again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served(AccountEvent):
    """A request was answered; a stream to its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Used(AccountEvent):
    """An answer has taken tokens.

    Attributes:
        sent: of the request.
        cached: how many of those were in upstream's prompt cache.
        made: of the answer, with its thoughts.
    """

    sent: int
    cached: int
    made: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused(AccountEvent):
    """Upstream refused what was sent, or no token could be had for it.

    Attributes:
        kind: the class of the refusal.
        status: of HTTP; that of the class where there was none.
    """

    kind: str
    status: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Benched(AccountEvent):
    """A quota pool of an account is not to be used for a while.

    Attributes:
        pool: which; ``*`` for the whole account.
        kind: the class of the refusal.
        seconds: until it may be used again; ``math.inf`` when somebody has to act.
        fact: whether upstream said so.
    """

    pool: str
    kind: str
    seconds: float
    fact: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Back(Event):
    """A quota pool of an account may be used again before its time.

    Attributes:
        account_id: whose.
        pool: which.
        how: it was probed, or somebody released it.
    """

    account_id: str
    pool: str
    how: Literal["probe", "released"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Switched(AccountEvent):
    """A request leaves an account for another one.

    Attributes:
        kind: the class of the refusal that it met.
    """

    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutOfRetries(AccountEvent):
    """A request is told to its caller as refused, because the host's retry budget is spent.

    Attributes:
        kind: the class of the refusal that it met.
    """

    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited(Event):
    """A request waits for an account to come back.

    Attributes:
        model: the canonical name.
        family: the quota family.
        seconds: that it sleeps: one request after the other wakes up.
        earliest: until the first account is back.
        why: see `WaitsFor`.
        request_id: see `About`.
    """

    model: str
    family: ModelFamily
    seconds: float
    earliest: float
    why: WaitsFor
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed(AccountEvent):
    """A request tries an account before a long cooldown of it is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutOfCapacity(Event):
    """A model has no capacity, whoever asks.

    Attributes:
        model: the canonical name.
        family: the quota family.
        seconds: for which requests for it fail at once.
    """

    model: str
    family: ModelFamily
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed(Event):
    """An account has a new access token.

    Attributes:
        account_id: whose.
        account: its label.
        lifetime: of the token, in seconds.
    """

    account_id: str
    account: str
    lifetime: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Event):
    """A process knows on which account it starts.

    Attributes:
        family: for which models.
        index: in the list of enabled accounts.
        offset: that was applied; ``None`` for none.
        source: of the offset.
    """

    family: ModelFamily
    index: int
    offset: int | None
    source: Literal["pid", "slot"]


class Listener(Protocol):
    """Somebody who wants to know.

    Attributes:
        always: whether it wants every event, so that it need not be asked.
    """

    always: bool

    def wants(self) -> bool:
        """Return whether it would do anything with an event now; asked often."""
        ...

    def hear(self, event: Event) -> None:
        """Take an event; see the module's text for what it may do."""
        ...


Listeners: TypeAlias = "tuple[Listener, ...]"

_listeners: Listeners = ()  # replaced as a whole: readers hold no lock; those that want every event come first


def listen(listener: Listener) -> None:
    """Tell a listener of every event from now on; once, however often this is called."""
    global _listeners  # noqa: PLW0603 - one place for the process, as for its log
    if listener not in _listeners:
        _listeners = (listener, *_listeners) if listener.always else (*_listeners, listener)


def stop_listening(listener: Listener) -> None:
    """Tell a listener nothing any more."""
    global _listeners  # noqa: PLW0603
    _listeners = tuple(one for one in _listeners if one is not listener)


def wanted() -> bool:
    """Return whether anybody wants to know."""
    for listener in _listeners:  # noqa: SIM110 - a generator would cost more than the rest
        if listener.always or listener.wants():
            return True
    return False


def emit(event: Event) -> None:
    """Tell everybody who wants to know."""
    for listener in _listeners:
        if listener.always or listener.wants():
            try:
                listener.hear(event)
            except Exception:
                _LOGGER.debug("A listener failed at %s.", type(event).__name__, exc_info=True)


__all__ = [
    "About",
    "AccountEvent",
    "Back",
    "Benched",
    "Chosen",
    "Event",
    "Inputs",
    "Listener",
    "OutOfCapacity",
    "OutOfRetries",
    "Probed",
    "Refreshed",
    "Refused",
    "Sent",
    "Served",
    "Started",
    "Switched",
    "Used",
    "Waited",
    "WaitsFor",
    "emit",
    "listen",
    "stop_listening",
    "wanted",
]
