"""What happened in a round of the demo, read from the simulator's log: nothing that is shown is made up."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from litellm_antigravity.simulator import LoggedRequest

_WORKER = re.compile(r"^litellm-antigravity-demo/worker-(\d+)$")


def user_agent_of(worker: int) -> str:
    """Return the user agent of a worker, by which the log tells the workers apart."""
    return f"litellm-antigravity-demo/worker-{worker}"


@dataclass(frozen=True, slots=True)
class Refused:
    """An account's first 429, and what came of it.

    Attributes:
        email: whose.
        worker: who got it.
        after: seconds since the round began.
        served_by: the account that served the worker's request in the end; ``None`` when none did.
        served_after: seconds from the 429 until that account was asked.
        stragglers: the workers that asked the account later, each with the seconds since the 429 and the status.
        asked_after: the requests by all workers after the last one to this account.
        others_asked: the requests by the other workers after the 429.
    """

    email: str
    worker: int
    after: float
    served_by: str | None
    served_after: float | None
    stragglers: tuple[tuple[int, float, int], ...]
    asked_after: int
    others_asked: int


@dataclass(frozen=True, slots=True)
class RoundFacts:
    """A round.

    Attributes:
        served: how many requests an account served a worker, by e-mail and worker's number.
        refused: how many 429s came from an account.
        stories: what came of each account's first 429, oldest first.
        first_asked: the account that each worker asked first, by worker's number.
        seconds: from the first request to the last.
    """

    served: Counter[tuple[str, int]]
    refused: Counter[str]
    stories: tuple[Refused, ...]
    first_asked: dict[int, str]
    seconds: float

    def served_by(self, email: str) -> int:
        """Return how many requests an account served."""
        return sum(count for (each, _), count in self.served.items() if each == email)


@dataclass(frozen=True, slots=True)
class _Asked:
    at: float
    worker: int
    email: str
    status: int


def facts_of(log: Sequence[LoggedRequest]) -> RoundFacts:
    """Return what happened, from the log of one round."""
    asked = [one for entry in log if (one := _asked(entry)) is not None]
    served = Counter((one.email, one.worker) for one in asked if one.status == 200)
    refused = Counter(one.email for one in asked if one.status == 429)
    first = {
        email: next(i for i, one in enumerate(asked) if (one.email, one.status) == (email, 429)) for email in refused
    }
    stories = tuple(_story(asked, index) for index in sorted(first.values()))
    first_asked = {one.worker: one.email for one in reversed(asked)}
    seconds = asked[-1].at - asked[0].at if asked else 0.0
    return RoundFacts(served, refused, stories, first_asked, seconds)


def _asked(entry: LoggedRequest) -> _Asked | None:
    """Return a model request by one of the workers; ``None`` for anything else in the log."""
    found = _WORKER.match(entry.headers.get("user-agent", ""))
    if found is None or entry.model is None or entry.email is None:
        return None
    return _Asked(entry.at, int(found[1]), entry.email, entry.status)


def _story(asked: Sequence[_Asked], index: int) -> Refused:
    refused, later = asked[index], asked[index + 1 :]
    served = next((one for one in later if one.worker == refused.worker and one.status == 200), None)
    last = max((number for number, one in enumerate(later) if one.email == refused.email), default=-1)
    return Refused(
        email=refused.email,
        worker=refused.worker,
        after=refused.at - asked[0].at,
        served_by=None if served is None else served.email,
        served_after=None if served is None else served.at - refused.at,
        stragglers=tuple((one.worker, one.at - refused.at, one.status) for one in later if one.email == refused.email),
        asked_after=len(later) - last - 1,
        others_asked=sum(one.worker != refused.worker for one in later),
    )
