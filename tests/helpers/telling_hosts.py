"""Somebody who tells alerts, with accounts, a channel that keeps them and a clock of its own."""

from __future__ import annotations

from pydantic import SecretStr
from support import FakeClock

from litellm_antigravity.accounts import Account, RefreshToken
from litellm_antigravity.alerts.channels import NotToldError
from litellm_antigravity.alerts.message import Alert
from litellm_antigravity.alerts.telling import Teller, Telling
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.observability.known import KnownAccounts
from litellm_antigravity.settings.alert_names import ALERTS
from litellm_antigravity.state.ledger import Ledger
from litellm_antigravity.state.memory import MemoryStore


class Kept:
    """A channel that keeps what it is told, or is down."""

    def __init__(self) -> None:
        self.told: list[Alert] = []
        self.down: NotToldError | None = None
        self.tries = 0

    def is_open(self) -> bool:
        return True

    def tell(self, alert: Alert) -> None:
        self.tries += 1
        if self.down is not None:
            raise self.down
        self.told.append(alert)

    @property
    def events(self) -> list[str]:
        return [one.event for one in self.told]


class TellingHost:
    """One process's teller over three accounts, and the clock it goes by."""

    def __init__(self, ledger: Ledger | None = None, *, events: tuple[str, ...] = ALERTS) -> None:
        self.clock = FakeClock()
        self.channel = Kept()
        self.ledger = ledger or MemoryStore()
        self.accounts = [
            Account.create(f"user{number}@example.com", RefreshToken(SecretStr(f"1//{number}"))) for number in (1, 2, 3)
        ]
        self._events = events
        self.restart()

    def restart(self) -> None:
        """Have another process tell, since this one was killed."""
        channels, accounts = [self.channel], self.accounts
        self.telling = Telling(self.ledger, lambda: KnownAccounts(tuple(accounts)), channels, self._events, self.clock)
        self.teller = Teller(self.telling)

    def bench(self, number: int, reason: str, pool: str = "*", seconds: float = float("inf")) -> None:
        now = self.clock.time()
        self.ledger.extend_cooldown(Cooldown(self.accounts[number - 1].id, pool, now + seconds, reason, now, fact=True))

    def look(self, *, after: float = 0.0) -> list[str]:
        self.clock.advance(after)
        before = len(self.channel.told)
        self.teller.look()
        return [
            f"{one.event} {one.fields['account'] or 'all'} {one.fields['pool']}" for one in self.channel.told[before:]
        ]
