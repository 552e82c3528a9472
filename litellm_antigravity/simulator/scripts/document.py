"""What a script may say, as pydantic models: these are the file's format.

Times are in seconds. An account is named by its e-mail, by its number from 1, or as ``serving``: the one whose request
makes the action happen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from litellm_antigravity.models import ModelFamily
from litellm_antigravity.simulator.faults import FaultKind, Target, new_fault
from litellm_antigravity.simulator.quotas import FIVE_HOURS

SERVING = "serving"
"""The account whose request makes an action happen."""

AccountName: TypeAlias = Annotated[str | Annotated[int, Field(ge=1, strict=True)], Field(union_mode="left_to_right")]
Seconds: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count: TypeAlias = Annotated[int, Field(ge=0, strict=True)]
Number: TypeAlias = Annotated[int, Field(ge=1, strict=True)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    def _one_of(self, *names: str) -> None:
        given = [name for name in names if getattr(self, name) is not None]
        if len(given) != 1:
            msg = f"has to be exactly one of {', '.join(names)}; it is {', '.join(given) or 'none of them'}"
            raise ValueError(msg)


# What happens


class Refuse(_Part):
    """The next requests that fit are refused, or their replies broken; see `Simulator.refuse`.

    Attributes:
        kind: of refusal or of broken reply.
        account: whose requests; everybody's when absent.
        model: of the requests; any when absent.
        family: of the model; both when absent.
        times: how many requests; ``None`` for all until ``heal``.
        target: which requests.
        options: of the kind.
    """

    kind: FaultKind
    account: AccountName | None = None
    model: str | None = None
    family: ModelFamily | None = None
    times: Number | None = 1
    target: Target = "generate"
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Refuse:
        # Kind, target and options have to fit together; what knows that says it well.
        about = {"email": None, "model": self.model, "family": self.family, "times": self.times}
        new_fault(self.kind, target=self.target, options=self.options, **about)  # type: ignore[arg-type]  # a dict
        return self


class Drain(_Part):
    """An account has no quota left for ``seconds``, in a family or in both."""

    account: AccountName
    family: ModelFamily | None = None
    seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 600.0


class Quota(_Part):
    """So many requests per window, from now on, ``null`` for no limit; for everybody when no account is named."""

    account: AccountName | None = None
    family: ModelFamily | None = None
    requests: Count | None
    window_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = FIVE_HOURS


class Pace(_Part):
    """How long things take from now on: until an answer or a stream begins, between chunks, refusals, and tokens."""

    seconds: Seconds = 0.0
    per_chunk: Seconds = 0.0
    refused: Seconds = 0.0
    token: Seconds = 0.0


class Action(_Part):
    """One thing that happens.

    Attributes:
        refuse: requests, or break their replies.
        drain: an account's quota.
        quota: from now on.
        pace: from now on.
        revoke: the sign-in of an account.
        heal: everything: queued refusals, drained quotas, revoked sign-ins.
        note: a line for whoever watches.
    """

    refuse: Refuse | None = None
    drain: Drain | None = None
    quota: Quota | None = None
    pace: Pace | None = None
    revoke: AccountName | None = None
    heal: Literal[True] | None = None
    note: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Action:
        self._one_of("refuse", "drain", "quota", "pace", "revoke", "heal", "note")
        return self

    @property
    def account(self) -> AccountName | None:
        """The account that it names."""
        for part in (self.refuse, self.drain, self.quota):
            if part is not None:
                return part.account
        return self.revoke


class Event(_Part):
    """What happens at a time: before the request of this number (from 1), or once so many seconds have gone by.

    What is due by time happens before the next request is answered.
    """

    at_request: Number | None = None
    at_seconds: Seconds | None = None
    do: tuple[Action, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> Event:
        self._one_of("at_request", "at_seconds")
        return self


# What the model says


class Call(_Part):
    """A call of a tool; with ``any_of``, of the first of these tools that the request offers.

    Agents give the same tool other names and parameters, so a script for all of them names each one's.
    """

    tool: str | None = Field(default=None, min_length=1)
    arguments: dict[str, Any] = Field(default_factory=dict)
    any_of: tuple[Call, ...] | None = None

    @model_validator(mode="after")
    def _check(self) -> Call:
        self._one_of("tool", "any_of")
        return self

    @property
    def tools(self) -> tuple[Call, ...]:
        """The calls to choose from, each with a tool's name."""
        return (self,) if self.any_of is None else tuple(one for call in self.any_of for one in call.tools)


class Reply(_Part):
    """What the model says once.

    Attributes:
        thinking: before anything else, where the request asks for thoughts.
        text: what it says; ``{account}``, ``{model}`` and ``{request}`` stand for who serves, what was asked for, and
            the number of the request.
        calls: of tools, all at once.
        finish_reason: as the Gemini API has it.
        pace: of this reply.
        do: what happens when this reply is first asked for, before it is given.
    """

    thinking: str | None = None
    text: str | None = None
    calls: tuple[Call, ...] = ()
    finish_reason: str = "STOP"
    pace: Pace | None = None
    do: tuple[Action, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Reply:
        if self.text is None and not self.calls:
            msg = "has to have a text or calls"
            raise ValueError(msg)
        return self


class When(_Part):
    """Which requests a conversation is for; all that is named has to fit.

    Attributes:
        tools: whether the request offers tools. Agents ask for titles and summaries without any.
        family: of the model.
        model: its name.
        says: words in the user's last message, in any case.
    """

    tools: bool | None = None
    family: ModelFamily | None = None
    model: str | None = None
    says: str | None = None


class Conversation(_Part):
    """Replies in order: which one is given depends on how many of the model's turns the request's history has.

    So parallel agents, repeated requests and a change of the account each get the reply that is theirs. After the last
    one it begins again.
    """

    when: When = Field(default_factory=When)
    replies: tuple[Reply, ...] = Field(min_length=1)


class Script(_Part):
    """A script.

    Attributes:
        version: of the format.
        about: what it shows, in a line.
        accounts: how many there are, unless the command line says otherwise.
        conversations: the first that fits a request replies; the simulator's own reply when none does.
        events: what happens when.
    """

    version: Literal[1]
    about: str = ""
    accounts: Annotated[int, Field(ge=1, le=1000, strict=True)] | None = None
    conversations: tuple[Conversation, ...] = ()
    events: tuple[Event, ...] = ()

    def actions(self) -> Iterator[Action]:
        """Yield all that may happen."""
        for event in self.events:
            yield from event.do
        for conversation in self.conversations:
            for reply in conversation.replies:
                yield from reply.do


__all__ = ["SERVING", "Action", "Call", "Conversation", "Event", "Pace", "Reply", "Script", "When"]
