"""What an account pool should know and do: a small reference that `test_pool_model` compares the real one with.

It keeps every cooldown of every account in a dictionary and looks at all of them each time. No storage, no cache, no
processes: whatever the pool knows, every process knows.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from litellm_antigravity.models import family_of
from litellm_antigravity.refusals import RefusalKind as Kind

LADDER = (60.0, 300.0, 1800.0, 7200.0)  # no hint: by failures in a row
BUCKET = 50.0
FOR_GOOD = (Kind.REVOKED, Kind.VERIFICATION, Kind.BANNED)
FAILURES = (Kind.QUOTA, Kind.RATE, Kind.TRANSPORT, Kind.BROKEN_REPLY, Kind.AUTH)
NOBODYS_FAULT = {Kind.TRANSPORT.value, Kind.BROKEN_REPLY.value}


@dataclass(frozen=True)
class Bench:
    """An account's pool is out until a moment."""

    until: float
    since: float
    reason: str
    fact: bool
    credential: str | None

    def left(self, now: float) -> float:
        return max(0.0, self.until - now)


@dataclass
class Reference:
    """The reference; ``accounts`` are the enabled ones in file order, with their credentials' fingerprints."""

    accounts: Mapping[str, str] = field(default_factory=dict)
    listed: Collection[str] = ()
    benches: dict[tuple[str, str], Bench] = field(default_factory=dict)
    failures: dict[tuple[str, str], tuple[int, float]] = field(default_factory=dict)
    capacity: dict[str, float] = field(default_factory=dict)
    buckets: dict[str, tuple[float, float]] = field(default_factory=dict)
    used: dict[str, float] = field(default_factory=dict)

    def sent(self, account: str, now: float) -> None:
        self.used[account] = now
        self.buckets[account] = (max(0.0, self.tokens(account, now) - 1.0), now)

    def tokens(self, account: str, now: float) -> float:
        """Return what is left in an account's bucket: of 50 tokens, six come back in a minute."""
        left, at = self.buckets.get(account, (BUCKET, 0.0))
        return min(BUCKET, left + (now - at) / 60.0 * 6.0)

    def served(self, account: str, model: str, probed: Collection[str]) -> None:
        self.failures.pop((account, family_of(model)), None)
        for pool in probed:
            self.benches.pop((account, pool), None)

    def refused(self, account: str, credential: str, model: str, kind: Kind, hint: float | None, now: float) -> None:
        if kind is not Kind.FAILED_REPLY:  # that one upstream served
            self.buckets[account] = (min(BUCKET, self.tokens(account, now) + 1.0), now)
        count = self._count(account, family_of(model), now) if kind in FAILURES else 0
        if kind is Kind.CAPACITY:
            self.capacity[model] = max(self.capacity.get(model, 0.0), now + 10.0)
        pool, seconds = {
            Kind.QUOTA: (family_of(model), hint or LADDER[min(max(count, 1), 4) - 1]),
            Kind.RATE: (family_of(model), hint or 30.0),
            Kind.REFUSED_REQUEST: (family_of(model), min(hint or 10.0, 10.0)),
            Kind.TRANSPORT: (family_of(model), 20.0 if count >= 3 else 0.0),
            Kind.BROKEN_REPLY: (family_of(model), 20.0 if count >= 3 else 0.0),
            Kind.AUTH: ("*", 600.0),
            Kind.NOT_AVAILABLE: (f"model:{model}", 600.0),
        }.get(kind, ("*", math.inf if kind in FOR_GOOD else 0.0))
        if seconds:
            fact = kind in FOR_GOOD or (kind in (Kind.QUOTA, Kind.RATE) and hint is not None)
            about = credential if pool == "*" and kind is not Kind.BANNED else None
            new, old = Bench(now + seconds, now, kind.value, fact, about), self.benches.get((account, pool))
            if old is None or old.credential not in (None, about) or old.left(now) < new.left(now):
                self.benches[account, pool] = new

    def retried(self, account: str) -> None:
        for key in [key for key in self.benches if key[0] == account]:
            del self.benches[key]

    def stopped(self, now: float) -> bool:
        """Return whether two accounts were banned within an hour, and neither has been retried since."""
        bans = sorted(
            bench.since
            for (account, _), bench in self.benches.items()
            if account in self.listed and bench.reason == Kind.BANNED.value and bench.left(now) > 0
        )
        return any(later - earlier <= 3600.0 for earlier, later in itertools.pairwise(bans))

    def _count(self, account: str, family: str, now: float) -> int:
        count, at = self.failures.get((account, family), (0, -math.inf))
        if abs(now - at) >= 2.0:  # what requests in flight meet at once is one failure
            count, at = (count if now - at <= 3600.0 else 0) + 1, now
        self.failures[account, family] = count, at
        return count

    def benched(self, model: str, now: float) -> dict[str, list[Bench]]:
        """Return who may not serve ``model``, and why."""
        found: dict[str, list[Bench]] = {}
        for (account, pool), bench in self.benches.items():
            lapsed = bench.credential not in (None, self.accounts.get(account))
            concerned = account in self.accounts and pool in ("*", family_of(model), f"model:{model}")
            if concerned and bench.left(now) > 0 and not lapsed:
                found.setdefault(account, []).append(bench)
        if len(found) == len(self.accounts):  # what connections did to all of them is not the accounts' fault
            found = {one: why for one, why in found.items() if any(b.reason not in NOBODYS_FAULT for b in why)}
        if self.stopped(now):
            for account in self.accounts:
                found.setdefault(account, []).append(Bench(math.inf, now, "stopped", fact=True, credential=None))
        return found
