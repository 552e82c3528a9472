"""The kinds of refusals and what each one means: one row per kind, read by everything that acts on refusals.

A kind that is new needs a member, a row here, and words by which `refusals.parser` knows it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Final

from litellm_antigravity.selection.vitals import Penalty


class RefusalKind(str, Enum):
    """What upstream may refuse with. The values are the words that people read in ``status`` and messages."""

    QUOTA = "quota"
    RATE = "rate"
    REFUSED_REQUEST = "refused request"
    CAPACITY = "capacity"
    TRANSPORT = "transport"
    AUTH = "auth"
    REVOKED = "revoked"
    VERIFICATION = "verification"
    BANNED = "banned"
    NOT_AVAILABLE = "not available"
    CALLER = "caller"
    BROKEN_REPLY = "broken reply"
    FAILED_REPLY = "failed reply"

    @property
    def meaning(self) -> Meaning:
        """What follows from it."""
        return MEANINGS[self]


class Cools(Enum):
    """What is not used for a while."""

    NOTHING = 0
    MODEL = 1
    """The model, whoever asks."""
    FAMILY = 2
    """The account, for the models that draw on the same quota."""
    ACCOUNT_MODEL = 3
    """The account, for this model."""
    CREDENTIAL = 4
    """The account, for as long as it has this credential."""
    ACCOUNT = 5
    """The account, whatever its credential."""


class Fault(Enum):
    """Whose fault it is."""

    ACCOUNT = 0
    REQUEST = 1
    """It would be refused to every account."""
    MODEL = 2
    """It answered, and its answer is of no use."""
    UPSTREAM = 3
    """It has no room, whoever asks."""
    TRANSIT = 4
    """Something between here and there: inference, and no account's fault while it happens to all of them."""
    UNCLEAR = 5


class Then(Enum):
    """What the request does next."""

    ANOTHER_ACCOUNT = 0
    TOKEN_THEN_ANOTHER = 1
    """The same account with a new access token; if that is refused as well, another one."""
    ONE_MORE_ACCOUNT = 2
    """Another account; if that refuses it as well, the request is at fault."""
    SHORT_RETRIES = 3
    """The same account, a few times, after short pauses."""
    ONE_MORE_REPLY = 4
    """One more try, and no third."""
    TELL_CALLER = 5


class Hint(Enum):
    """What upstream's own hint (``retryDelay``, ``Retry-After`` ...) is worth."""

    IGNORED = 0
    TAKEN = 1
    """It is a fact: the account's limit ends then."""
    SHORTENS = 2
    """It may end the cooldown sooner."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What follows from one kind of refusal.

    Attributes:
        cools: what is not used for a while.
        seconds: for how long, without a hint, by the account's failures in a row; the last number stays. 0 for not
            yet, ``math.inf`` until somebody acts.
        fault: whose fault it is.
        then: what the request does next.
        error: the name of LiteLLM's exception for it.
        status: the HTTP status of that exception.
        hint: what upstream's hint of a delay is worth.
        penalty: what it costs the account's health. Nothing where it is a fact until somebody acts: health is
            inference, and would still be low when the account is back.
        page: the field of ``ErrorInfo.metadata`` with the page that somebody has to open.
    """

    cools: Cools
    seconds: tuple[float, ...]
    fault: Fault
    then: Then
    error: str
    status: int
    hint: Hint = Hint.IGNORED
    penalty: Penalty | None = None
    page: str = ""

    @property
    def until_somebody_acts(self) -> bool:
        """Whether it does not pass by itself."""
        return self.seconds == _UNTIL_SOMEBODY_ACTS

    @property
    def is_limit(self) -> bool:
        """Whether the account has had its share, and will be back."""
        return self.hint is Hint.TAKEN

    @property
    def is_trouble_of_upstream(self) -> bool:
        """Whether it tells of an upstream in trouble, which more requests would make worse."""
        return self.fault in (Fault.TRANSIT, Fault.UPSTREAM)


REPEATED_FAILURES: Final = 3
"""So many failures in a row make a problem in transit one of the account."""

REPEATED_SILENCES: Final = 2
"""So many are enough when the last was silence that cost a request its time, and other accounts answered meanwhile."""

_UNTIL_SOMEBODY_ACTS: Final = (math.inf,)
_REPEATED: Final = (*(0.0,) * (REPEATED_FAILURES - 1), 20.0)

MEANINGS: Final = {
    RefusalKind.QUOTA: Meaning(
        Cools.FAMILY, (60.0, 300.0, 1800.0, 7200.0), Fault.ACCOUNT, Then.ANOTHER_ACCOUNT,
        "RateLimitError", 429, hint=Hint.TAKEN, penalty="rate",
    ),
    RefusalKind.RATE: Meaning(
        Cools.FAMILY, (30.0,), Fault.ACCOUNT, Then.ANOTHER_ACCOUNT,
        "RateLimitError", 429, hint=Hint.TAKEN, penalty="rate",
    ),
    RefusalKind.REFUSED_REQUEST: Meaning(
        Cools.FAMILY, (10.0,), Fault.UNCLEAR, Then.ONE_MORE_ACCOUNT, "RateLimitError", 429, hint=Hint.SHORTENS
    ),
    RefusalKind.CAPACITY: Meaning(
        Cools.MODEL, (10.0,), Fault.UPSTREAM, Then.SHORT_RETRIES, "ServiceUnavailableError", 503
    ),
    RefusalKind.TRANSPORT: Meaning(
        Cools.FAMILY, _REPEATED, Fault.TRANSIT, Then.ANOTHER_ACCOUNT, "InternalServerError", 500, penalty="failure"
    ),
    RefusalKind.BROKEN_REPLY: Meaning(
        Cools.FAMILY, _REPEATED, Fault.TRANSIT, Then.ANOTHER_ACCOUNT, "InternalServerError", 500, penalty="failure"
    ),
    RefusalKind.AUTH: Meaning(
        Cools.CREDENTIAL, (600.0,), Fault.ACCOUNT, Then.TOKEN_THEN_ANOTHER, "AuthenticationError", 401,
        penalty="failure",
    ),
    RefusalKind.REVOKED: Meaning(
        Cools.CREDENTIAL, _UNTIL_SOMEBODY_ACTS, Fault.ACCOUNT, Then.ANOTHER_ACCOUNT, "AuthenticationError", 401
    ),
    RefusalKind.VERIFICATION: Meaning(
        Cools.CREDENTIAL, _UNTIL_SOMEBODY_ACTS, Fault.ACCOUNT, Then.ANOTHER_ACCOUNT, "PermissionDeniedError", 403,
        page="validation_url",
    ),
    RefusalKind.BANNED: Meaning(
        Cools.ACCOUNT, _UNTIL_SOMEBODY_ACTS, Fault.ACCOUNT, Then.TELL_CALLER, "PermissionDeniedError", 403,
        page="appeal_url",
    ),
    RefusalKind.NOT_AVAILABLE: Meaning(
        Cools.ACCOUNT_MODEL, (600.0,), Fault.ACCOUNT, Then.ANOTHER_ACCOUNT, "NotFoundError", 404
    ),
    RefusalKind.CALLER: Meaning(Cools.NOTHING, (), Fault.REQUEST, Then.TELL_CALLER, "BadRequestError", 400),
    RefusalKind.FAILED_REPLY: Meaning(
        Cools.NOTHING, (), Fault.MODEL, Then.ONE_MORE_REPLY, "InternalServerError", 500
    ),
}  # fmt: skip

NOBODYS_FAULT: Final = frozenset(kind.value for kind, one in MEANINGS.items() if one.fault is Fault.TRANSIT)
"""The reasons on record of cooldowns that are not the account's own fault."""
