"""The events that people may be told of; docs/alerts.md says what each means."""

from __future__ import annotations

from typing import Final

BANNED: Final = "banned"
VERIFICATION: Final = "verification"
REVOKED: Final = "revoked"
QUOTA_SPENT: Final = "quota_spent"
POOL_SPENT: Final = "pool_spent"
BACK: Final = "back"

ALERTS: Final = (BANNED, VERIFICATION, REVOKED, QUOTA_SPENT, POOL_SPENT, BACK)

__all__ = ["ALERTS", "BACK", "BANNED", "POOL_SPENT", "QUOTA_SPENT", "REVOKED", "VERIFICATION"]
