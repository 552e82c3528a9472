"""What an alert says: JSON for programs, with a sentence for people. No whole e-mail, no secret, no address to open."""

from __future__ import annotations

import datetime as dt
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from litellm_antigravity.alerts.problems import EVERYBODY
from litellm_antigravity.cooldowns import WHOLE_ACCOUNT
from litellm_antigravity.logs import spell_duration
from litellm_antigravity.masking import mask_emails, shown
from litellm_antigravity.settings.alert_names import BACK, BANNED, POOL_SPENT, QUOTA_SPENT, REVOKED, VERIFICATION
from litellm_antigravity.state.rows import Incident, split_cooldown_name

FORMAT: Final = 1
"""It rises when something is taken away or changes its meaning; what is added leaves it as it is."""

_LONGEST_NAME: Final = 100


@dataclass(frozen=True, slots=True)
class Alert:
    """An event as it is told.

    Attributes:
        event: one of `settings.alert_names.ALERTS`.
        text: a sentence.
        fields: the rest of the JSON.
    """

    event: str
    text: str
    fields: Mapping[str, Any]

    @property
    def body(self) -> dict[str, Any]:
        """What is posted; docs/alerts.md describes it."""
        return {"text": self.text, "format": FORMAT, "event": self.event, **self.fields}


def alert_of(name: str, incident: Incident, labels: Mapping[str, str], now: float) -> Alert:
    """Return what is told of an incident.

    Args:
        name: of its row.
        incident: what happened.
        labels: of accounts, by id.
        now: epoch seconds.
    """
    account_id, pool = split_cooldown_name(name)
    label = None if account_id == EVERYBODY else _label(labels.get(account_id, "an account that is gone"))
    pool = shown(pool, _LONGEST_NAME)
    left = None if incident.until is None else max(0.0, incident.until - now)
    return Alert(
        incident.event,
        _sentence(incident, label, pool, left),
        {
            "id": _id_of(name, incident),
            "account": label,
            "pool": pool,
            "since": round(incident.since, 3),
            "until": None if incident.until is None else round(incident.until, 3),
        },
    )


def _label(label: str) -> str:
    return mask_emails(shown(label, _LONGEST_NAME))


def _id_of(name: str, incident: Incident) -> str:
    """Return what is the same when an alert comes twice, and never else."""
    text = f"{name} {incident.event} {incident.begun!r}"
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:24]


def _sentence(incident: Incident, label: str | None, pool: str, left: float | None) -> str:
    family = "every model" if pool == WHOLE_ACCOUNT else pool.removeprefix("model:")
    until = "until somebody acts" if left is None or incident.until is None else f"until {_at(incident.until, left)}"
    if incident.event == BACK:
        return f"{'An account' if label is None else f'Account {label}'} may serve {family} again."
    return {
        BANNED: f"Account {label} was disabled by upstream and serves nothing until an appeal is granted.",
        VERIFICATION: f"Account {label} is out until its owner verifies it; `litellm-antigravity status` says where.",
        REVOKED: f"Account {label} is out: its grant was revoked. Sign in again: `litellm-antigravity auth login`.",
        QUOTA_SPENT: f"Account {label} has spent its quota for {family}, {until}.",
        POOL_SPENT: f"No account is left for {family}, {until}.",
    }[incident.event]


def _at(until: float, left: float) -> str:
    at = dt.datetime.fromtimestamp(min(until, 2**35), tz=dt.timezone.utc)
    return f"{at:%Y-%m-%d %H:%M} UTC ({spell_duration(math.ceil(left))} left)"


__all__ = ["FORMAT", "Alert", "alert_of"]
